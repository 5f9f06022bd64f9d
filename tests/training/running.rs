//! Batch norm's running statistics: they move with every step, go into the store, stay where a step went wrong, and inference goes by
//! them. And a small convolutional network that learns.

use crate::support::{gpu, noise};
use limbic::Error;
use limbic::graph::{Graph, Parameters, Shape};
use limbic::nn::{BatchNorm, Context, Conv, Linear};
use limbic::ops::batch_norm::BatchNormOptions;
use limbic::ops::conv::ConvOptions;
use limbic::ops::window_pooling::PoolOptions;
use limbic::plan::{Batch, Mode, ParameterStore, Plan};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

const SHAPE: [usize; 4] = [6, 2, 8, 8];
const STILL: StepSettings = StepSettings { learning_rate: 0.0, beta1: None };

/// Batch norm, convolution, ReLU, maximum pooling and a linear layer.
struct Network {
    parameters: Parameters,
    norm: BatchNorm,
    conv: Conv,
    inner: BatchNorm,
    head: Linear,
}

impl Network {
    fn new() -> Self {
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let norm = BatchNorm::new(&mut root, "norm", 2, BatchNormOptions::pytorch());
        let conv = Conv::without_bias(&mut root, "conv", [2, 8], &[3, 3], ConvOptions::default().padding(&[1]));
        let inner = BatchNorm::new(&mut root, "inner", 8, BatchNormOptions::pytorch());
        let head = Linear::new(&mut root, "head", 8, 1);
        Network { parameters, norm, conv, inner, head }
    }

    fn graph(&self, graph: &Graph, training: bool) {
        let cx = Context { graph, parameters: &self.parameters, training };
        let x = self.norm.forward(cx, graph.input("x", SHAPE));
        let x = self.inner.forward(cx, self.conv.forward(cx, x)).relu();
        let x = x.max_pool(&PoolOptions::new(&[2])).adaptive_avg_pool(&[1]).reshape([SHAPE[0], 8]);
        let score = self.head.forward(cx, x).named("score");
        score.mse_loss(graph.input("target", [SHAPE[0], 1]), None).as_loss();
    }

    fn store(&self) -> ParameterStore {
        ParameterStore::new(&gpu(), &self.parameters, &self.parameters.initial_values(1)).unwrap()
    }

    fn trainer(&self, store: &ParameterStore, config: OptimizerConfig) -> Trainer {
        let build = |graph: &Graph| {
            self.graph(graph, true);
            Ok(())
        };
        Trainer::new(store, config, 1, build).unwrap()
    }
}

fn images(seed: u64) -> Vec<f32> {
    noise(Shape::new(&SHAPE).len(), seed).iter().map(|v| v * 2.0 + 0.5).collect()
}

fn batch(seed: u64) -> Batch {
    Batch::new(SHAPE[0]).float("x", images(seed)).float("target", noise(SHAPE[0], seed + 100))
}

/// Mean and unbiased variance of each of x's channels.
fn statistics(x: &[f32]) -> [[f64; 2]; 2] {
    let of = |channel: usize| {
        let values: Vec<f64> = (0..x.len()).filter(|i| i / 64 % 2 == channel).map(|i| f64::from(x[i])).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
        [mean, variance]
    };
    [of(0), of(1)]
}

fn running(network: &Network, store: &ParameterStore) -> [Vec<f32>; 2] {
    let values = store.download().unwrap();
    ["norm.running_mean", "norm.running_var"].map(|name| {
        let index = network.parameters.specs().iter().position(|spec| spec.name == name).unwrap();
        values[index].clone()
    })
}

fn assert_near(actual: &[Vec<f32>; 2], expected: [[f64; 2]; 2]) {
    for channel in 0..2 {
        for (of, expected) in actual.iter().zip(expected[channel]) {
            assert!((f64::from(of[channel]) - expected).abs() < 1e-5, "{actual:?}, expected {expected:?}");
        }
    }
}

#[test]
fn running_statistics_follow_every_micro_batch() {
    for accumulation in [1, 2] {
        let network = Network::new();
        let store = network.store();
        let mut trainer = network.trainer(&store, OptimizerConfig { accumulation, ..OptimizerConfig::adam() });
        let mut expected = [[0.0, 1.0]; 2];
        for seed in 0..4 {
            trainer.step(batch(seed), STILL).unwrap();
            let new = statistics(&images(seed));
            for (old, new) in expected.iter_mut().flatten().zip(new.iter().flatten()) {
                *old += 0.1 * (new - *old);
            }
        }
        trainer.finish().unwrap();
        assert_near(&running(&network, &store), expected);
    }
}

#[test]
fn a_step_that_goes_wrong_leaves_them() {
    let network = Network::new();
    let store = network.store();
    let mut trainer = network.trainer(&store, OptimizerConfig::adam());
    trainer.step(batch(1), STILL).unwrap();
    trainer.finish().unwrap();
    let before = running(&network, &store);
    let mut bad = images(2);
    bad[5] = f32::NAN;
    let bad = Batch::new(SHAPE[0]).float("x", bad).float("target", noise(SHAPE[0], 1));
    let fault = trainer.step(bad, STILL).and_then(|_| trainer.finish()).unwrap_err();
    assert!(matches!(fault, Error::NonFinite { step: 1, .. }), "{fault}");
    assert_eq!(running(&network, &store), before);
}

/// A frozen layer goes by its running statistics, and leaves them; thawing makes no optimiser's parameter of them.
#[test]
fn a_frozen_layer_stays_as_it_is() {
    let mut network = Network::new();
    assert_eq!(network.parameters.set_trainable(&["norm"], false), 4);
    let store = network.store();
    let mut trainer = network.trainer(&store, OptimizerConfig::adam());
    trainer.step(batch(1), StepSettings { learning_rate: 1e-2, beta1: None }).unwrap();
    trainer.finish().unwrap();
    assert_near(&running(&network, &store), [[0.0, 1.0]; 2]);
    assert_eq!(network.parameters.set_trainable(&["norm"], true), 4);
    assert_eq!(network.parameters.trainable_count(), 4 + 2 * 8 * 9 + 16 + 9);
}

#[test]
fn it_overfits_a_batch_and_inference_agrees() {
    let network = Network::new();
    let store = network.store();
    let mut trainer = network.trainer(&store, OptimizerConfig::adam());
    let mut losses = Vec::new();
    for step in 0..150 {
        // the last steps only let the running statistics settle
        let learning_rate = if step < 100 { 2e-2 } else { 0.0 };
        losses.extend(trainer.step(batch(3), StepSettings { learning_rate, beta1: None }).unwrap());
    }
    losses.extend(trainer.finish().unwrap());
    let (first, last) = (losses[0].loss, losses[149].loss);
    assert!(last < 0.02 * first, "{first} to {last}");
    let plan = Plan::new(&store, Mode::Forward, |graph| {
        network.graph(graph, false);
        Ok(())
    });
    let plan = plan.unwrap();
    batch(3).write_to(&plan).unwrap();
    plan.run().unwrap();
    // the running variance is the unbiased one
    let inferred = plan.read("loss").unwrap()[0];
    assert!((inferred - last).abs() < 0.02 * first, "{inferred} while training ended with {last}");
}
