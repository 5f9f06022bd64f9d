//! A training step from the outside: with its upload, its recording on the CPU, and the first one of a process.

use crate::Bench;
use crate::measure::of;
use crate::row::Row;
use crate::rows::msa::{BATCH, clip_work, preset, trainer, training_batch};
use crate::rows::{Subject, model, msa};
use limbic::gpu::Gpu;
use limbic::models::msa::Preset;
use limbic::{Error, Result};
use std::process::Command;
use std::time::Instant;

/// Times all of them.
pub fn measure(bench: &mut Bench<'_>) -> Result<()> {
    step_and_record(bench)?;
    first_steps(bench)
}

/// A step as [`limbic::train::Trainer::step`] does it, with the upload of its batch; and what the CPU needs to record one, from the
/// encoder's making to its finished command buffer, which is not submitted.
fn step_and_record(bench: &mut Bench<'_>) -> Result<()> {
    let (step, record) = ("msa_default_step_with_upload_b32", "msa_default_record_b32");
    if !bench.options.wants(step) && !bench.options.wants(record) {
        return Ok(());
    }
    let config = preset(Preset::Default);
    let mut trainer = trainer(bench.gpu, &config)?;
    let dispatches = trainer.plan().program().len() + trainer.optimizer().dispatches();
    if bench.options.wants(step) {
        let batch = training_batch(&config.modalities);
        let timing = bench.stopwatch.time(|replays| {
            for _ in 0..replays {
                trainer.step(batch.clone(), model::SETTINGS)?;
            }
            trainer.finish().map(|_| ())
        })?;
        let (plan, optimizer) = trainer.memory();
        let row = Row::new(step, timing).doing(clip_work(&config)?.times(3.0 * BATCH as f64));
        bench.add(row.dispatching(Some(dispatches)).taking(Some(plan.total() + optimizer)));
    }
    if bench.options.wants(record) {
        let once = || {
            let begun = Instant::now();
            let mut encoder = bench.gpu.device().create_command_encoder(&Default::default());
            trainer.record(&mut encoder, true, true);
            let commands = encoder.finish();
            let seconds = begun.elapsed().as_secs_f64();
            drop(commands);
            seconds
        };
        let mut seconds: Vec<f64> = (0..220).map(|_| once()).collect();
        bench.add(Row::new(record, of(seconds.split_off(20), 1)).dispatching(Some(dispatches)));
    }
    Ok(())
}

/// The first training step of a process, compilation of all kernels included: with the driver's shader cache on disk as it is,
/// and without it. Each runs in a process of its own.
fn first_steps(bench: &mut Bench<'_>) -> Result<()> {
    for (name, cold) in [("msa_default_first_step_cold", true), ("msa_default_first_step_cached", false)] {
        if !bench.options.wants(name) {
            continue;
        }
        let program = std::env::current_exe().map_err(|error| Error::Config(error.to_string()))?;
        let mut command = Command::new(program);
        command.arg("--first-step");
        if let Some(adapter) = &bench.options.adapter {
            command.args(["--adapter", adapter]);
        }
        if cold {
            // Mesa's and NVIDIA's
            command.env("MESA_SHADER_CACHE_DISABLE", "true").env("__GL_SHADER_DISK_CACHE", "0");
        }
        let output = command.output().map_err(|error| Error::Config(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let seconds: f64 = text.trim().parse().map_err(|_| {
            Error::Config(format!("the first step failed: {}{text}", String::from_utf8_lossy(&output.stderr)))
        })?;
        bench.add(Row::new(name, of(vec![seconds], 1)));
    }
    Ok(())
}

/// Prints the seconds from an open device to the first loss.
pub fn print_first_step(gpu: &Gpu) -> Result<()> {
    let wanted = format!("msa_default_train_b{BATCH}");
    let is_it = |subject: &Subject| subject.name == wanted;
    let subject = msa::subjects().into_iter().find(is_it).ok_or_else(|| Error::Config(format!("no row {wanted}")))?;
    let begun = Instant::now();
    (subject.build(gpu)?.run)(1)?;
    println!("{}", begun.elapsed().as_secs_f64());
    Ok(())
}
