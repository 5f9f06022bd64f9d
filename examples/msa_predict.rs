//! Scores clips with a model that msa_train trained: `cargo run --release --example msa_predict -- runs/msa`.
//!
//! The scores go to standard output or a file, everything else to standard error.

#[path = "support/common.rs"]
mod common;
#[path = "support/exit.rs"]
mod exit;
#[path = "support/msa.rs"]
mod msa;
#[path = "support/output.rs"]
mod output;
#[path = "support/profile.rs"]
mod profile;

use clap::Parser;
use limbic::data::{Clip, Labels, Split};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::Precision;
use limbic::models::msa::{ClipScore, Scorer, SentimentModel};
use limbic::plan::ParameterStore;
use limbic::train::checkpoint::Checkpoint;
use limbic::{Error, Result};
use msa::{Data, DataSource, Metrics, RunConfig};
use output::{Format, SplitFlag, write_out};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Scores clips with a trained model: id, split, text, label, score and the weight of each modality.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// The directory that msa_train wrote (its --out).
    checkpoint: PathBuf,
    /// An MMSA or MulT file, or a folder of exported clips. Default: what the model was trained on.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "test")]
    split: SplitFlag,
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Where the scores go; written aside and renamed. Default: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep what lies between the layers as 16-bit floats, however the model was trained.
    #[arg(long = "mixed_precision", alias = "mixed-precision")]
    mixed_precision: bool,
    /// Print GPU time per kernel and layer of a batch, and write it to FILE: a trace for ui.perfetto.dev.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    exit::exit_on_error(predict(&Options::parse()))
}

fn predict(options: &Options) -> Result<()> {
    let checkpoint = Checkpoint::open(&options.checkpoint)?;
    let config = msa::read_config(&checkpoint)?;
    let model = config.model.build()?;
    let weights = checkpoint.load_model(model.parameters())?;
    let data = load(options, &config)?;
    let corpus = &data.corpus;
    msa::check_fit(model.as_ref(), corpus)?;
    let splits = options.split.choose(&corpus.name, [&corpus.train, &corpus.valid, &corpus.test])?;

    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    let store = ParameterStore::new(&gpu, model.parameters(), &weights)?;
    let precision = if options.mixed_precision { Precision::Mixed } else { Precision::F32 };
    let scorer = scorer(&store, model.as_ref(), &config, &data, &splits, precision)?;
    let mut scores = Vec::new();
    for split in Split::ALL.into_iter().filter(|split| splits.iter().any(|(name, _)| *name == split.name())) {
        scores.extend(data.scores(&scorer, model.as_ref(), split)?);
    }
    eprintln!("scored {} clips of {} on {}", scores.len(), corpus.name, gpu.info().name);

    let rows = splits.iter().flat_map(|(split, clips)| clips.iter().map(move |clip| (*split, clip)));
    let rows: Vec<_> =
        rows.zip(&scores).map(|((split, clip), scored)| Row::new(split, clip, scored, model.as_ref())).collect();
    let names = model.modalities().iter().map(|modality| modality.name.as_str()).collect();
    let table = Table { names, emotions: emotions(model.as_ref()).collect(), rows };
    write_out(options.output.as_deref(), |out| table.write(options.format, out))?;
    report(&corpus.labels, &table.rows)?;
    if let Some(path) = &options.profile {
        let plan = scorer.plan();
        eprintln!("{}", profile::write("scoring a batch", &plan.profile(profile::RUNS)?, plan.traffic(), path)?);
    }
    if let Some(builtin) = &data.builtin {
        eprintln!("nobody can have a mean absolute error below {:.3} on this corpus", builtin.best_possible.all.mae);
    }
    Ok(())
}

fn load(options: &Options, config: &RunConfig) -> Result<Data> {
    let Some(path) = &options.data else {
        let loaded = config.data.load(&config.reading).map_err(|error| match error {
            Error::Io { path, message } => {
                Error::io(path, format!("{message} (the model was trained on it; --data names another file)"))
            }
            other => other,
        });
        return loaded;
    };
    let data = DataSource::File(path.clone()).load(&config.reading)?;
    // exported clips bring the statistics of their corpus; a file of features does not
    if matches!(config.data, DataSource::Builtin { .. }) && !path.is_dir() {
        eprintln!(
            "note: the model learnt from features of the built-in corpus, standardised by its training clips; those of {} are taken as they are",
            common::shown(path)
        );
    }
    Ok(data)
}

