//! A network of faces and motion that looks at one clip: personality_train's, or a small one over tokens that is trained now.

use crate::personality::{DataSource, compute_flow, read_clip, read_config, video_shape};
use limbic::data::builtin::{Cues, Talking, TalkingConfig, generate_talking};
use limbic::data::chalearn;
use limbic::data::video::{VideoBatches, VideoClip, VideoShape};
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters};
use limbic::models::RegressionLoss;
use limbic::models::personality::{PersonalityNetwork, PersonalityNetworkConfig, TRAITS, training_graph};
use limbic::nn::Context;
use limbic::plan::{Batch, Mode, ParameterStore, Plan};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::{OptimizerConfig, StepSettings, Trainer};
use limbic::viz::{grad_cam, resize_bilinear};
use limbic::{Error, Result};
use std::path::Path;

/// Clips per training step, and how many there are at most.
const BATCH: usize = 16;
const CLIPS: usize = 96;
/// Built-in clips that the liveliest is taken of.
const CHOICE: usize = 24;

/// A personality network whose weights stand still, and the clip that it looks at.
pub struct ClipNet {
    model: PersonalityNetwork,
    parameters: Parameters,
    pub values: Vec<Vec<f32>>,
    store: ParameterStore,
    /// With its frames and its flow.
    pub clip: VideoClip,
    pub shape: VideoShape,
}

impl ClipNet {
    /// The network in `checkpoint` with `clip`, a folder of frames or a video; by default with the first clip of the data it was tested on.
    pub fn from_checkpoint(gpu: &Gpu, checkpoint: &Path, clip: Option<&Path>) -> Result<Self> {
        let checkpoint = Checkpoint::open(checkpoint)?;
        let config = read_config(&checkpoint)?;
        let model = PersonalityNetwork::new(&config.model)?;
        let values = checkpoint.load_model(model.parameters())?;
        let shape = video_shape(&config.model);
        let clip = match (clip, &config.data) {
            (Some(path), _) => read_clip(path, &shape)?,
            (None, DataSource::Builtin { seed }) => lively(&talking(*seed, shape, 0, CHOICE)?)?,
            (None, DataSource::Chalearn { dir, .. }) => {
                let corpus = chalearn::load(dir, &shape, Some(1))?;
                let clips = [corpus.test, corpus.valid, corpus.train].into_iter().flatten().next();
                clips.ok_or_else(|| {
                    Error::Config(format!("{}: there is no clip to look at: give --clip", dir.display()))
                })?
            }
        };
        Self::frozen(gpu, model, values, clip)
    }

