//! Training from pictures to traits: runs that are interrupted, tokens, the network at full size, and what is left for inference.

use crate::network::{BATCH, batch, tiny};
use crate::noop::{Kind, gpu as noop_gpu};
use crate::support;
use half::f16;
use limbic::Result;
use limbic::data::video::{VideoBatches, VideoClip, VideoShape};
use limbic::gpu::GpuOptions;
use limbic::models::RegressionLoss;
use limbic::models::personality::{
    I3dConfig, Network, NetworkConfig, PersonalityConfig, PersonalityNetwork, PersonalityNetworkConfig, TraitScorer,
    export_network, import_network, training_graph,
};
use limbic::plan::{Batch, Mode, ParameterStore, Plan};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, RunState, Task, Validation};
use limbic::train::{EarlyStopping, OptimizerConfig, OptimizerState, Schedule, StepSettings, Trainer};
use limbic::weights::{Export, Precision};
use std::sync::atomic::{AtomicBool, Ordering};

/// Clips of noise, two more than fill their batches.
fn clips(shape: &VideoShape) -> Vec<VideoClip> {
    let clip = |index: u64| {
        let levels = support::noise(shape.face_values(), 2 * index + 1).into_iter();
        let flow = support::noise(shape.flow_values(), 2 * index + 2).into_iter();
        let traits = std::array::from_fn(|trait_| 0.1 * (1 + (trait_ as u64 + index) % 8) as f32);
        VideoClip {
            faces: levels.map(|level| (128.0 + 40.0 * level) as u8).collect(),
            flow: flow.map(f16::from_f32).collect(),
            traits,
            ..VideoClip::default()
        }
    };
    (0..14).map(clip).collect()
}

/// With dropout and mirrors, so that a run depends on all that is random.
fn random() -> PersonalityNetworkConfig {
    let config = tiny();
    PersonalityNetworkConfig {
        i3d: I3dConfig { dropout: 0.2, ..config.i3d },
        head: PersonalityConfig { dropout: 0.2, ..config.head },
        ..config
    }
}

/// The clips, with a stop asked for once so many steps were taken; validated by the traits that are predicted for them.
struct Noise<'a> {
    batches: VideoBatches<'a>,
    scorer: TraitScorer,
    steps: usize,
    stop: &'a AtomicBool,
}

impl Task for Noise<'_> {
    fn batches(&self) -> usize {
        self.batches.len()
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        let before = epoch as usize * self.batches();
        Box::new(self.batches.shuffled(3, epoch, true).enumerate().map(move |(index, batch)| {
            self.stop.fetch_or(before + index >= self.steps, Ordering::Relaxed);
            batch
        }))
    }

    fn validate(&self) -> Result<Validation> {
        let predicted = self.scorer.run_all(self.batches.in_order())?;
        let loss = predicted.iter().flatten().map(|value| f64::from(value * value)).sum();
        Ok(Validation { loss, metrics: Vec::new() })
    }
}

/// Weights with running statistics, the optimiser's state, and losses of each epoch, after `stops`.
fn run(stops: &[usize]) -> (Vec<Vec<u32>>, OptimizerState, Vec<[u64; 2]>) {
    const EPOCHS: u64 = 3;
    let (folder, gpu) = (tempfile::tempdir().unwrap(), support::gpu());
    let checkpoint = Checkpoint::create(folder.path().join("run")).unwrap();
    let model = PersonalityNetwork::new(&random()).unwrap();
    let PersonalityNetworkConfig { faces, face_size, frames, frame_size, .. } = *model.config();
    let shape = VideoShape { faces, face_size, frames, frame_size };
    let clips = clips(&shape);
    for (leg, steps) in stops.iter().copied().chain([usize::MAX]).enumerate() {
        // a new process would start from anything
        let values = model.parameters().initial_values(if leg == 0 { 1 } else { 77 });
        let store = ParameterStore::new(&gpu, model.parameters(), &values).unwrap();
        let build = |graph: &_| training_graph(&model, graph, 4, RegressionLoss::Mse);
        let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.01), 9, build).unwrap();
        let stop = AtomicBool::new(false);
        let batches = VideoBatches::new(&clips, shape, 4).unwrap();
        let task = Noise { batches, scorer: TraitScorer::new(&store, &model, 4).unwrap(), steps, stop: &stop };
        let mut fit = match leg {
            0 => {
                let schedule = Schedule::Cosine { lr: 1e-2, warmup_steps: 2, total_steps: 9, min_lr: 1e-4 };
                let state = RunState::new(schedule, EarlyStopping::new(10));
                Fit::new(&mut trainer, EPOCHS, state, Some(&checkpoint), &stop)
            }
            _ => Fit::resume(&mut trainer, EPOCHS, &checkpoint, &stop).unwrap(),
        };
        let ending = fit.run(&task, &mut ()).unwrap();
        assert_eq!(ending == Ending::Interrupted, steps != usize::MAX);
        if ending == Ending::Interrupted {
            continue;
        }
        let losses = fit.state.history.rows().iter().map(|row| [row.train_loss, row.valid_loss].map(f64::to_bits));
        let losses = losses.collect();
        // the last weights, not the best ones
        let (values, ..) = checkpoint.load_state::<RunState>(store.parameters()).unwrap();
        let bits = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
        return (values.iter().map(bits).collect(), trainer.state().unwrap(), losses);
    }
    unreachable!("the last leg is not interrupted")
}

