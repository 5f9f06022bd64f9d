//! What is printed and drawn: data, model, results, pictures.

use crate::msa::{AHEAD, Data, Metrics, wanted};
use crate::run::{Run, emotion_metrics, labels};
use crate::training::loss_curves;
use limbic::Result;
use limbic::data::builtin::{AUDIO_HOP, FRAME_RATE, SAMPLE_RATE};
use limbic::data::{Batches, Clip, Corpus, Labels, Split};
use limbic::graph::Graph;
use limbic::models::msa::{ClipScore, ModalityInput, Msa};
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::train::history::History;
use limbic::viz::{
    AttentionMap, AttentionOptions, BarSeries, BarsOptions, FusionOptions, Reference, ScatterOptions, attention, bars,
    fusion_weights, scatter,
};
use std::path::Path;

pub fn describe_data(data: &Data) {
    let corpus = &data.corpus;
    println!("data      {}", corpus.name);
    println!(
        "          {} training, {} validation, {} test clips",
        corpus.train.len(),
        corpus.valid.len(),
        corpus.test.len()
    );
    for (index, modality) in corpus.modalities.iter().enumerate() {
        let lens: Vec<usize> = corpus.train.iter().filter_map(|clip| Some(clip.sequences.get(index)?.len)).collect();
        let (least, most) = (lens.iter().min().unwrap_or(&0), lens.iter().max().unwrap_or(&0));
        println!("          {:8} {:3} features a step, {least} to {most} steps", modality.name, modality.dim);
    }
}

/// What stays on disk, and what of it is in memory.
pub fn describe_stream(run: &Run<'_>) -> Result<()> {
    let Some(streamed) = &run.data.streamed else { return Ok(()) };
    let wanted = wanted(run.model.as_ref());
    let batches = streamed.batches(Split::Train, &wanted, run.config.training.batch_size, AHEAD)?;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "data      {:.1} MiB on disk, read while training: at most {:.1} MiB of batches in memory, {AHEAD} ahead",
        mib(streamed.bytes_on_disk() as f64),
        mib(batches.bytes() as f64)
    );
    Ok(())
}

/// The most memory that the process has taken so far, in MiB, where the system says so (Linux).
pub fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// The built-in corpus' rule says what nobody can do better than.
pub fn best_possible(data: &Data) {
    let Some(builtin) = &data.builtin else { return };
    let best = &builtin.best_possible;
    println!("best possible on this corpus, whose rule is known (label noise and irony leave nothing better):");
    for (name, bound) in
        [("all", &best.all), ("text alone", &best.text), ("audio alone", &best.audio), ("video alone", &best.video)]
    {
        println!("  {name:12} MAE {:.3}, r {:.3}, Acc-2 {:.1} %", bound.mae, bound.r, 100.0 * bound.acc2);
    }
}

/// How well the test clips' emotions are named, where the model names them.
pub fn emotions(run: &Run<'_>, data: &Data, scores: &[ClipScore]) -> Result<()> {
    let Some((metrics, _)) = emotion_metrics(&data.corpus.test, scores)? else { return Ok(()) };
    println!(
        "\nemotions   accuracy {:.1} %, unweighted {:.1} %, weighted F1 {:.3}",
        100.0 * metrics.accuracy,
        100.0 * metrics.unweighted_accuracy,
        metrics.weighted_f1
    );
    for (name, class) in run.model.emotions().iter().flat_map(|task| &task.classes).zip(&metrics.classes) {
        let (recall, precision) = (100.0 * class.recall, 100.0 * class.precision);
        println!("  {name:10} recall {recall:5.1} %, precision {precision:5.1} %, of {} clips", class.support);
    }
    if let Some(builtin) = &data.builtin {
        let best = &builtin.best_possible.emotion;
        println!(
            "  best possible accuracy {:.1} %; of text alone {:.1}, audio {:.1}, video {:.1}, of always the same {:.1}",
            100.0 * best.all,
            100.0 * best.text,
            100.0 * best.audio,
            100.0 * best.video,
            100.0 * best.nothing
        );
    }
    Ok(())
}

/// Loss curves, predicted against true, fusion weights, attention of one clip.
pub fn pictures(out: &Path, run: &Run<'_>, data: &Data, history: &History, scores: &[ClipScore]) -> Result<()> {
    loss_curves(out, history)?;

    if data.corpus.labels == Labels::Sentiment {
        let truth = labels(&data.corpus.test);
        let predicted: Vec<f32> = scores.iter().map(|clip| clip.score).collect();
        let options = ScatterOptions { title: "Sentiment of the test clips".into(), ..ScatterOptions::default() };
        scatter(out.join("predicted.svg"), &truth, &predicted, &options)?;
    }

    // of gates, each modality's share in their sum
    let shares = |clip: &ClipScore| {
        let sum: f32 = clip.fusion_weights.iter().sum();
        clip.fusion_weights.iter().map(|weight| weight / sum).collect::<Vec<_>>()
    };
    let weights: Vec<f32> = scores.iter().flat_map(shares).collect();
    if !weights.is_empty() {
        let names: Vec<&str> = run.model.modalities().iter().map(|modality| modality.name.as_str()).collect();
        let options = FusionOptions { title: "How much each modality counts".into(), ..FusionOptions::default() };
        fusion_weights(out.join("fusion_weights.svg"), &names, &weights, &options)?;
    }
    if let crate::msa::ModelConfig::SequenceLevel(config) = &run.config.model {
        attention_maps(out, run, &Msa::new(config)?, data)?;
    }
    Ok(())
}

