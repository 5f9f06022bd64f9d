//! What the policy is for: the memory of the default training step of the sentiment model, which its source says halves.

use crate::noop::{self, KINDS};
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

#[test]
fn the_default_training_step_plans_at_most_three_fifths_of_the_memory() {
    for kind in KINDS {
        let gpu = noop::gpu(kind, &GpuOptions::default());
        let [full, mixed] = [Precision::F32, Precision::Mixed].map(|precision| default_step(&gpu, precision));
        // two moments for each parameter, which both keep as they are
        let with_moments = |memory: &MemoryReport| (memory.total() + 2 * memory.parameters) as f64;
        let ratio = with_moments(&mixed) / with_moments(&full);
        println!(
            "{kind:?}: {full:?}\n{mixed:?}\n{ratio:.3} with moments, {:.3} activations",
            mixed.activations as f64 / full.activations as f64
        );
        assert!(ratio <= 0.6, "{kind:?}: {ratio:.3} of {full:?}: {mixed:?}");
    }
}

#[test]
fn zz_dump() {
    let gpu = noop::gpu(noop::Kind::Software, &GpuOptions::default());
    let config = MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64));
    let model = Msa::new(&config).unwrap();
    let parameters = model.parameters();
    let store = ParameterStore::new(&gpu, parameters, &parameters.initial_values(1)).unwrap();
    let shape = BatchShape::full(32, &config.modalities);
    let plan = Plan::new(&store, Mode::Gradients, |graph: &limbic::graph::Graph| {
        graph.set_precision(Precision::Mixed);
        training_graph(&model, graph, &shape, RegressionLoss::Mse)
    })
    .unwrap();
    let recording = plan.recording();
    let mut sums: std::collections::BTreeMap<(String, String), (usize, usize)> = Default::default();
    for node in &recording.nodes {
        if node.op.is_view() {
            continue;
        }
        for (index, id) in node.outputs.iter().enumerate() {
            let tensor = recording.tensor(*id);
            let entry = sums
                .entry((format!("{:?}", tensor.dtype), format!("{} {index} {}", node.op.name(), tensor.shape)))
                .or_default();
            entry.0 += 1;
            entry.1 += tensor.shape.len() * tensor.dtype.size();
        }
    }
    for (key, value) in sums.iter().filter(|(_, value)| value.1 > 1 << 18) {
        println!("{key:?} {} x, {} KiB", value.0, value.1 / 1024);
    }
    println!("{:?}", plan.memory());
}
