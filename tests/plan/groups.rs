//! Siblings that run as one launch: which do, that it changes no bit, and what it saves.

use crate::dag::dags;
use crate::support::{cases, noise};
use crate::{noop, noop_gpu, plan_on};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{Graph, LOSS_SCALE, Parameters, Precision};
use limbic::models::RegressionLoss;
use limbic::models::msa::{BatchShape, Fusion, ModalityConfig, Msa, MsaConfig, Preset, SentimentModel, training_graph};
use limbic::models::personality::{PersonalityNetwork, PersonalityNetworkConfig};
use limbic::plan::{Batch, Mode, ParameterStore, Plan, StepUniform, Traffic};
use proptest::prelude::*;
use std::sync::OnceLock;

/// Labels of a forward plan's launches, and how many members each has.
fn launches(build: impl FnOnce(&Graph)) -> Vec<(String, usize)> {
    let plan = plan_on(&noop_gpu(&GpuOptions::default()), Mode::Forward, build).unwrap();
    plan.run().unwrap();
    plan.gpu().check("running").unwrap();
    let launch = |index: usize| plan.program().describe(index);
    (0..plan.program().len()).map(|index| (launch(index).0.to_string(), launch(index).1.len())).collect()
}

fn members(build: impl FnOnce(&Graph)) -> Vec<usize> {
    launches(build).into_iter().map(|(_, members)| members).collect()
}

#[test]
fn branches_of_one_shape_run_as_one() {
    let launches = launches(|graph| {
        for branch in ["text", "audio", "video"] {
            let _scope = graph.scope(branch);
            graph.input(branch, [64]).tanh().exp().named(branch);
        }
    });
    let label = "unary [unary] @ text, audio, video".to_string();
    assert_eq!(launches, [(label.clone(), 3), (label, 3)]);
}

#[test]
fn no_more_than_four_run_as_one_and_nothing_that_waits_for_another() {
    let many = members(|graph| {
        for branch in 0..6 {
            graph.input(&format!("x{branch}"), [64]).tanh().named(&format!("y{branch}"));
        }
    });
    assert_eq!(many, [4, 2]);
    let chain = members(|graph| {
        graph.input("x", [64]).tanh().tanh().tanh().named("y");
    });
    assert_eq!(chain, [1, 1, 1]);
}

#[test]
fn what_siblings_share_is_bound_once() {
    let shared = members(|graph| {
        let x = graph.input("x", [8, 16]).tanh();
        for branch in 0..3 {
            x.matmul(graph.input(&format!("w{branch}"), [16, 8])).named(&format!("y{branch}"));
        }
    });
    assert_eq!(shared, [1, 3]);
}

#[test]
fn what_cannot_lie_in_one_buffer_is_left_apart() {
    let shapes = members(|graph| {
        graph.input("x", [64]).tanh().named("y");
        graph.input("longer", [4096]).tanh().named("z");
    });
    assert_eq!(shapes, [1, 1]);
    // the second factor is an input in one and a result in the other
    let mixed = members(|graph| {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| graph.input(name, [64]));
        (a.tanh() * c).named("y");
        (b.tanh() * d.exp()).named("z");
    });
    assert_eq!(mixed.iter().filter(|members| **members == 1).count(), 3, "{mixed:?}");
    // u is read by one product and both factors of the other: it would be where its own place is
    let crossed = members(|graph| {
        let [u, v] = ["u", "v"].map(|name| graph.input(name, [64]).tanh());
        let next = u * v;
        (next * u).named("y");
        (v * next).named("z");
    });
    assert_eq!(crossed, [2, 1, 1, 1]);
}

/// Three modalities of different sizes, everything else as small as it gets.
fn small() -> MsaConfig {
    let modality = |name: &str, dim, seq_len| ModalityConfig { name: name.to_string(), dim, seq_len };
    let modalities = vec![modality("text", 12, 6), modality("audio", 5, 6), modality("video", 7, 6)];
    let base = MsaConfig::preset(Preset::Small, modalities);
    MsaConfig { model_dim: 16, ff_dim: 24, n_layers_mod: 2, bidirectional_fusion: true, fusion: Fusion::Gated, ..base }
}

/// A batch whose padding is `padding`, its lengths different in every row and modality.
fn batch(config: &MsaConfig, clips: usize, padding: f32) -> Batch {
    let mut batch = Batch::new(clips);
    for (index, ModalityConfig { name, dim, seq_len }) in config.modalities.iter().enumerate() {
        let valid = |row: usize, step: usize| step < 1 + (row + index) % seq_len;
        let mask = (0..clips * seq_len).map(|at| u32::from(valid(at / seq_len, at % seq_len))).collect();
        let mut x = noise(clips * seq_len * dim, index as u64 + 1);
        for (at, value) in x.iter_mut().enumerate().filter(|(at, _)| !valid(at / dim / seq_len, at / dim % seq_len)) {
            *value = padding * if at % 2 == 0 { 1.0 } else { -1.0 };
        }
        batch = batch.float(name, x).integer(&format!("{name}_mask"), mask);
    }
    batch.float("target", noise(clips, 9)).float("sample_weight", vec![1.0; clips])
}

