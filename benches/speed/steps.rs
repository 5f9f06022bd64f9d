//! A training step from the outside: with its upload, its recording on the CPU, and the first one of a process.

use crate::Bench;
use crate::measure::of;
use crate::row::Row;
use crate::rows::msa::{BATCH, clip_work, preset, trainer, training_batch};
use crate::rows::{Subject, model, msa};
use limbic::gpu::Gpu;
use limbic::models::msa::Preset;
use limbic::{Error, Result};
use std::path::Path;
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

/// The first training step of a process, compilation of all kernels included: with the driver's shader cache on disk empty, and with what
/// that run left there. Each runs in a process of its own.
fn first_steps(bench: &mut Bench<'_>) -> Result<()> {
    let names = ["msa_default_first_step_cold", "msa_default_first_step_cached"];
    if !names.iter().any(|name| bench.options.wants(name)) {
        return Ok(());
    }
    let folder = std::env::temp_dir().join(format!("limbic-speed-{}", std::process::id()));
    let failed = |error: std::io::Error| Error::Config(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let seconds = first_step(bench, &folder).and_then(|cold| Ok([cold, first_step(bench, &folder)?]));
    std::fs::remove_dir_all(&folder).map_err(failed)?;
    for (name, seconds) in names.into_iter().zip(seconds?).filter(|(name, _)| bench.options.wants(name)) {
        bench.add(Row::new(name, of(vec![seconds], 1)));
    }
    Ok(())
}

/// Seconds that a process takes for its first step, Mesa's and NVIDIA's caches being in `folder`.
fn first_step(bench: &Bench<'_>, folder: &Path) -> Result<f64> {
    let failed = |what: String| Error::Config(format!("the first step failed: {what}"));
    let mut command = Command::new(std::env::current_exe().map_err(|error| failed(error.to_string()))?);
    command.arg("--first-step").env("XDG_CACHE_HOME", folder).env("__GL_SHADER_DISK_CACHE_PATH", folder);
    if let Some(adapter) = &bench.options.adapter {
        command.args(["--adapter", adapter]);
    }
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| failed(format!("{text}{}", String::from_utf8_lossy(&output.stderr))))
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