    /// A small network over tokens, trained now, with `clip` or the liveliest of some drawn ones.
    pub fn trained(gpu: &Gpu, clip: Option<&Path>, steps: u32) -> Result<Self> {
        let config = PersonalityNetworkConfig { tokens: true, faces: 1, ..PersonalityNetworkConfig::small() };
        let model = PersonalityNetwork::new(&config)?;
        let shape = video_shape(&config);
        let mut talking = talking(7, shape, CLIPS.min(BATCH * steps as usize), CHOICE)?;
        compute_flow(gpu, &shape, &mut talking.corpus.train)?;
        let parameters = model.parameters();
        let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(7))?;
        let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 7, |graph| {
            training_graph(&model, graph, BATCH, RegressionLoss::Mse)
        })?;
        let batches = VideoBatches::new(&talking.corpus.train, shape, BATCH)?;
        let endless = (0..).flat_map(|epoch| batches.shuffled(7, epoch, true));
        for (step, batch) in endless.take(steps as usize).enumerate() {
            let learning_rate = 4e-3 * (1.0 - 0.9 * step as f64 / f64::from(steps));
            trainer.step(batch, StepSettings { learning_rate, beta1: None })?;
        }
        trainer.finish()?;
        eprintln!("trained a network of faces and motion in {steps} steps of {BATCH} drawn clips");
        let clip = clip.map_or_else(|| lively(&talking), |path| read_clip(path, &shape))?;
        Self::frozen(gpu, model.clone(), store.download()?, clip)
    }

    fn frozen(gpu: &Gpu, model: PersonalityNetwork, values: Vec<Vec<f32>>, mut clip: VideoClip) -> Result<Self> {
        let mut parameters = model.parameters().clone();
        parameters.set_trainable(&[""], false);
        let store = ParameterStore::new(gpu, &parameters, &values)?;
        let shape = video_shape(model.config());
        let frames = clip.frames.clone();
        compute_flow(gpu, &shape, std::slice::from_mut(&mut clip))?;
        clip.frames = frames;
        Ok(ClipNet { model, parameters, values, store, clip, shape })
    }

    pub fn config(&self) -> &PersonalityNetworkConfig {
        self.model.config()
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What the network makes of the clip on its way.
    pub fn see(&self) -> Result<Seen> {
        let plan = Plan::new(&self.store, Mode::Forward, |graph| {
            let cx = Context { graph, parameters: &self.parameters, training: false };
            let VideoShape { faces, face_size, frames, frame_size } = self.shape;
            let faces = graph.input("faces", [1, faces, 3, face_size, face_size]);
            let flow = graph.input("flow", [1, 2, frames - 1, frame_size, frame_size]);
            let maps = self.model.maps(cx, faces, flow);
            let seen = self.model.classify(cx, maps);
            maps[0].named("face");
            maps[1].named("motion");
            seen.traits.named("traits");
            if self.config().tokens {
                seen.attention.weights().named("weights");
            }
            Ok(())
        })?;
        let clips = std::slice::from_ref(&self.clip);
        let batches = VideoBatches::new(clips, self.shape, 1)?;
        batches.in_order().try_for_each(|batch: Batch| batch.write_to(&plan))?;
        plan.run()?;
        let axes = |name| Ok::<_, Error>(plan.output_shape(name)?.axes().to_vec());
        let (face, motion) = (axes("face")?, axes("motion")?);
        let mut seen = Seen {
            traits: plan.read("traits")?,
            face: plan.read("face")?,
            face_size: [face[0], face[1], face[2], face[3]],
            motion: plan.read("motion")?,
            motion_size: [motion[1], motion[2], motion[3], motion[4]],
            attention: None,
        };
        if self.config().tokens {
            let (heads, keys) = (axes("weights")?[1], seen.steps() * motion[3] * motion[4]);
            seen.attention = Some(Attention { heads, keys, weights: plan.read("weights")? });
        }
        Ok(seen)
    }

    /// For each trait Grad-CAM on the maps of the faces and of the motion.
    pub fn cams(&self, seen: &Seen) -> Result<Vec<Cams>> {
        let [pictures, width, height, across] = seen.face_size;
        let [channels, steps, rows, columns] = seen.motion_size;
        let plan = Plan::new(&self.store, Mode::Gradients, |graph: &Graph| {
            let cx = Context { graph, parameters: &self.parameters, training: false };
            let face = graph.input_with_grad("face", [pictures, width, height, across]);
            let motion = graph.input_with_grad("motion", [1, channels, steps, rows, columns]);
            let chosen = graph.input("chosen", [1, TRAITS.len()]);
            (self.model.classify(cx, [face, motion]).traits * chosen).sum().as_loss();
            Ok(())
        })?;
        plan.write("face", &seen.face)?;
        plan.write("motion", &seen.motion)?;
        let of = |trait_index: usize| {
            let mut chosen = [0.0; TRAITS.len()];
            chosen[trait_index] = 1.0;
            plan.write("chosen", &chosen)?;
            plan.run()?;
            let gradient = plan.read("grad/face")?;
            let one = width * height * across;
            let face_cam = |(map, gradient): (&[f32], &[f32])| {
                let cam = grad_cam(map, gradient, [width, height, across])?;
                resize_bilinear(&cam, [height, across], [self.shape.face_size; 2])
            };
            let faces = seen.face.chunks(one).zip(gradient.chunks(one)).map(face_cam).collect::<Result<_>>()?;
            // all steps at once: a weight per channel, and one scale for all of them
            let cam = grad_cam(&seen.motion, &plan.read("grad/motion")?, [channels, steps * rows, columns])?;
            let step_cam = |cam: &[f32]| resize_bilinear(cam, [rows, columns], [self.shape.frame_size; 2]);
            let motion = cam.chunks(rows * columns).map(step_cam).collect::<Result<_>>()?;
            Ok(Cams { faces: to_largest(faces), motion: to_largest(motion) })
        };
        (0..TRAITS.len()).map(of).collect()
    }
}

/// Grad-CAM of each picture of the face and of each step of the motion, at the pictures' sizes, by the largest value of either kind.
pub struct Cams {
    pub faces: Vec<Vec<f32>>,
    pub motion: Vec<Vec<f32>>,
}