/// The clip whose words and label say most: the longest sentence of the test split.
fn telling_clip(corpus: &Corpus) -> Option<usize> {
    let words = |(_, clip): &(usize, &Clip)| clip.text.split_whitespace().count();
    corpus.test.iter().enumerate().max_by_key(words).map(|(index, _)| index)
}

/// How long a step of the built-in corpus' sound or picture is.
fn step_seconds(modality: &str) -> Option<f64> {
    match modality {
        "audio" => Some(AUDIO_HOP as f64 / f64::from(SAMPLE_RATE)),
        "video" => Some(1.0 / FRAME_RATE),
        _ => None,
    }
}

/// Attention from the text to every other modality for one clip, averaged over heads, in the last fusion layer.
fn attention_maps(out: &Path, run: &Run<'_>, model: &Msa, data: &Data) -> Result<()> {
    let (corpus, builtin) = (&data.corpus, data.builtin.is_some());
    let Some(clip) = telling_clip(corpus) else { return Ok(()) };
    let clip = data.clip(Split::Test, clip)?;
    let modalities = &model.config().modalities;
    let Some((anchor, others)) = modalities.split_first() else { return Ok(()) };
    let last = model.config().n_layers_fuse.checked_sub(1);
    let Some(last) = last.filter(|_| !others.is_empty()) else { return Ok(()) };
    let block = |other: &str| format!("fusion.{}_from_{other}.{last}", anchor.name);
    let plan = Plan::new(run.trainer.store(), Mode::Forward, |graph: &Graph| {
        let input = |modality: &limbic::models::msa::ModalityConfig| ModalityInput {
            features: graph.input(&modality.name, [1, modality.seq_len, modality.dim]),
            mask: Some(graph.mask_input(&format!("{}_mask", modality.name), [1, modality.seq_len])),
        };
        let inputs: Vec<_> = modalities.iter().map(input).collect();
        let output = model.forward(Context { graph, parameters: model.parameters(), training: false }, &inputs);
        for other in others {
            if let Some((name, attended)) = output.attentions.iter().find(|(name, _)| *name == block(&other.name)) {
                attended.weights().mean_axes(&[1]).named(name);
            }
        }
        Ok(())
    })?;
    let batches = Batches::new(corpus, &corpus.test, &wanted(run.model.as_ref()), 1)?;
    batches.scoring(&[&clip]).write_to(&plan)?;
    plan.run()?;
    let len = |name: &str, most: usize| {
        let column = corpus.modalities.iter().position(|modality| modality.name == name);
        column.and_then(|column| clip.sequences.get(column)).map_or(0, |sequence| sequence.len.min(most))
    };
    let queries = len(&anchor.name, anchor.seq_len);
    let words: Vec<String> = clip.text.split_whitespace().map(str::to_string).collect();
    // tokens need not be words: where their numbers differ, steps are numbered
    let label =
        |index: usize| if words.len() == queries { words[index].clone() } else { format!("step {}", index + 1) };
    let mut maps = Vec::new();
    for other in others {
        let weights = plan.read(&block(&other.name))?;
        let contexts = len(&other.name, other.seq_len);
        if queries == 0 || contexts == 0 {
            continue;
        }
        let seconds = builtin.then(|| step_seconds(&other.name)).flatten();
        let row = |query: usize| weights[query * other.seq_len..][..contexts].to_vec();
        maps.push(AttentionMap {
            title: format!("{} to {}", anchor.name, other.name),
            queries: (0..queries).map(label).collect(),
            weights: (0..queries).flat_map(row).collect(),
            context_label: if seconds.is_some() { "time (s)".to_string() } else { format!("{} step", other.name) },
            context_step: seconds.unwrap_or(1.0),
            ..AttentionMap::default()
        });
    }
    if maps.is_empty() {
        return Ok(());
    }
    let title = format!("Attention in clip {} (label {:+.1})", clip.id, clip.label);
    let options = AttentionOptions {
        title,
        relative: true,
        weight_label: "attention (1 = uniform)".to_string(),
        ..AttentionOptions::default()
    };
    attention(out.join("attention.svg"), &maps, &options)
}

/// The metrics of all models as bars, with what nobody can beat.
pub fn comparison(out: &Path, rows: &[(String, Metrics)], data: &Data) -> Result<()> {
    let names: Vec<&str> = rows.iter().map(|(name, _)| name.as_str()).collect();
    let value = |metrics: &Metrics| match metrics {
        Metrics::Sentiment(metrics) => metrics.mae,
        Metrics::Classes(metrics) => metrics.accuracy,
    };
    let values: Vec<f64> = rows.iter().map(|(_, metrics)| value(metrics)).collect();
    let (title, label) = match data.corpus.labels {
        Labels::Sentiment => ("Mean absolute error on the test clips", "MAE"),
        Labels::Binary { .. } => ("Accuracy on the test clips", "accuracy"),
    };
    let best = data.builtin.as_ref().map(|builtin| builtin.best_possible.all.mae);
    let options = BarsOptions {
        title: title.into(),
        value_label: label.into(),
        horizontal: true,
        reference: best.map(|value| Reference { name: "best possible".to_string(), value }),
        ..BarsOptions::default()
    };
    bars(out.join("models.svg"), &names, &[BarSeries { values, ..BarSeries::default() }], &options)
}
