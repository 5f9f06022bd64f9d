//! Trains the five traits from faces and motion on whatever GPU there is: `cargo run --release --example personality_train`.

#[path = "../support/common.rs"]
mod common;
#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/flags.rs"]
mod flags;
mod options;
#[path = "../support/personality.rs"]
mod personality;
#[path = "../support/profile.rs"]
mod profile;
mod report;
mod run;
#[path = "../support/training.rs"]
mod training;
#[path = "../support/traits.rs"]
mod traits;

use clap::Parser;
use common::shown;
use limbic::Result;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::Ending;
use limbic::train::progress::TrainingBar;
use options::Options;
use personality::{RunConfig, compute_flow};
use run::Run;
use std::process::ExitCode;
use std::time::Instant;
use training::EVERY;

fn main() -> ExitCode {
    exit::exit_on_error(train(&Options::parse()))
}

fn train(options: &Options) -> Result<()> {
    let asked = options.config()?;
    training::check(&asked.training)?;
    let gpu = training::open_gpu(options.adapter.as_deref())?;
    let config = if options.resume { resumed(options, &Checkpoint::open(&options.out)?)? } else { asked };

    let begun = Instant::now();
    let mut data = config.data.load(&config.model)?;
    report::describe_data(&data.corpus);
    let checkpoint = training::checkpoint(&options.out, options.resume)?;
    let made = begun.elapsed();
    let (shape, corpus) = (data.corpus.shape, &mut data.corpus);
    for clips in [&mut corpus.train, &mut corpus.valid, &mut corpus.test] {
        compute_flow(&gpu, &shape, clips)?;
    }
    let flow = begun.elapsed() - made;
    println!("          made or read in {:.1} s, optical flow in {:.1} s", made.as_secs_f64(), flow.as_secs_f64());
    training::catch_interrupt();

    let mut run = Run::new(&gpu, config.clone(), &data.corpus, options.resnet.as_deref())?;
    training::describe_model(run.model.parameters(), &run.trainer, config.training.batch_size);
    let profile = if options.profile { Some(run.trainer.profile(&run.first_batch()?, profile::RUNS)?) } else { None };
    let mut observer = TrainingBar::new(EVERY);
    // only now, when nothing that was given can be wrong any more, does a new run replace what is there
    if !options.resume && checkpoint.clear()? {
        println!("note      the run that was in {} is replaced", shown(&options.out));
    }
    checkpoint.save_config(&config)?;
    if let Some(profile) = profile {
        let traffic = run.trainer.plan().traffic();
        println!("{}", profile::write("a training step", &profile, traffic, &options.out.join("profile.json"))?);
    }
    let outcome = run.fit(&checkpoint, options.resume, &mut observer)?;
    if outcome.ending == Ending::Interrupted {
        println!("stopped; the run is saved. Go on with: --resume --out {}", shown(&options.out));
        return Ok(());
    }
    training::ending(&outcome);
    training::loss_curves(&options.out, &outcome.history)?;
    if data.corpus.test.is_empty() {
        println!("there are no test clips to measure it on; the model is in {}", shown(&options.out));
        return Ok(());
    }
    let predicted = run.score(&data.corpus.test)?;
    report::results(&options.out, &data, &predicted)?;
    println!("checkpoint, history.csv and pictures are in {}", shown(&options.out));
    Ok(())
}

/// A saved run's configuration, with what may be changed when it goes on.
fn resumed(options: &Options, checkpoint: &Checkpoint) -> Result<RunConfig> {
    let mut config = personality::read_config(checkpoint)?;
    options.training.resume(&mut config.training)?;
    Ok(config)
}
