//! The sentiment model: inference and training steps.

use super::kernels::{floats, padding};
use super::model::{self, inference, training, work};
use super::{Running, Subject, Work};
use limbic::Result;
use limbic::gpu::Gpu;
use limbic::graph::Graph;
use limbic::models::msa::{
    BatchShape, ModalityConfig, Msa, MsaConfig, Preset, RegressionLoss, scoring_graph, training_graph,
};
use limbic::plan::Batch;
use limbic::train::Trainer;

pub const SEQ_LEN: usize = 64;
/// Clips of a training step.
pub const BATCH: usize = 32;

/// The configurations, with the beginnings of their rows' names.
pub fn configurations() -> Vec<(String, MsaConfig)> {
    let presets =
        [("default", Preset::Default), ("small", Preset::Small), ("medium", Preset::Medium), ("large", Preset::Large)];
    let mut all = vec![("msa".to_string(), peers_model())];
    all.extend(presets.map(|(name, chosen)| (format!("msa_{name}"), preset(chosen))));
    all
}

/// All of them.
pub fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (name, config) in configurations() {
        for clips in [1, BATCH] {
            let config = config.clone();
            subjects.push(Subject::new(format!("{name}_infer_b{clips}"), move |gpu| infer(gpu, &config, clips)));
        }
        subjects.push(training_row(format!("{name}_train_b{BATCH}"), config));
    }
    let without = MsaConfig { dropout: 0.0, ..preset(Preset::Default) };
    subjects.push(training_row(format!("msa_default_train_b{BATCH}_dropout0"), without));
    subjects
}

fn training_row(name: String, config: MsaConfig) -> Subject {
    Subject::new(name, move |gpu| {
        let forward = clip_work(&config)?.times(BATCH as f64);
        Ok(training(trainer(gpu, &config)?, forward))
    })
}

/// The default sizes and dropout of `preset` over the source's modalities.
pub fn preset(preset: Preset) -> MsaConfig {
    MsaConfig::preset(preset, MsaConfig::source_modalities(SEQ_LEN))
}

/// The model of the peers' programs: the default's sizes with one cross-attention layer (4.4 M parameters) and no dropout.
fn peers_model() -> MsaConfig {
    MsaConfig { n_layers_fuse: 1, dropout: 0.0, ..preset(Preset::Default) }
}

fn shape(config: &MsaConfig, clips: usize) -> BatchShape {
    BatchShape::full(clips, &config.modalities)
}

/// Products and attention of one clip, forward.
pub fn clip_work(config: &MsaConfig) -> Result<Work> {
    let model = Msa::new(config)?;
    work(|graph| scoring_graph(&model, graph, &shape(config, 1)))
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

pub fn training_batch(modalities: &[ModalityConfig]) -> Batch {
    batch(modalities, BATCH).float("target", floats(BATCH)).float("sample_weight", vec![1.0; BATCH])
}

/// Ready to train, its batch on the device.
pub fn trainer(gpu: &Gpu, config: &MsaConfig) -> Result<Trainer> {
    let model = Msa::new(config)?;
    model::trainer(gpu, model.parameters(), &training_batch(&config.modalities), |graph| {
        training_graph(&model, graph, &shape(config, BATCH), RegressionLoss::Mse)
    })
}

/// The scores come back.
fn infer(gpu: &Gpu, config: &MsaConfig, clips: usize) -> Result<Running> {
    let model = Msa::new(config)?;
    let parameters = model.parameters();
    let values = parameters.initial_values(1);
    let batch = batch(&config.modalities, clips);
    inference(gpu, (parameters, &values), &batch, "score", |graph: &Graph| {
        scoring_graph(&model, graph, &shape(config, clips))
    })
}
