//! A sentiment model that trains in milliseconds, with dropout wherever the full one has it, and batches for it.

use crate::support::{gpu, noise};
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Precision};
use limbic::models::msa::{
    BatchShape, Encoder, Fusion, ModalityConfig, Msa, MsaConfig, Objective, Pooling, RegressionLoss, training_graph,
};
use limbic::plan::{Batch, ParameterStore, Values};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

pub const BATCH: usize = 4;
pub const SEQ_LENS: [usize; 2] = [6, 8];
pub const DIMS: [usize; 2] = [5, 3];
pub const NAMES: [&str; 2] = ["text", "audio"];

pub fn config(dropout: f32) -> MsaConfig {
    let modality =
        |index: usize| ModalityConfig { name: NAMES[index].into(), dim: DIMS[index], seq_len: SEQ_LENS[index] };
    MsaConfig {
        modalities: vec![modality(0), modality(1)],
        model_dim: 16,
        num_heads: 2,
        ff_dim: 16,
        encoder: Encoder::Transformer,
        causal: false,
        n_layers_mod: 1,
        n_layers_fuse: 1,
        bidirectional_fusion: true,
        pooling_method: Pooling::Attention,
        fusion: Fusion::Adaptive,
        emotions: None,
        dropout,
        norm_first: true,
    }
}

pub fn model(dropout: f32) -> Msa {
    Msa::new(&config(dropout)).expect("a model")
}

/// A store of its own, with weights drawn from `seed`.
pub fn store(model: &Msa, seed: u64) -> ParameterStore {
    store_on(&gpu(), model, seed)
}

/// [`store`] on a given device.
pub fn store_on(gpu: &Gpu, model: &Msa, seed: u64) -> ParameterStore {
    ParameterStore::new(gpu, model.parameters(), &model.parameters().initial_values(seed)).expect("a store")
}

pub fn shape() -> BatchShape {
    BatchShape { batch: BATCH, seq_lens: SEQ_LENS.to_vec() }
}

pub fn trainer(model: &Msa, store: &ParameterStore, config: OptimizerConfig, seed: u32) -> Trainer {
    trainer_with(model, store, config, seed, RegressionLoss::Mse)
}

pub fn trainer_with(
    model: &Msa,
    store: &ParameterStore,
    config: OptimizerConfig,
    seed: u32,
    objective: impl Into<Objective>,
) -> Trainer {
    Trainer::new(store, config, seed, |graph| training_graph(model, graph, &shape(), objective)).expect("a trainer")
}

/// [`trainer`] in mixed precision.
pub fn mixed_trainer(model: &Msa, store: &ParameterStore, config: OptimizerConfig, seed: u32) -> Trainer {
    let build = |graph: &Graph| {
        graph.set_precision(Precision::Mixed);
        training_graph(model, graph, &shape(), RegressionLoss::Mse)
    };
    Trainer::new(store, config, seed, build).expect("a trainer")
}

/// Real steps of a modality in row `clip` of batch `index`; the third clip has no audio at all.
fn len(index: u64, clip: usize, modality: usize) -> usize {
    let len = 1 + (index as usize + 3 * clip + 2 * modality) % SEQ_LENS[modality];
    if modality == 1 && clip == 2 { 0 } else { len }
}

/// Batch number `index`: noise of varying lengths and labels that follow the first words.
pub fn batch(index: u64) -> Batch {
    let mut batch = Batch::new(BATCH);
    let mut targets = vec![0.0; BATCH];
    for modality in 0..2 {
        let (seq, dim) = (SEQ_LENS[modality], DIMS[modality]);
        let mut values = vec![0.0; BATCH * seq * dim];
        let mut mask = vec![0; BATCH * seq];
        for clip in 0..BATCH {
            let len = len(index, clip, modality);
            let drawn = noise(len * dim, 100 * index + 10 * clip as u64 + modality as u64);
            values[clip * seq * dim..][..len * dim].copy_from_slice(&drawn);
            mask[clip * seq..][..len].fill(1);
            targets[clip] += 2.0 * drawn.first().copied().unwrap_or(0.0);
        }
        batch = batch.float(NAMES[modality], values).integer(&format!("{}_mask", NAMES[modality]), mask);
    }
    batch.float("target", targets).float("sample_weight", vec![1.0; BATCH])
}

/// What a model scores by, and the labels.
pub fn without_labels(batch: Batch) -> (Batch, Vec<f32>) {
    let (mut inputs, mut labels) = (Batch::new(batch.samples), Vec::new());
    for (name, values) in batch.tensors() {
        match values {
            Values::F32(values) if name == "target" => labels.clone_from(values),
            Values::F32(_) if name == "sample_weight" => {}
            Values::F32(values) => inputs = inputs.float(name, values.clone()),
            Values::U32(values) => inputs = inputs.integer(name, values.clone()),
        }
    }
    (inputs, labels)
}

/// `batch` with one value of the float input `name` replaced.
pub fn with_value(batch: Batch, name: &str, place: usize, value: f32) -> Batch {
    batch.tensors().iter().fold(Batch::new(batch.samples), |changed, (other, values)| match values {
        Values::F32(values) if other == name => {
            let mut values = values.clone();
            values[place] = value;
            changed.float(other, values)
        }
        Values::F32(values) => changed.float(other, values.clone()),
        Values::U32(values) => changed.integer(other, values.clone()),
    })
}

pub fn rate(learning_rate: f64) -> StepSettings {
    StepSettings { learning_rate, beta1: None }
}

/// The losses of `steps` steps over batches 0, 1, 2, ..., with the trainer's weights afterwards.
pub fn train(trainer: &mut Trainer, steps: std::ops::Range<u64>) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut reports = Vec::new();
    for step in steps {
        reports.extend(trainer.step(batch(step), rate(1e-2)).expect("a step"));
    }
    reports.extend(trainer.finish().expect("all steps"));
    (reports.iter().map(|report| report.loss.to_bits()).collect(), weights(trainer.store()))
}

/// The bits of all weights.
pub fn weights(store: &ParameterStore) -> Vec<Vec<u32>> {
    let values = store.download().expect("the weights");
    values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect()
}
