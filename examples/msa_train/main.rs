//! Trains multimodal sentiment analysis on whatever GPU there is: `cargo run --release --example msa_train`.

#[path = "../support/common.rs"]
mod common;
#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/flags.rs"]
mod flags;
#[path = "../support/msa.rs"]
mod msa;
mod options;
#[path = "../support/pretraining.rs"]
mod pretraining;
#[path = "../support/profile.rs"]
mod profile;
mod report;
mod run;
#[path = "../support/training.rs"]
mod training;

use clap::Parser;
use common::shown;
use limbic::gpu::Gpu;
use limbic::models::msa::BaselineConfig;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::Ending;
use limbic::train::progress::TrainingBar;
use limbic::{Error, Result};
use msa::{Data, DataSource, Metrics, ModelConfig, RunConfig};
use options::Options;
use run::Run;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use training::{EVERY, STOP};

fn main() -> ExitCode {
    exit::exit_on_error(train(&Options::parse()))
}

fn train(options: &Options) -> Result<()> {
    options.check()?;
    if let Some(directory) = &options.export {
        return export(options, directory);
    }
    let gpu = training::open_gpu(options.adapter.as_deref())?;
    let saved = if options.resume { Some(resumed(options, &Checkpoint::open(&options.out)?)?) } else { None };
    let data = match &saved {
        Some(config) => config.data.load(&config.reading)?,
        None => options.source().load(&options.reading())?,
    };
    report::describe_data(&data);
    let mut config = match saved {
        Some(config) => config,
        None => options.config(&data.corpus)?,
    };
    let checkpoint = training::checkpoint(&options.out, options.resume)?;
    let data = if options.stream && data.streamed.is_none() {
        let folder = options.out.join("clips");
        let data = data.on_disk(&folder)?;
        config.data = DataSource::File(folder);
        data
    } else {
        data
    };
    training::catch_interrupt();

    let mut run = Run::new(&gpu, config.clone(), &data)?;
    training::describe_model(run.model.parameters(), &run.trainer, config.training.batch_size);
    report::describe_stream(&run)?;
    let profile = if options.profile { Some(run.trainer.profile(&run.first_batch()?, profile::RUNS)?) } else { None };
    let before = options.out.join("pretraining");
    // only now, when nothing that was given can be wrong any more, does a new run replace what is there
    if !options.resume && checkpoint.clear()? | (before.is_dir() && Checkpoint::open(&before)?.clear()?) {
        println!("note      the run that was in {} is replaced", shown(&options.out));
    }
    checkpoint.save_config(&config)?;
    if let Some(profile) = profile {
        let traffic = run.trainer.plan().traffic();
        println!("{}", profile::write("a training step", &profile, traffic, &options.out.join("profile.json"))?);
    }
    // a run that was stopped while its encoders were pre-trained has no state of its own yet
    let begun = options.resume && (checkpoint.state_path().is_file() || config.pretraining.is_none());
    if let Some(pretraining) = config.pretraining.filter(|_| !begun) {
        println!("\npre-training of the encoders: {} epochs", pretraining.epochs);
        let before = Checkpoint::create(before)?;
        let outcome = run.pretrain(&pretraining, &before, options.resume, &mut TrainingBar::new(EVERY))?;
        if outcome.ending == Ending::Interrupted {
            stopped(&options.out);
            return Ok(());
        }
        training::ending(&outcome);
        training::loss_curves(before.directory(), &outcome.history)?;
        println!();
    }
    let outcome = run.fit(Some(&checkpoint), begun, &mut TrainingBar::new(EVERY))?;
    if outcome.ending == Ending::Interrupted {
        stopped(&options.out);
        return Ok(());
    }
    training::ending(&outcome);

    if data.corpus.test.is_empty() {
        println!("there are no test clips to measure it on; the model is in {}", shown(&options.out));
        return Ok(());
    }
    let mut rows: Vec<(String, Metrics)> = Vec::new();
    let (metrics, scores) = run.test()?;
    rows.push((name_of(&config.model).to_string(), metrics));
    report::pictures(&options.out, &run, &data, &outcome.history, &scores)?;
    if !options.alone {
        rows.extend(compare(&gpu, &config, &data)?);
    }
    if STOP.load(Ordering::Relaxed) {
        println!("stopped during the comparison; the trained model is in {}", shown(&options.out));
        return Ok(());
    }
    println!("\ntest clips: {}\n", data.corpus.test.len());
    println!("{}", Metrics::table(rows.iter().map(|(name, metrics)| (name.as_str(), metrics))));
    report::emotions(&run, &data, &scores)?;
    report::best_possible(&data);
    report::comparison(&options.out, &rows, &data)?;
    if let Some(peak) = report::peak_memory() {
        println!("memory    {peak:.0} MiB of the process at most");
    }
    println!("checkpoint, history.csv and pictures are in {}", shown(&options.out));
    Ok(())
}

fn stopped(out: &Path) {
    println!("stopped; the run is saved. Go on with: --resume --out {}", shown(out));
}

/// A saved run's configuration, with what may be changed when it goes on.
fn resumed(options: &Options, checkpoint: &Checkpoint) -> Result<RunConfig> {
    let mut config = msa::read_config(checkpoint)?;
    options.training.resume(&mut config.training)?;
    Ok(config)
}

fn export(options: &Options, directory: &Path) -> Result<()> {
    let data = options.source().load(&options.reading())?;
    report::describe_data(&data);
    let Some(builtin) = &data.builtin else {
        return Err(Error::Config("--export writes the built-in corpus; it does not go with --data".to_string()));
    };
    let written = builtin.export(directory, options.export_clips)?;
    println!("wrote {written} clips (WAV, PNG frames, text) to {}", shown(directory));
    Ok(())
}

fn name_of(model: &ModelConfig) -> &'static str {
    match model {
        ModelConfig::SequenceLevel(_) => "sequence-level",
        ModelConfig::Baseline(_) => "early pooling",
    }
}

/// The baseline and each modality alone, trained the same way.
fn compare(gpu: &Gpu, config: &RunConfig, data: &Data) -> Result<Vec<(String, Metrics)>> {
    let ModelConfig::SequenceLevel(model) = &config.model else { return Ok(Vec::new()) };
    let mut others = vec![("early pooling".to_string(), ModelConfig::Baseline(BaselineConfig::like(model, true)))];
    for modality in &model.modalities {
        others.push((format!("{} alone", modality.name), ModelConfig::SequenceLevel(model.only(&modality.name))));
    }
    let mut rows = Vec::new();
    for (name, model) in others {
        if STOP.load(Ordering::Relaxed) {
            break;
        }
        let config = RunConfig { model, pretraining: None, ..config.clone() };
        let mut run = Run::new(gpu, config.clone(), data)?;
        println!("\n{name}");
        let mut observer = TrainingBar::new(EVERY);
        let outcome = run.fit(None, false, &mut observer)?;
        if outcome.ending != Ending::Interrupted {
            rows.push((name, run.test()?.0));
        }
    }
    Ok(rows)
}
