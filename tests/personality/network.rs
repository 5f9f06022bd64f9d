//! The network end to end: what it learns from, what it leaves alone, and weights from elsewhere.

use crate::noop::{Kind, gpu as noop_gpu};
use crate::{message, support};
use limbic::gpu::GpuOptions;
use limbic::graph::Graph;
use limbic::models::RegressionLoss;
use limbic::models::personality::{
    FlowExtractor, I3dConfig, PersonalityConfig, PersonalityNetwork, PersonalityNetworkConfig, ResnetConfig,
    TraitScorer, load_resnet, training_graph,
};
use limbic::ops::optical_flow::FlowOptions;
use limbic::plan::{Batch, Mode, ParameterStore, Plan};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};
use limbic::weights::{self, Metadata, Tensor, Tensors};

/// Stems, one block, one head.
pub fn tiny() -> PersonalityNetworkConfig {
    let resnet = ResnetConfig { stem: 4, layers: vec![(2, 1)], ..ResnetConfig::resnet50() };
    let i3d = I3dConfig { divisor: 16, stages: 0, dropout: 0.0, momentum: 0.1, ..I3dConfig::flow() };
    let base = PersonalityNetworkConfig::small();
    let head = PersonalityConfig {
        static_dim: resnet.features(),
        dynamic_dim: i3d.features(),
        fusion_dim: 8,
        hidden: 8,
        dropout: 0.0,
        ..base.head
    };
    PersonalityNetworkConfig { resnet, i3d, head, faces: 1, face_size: 16, frames: 5, frame_size: 16, ..base }
}

pub const BATCH: usize = 8;

/// Clips whose first trait is the brightness of the face and whose last is the speed of the motion.
pub fn batch() -> Batch {
    let (mut faces, mut flow, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for clip in 0..BATCH {
        let (bright, fast) = ((clip % 4) as f32 / 4.0, (clip / 4) as f32);
        let grain = support::noise(3 * 256 + 2 * 4 * 256, clip as u64);
        faces.extend(grain[..768].iter().map(|grain| 2.0 * bright + 0.1 * grain));
        flow.extend(grain[768..].iter().map(|grain| 2.0 * fast + 0.1 * grain));
        targets.extend([bright, 0.5, 0.5, 0.5, fast]);
    }
    Batch::new(BATCH).float("faces", faces).float("flow", flow).float("target", targets)
}

#[test]
fn it_learns_from_face_and_motion() {
    let model = PersonalityNetwork::new(&tiny()).unwrap();
    let store =
        ParameterStore::new(&support::gpu(), model.parameters(), &model.parameters().initial_values(1)).unwrap();
    let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 1, |graph| {
        training_graph(&model, graph, BATCH, RegressionLoss::Mse)
    })
    .unwrap();
    for _ in 0..150 {
        trainer.step(batch(), StepSettings { learning_rate: 0.01, beta1: None }).unwrap();
    }
    trainer.finish().unwrap();
    let scored = TraitScorer::new(&store, &model, BATCH).unwrap().run_all([batch()]).unwrap();
    let spread = |low: usize, high: usize, index: usize| scored[high][index] - scored[low][index];
    // by running statistics, of clips that differ in one of the two alone
    assert!(spread(0, 3, 0) > 0.5 && spread(4, 7, 0) > 0.5, "{scored:?}");
    assert!(spread(0, 4, 4) > 0.7 && spread(3, 7, 4) > 0.7, "{scored:?}");
    assert!(spread(0, 3, 4).abs() < 0.3 && spread(0, 4, 0).abs() < 0.3, "{scored:?}");
}

/// Ops of the training plan in a layer, forward and backward, without a GPU.
fn ops(config: &PersonalityNetworkConfig, layer: &str, mode: Mode) -> usize {
    let model = PersonalityNetwork::new(config).unwrap();
    let gpu = noop_gpu(Kind::Portable, &GpuOptions::default());
    let store = ParameterStore::new(&gpu, model.parameters(), &model.parameters().initial_values(1)).unwrap();
    let build = |graph: &Graph| training_graph(&model, graph, BATCH, RegressionLoss::Mse);
    let plan = Plan::new(&store, mode, build).unwrap();
    plan.recording().nodes.iter().filter(|node| node.layer.starts_with(layer)).count()
}

#[test]
fn frozen_stages_cost_no_backward() {
    let frozen = |stages| PersonalityNetworkConfig { frozen_stages: stages, ..tiny() };
    for layer in ["resnet.conv1", "resnet.bn1"] {
        assert!(ops(&tiny(), layer, Mode::Gradients) > ops(&tiny(), layer, Mode::Forward), "{layer}");
        assert_eq!(ops(&frozen(1), layer, Mode::Gradients), ops(&frozen(1), layer, Mode::Forward), "{layer}");
    }
    let all = |stages, mode| ops(&frozen(stages), "resnet.layer1", mode);
    assert!(all(1, Mode::Gradients) > all(1, Mode::Forward));
    assert_eq!(all(2, Mode::Gradients), all(2, Mode::Forward));
    assert!(message(PersonalityNetwork::new(&frozen(3))).contains("2 stages"));
}