#[test]
fn an_interrupted_run_ends_with_the_same_bits() {
    let unbroken = run(&[]);
    assert_eq!(unbroken.2.len(), 3);
    for stops in [&[2][..], &[3, 7]] {
        assert!(run(stops) == unbroken, "stopped after {stops:?}");
    }
}

#[test]
fn it_learns_over_tokens() {
    let model = PersonalityNetwork::new(&PersonalityNetworkConfig { tokens: true, ..tiny() }).unwrap();
    let values = model.parameters().initial_values(1);
    let store = ParameterStore::new(&support::gpu(), model.parameters(), &values).unwrap();
    let build = |graph: &_| training_graph(&model, graph, BATCH, RegressionLoss::Mse);
    let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 1, build).unwrap();
    for _ in 0..150 {
        trainer.step(batch(), StepSettings { learning_rate: 0.01, beta1: None }).unwrap();
    }
    trainer.finish().unwrap();
    let scored = TraitScorer::new(&store, &model, BATCH).unwrap().run_all([batch()]).unwrap();
    let spread = |low: usize, high: usize, index: usize| scored[high][index] - scored[low][index];
    assert!(spread(0, 3, 0) > 0.3 && spread(4, 7, 0) > 0.3, "{scored:?}");
    assert!(spread(0, 4, 4) > 0.7 && spread(3, 7, 4) > 0.7, "{scored:?}");
}

#[test]
fn the_full_networks_training_fits_a_gpu() {
    let gpu = noop_gpu(Kind::Discrete, &GpuOptions::default());
    for (tokens, frozen_stages) in [(false, 0), (true, 3)] {
        let config = PersonalityNetworkConfig { tokens, frozen_stages, ..PersonalityNetworkConfig::full() };
        let model = PersonalityNetwork::new(&config).unwrap();
        let values: Vec<Vec<f32>> = model.parameters().specs().iter().map(|spec| vec![0.0; spec.shape.len()]).collect();
        let store = ParameterStore::new(&gpu, model.parameters(), &values).unwrap();
        let build = |graph: &_| training_graph(&model, graph, 8, RegressionLoss::Mse);
        let memory = Plan::measure(&store, Mode::Gradients, build).unwrap();
        let gib = memory.total() as f64 / (1u64 << 30) as f64;
        // 36 million weights with their gradients are 0.3 GiB; the rest are activations
        assert!((1.0..16.0).contains(&gib), "{gib} GiB for tokens {tokens}, {frozen_stages} frozen stages");
    }
}

/// Whole, and in half precision.
#[test]
fn an_exported_network_predicts_as_its_checkpoint() {
    let (folder, gpu) = (tempfile::tempdir().unwrap(), support::gpu());
    let model = PersonalityNetwork::new(&tiny()).unwrap();
    let checkpoint = Checkpoint::create(folder.path()).unwrap();
    checkpoint.save_model(model.parameters(), &model.parameters().initial_values(4)).unwrap();
    let values = checkpoint.load_model(model.parameters()).unwrap();
    let predict = |model: &PersonalityNetwork, values: &[Vec<f32>]| {
        let store = ParameterStore::new(&gpu, model.parameters(), values).unwrap();
        TraitScorer::new(&store, model, BATCH).unwrap().run_all([batch()]).unwrap()
    };
    let expected = predict(&model, &values);
    assert!(expected[0] != expected[5]);
    for (precision, tolerance) in [(Precision::F32, 0.0), (Precision::F16, 2e-2)] {
        let path = folder.path().join(format!("{}.safetensors", precision.name()));
        let config = NetworkConfig::Traits { sizes: tiny() };
        export_network(&path, &Export { precision, ..Export::new(config, "a test") }, &values).unwrap();
        let exported = import_network(&path).unwrap();
        let Network::Traits(network) = exported.network else { panic!("another network") };
        let found = predict(&network, &exported.values);
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() <= tolerance, "{precision:?}: {found} {expected}");
        }
        assert_eq!(found == expected, precision == Precision::F32);
    }
}
