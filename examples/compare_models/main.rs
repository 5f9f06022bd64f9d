//! Sentiment models side by side: parameters, work, planned memory, time of a forward pass, what they say of the same clips.
//!
//! `cargo run --release --example compare_models` sets the sequence-level model against early pooling; `-- small+lstm runs/msa` any two.

#[path = "../support/architecture.rs"]
mod architecture;
mod candidates;
#[path = "../support/common.rs"]
mod common;
#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/msa.rs"]
#[allow(dead_code)]
mod msa;
#[path = "../support/pretraining.rs"]
mod pretraining;
mod report;
mod run;
#[path = "../support/training.rs"]
#[allow(dead_code)]
mod training;

use candidates::{Candidate, Named};
use clap::Parser;
use limbic::data::builtin::{self, BuiltinConfig};
use limbic::data::{Corpus, LoadOptions};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::{Error, Result};
use msa::{Data, DataSource};
use std::path::PathBuf;
use std::process::ExitCode;

/// Made-up clips that features are standardised by where no model was trained on more.
const STANDARDISED_BY: usize = 64;

/// Compares sentiment models and prints a Markdown table.
///
/// A model is a preset (small, medium, default, large), perhaps with variations (large+lstm, small+attention-pooling, small+baseline), or
/// the directory or config.json that msa_train wrote; that one comes with its trained weights, a preset with initial ones.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Which models, in this order. Default: the preset, and the early-pooling baseline of its sizes.
    #[arg(value_name = "MODEL", conflicts_with = "all")]
    models: Vec<String>,
    /// The preset with every variation there is.
    #[arg(long)]
    all: bool,
    /// The sizes of the default comparison and of --all.
    #[arg(long, value_parser = ["small", "medium", "default", "large"], default_value = "small")]
    preset: String,
    /// An MMSA file, or a folder of exported clips. Default: what the first trained model was trained on, else the built-in corpus.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// How many clips are scored, the test clips first.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    clips: u32,
    /// Clips of a forward pass, on which time and memory depend.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Forward passes that are timed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Also a summary of each model, layer by layer.
    #[arg(long)]
    layers: bool,
    /// How many names of a layer's path tell layers apart: 1 shows parts, 2 blocks, 9 every layer.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    depth: u8,
    /// JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A folder for the tables (Markdown, CSV, JSON) and pictures.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seed of the initial weights and of the built-in corpus.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    exit::exit_on_error(compare(&Options::parse()))
}

fn compare(options: &Options) -> Result<()> {
    let names = match &options.models {
        _ if options.all => Named::all(&options.preset),
        names if names.is_empty() => vec![options.preset.clone(), format!("{}+baseline", options.preset)],
        names => names.clone(),
    };
    if let Some(twice) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
        return Err(Error::Config(format!("'{}' is named twice: compare it with another model", twice.1)));
    }
    let named = names.iter().map(|name| Named::parse(name)).collect::<Result<Vec<_>>>()?;
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    let corpus = corpus(options, &named)?;
    let of_names = |name: &String| Candidate::new(&gpu, name, &corpus, options.seed);
    let candidates = names.iter().map(of_names).collect::<Result<Vec<_>>>()?;

    let clips: Vec<_> = corpus.test.iter().chain(&corpus.valid).chain(&corpus.train).cloned().collect();
    let clips = &clips[..clips.len().min(options.clips as usize)];
    let counts = [options.batch, options.depth.into(), options.runs].map(usize::from);
    let rows = run::measure(&gpu, &candidates, &corpus, clips, counts)?;
    let text = report::markdown(&rows, &candidates, &gpu.info().name, options.layers)?;
    println!("{}", if options.json { report::json(&rows)? } else { text.clone() });
    if let Some(out) = &options.out {
        for path in report::write_all(&rows, &text, out)? {
            eprintln!("{}", common::shown(&path));
        }
    }
    Ok(())
}

/// The clips: those asked for, those that a trained model learnt from, or else just as many made-up ones as are scored.
fn corpus(options: &Options, named: &[Named]) -> Result<Corpus> {
    if let Some(path) = &options.data {
        return in_memory(DataSource::File(path.clone()).load(&LoadOptions::default())?);
    }
    for one in named {
        if let Some(data) = one.data()? {
            return in_memory(data);
        }
    }
    let (seed, test) = (options.seed, options.clips as usize);
    Ok(builtin::generate(BuiltinConfig { seed, train: STANDARDISED_BY, valid: 0, test, ..BuiltinConfig::default() })?
        .corpus)
}

fn in_memory(data: Data) -> Result<Corpus> {
    match data.streamed {
        None => Ok(data.corpus),
        Some(_) => Err(Error::Config(format!(
            "the clips of {} are streamed from disk; compare on others: --data with the file that they were written from",
            data.corpus.name
        ))),
    }
}