#[test]
fn configurations_that_do_not_hold_together_are_errors() {
    let narrow = PersonalityNetworkConfig { head: PersonalityConfig { static_dim: 3, ..tiny().head }, ..tiny() };
    assert!(message(PersonalityNetwork::new(&narrow)).contains("widths"));
    let full = PersonalityNetwork::new(&PersonalityNetworkConfig::full()).unwrap();
    let count = |prefix: &str| {
        let specs = full.parameters().specs().iter().filter(|spec| spec.trainable && spec.name.starts_with(prefix));
        specs.map(|spec| spec.shape.len()).sum::<usize>()
    };
    assert_eq!((count("resnet."), count("i3d.")), (23_508_032, 12_265_312));
}

#[test]
fn tokens_of_face_and_motion_make_the_same_outputs() {
    let model = PersonalityNetwork::new(&PersonalityNetworkConfig { tokens: true, faces: 2, ..tiny() }).unwrap();
    let gpu = noop_gpu(Kind::Portable, &GpuOptions::default());
    let store = ParameterStore::new(&gpu, model.parameters(), &model.parameters().initial_values(1)).unwrap();
    let plan =
        Plan::new(&store, Mode::Gradients, |graph| training_graph(&model, graph, 3, RegressionLoss::Mse)).unwrap();
    assert_eq!(plan.output_shape("traits").unwrap().axes(), [3, 5]);
    let trained = |name: &str| {
        let index = model.parameters().specs().iter().position(|spec| spec.name == name).unwrap();
        plan.trained().contains(&index)
    };
    assert!(trained("resnet.conv1.weight") && trained("i3d.Conv3d_1a_7x7.conv3d.weight"));
}

#[test]
fn torchvisions_weights_are_taken_by_name() {
    let model = PersonalityNetwork::new(&tiny()).unwrap();
    let parameters = model.parameters();
    let mut tensors = Tensors::new();
    let own = |name: &str| name.strip_prefix("resnet.").map(str::to_string);
    for spec in parameters.specs() {
        let Some(name) = own(&spec.name) else { continue };
        tensors.insert(name, Tensor::f32(spec.shape.axes(), support::noise(spec.shape.len(), 5)).unwrap());
    }
    tensors.insert("fc.weight", Tensor::f32([2, 8], vec![0.0; 16]).unwrap());
    tensors.insert("bn1.num_batches_tracked", Tensor::f32([], vec![7.0]).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resnet.safetensors");
    let load = |tensors: &Tensors| {
        weights::write(&path, tensors, &Metadata::new()).unwrap();
        let mut values = parameters.initial_values(1);
        load_resnet(&path, parameters, "resnet", &mut values).map(|count| (count, values))
    };
    let (count, values) = load(&tensors).unwrap();
    let mut expected = 0;
    for ((spec, value), before) in parameters.specs().iter().zip(&values).zip(parameters.initial_values(1)) {
        if own(&spec.name).is_some() {
            assert_eq!(*value, support::noise(spec.shape.len(), 5), "{}", spec.name);
            expected += value.len();
        } else {
            assert_eq!(*value, before, "{}", spec.name);
        }
    }
    assert_eq!(count, expected);
    let mut deeper = tensors.clone();
    deeper.insert("layer2.0.conv1.weight", Tensor::f32([1], vec![0.0]).unwrap());
    assert!(message(load(&deeper)).contains("layer2.0.conv1.weight: the model has no such tensor"));
    let mut wrong = tensors.clone();
    wrong.insert("conv1.weight", Tensor::f32([2], vec![0.0; 2]).unwrap());
    assert!(message(load(&wrong)).contains("conv1.weight"));
    tensors.remove("layer1.0.bn2.running_var");
    assert!(message(load(&tensors)).contains("layer1.0.bn2.running_var"));
}

#[test]
fn flow_follows_what_moves() {
    let (size, frames) = (24, 3);
    let blob = |clip: usize, frame: usize| {
        let (dx, dy) = if clip == 0 { (frame as f32, 0.0) } else { (0.0, -(frame as f32)) };
        let level = move |place: usize| {
            let (x, y) = ((place % size) as f32 - 11.0 - dx, (place / size) as f32 - 12.0 - dy);
            (40.0 + 180.0 * (-(x * x + y * y) / 18.0).exp()) as u8
        };
        (0..size * size).map(level)
    };
    let clip = |clip: usize| (0..frames).flat_map(|frame| blob(clip, frame)).collect::<Vec<u8>>();
    let extractor = FlowExtractor::new(&support::gpu(), 2, frames, size, FlowOptions::default()).unwrap();
    let clips = [clip(0), clip(1), clip(0)];
    let flows = extractor.run(&clips.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    assert_eq!(flows.len(), 3);
    assert_eq!(flows[0], flows[2], "what else is in a batch changes nothing");
    let at = |clip: usize, channel: usize, frame: usize| {
        flows[clip][((channel * (frames - 1) + frame) * size + 12) * size + 11].to_f32()
    };
    for frame in 0..frames - 1 {
        assert!(
            (at(0, 0, frame) - 1.0).abs() < 0.3 && at(0, 1, frame).abs() < 0.2,
            "{} {}",
            at(0, 0, frame),
            at(0, 1, frame)
        );
        assert!(
            (at(1, 1, frame) + 1.0).abs() < 0.3 && at(1, 0, frame).abs() < 0.2,
            "{} {}",
            at(1, 0, frame),
            at(1, 1, frame)
        );
    }
    assert!(message(extractor.run(&[&[0; 7]])).contains("7 levels are not 3 frames of 24 x 24"));
}
