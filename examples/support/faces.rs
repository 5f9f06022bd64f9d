//! A small network that reads expressions from drawn faces, trained in seconds, or one from a file.

use limbic::data::builtin::{Expression, FRAME_SIZE, Look, render};
use limbic::gpu::Gpu;
use limbic::graph::Parameters;
use limbic::models::personality::{Network, NetworkConfig, Resnet, ResnetConfig, ResnetStyle, import_network};
use limbic::nn::{Context, Norms};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};
use limbic::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// What the small network says of a face.
pub const READINGS: [&str; 3] = ["smile", "open mouth", "wide eyes"];

/// Faces per training step.
const BATCH: usize = 32;

/// A ResNet whose weights stand still.
pub struct FaceNet {
    pub model: Resnet,
    pub config: NetworkConfig,
    pub parameters: Parameters,
    pub values: Vec<Vec<f32>>,
    pub store: ParameterStore,
    /// What its outputs are called.
    pub outputs: Vec<String>,
}

impl FaceNet {
    /// The network in `file`, or a small one that is trained now.
    pub fn open(gpu: &Gpu, file: Option<&Path>, steps: u32) -> Result<Self> {
        let Some(file) = file else { return Self::trained(gpu, steps) };
        let exported = import_network(file)?;
        let Network::Resnet(model) = exported.network else {
            return Err(Error::format(file, "model", "is no network of faces: give an exported ResNet"));
        };
        eprintln!("{}: {} parameters, from {}", file.display(), exported.parameters.count(), exported.about.source);
        Self::frozen(gpu, model, exported.about.model, exported.parameters, exported.values)
    }

    fn trained(gpu: &Gpu, steps: u32) -> Result<Self> {
        let sizes = ResnetConfig {
            style: ResnetStyle::Torchvision,
            stem: 16,
            layers: vec![(8, 1), (16, 1)],
            classes: Some(READINGS.len()),
        };
        let (model, parameters) = Resnet::alone(&sizes)?;
        let store = ParameterStore::new(gpu, &parameters, &parameters.initial_values(7))?;
        let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 7, |graph| {
            let cx = Context { graph, parameters: &parameters, training: true };
            let map = model.map(cx, graph.input("image", [BATCH, 3, FRAME_SIZE, FRAME_SIZE]));
            let target = graph.input("target", [BATCH, READINGS.len()]);
            model.classify(cx, model.features(map)).mse_loss(target, None).as_loss();
            Ok(())
        })?;
        let mut dice = Dice(11);
        let mut losses = Vec::new();
        for step in 0..steps {
            let faces: Vec<_> = (0..BATCH).map(|_| (Look::from_seed(dice.next()), dice.expression())).collect();
            let images: Vec<f32> = faces.iter().flat_map(|(look, e)| image(&render(look, e))).collect();
            let targets = faces.iter().flat_map(|(_, e)| readings(e)).collect();
            let batch = Batch::new(BATCH).float("image", images).float("target", targets);
            let learning_rate = 4e-3 * (1.0 - 0.9 * f64::from(step) / f64::from(steps));
            losses.extend(trainer.step(batch, StepSettings { learning_rate, beta1: None })?);
        }
        losses.extend(trainer.finish()?);
        let end: Vec<f32> = losses.iter().rev().take(10).map(|report| report.loss).collect();
        let error = (end.iter().sum::<f32>() / end.len().max(1) as f32).sqrt();
        eprintln!(
            "trained on {} drawn faces; root mean square error of its readings {error:.2}",
            steps as usize * BATCH
        );
        let values = store.download()?;
        Self::frozen(gpu, model, NetworkConfig::Resnet { sizes, norms: Norms::Layers }, parameters, values)
    }

    /// The ResNet of `sizes` inside a larger network, whose parameters are called `resnet` and its own names.
    pub fn inside(gpu: &Gpu, sizes: &ResnetConfig, parameters: &Parameters, values: &[Vec<f32>]) -> Result<Self> {
        let (model, own) = Resnet::alone(sizes)?;
        let named: HashMap<&str, &Vec<f32>> =
            parameters.specs().iter().map(|spec| spec.name.as_str()).zip(values).collect();
        let value = |name: &str| named.get(format!("resnet.{name}").as_str()).map(|values| values.to_vec());
        let values = own.specs().iter().map(|spec| value(&spec.name)).collect::<Option<Vec<_>>>();
        let values = values.ok_or_else(|| Error::Config("the network has no ResNet of these sizes".to_string()))?;
        Self::frozen(gpu, model, NetworkConfig::Resnet { sizes: sizes.clone(), norms: Norms::Layers }, own, values)
    }

    fn frozen(
        gpu: &Gpu,
        model: Resnet,
        config: NetworkConfig,
        mut parameters: Parameters,
        values: Vec<Vec<f32>>,
    ) -> Result<Self> {
        parameters.set_trainable(&[""], false);
        let store = ParameterStore::new(gpu, &parameters, &values)?;
        let sizes = model.config();
        let outputs = match sizes.classes {
            Some(classes) if classes == READINGS.len() => READINGS.map(String::from).to_vec(),
            Some(classes) => (0..classes).map(|index| format!("output {index}")).collect(),
            None => (0..sizes.features()).map(|index| format!("feature {index}")).collect(),
        };
        Ok(FaceNet { model, config, parameters, values, store, outputs })
    }
}

/// Three equal channels around 0 of gray levels.
pub fn image(levels: &[u8]) -> Vec<f32> {
    let values: Vec<f32> = levels.iter().map(|level| (f32::from(*level) - 110.0) / 60.0).collect();
    values.repeat(3)
}

fn readings(e: &Expression) -> [f32; 3] {
    [e.smile as f32, e.mouth as f32, e.eyes as f32]
}

/// Faces of anyone, with any expression.
pub fn crowd(count: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
    (0..count).map(|_| render(&Look::from_seed(dice.next()), &dice.expression())).collect()
}

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Any expression of an uncovered face.
    pub fn expression(&mut self) -> Expression {
        Expression {
            smile: self.uniform(-1.0, 1.0),
            mouth: self.uniform(0.0, 1.0),
            eyes: self.uniform(0.2, 1.5),
            tilt: self.uniform(-0.08, 0.08),
            shift: (self.uniform(-2.0, 2.0), self.uniform(-1.5, 1.5)),
            ..Expression::default()
        }
    }
}
