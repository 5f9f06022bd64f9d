//! What the policy is for: the memory of the default training step of the sentiment model, which its source says halves.

use crate::noop::{self, KINDS, Kind};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::Precision;
use limbic::models::msa::{BatchShape, Msa, MsaConfig, Preset, RegressionLoss, training_graph};
use limbic::plan::{MemoryReport, Mode, ParameterStore, Plan};

/// Batch 32, 64 steps, 5.46 M parameters.
fn default_step(gpu: &Gpu, precision: Precision) -> MemoryReport {
    let config = MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64));
    let model = Msa::new(&config).unwrap();
    let parameters = model.parameters();
    let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(1)).unwrap();
    let shape = BatchShape::full(32, &config.modalities);
    let build = |graph: &limbic::graph::Graph| {
        graph.set_precision(precision);
        training_graph(&model, graph, &shape, RegressionLoss::Mse)
    };
    Plan::measure(&store, Mode::Gradients, build).unwrap()
}

/// Devices of every kind, and a software adapter that is told to take the kernels of others.
fn devices() -> Vec<(String, Gpu)> {
    let default = GpuOptions::default();
    let told = |kind| GpuOptions { kernels_for: Some(kind), ..default.clone() };
    let own = KINDS.map(|kind| (format!("{kind:?}"), noop::gpu(kind, &default)));
    let others = [wgpu::DeviceType::DiscreteGpu, wgpu::DeviceType::IntegratedGpu]
        .map(|kind| (format!("Software for {kind:?}"), noop::gpu(Kind::Software, &told(kind))));
    own.into_iter().chain(others).collect()
}

/// Activations and their gradients take half the bytes; what a parameter takes (value and gradient here, two moments in the optimiser)
/// stays as it is.
#[test]
fn the_default_training_step_plans_three_fifths_of_the_memory_at_most() {
    for (device, gpu) in devices() {
        let [full, mixed] = [Precision::F32, Precision::Mixed].map(|precision| default_step(&gpu, precision));
        let ratio = |part: fn(&MemoryReport) -> u64| part(&mixed) as f64 / part(&full) as f64;
        let (total, activations) = (ratio(MemoryReport::total), ratio(|memory| memory.activations));
        println!("{device}: {total:.3} in all, {activations:.3} of the activations\n{full:?}\n{mixed:?}");
        assert!(total <= 0.6, "{device}: {total:.3} of {full:?}: {mixed:?}");
        assert!(activations <= 0.51, "{device}: {activations:.3} of {full:?}: {mixed:?}");
        assert_eq!((mixed.parameters, mixed.parameter_gradients), (full.parameters, full.parameter_gradients));
    }
}
