//! The five traits of clips by a model that personality_train trained: `cargo run --release --example personality_predict -- runs/personality`.
//!
//! The traits go to standard output or a file, everything else to standard error.

#[path = "support/common.rs"]
mod common;
#[path = "support/exit.rs"]
mod exit;
#[path = "support/output.rs"]
mod output;
#[path = "support/personality.rs"]
mod personality;
#[path = "support/profile.rs"]
mod profile;

use clap::Parser;
use limbic::Result;
use limbic::data::video::{VideoBatches, VideoClip};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::personality::{PersonalityNetwork, TRAITS, TraitScorer};
use limbic::plan::ParameterStore;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::metrics::{PersonalityMetrics, personality_table};
use output::{Format, SplitFlag, write_out};
use personality::{DataSource, RunConfig, compute_flow, labels, read_clip, video_shape};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes openness, conscientiousness, extraversion, agreeableness and neuroticism of clips, as a trained model sees them.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// The directory that personality_train wrote (its --out).
    checkpoint: PathBuf,
    /// Clips: folders of JPEG or PNG frames, or video files (which takes an installed ffmpeg). Default: the data that the model was
    /// trained on.
    clips: Vec<PathBuf>,
    /// A folder in the layout of ChaLearn First Impressions.
    #[arg(long, value_name = "DIR", conflicts_with = "clips")]
    data: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "test", conflicts_with = "clips")]
    split: SplitFlag,
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Where the traits go; written aside and renamed. Default: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
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
    let config = personality::read_config(&checkpoint)?;
    let model = PersonalityNetwork::new(&config.model)?;
    let weights = checkpoint.load_model(model.parameters())?;
    let labelled = options.clips.is_empty();
    let (splits, mut clips) = if labelled { corpus(options, &config)? } else { given(options, &config)? };

    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    let shape = video_shape(&config.model);
    compute_flow(&gpu, &shape, &mut clips)?;
    let store = ParameterStore::new(&gpu, model.parameters(), &weights)?;
    let batch = config.training.batch_size.min(clips.len());
    let scorer = TraitScorer::new(&store, &model, batch)?;
    let traits = scorer.run_all(VideoBatches::new(&clips, shape, batch)?.in_order())?;
    eprintln!("{} clips on {}", clips.len(), gpu.info().name);

    let rows: Vec<Row<'_>> = splits
        .iter()
        .zip(&clips)
        .zip(&traits)
        .map(|((split, clip), traits)| Row { split, clip, traits, labelled })
        .collect();
    write_out(options.output.as_deref(), |out| match options.format {
        Format::Csv => csv(&rows, out),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &rows.iter().map(Row::json).collect::<Vec<_>>())?;
            writeln!(out)
        }
    })?;
    if labelled {
        let metrics = PersonalityMetrics::compute(&traits, &labels(&clips))?;
        eprintln!("{}", personality_table(&TRAITS, &[("against the labels", metrics)]));
    }
    if let Some(path) = &options.profile {
        let plan = scorer.plan();
        eprintln!("{}", profile::write("scoring a batch", &plan.profile(profile::RUNS)?, plan.traffic(), path)?);
    }
    Ok(())
}

/// Clips, and the split of each.
type Clips = (Vec<&'static str>, Vec<VideoClip>);

fn corpus(options: &Options, config: &RunConfig) -> Result<Clips> {
    let source = match &options.data {
        Some(dir) => DataSource::Chalearn { dir: dir.clone(), most: None },
        None => config.data.clone(),
    };
    let corpus = source.load(&config.model)?.corpus;
    let chosen = options.split.choose(&corpus.name, [&corpus.train, &corpus.valid, &corpus.test])?;
    let names = chosen.iter().flat_map(|(name, clips)| std::iter::repeat_n(*name, clips.len())).collect();
    Ok((names, chosen.iter().flat_map(|(_, clips)| clips.iter().cloned()).collect()))
}

fn given(options: &Options, config: &RunConfig) -> Result<Clips> {
    let shape = video_shape(&config.model);
    let clips = options.clips.iter().map(|path| read_clip(path, &shape)).collect::<Result<Vec<_>>>()?;
    Ok((vec![""; clips.len()], clips))
}

/// What is written of a clip.
struct Row<'a> {
    split: &'a str,
    clip: &'a VideoClip,
    traits: &'a [f32; 5],
    labelled: bool,
}

impl Row<'_> {
    fn json(&self) -> Value {
        let named = |values: &[f32; 5]| -> Map<String, Value> {
            TRAITS.iter().zip(values).map(|(name, value)| (name.to_string(), json!(value))).collect()
        };
        let mut row = json!({ "id": self.clip.id, "traits": named(self.traits) });
        if self.labelled {
            row["split"] = json!(self.split);
            row["labels"] = named(&self.clip.traits).into();
        }
        row
    }
}

fn csv(rows: &[Row<'_>], out: &mut dyn Write) -> io::Result<()> {
    let labelled = rows.iter().any(|row| row.labelled);
    let mut csv = csv::Writer::from_writer(out);
    let header = ["id"].into_iter().chain(labelled.then_some("split")).chain(TRAITS).map(String::from);
    let labels = TRAITS.iter().filter(|_| labelled).map(|name| format!("label_{name}"));
    csv.write_record(header.chain(labels))?;
    for row in rows {
        let known = [row.clip.id.as_str()].into_iter().chain(labelled.then_some(row.split)).map(String::from);
        let labels = row.clip.traits.iter().filter(|_| labelled);
        csv.write_record(known.chain(row.traits.iter().chain(labels).map(f32::to_string)))?;
    }
    csv.flush()
}
