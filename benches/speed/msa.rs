//! The sentiment model: training steps, inference, the CPU's part of a step, and the first step of a process.

use crate::Bench;
use crate::kernels::{floats, padding};
use crate::measure::{Timing, of};
use crate::row::{Row, Work};
use limbic::gpu::Gpu;
use limbic::graph::Graph;
use limbic::models::msa::{
    BatchShape, ModalityConfig, Msa, MsaConfig, Preset, RegressionLoss, Scorer, scoring_graph, training_graph,
};
use limbic::plan::{Batch, ParameterStore, StepUniform};
use limbic::train::{Clipping, OptimizerConfig, StepSettings, Trainer};
use limbic::{Error, Result};
use std::process::Command;
use std::time::Instant;

const SEQ_LEN: usize = 64;
const BATCH: usize = 32;
const SETTINGS: StepSettings = StepSettings { learning_rate: 1e-4, beta1: None };

/// Times all of them.
pub fn measure(bench: &mut Bench<'_>) -> Result<()> {
    for batch in [1, BATCH] {
        infer(bench, &format!("msa_infer_b{batch}"), &peers_model(), batch)?;
    }
    train(bench, "msa_train_b32", &peers_model())?;
    for batch in [1, BATCH] {
        infer(bench, &format!("msa_default_infer_b{batch}"), &preset(Preset::Default), batch)?;
    }
    let without = MsaConfig { dropout: 0.0, ..preset(Preset::Default) };
    train(bench, "msa_default_train_b32_dropout0", &without)?;
    let presets =
        [("default", Preset::Default), ("small", Preset::Small), ("medium", Preset::Medium), ("large", Preset::Large)];
    for (name, chosen) in presets {
        train(bench, &format!("msa_{name}_train_b32"), &preset(chosen))?;
    }
    step_and_record(bench)?;
    first_steps(bench)
}

/// The default sizes and dropout of `preset` over the source's modalities.
pub fn preset(preset: Preset) -> MsaConfig {
    MsaConfig::preset(preset, MsaConfig::source_modalities(SEQ_LEN))
}

/// The model of the peers' programs: the default's sizes with one cross-attention layer (4.4 M parameters) and no dropout.
fn peers_model() -> MsaConfig {
    MsaConfig { n_layers_fuse: 1, dropout: 0.0, ..preset(Preset::Default) }
}

/// Products and attention of one clip, forward; the peers' programs count the same, but for the head's few.
fn work(config: &MsaConfig) -> Result<Work> {
    let graph = Graph::new();
    scoring_graph(&Msa::new(config)?, &graph, &shape(config, 1))?;
    let recording = graph.finish()?;
    let flops: u64 = (0..recording.nodes.len()).map(|node| recording.flops(node)).sum();
    Ok(Work::flops(flops as f64))
}

fn batch(modalities: &[ModalityConfig], clips: usize) -> Batch {
    let mut batch = Batch::new(clips);
    for (index, modality) in modalities.iter().enumerate() {
        batch = batch
            .float(&modality.name, floats(clips * SEQ_LEN * modality.dim))
            .integer(&format!("{}_mask", modality.name), padding(clips, SEQ_LEN, index + 2));
    }
    batch
}

fn training_batch(modalities: &[ModalityConfig]) -> Batch {
    batch(modalities, BATCH).float("target", floats(BATCH)).float("sample_weight", vec![1.0; BATCH])
}

fn shape(config: &MsaConfig, clips: usize) -> BatchShape {
    BatchShape::full(clips, &config.modalities)
}

/// AdamW with clipping by the global norm, as the example trains.
pub fn trainer(gpu: &Gpu, config: &MsaConfig) -> Result<Trainer> {
    let model = Msa::new(config)?;
    let parameters = model.parameters();
    let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(1))?;
    let optimizer = OptimizerConfig { clipping: Clipping::GlobalNorm(1.0), ..OptimizerConfig::adamw(0.01) };
    let trainer = Trainer::new(&store, optimizer, 1, |graph| {
        training_graph(&model, graph, &shape(config, BATCH), RegressionLoss::Mse)
    })?;
    training_batch(&config.modalities).write_to(trainer.plan())?;
    Ok(trainer)
}

