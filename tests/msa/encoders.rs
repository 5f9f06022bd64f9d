//! Encoders and fusion other than the default: each learns one batch by heart, through the trainer, and scores by what it learnt.

use crate::model::{Sample, config};
use crate::support::gpu;
use limbic::models::msa::{
    BatchShape, Encoder, Fusion, Msa, MsaConfig, RegressionLoss, Scorer, SentimentModel, training_graph,
};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

const LENS: [&[usize]; 4] = [&[4, 9], &[6, 1], &[1, 7], &[5, 0]];
const TARGETS: [f32; 4] = [1.5, -2.0, 0.5, -0.5];

/// The clips' features and masks, padding not a number, with or without what training wants besides.
fn batch(config: &MsaConfig, seq_lens: &[usize], labels: bool) -> Batch {
    let sample = Sample::new(config, seq_lens, &LENS, f32::NAN);
    let mut batch = Batch::new(LENS.len());
    for (index, modality) in config.modalities.iter().enumerate() {
        batch = batch.float(&modality.name, sample.features[index].clone());
        batch = batch.integer(&format!("{}_mask", modality.name), sample.masks[index].clone());
    }
    if !labels {
        return batch;
    }
    batch.float("target", TARGETS.to_vec()).float("sample_weight", vec![1.0; LENS.len()])
}

#[test]
fn each_learns_one_batch_by_heart() {
    let base = MsaConfig { n_layers_mod: 2, ..config(&[("text", 5), ("audio", 3)]) };
    let encoders = [Encoder::Lstm, Encoder::Gru, Encoder::Tcn, Encoder::Multiscale];
    let others = encoders.map(|encoder| MsaConfig { encoder, ..base.clone() });
    for config in others.into_iter().chain([MsaConfig { fusion: Fusion::Gated, causal: true, ..base }]) {
        let encoder = config.encoder;
        let model = Msa::new(&config).unwrap();
        let store = ParameterStore::new(&gpu(), model.parameters(), &model.parameters().initial_values(1)).unwrap();
        let before = store.download().unwrap();
        let seq_lens = [6, 9];
        let shape = BatchShape { batch: LENS.len(), seq_lens: seq_lens.to_vec() };
        let build = |graph: &limbic::graph::Graph| training_graph(&model, graph, &shape, RegressionLoss::Mse);
        let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.0), 1, build).unwrap();
        let mut losses = Vec::new();
        for step in 0..80 {
            // slowly at the end, so that running statistics catch up with the batch's
            let settings = StepSettings { learning_rate: if step < 55 { 1e-2 } else { 1e-3 }, beta1: None };
            losses.extend(trainer.step(batch(&config, &seq_lens, true), settings).unwrap());
        }
        losses.extend(trainer.finish().unwrap());
        let (first, last) = (losses[0].loss, losses[79].loss);
        assert!(last < 0.05 * first, "{encoder:?}: the loss fell from {first} to {last} only");
        for (spec, (before, after)) in
            model.parameters().specs().iter().zip(before.iter().zip(store.download().unwrap()))
        {
            // what batch norm subtracts again has no gradient
            let idle = spec.name.contains("convs.") && spec.name.ends_with("bias");
            let ours = !idle && ["_encoder.", "gate"].iter().any(|part| spec.name.contains(part));
            assert!(!ours || *before != after, "{encoder:?}: {} never moved", spec.name);
        }
        // what the steps left in the store, running statistics among it, scores the clips, padded further
        let longer = [11, 16];
        let shape = BatchShape { batch: LENS.len(), seq_lens: longer.to_vec() };
        let scorer = Scorer::new(&store, &model as &dyn SentimentModel, &shape).unwrap();
        for (clip, target) in scorer.run(&batch(&config, &longer, false)).unwrap().iter().zip(TARGETS) {
            assert!((clip.score - target).abs() < 0.5, "{encoder:?}: {} for {target}", clip.score);
        }
    }
}