/// All by the largest value of any, so that they can be compared.
pub fn to_largest(maps: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let most = maps.iter().flatten().fold(f32::MIN_POSITIVE, |most, value| most.max(*value));
    maps.into_iter().map(|map| map.into_iter().map(|value| value / most).collect()).collect()
}

pub struct Seen {
    pub traits: Vec<f32>,
    face: Vec<f32>,
    /// `[faces, channels, height, width]`.
    face_size: [usize; 4],
    pub motion: Vec<f32>,
    /// `[channels, steps, height, width]`.
    pub motion_size: [usize; 4],
    /// Of a network over tokens.
    pub attention: Option<Attention>,
}

impl Seen {
    /// Steps of time in the motion's map.
    pub fn steps(&self) -> usize {
        self.motion_size[1]
    }

    /// Height and width of the map of one picture of the face.
    pub fn face_places(&self) -> [usize; 2] {
        [self.face_size[2], self.face_size[3]]
    }

    /// Height and width of the map of one step of the motion.
    pub fn motion_places(&self) -> [usize; 2] {
        [self.motion_size[2], self.motion_size[3]]
    }
}

/// How much places of the face (queries) attend to places and times of the motion (keys).
pub struct Attention {
    pub heads: usize,
    pub keys: usize,
    /// `[heads, queries, keys]`.
    weights: Vec<f32>,
}

impl Attention {
    /// The weights of `head`, or the mean of all, relative to even attention, `[queries, keys]`.
    fn relative(&self, head: Option<usize>) -> Vec<f32> {
        let one = self.weights.len() / self.heads;
        let heads = head.map_or(0..self.heads, |head| head..head + 1);
        let share = self.keys as f32 / heads.len() as f32;
        (0..one).map(|i| share * heads.clone().map(|head| self.weights[head * one + i]).sum::<f32>()).collect()
    }

    /// What each place and time of the motion gets from the whole face, `[keys]`; 1 is what even attention would give.
    pub fn received(&self, head: Option<usize>) -> Vec<f32> {
        let weights = self.relative(head);
        let queries = (weights.len() / self.keys) as f32;
        (0..self.keys).map(|key| weights.iter().skip(key).step_by(self.keys).sum::<f32>() / queries).collect()
    }

    /// What each place of the face gives to `key`, `[queries]`.
    pub fn given(&self, head: Option<usize>, key: usize) -> Vec<f32> {
        self.relative(head).into_iter().skip(key).step_by(self.keys).collect()
    }
}

fn talking(seed: u64, shape: VideoShape, train: usize, test: usize) -> Result<Talking> {
    generate_talking(TalkingConfig { seed, shape, train, valid: 0, test, ..TalkingConfig::default() })
}

/// The test clip in which most moves.
fn lively(talking: &Talking) -> Result<VideoClip> {
    let motion = |cues: &Cues| cues.energy + cues.nodding + cues.talking;
    let pairs = talking.corpus.test.iter().zip(&talking.cues[2]);
    let most = pairs.max_by(|a, b| motion(a.1).total_cmp(&motion(b.1)));
    most.map(|(clip, _)| clip.clone()).ok_or_else(|| Error::Config("there is no drawn clip".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attention_is_relative_to_even_attention() {
        // two heads, two queries, four keys
        let weights = [[0.25, 0.25, 0.25, 0.25], [1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25]];
        let attention = Attention { heads: 2, keys: 4, weights: weights.concat() };
        assert_eq!(attention.received(Some(0)), [2.5, 0.5, 0.5, 0.5]);
        assert_eq!(attention.received(Some(1)), [0.5, 1.5, 1.5, 0.5]);
        assert_eq!(attention.received(None), [1.5, 1.0, 1.0, 0.5]);
        assert_eq!(attention.given(Some(0), 0), [1.0, 4.0]);
        assert_eq!(attention.given(None, 1), [1.5, 0.5]);
    }

    #[test]
    fn maps_are_brought_to_their_largest_value_together() {
        assert_eq!(to_largest(vec![vec![1.0, 2.0], vec![4.0]]), [vec![0.25, 0.5], vec![1.0]]);
        assert_eq!(to_largest(vec![vec![0.0; 2]]), [vec![0.0; 2]]);
    }
}