/// The device with siblings apart or grouped, taking the kernels of another kind of device if one is given.
fn device(groups: bool, kernels_for: Option<wgpu::DeviceType>) -> Gpu {
    Gpu::with_options(&GpuOptions { kernels_for, groups: Some(groups), ..GpuOptions::default() }).unwrap()
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn random_graphs_have_the_same_bits_whatever_runs_as_one(dag in dags(), seed in 0u64..1000) {
        static DEVICES: OnceLock<[Gpu; 2]> = OnceLock::new();
        let open = |groups| device(groups, Some(wgpu::DeviceType::DiscreteGpu));
        let bits = DEVICES.get_or_init(|| [false, true].map(open)).each_ref().map(|gpu| {
            let plan = plan_on(gpu, Mode::Gradients, |graph| dag.build(graph)).unwrap();
            for input in 0..dag.inputs {
                plan.write(&format!("x{input}"), &noise(dag.len, seed + input as u64)).unwrap();
            }
            plan.run().unwrap();
            let outputs = dag.output_tensors().into_iter().map(|output| format!("y{output}"));
            // an input that the loss does not depend on has no gradient
            let gradients = (0..dag.inputs).map(|input| format!("grad/x{input}"));
            let values = outputs.chain(gradients).filter_map(|name| plan.read(&name).ok()).flatten();
            values.map(f32::to_bits).collect::<Vec<u32>>()
        });
        prop_assert!(!bits[0].is_empty());
        prop_assert_eq!(&bits[0], &bits[1]);
    }
}

/// The bits of score, loss and all gradients of a training step in mixed precision; and the launches.
fn step(groups: bool, config: &MsaConfig, padding: f32) -> (Vec<u32>, usize) {
    const CLIPS: usize = 3;
    let options =
        GpuOptions { kernels_for: Some(wgpu::DeviceType::DiscreteGpu), groups: Some(groups), ..GpuOptions::default() };
    let gpu = Gpu::with_options(&options).unwrap();
    let model = Msa::new(config).unwrap();
    let store = ParameterStore::new(&gpu, model.parameters(), &model.parameters().initial_values(1)).unwrap();
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        graph.set_precision(Precision::Mixed);
        training_graph(&model, graph, &BatchShape::full(CLIPS, &config.modalities), RegressionLoss::Mse)
    });
    let plan = plan.unwrap();
    batch(config, CLIPS, padding).write_to(&plan).unwrap();
    plan.write(LOSS_SCALE, &[64.0]).unwrap();
    plan.set_step(StepUniform { seed: 3, index: 5, reserved: [0; 2] });
    plan.run().unwrap();
    let gradients = store.download_gradients().unwrap();
    let values = gradients.into_iter().flatten().chain(plan.read("loss").unwrap()).chain(plan.read("score").unwrap());
    (values.map(f32::to_bits).collect(), plan.traffic().dispatches)
}

#[test]
fn a_training_step_has_the_same_bits_whatever_runs_as_one() {
    let config = small();
    let (apart, many) = step(false, &config, 0.0);
    let (grouped, few) = step(true, &config, f32::NAN);
    assert!(few * 10 < many * 8, "{few} launches instead of {many}");
    assert!(apart.iter().any(|bits| *bits != 0) && apart.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    assert!(apart == grouped, "other bits, or padding was read");
}

/// What a training plan asks of a discrete GPU, its siblings apart and grouped; and the bytes of its activations.
fn both(parameters: &Parameters, build: impl Fn(&Graph) -> limbic::Result<()>) -> [(Traffic, u64); 2] {
    [false, true].map(|groups| {
        let gpu = noop::gpu(noop::Kind::Discrete, &GpuOptions { groups: Some(groups), ..GpuOptions::default() });
        let store = ParameterStore::new(&gpu, parameters, &parameters.initial_values(1)).unwrap();
        let plan = Plan::new(&store, Mode::Gradients, &build).unwrap();
        (plan.traffic(), plan.memory().activations)
    })
}

#[test]
fn the_models_take_fewer_launches_and_waits_and_hardly_more_memory() {
    let model = Msa::new(&MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64))).unwrap();
    let shape = BatchShape::full(32, model.modalities());
    let msa = both(model.parameters(), |graph| training_graph(&model, graph, &shape, RegressionLoss::Mse));
    let model = PersonalityNetwork::new(&PersonalityNetworkConfig::small()).unwrap();
    let personality = both(model.parameters(), |graph| {
        limbic::models::personality::training_graph(&model, graph, 16, RegressionLoss::Mse)
    });
    for (name, [apart, grouped]) in [("msa default, batch 32", msa), ("personality small, batch 16", personality)] {
        println!("{name}: apart {apart:?}\n{name}: grouped {grouped:?}");
        assert!(grouped.0.dispatches <= apart.0.dispatches && grouped.0.barriers <= apart.0.barriers, "{name}");
        assert!(grouped.1 as f64 <= 1.05 * apart.1 as f64, "{name}: {} bytes instead of {}", grouped.1, apart.1);
    }
    assert!(msa[1].0.dispatches * 100 < msa[0].0.dispatches * 70, "{msa:?}");
}
