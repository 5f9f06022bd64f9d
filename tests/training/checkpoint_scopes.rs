//! Training with gradient checkpointing: the same weights bit for bit, for less memory.

use crate::support::{gpu, noise};
use crate::tiny;
use limbic::graph::{Graph, Parameters};
use limbic::models::RegressionLoss;
use limbic::models::msa::{Msa, MsaConfig, training_graph};
use limbic::nn::{BatchNorm, Context, Conv, Linear};
use limbic::ops::batch_norm::BatchNormOptions;
use limbic::ops::conv::ConvOptions;
use limbic::plan::{Batch, ParameterStore};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

const RATE: StepSettings = StepSettings { learning_rate: 1e-2, beta1: None };

fn trainer(model: &Msa, store: &ParameterStore, every: usize) -> Trainer {
    let config = OptimizerConfig { accumulation: 2, ..OptimizerConfig::adamw(0.01) };
    let build = |graph: &Graph| {
        graph.checkpoint_every(every);
        training_graph(model, graph, &tiny::shape(), RegressionLoss::Mse)
    };
    Trainer::new(store, config, 5, build).unwrap()
}

fn train(trainer: &mut Trainer, steps: std::ops::Range<u64>) {
    for step in steps {
        trainer.step(tiny::batch(step), RATE).unwrap();
    }
    trainer.finish().unwrap();
}

/// Bits of all values.
fn bits(store: &ParameterStore) -> Vec<Vec<u32>> {
    let values = store.download().unwrap();
    values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}

#[test]
fn the_sentiment_model_learns_the_same_and_a_run_goes_on_with_it_or_without() {
    let model = Msa::new(&MsaConfig { n_layers_mod: 3, ..tiny::config(0.2) }).unwrap();
    let (kept, again, mixed) = (tiny::store(&model, 3), tiny::store(&model, 3), tiny::store(&model, 3));
    let mut plain = trainer(&model, &kept, 0);
    train(&mut plain, 0..6);
    let mut scoped = trainer(&model, &again, 1);
    train(&mut scoped, 0..6);
    assert_eq!(bits(&again), bits(&kept));
    assert!(scoped.memory().0.activations < plain.memory().0.activations);
    assert!(scoped.plan().work().recomputed_dispatches > 0);

    let mut begun = trainer(&model, &mixed, 0);
    train(&mut begun, 0..3);
    let mut gone_on = trainer(&model, &mixed, 2);
    gone_on.resume(begun.steps(), begun.updates(), &begun.state().unwrap()).unwrap();
    train(&mut gone_on, 3..6);
    assert_eq!(bits(&mixed), bits(&kept));
}

#[test]
fn running_statistics_move_once() {
    let mut parameters = Parameters::new();
    let mut root = parameters.root();
    let conv = Conv::without_bias(&mut root, "conv", [2, 8], &[3, 3], ConvOptions::default().padding(&[1]));
    let norm = BatchNorm::new(&mut root, "norm", 8, BatchNormOptions::pytorch());
    let head = Linear::new(&mut root, "head", 8, 1);
    let trained = |scopes: bool| {
        let store = ParameterStore::new(&gpu(), &parameters, &parameters.initial_values(1)).unwrap();
        let build = |graph: &Graph| {
            let cx = Context { graph, parameters: &parameters, training: true };
            let scope = scopes.then(|| graph.checkpoint());
            let x = norm.forward(cx, conv.forward(cx, graph.input("x", [6, 2, 8, 8]))).relu();
            drop(scope);
            head.forward(cx, x.adaptive_avg_pool(&[1]).reshape([6, 8])).square().mean().as_loss();
            Ok(())
        };
        let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 1, build).unwrap();
        assert_eq!(trainer.plan().work().recomputed_dispatches > 0, scopes);
        for step in 0..4 {
            trainer.step(Batch::new(6).float("x", noise(6 * 2 * 64, step)), RATE).unwrap();
        }
        trainer.finish().unwrap();
        bits(&store)
    };
    assert_eq!(trained(true), trained(false));
}