/// Inputs resident; the loss comes back.
fn train(bench: &mut Bench<'_>, name: &str, config: &MsaConfig) -> Result<()> {
    if !bench.options.wants(name) {
        return Ok(());
    }
    let trainer = trainer(bench.gpu, config)?;
    let mut step = 0;
    let timing = bench.stopwatch.time(|replays| resident_steps(&trainer, &mut step, replays))?;
    add_training_row(bench, name, config, &trainer, timing)
}

fn resident_steps(trainer: &Trainer, step: &mut u32, replays: u32) -> Result<()> {
    let gpu = trainer.plan().gpu();
    *step += 1;
    trainer.plan().set_step(StepUniform { seed: 1, index: *step, reserved: [0; 2] });
    trainer.optimizer().prepare(u64::from(*step), SETTINGS);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    (0..replays).for_each(|_| trainer.record(&mut encoder, true, true));
    gpu.queue().submit([encoder.finish()]);
    match trainer.plan().read("loss")?.first() {
        Some(loss) if loss.is_finite() => Ok(()),
        loss => Err(Error::Config(format!("the loss of step {step} is {loss:?}: these times mean nothing"))),
    }
}

fn add_training_row(
    bench: &mut Bench<'_>,
    name: &str,
    config: &MsaConfig,
    trainer: &Trainer,
    timing: Timing,
) -> Result<()> {
    let (plan, optimizer) = trainer.memory();
    let dispatches = trainer.plan().program().len() + trainer.optimizer().dispatches();
    let row = Row::new(name, timing).doing(work(config)?.times(3.0 * BATCH as f64));
    bench.add(row.dispatching(dispatches).taking(plan.total() + optimizer));
    Ok(())
}

/// Inputs resident; the scores come back.
fn infer(bench: &mut Bench<'_>, name: &str, config: &MsaConfig, clips: usize) -> Result<()> {
    if !bench.options.wants(name) {
        return Ok(());
    }
    let model = Msa::new(config)?;
    let parameters = model.parameters();
    let store = ParameterStore::new(bench.gpu, parameters, &parameters.initial_values(1))?;
    let scorer = Scorer::new(&store, &model, &shape(config, clips))?;
    let plan = scorer.plan();
    batch(&config.modalities, clips).write_to(plan)?;
    let timing = bench.stopwatch.time(|replays| {
        let mut encoder = plan.gpu().device().create_command_encoder(&Default::default());
        (0..replays).for_each(|_| plan.encode(&mut encoder));
        plan.gpu().queue().submit([encoder.finish()]);
        plan.read("score").map(|_| ())
    })?;
    let row = Row::new(name, timing).doing(work(config)?.times(clips as f64));
    bench.add(row.dispatching(plan.program().len()).taking(plan.memory().total()));
    Ok(())
}

/// A step as [`Trainer::step`] does it, with the upload of its batch; and what the CPU needs to record one, from the encoder's
/// making to its finished command buffer, which is not submitted.
fn step_and_record(bench: &mut Bench<'_>) -> Result<()> {
    let (step, record) = ("msa_default_step_with_upload_b32", "msa_default_record_b32");
    if !bench.options.wants(step) && !bench.options.wants(record) {
        return Ok(());
    }
    let config = preset(Preset::Default);
    let mut trainer = trainer(bench.gpu, &config)?;
    if bench.options.wants(step) {
        let batch = training_batch(&config.modalities);
        let timing = bench.stopwatch.time(|replays| {
            for _ in 0..replays {
                trainer.step(batch.clone(), SETTINGS)?;
            }
            trainer.finish().map(|_| ())
        })?;
        add_training_row(bench, step, &config, &trainer, timing)?;
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
        let timing = of(seconds.split_off(20), 1);
        let dispatches = trainer.plan().program().len() + trainer.optimizer().dispatches();
        bench.add(Row::new(record, timing).dispatching(dispatches));
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
    let begun = Instant::now();
    let trainer = trainer(gpu, &preset(Preset::Default))?;
    resident_steps(&trainer, &mut 0, 1)?;
    println!("{}", begun.elapsed().as_secs_f64());
    Ok(())
}
