//! Mixed precision.
#[path = "../support/noop.rs"]
mod noop;

use limbic::gpu::GpuOptions;
use limbic::models::msa::{BatchShape, Msa, MsaConfig, Preset, RegressionLoss, training_graph};
use limbic::plan::{Mode, ParameterStore, Plan};

#[test]
fn memory() {
    for kind in noop::KINDS {
        let gpu = noop::gpu(kind, &GpuOptions::default());
        let config = MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64));
        let model = Msa::new(&config).unwrap();
        let parameters = model.parameters();
        let store = ParameterStore::new(&gpu, parameters, &parameters.initial_values(1)).unwrap();
        let shape = BatchShape::full(32, &config.modalities);
        let memory = Plan::measure(&store, Mode::Gradients, |graph| {
            training_graph(&model, graph, &shape, RegressionLoss::Mse)
        }).unwrap();
        println!("{kind:?} {memory:?}");
    }
}
