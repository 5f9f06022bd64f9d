//! Training steps and inference of whole models, their inputs resident.

use super::{Running, Work};
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters};
use limbic::plan::{Batch, Mode, ParameterStore, Plan, StepUniform};
use limbic::train::{Clipping, OptimizerConfig, StepSettings, Trainer};
use limbic::{Error, Result};

/// Of all training steps.
pub const SETTINGS: StepSettings = StepSettings { learning_rate: 1e-4, beta1: None };

/// The products, convolutions and attention of the graph that `build` writes.
pub fn work(build: impl FnOnce(&Graph) -> Result<()>) -> Result<Work> {
    let graph = Graph::new();
    build(&graph)?;
    let recording = graph.finish()?;
    let flops: u64 = (0..recording.nodes.len()).map(|node| recording.flops(node)).sum();
    Ok(Work::flops(flops as f64))
}

/// AdamW with clipping by the global norm, as the examples train; `batch` is on the device.
pub fn trainer(
    gpu: &Gpu,
    parameters: &Parameters,
    batch: &Batch,
    build: impl FnOnce(&Graph) -> Result<()>,
) -> Result<Trainer> {
    let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(1))?;
    let optimizer = OptimizerConfig { clipping: Clipping::GlobalNorm(1.0), ..OptimizerConfig::adamw(0.01) };
    let trainer = Trainer::new(&store, optimizer, 1, build)?;
    batch.write_to(trainer.plan())?;
    Ok(trainer)
}

/// Steps on the same batch; the loss comes back. `forward` is the work of the forward pass.
pub fn training(trainer: Trainer, forward: Work) -> Running {
    let (plan, optimizer) = trainer.memory();
    let dispatches = trainer.plan().program().len() + trainer.optimizer().dispatches();
    let mut step = 0;
    Running {
        run: Box::new(move |replays| steps(&trainer, &mut step, replays)),
        work: forward.times(3.0),
        dispatches: Some(dispatches),
        memory: Some(plan.total() + optimizer),
    }
}

fn steps(trainer: &Trainer, step: &mut u32, replays: u32) -> Result<()> {
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

/// Forward passes on the same batch; the output called `result` comes back.
pub fn inference(
    gpu: &Gpu,
    (parameters, values): (&Parameters, &[Vec<f32>]),
    batch: &Batch,
    result: &'static str,
    build: impl Fn(&Graph) -> Result<()>,
) -> Result<Running> {
    let work = work(&build)?;
    let store = ParameterStore::new(gpu, parameters, values)?;
    let plan = Plan::new(&store, Mode::Forward, build)?;
    batch.write_to(&plan)?;
    let (dispatches, memory) = (Some(plan.program().len()), Some(plan.memory().total()));
    let run = move |replays| {
        let mut encoder = plan.gpu().device().create_command_encoder(&Default::default());
        (0..replays).for_each(|_| plan.encode(&mut encoder));
        plan.gpu().queue().submit([encoder.finish()]);
        plan.read(result).map(|_| ())
    };
    Ok(Running { run: Box::new(run), work, dispatches, memory })
}