/// The plan that scores `splits`; says what it will cut.
fn scorer(
    store: &ParameterStore,
    model: &dyn SentimentModel,
    config: &RunConfig,
    data: &Data,
    splits: &[(&str, &[Clip])],
    precision: Precision,
) -> Result<Scorer> {
    for modality in model.modalities() {
        let column = data.corpus.modalities.iter().position(|other| other.name == modality.name);
        let len = |clip: &Clip| column.and_then(|column| clip.sequences.get(column)).map_or(0, |sequence| sequence.len);
        let cut = splits.iter().flat_map(|(_, clips)| *clips).filter(|clip| len(clip) > modality.seq_len).count();
        if cut > 0 {
            let (steps, name) = (modality.seq_len, &modality.name);
            eprintln!(
                "note: {cut} clips are longer than the {steps} steps of {name} that the model knows, and are cut"
            );
        }
    }
    let most = splits.iter().map(|(_, clips)| clips.len()).max().unwrap_or(1);
    let batch = config.training.batch_size.clamp(1, most);
    Scorer::with_precision(store, model, &msa::batch_shape(model, batch), precision)
}

fn report(kind: &Labels, rows: &[Row<'_>]) -> Result<()> {
    let predicted: Vec<f32> = rows.iter().map(|row| row.score).collect();
    let labels: Vec<f32> = rows.iter().map(|row| row.label).collect();
    let metrics = Metrics::compute(kind, &predicted, &labels)?;
    eprintln!("{}", Metrics::table([("against the labels", &metrics)]));
    Ok(())
}

/// What is written of a clip.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    split: &'a str,
    text: &'a str,
    label: f32,
    score: f32,
    /// By modality; empty where the model does not weigh them.
    fusion_weights: BTreeMap<&'a str, f32>,
    /// The likeliest emotion, where the model tells them apart, and the probability of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    emotion: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    emotions: BTreeMap<&'a str, f32>,
}

impl<'a> Row<'a> {
    fn new(split: &'a str, clip: &'a Clip, scored: &ClipScore, model: &'a dyn SentimentModel) -> Self {
        let names = model.modalities().iter().map(|modality| modality.name.as_str());
        let fusion_weights = names.zip(scored.fusion_weights.iter().copied()).collect();
        let classes: Vec<&str> = emotions(model).collect();
        let emotion = scored.emotion().and_then(|index| classes.get(index).copied());
        let emotions = classes.into_iter().zip(scored.emotions.iter().copied()).collect();
        let (id, text) = (clip.id.as_str(), clip.text.as_str());
        Row { id, split, text, label: clip.label, score: scored.score, fusion_weights, emotion, emotions }
    }
}

/// The emotions that `model` tells apart.
fn emotions(model: &dyn SentimentModel) -> impl Iterator<Item = &str> {
    model.emotions().into_iter().flat_map(|task| &task.classes).map(String::as_str)
}

struct Table<'a> {
    /// Of the modalities.
    names: Vec<&'a str>,
    emotions: Vec<&'a str>,
    rows: Vec<Row<'a>>,
}

impl Table<'_> {
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Csv => self.csv(out),
            Format::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.rows)?;
                writeln!(out)
            }
        }
    }

    /// A column per modality, where the model weighs them; the emotion and a column per class, where it tells them apart.
    fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let weighed = self.rows.iter().any(|row| !row.fusion_weights.is_empty());
        let names = || self.names.iter().filter(|_| weighed);
        let mut csv = csv::Writer::from_writer(out);
        let fixed = ["id", "split", "text", "label", "score"].map(String::from);
        let named = self.emotions.first().map(|_| "emotion".to_string());
        let classes = self.emotions.iter().map(|name| format!("emotion_{name}"));
        let weights = names().map(|name| format!("weight_{name}"));
        csv.write_record(fixed.into_iter().chain(weights).chain(named).chain(classes))?;
        for row in &self.rows {
            let fixed = [
                row.id.to_string(),
                row.split.to_string(),
                row.text.to_string(),
                row.label.to_string(),
                row.score.to_string(),
            ];
            let weights = names().map(|name| row.fusion_weights.get(name).map(f32::to_string).unwrap_or_default());
            let classes = self.emotions.iter().filter_map(|name| row.emotions.get(name).map(f32::to_string));
            csv.write_record(fixed.into_iter().chain(weights).chain(row.emotion.map(String::from)).chain(classes))?;
        }
        csv.flush()
    }
}
