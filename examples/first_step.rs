//! The smallest useful program: a two-layer network learns y = sin(3x) on whatever GPU there is.
//!
//! `cargo run --release --example first_step`

use limbic::Result;
use limbic::gpu::Gpu;
use limbic::graph::Parameters;
use limbic::nn::{Context, Linear};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

const SAMPLES: usize = 256;

fn main() -> Result<()> {
    let gpu = Gpu::new()?;
    println!("running on {}", gpu.info().name);

    let mut parameters = Parameters::new();
    let hidden = Linear::new(&mut parameters.root(), "hidden", 1, 64);
    let output = Linear::new(&mut parameters.root(), "output", 64, 1);

    let store = ParameterStore::new(&gpu, &parameters, &parameters.initial_values(1))?;
    let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.0), 1, |graph| {
        let cx = Context { graph, parameters: &parameters, training: true };
        let (x, y) = (graph.input("x", [SAMPLES, 1]), graph.input("y", [SAMPLES, 1]));
        let predicted = output.forward(cx, hidden.forward(cx, x).tanh());
        (predicted - y).square().mean().as_loss();
        Ok(())
    })?;

    let x: Vec<f32> = (0..SAMPLES).map(|i| i as f32 / SAMPLES as f32 * 2.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| (3.0 * x).sin()).collect();
    for _ in 0..500 {
        let batch = Batch::new(SAMPLES).float("x", x.clone()).float("y", y.clone());
        for report in trainer.step(batch, StepSettings { learning_rate: 1e-2, beta1: None })? {
            if report.step.is_multiple_of(100) {
                println!("step {:3}: loss {:.5}", report.step, report.loss);
            }
        }
    }
    let last = trainer.finish()?;
    println!("step 499: loss {:.5}", last.last().map_or(f32::NAN, |report| report.loss));
    Ok(())
}
