//! From pictures to traits: the ResNet on the faces, the I3D on the optical flow, and the head on both, trained end to end.

use super::fusion::{PersonalityConfig, PersonalityHead, PersonalityOutput, TRAITS};
use super::i3d::{I3d, I3dConfig};
use super::resnet::{Resnet, ResnetConfig};
use crate::error::{Error, Result};
use crate::graph::{Graph, Parameters, Var};
use crate::models::RegressionLoss;
use crate::nn::Context;
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// Sizes of a [`PersonalityNetwork`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct PersonalityNetworkConfig {
    pub resnet: ResnetConfig,
    pub i3d: I3dConfig,
    /// Its `static_dim` and `dynamic_dim` are the extractors' widths.
    pub head: PersonalityConfig,
    /// Whether places of the face attend to places and times of the motion; else each is one vector, as in the source, and the
    /// attention has one key.
    pub tokens: bool,
    /// How much of the ResNet is frozen: 0 nothing, 1 its stem, 2 its first layer as well, and so on.
    pub frozen_stages: usize,
    /// Pictures of the face in a clip, whose features are averaged, and their width and height.
    pub faces: usize,
    pub face_size: usize,
    /// Frames of a clip, and their width and height.
    pub frames: usize,
    pub frame_size: usize,
}

impl PersonalityNetworkConfig {
    /// Both extractors at a small part of their size and depth: trains from nothing in minutes on a CPU.
    pub fn small() -> Self {
        let resnet = ResnetConfig { stem: 24, layers: vec![(8, 1), (16, 1)], ..ResnetConfig::resnet50() };
        let i3d = I3dConfig { divisor: 8, stages: 2, dropout: 0.05, momentum: 0.1, ..I3dConfig::flow() };
        let head = PersonalityConfig {
            fusion_dim: 32,
            num_heads: 2,
            hidden: 32,
            dropout: 0.05,
            momentum: 0.1,
            ..PersonalityConfig::default()
        };
        PersonalityNetworkConfig {
            faces: 2,
            face_size: 64,
            frames: 12,
            frame_size: 32,
            ..Self::over(resnet, i3d, head)
        }
    }

    /// The source's: ResNet-50 and I3D at full size.
    pub fn full() -> Self {
        Self::over(ResnetConfig::resnet50(), I3dConfig::flow(), PersonalityConfig::default())
    }

    fn over(resnet: ResnetConfig, i3d: I3dConfig, head: PersonalityConfig) -> Self {
        let head = PersonalityConfig { static_dim: resnet.features(), dynamic_dim: i3d.features(), ..head };
        let (tokens, frozen_stages) = (false, 0);
        PersonalityNetworkConfig {
            resnet,
            i3d,
            head,
            tokens,
            frozen_stages,
            faces: 1,
            face_size: 224,
            frames: 33,
            frame_size: 112,
        }
    }
}

/// The whole model. Its parameters are called `resnet...`, `i3d...` and `head...`.
#[derive(Debug, Clone)]
pub struct PersonalityNetwork {
    config: PersonalityNetworkConfig,
    parameters: Parameters,
    resnet: Resnet,
    i3d: I3d,
    head: PersonalityHead,
}

impl PersonalityNetwork {
    /// # Errors
    /// Where the configuration does not hold together.
    pub fn new(config: &PersonalityNetworkConfig) -> Result<Self> {
        let PersonalityNetworkConfig { resnet, i3d, head, .. } = config;
        if (head.static_dim, head.dynamic_dim) != (resnet.features(), i3d.features()) || resnet.classes.is_some() {
            let message = "the head's static_dim and dynamic_dim must be the widths of the extractors' features, and the ResNet have no classes";
            return Err(Error::Config(message.to_string()));
        }
        if config.frozen_stages > resnet.layers.len() + 1 {
            let stages = resnet.layers.len() + 1;
            return Err(Error::Config(format!("the ResNet has {stages} stages, so frozen_stages can be no more")));
        }
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let resnet = Resnet::new(&mut root.at("resnet"), resnet)?;
        let i3d = I3d::new(&mut root.at("i3d"), i3d)?;
        let head = PersonalityHead::new(&mut root.at("head"), head)?;
        let layers = (1..config.frozen_stages).map(|layer| format!("resnet.layer{layer}."));
        let stem = ["resnet.conv1.", "resnet.bn1."].map(String::from).into_iter().filter(|_| config.frozen_stages > 0);
        let frozen: Vec<String> = stem.chain(layers).collect();
        parameters.set_trainable(&frozen.iter().map(String::as_str).collect::<Vec<_>>(), false);
        Ok(PersonalityNetwork { config: config.clone(), parameters, resnet, i3d, head })
    }

    pub fn config(&self) -> &PersonalityNetworkConfig {
        &self.config
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `faces [batch, faces, 3, face_size, face_size]`, normalised as ImageNet, and `flow [batch, 2, frames - 1, frame_size, frame_size]`
    /// in pixels.
    pub fn forward<'g>(&self, cx: Context<'g>, faces: Var<'g>, flow: Var<'g>) -> PersonalityOutput<'g> {
        self.classify(cx, self.maps(cx, faces, flow))
    }

    /// The last maps of both extractors, as Grad-CAM looks at them: the faces' `[batch * faces, static_dim, height, width]` and the
    /// motion's `[batch, dynamic_dim, steps, height, width]`. Inputs as for [`PersonalityNetwork::forward`].
    pub fn maps<'g>(&self, cx: Context<'g>, faces: Var<'g>, flow: Var<'g>) -> [Var<'g>; 2] {
        let face = {
            let _scope = cx.graph.scope("resnet");
            let (pictures, size) = (faces.shape().axis(0) * faces.shape().axis(1), self.config.face_size);
            self.resnet.map(cx, faces.reshape([pictures, 3, size, size]))
        };
        let _scope = cx.graph.scope("i3d");
        [face, self.i3d.map(cx, flow)]
    }

    /// From both maps to the traits.
    pub fn classify<'g>(&self, cx: Context<'g>, maps: [Var<'g>; 2]) -> PersonalityOutput<'g> {
        let [face, motion] = if self.config.tokens { self.tokens(cx, maps) } else { self.pooled(cx, maps) };
        let _scope = cx.graph.scope("head");
        match self.config.tokens {
            true => self.head.forward_tokens(cx, face, motion, None),
            false => self.head.forward(cx, face, motion),
        }
    }

    /// The features of the face, `[batch, static_dim]`, and of the motion, `[batch, dynamic_dim]`.
    pub fn vectors<'g>(&self, cx: Context<'g>, faces: Var<'g>, flow: Var<'g>) -> [Var<'g>; 2] {
        self.pooled(cx, self.maps(cx, faces, flow))
    }

    fn pooled<'g>(&self, cx: Context<'g>, [face, motion]: [Var<'g>; 2]) -> [Var<'g>; 2] {
        let batch = motion.shape().axis(0);
        let count = face.shape().axis(0) / batch;
        let face = {
            let _scope = cx.graph.scope("resnet");
            self.resnet.features(face).reshape([batch, count, self.config.head.static_dim]).mean_axes(&[1])
        };
        let _scope = cx.graph.scope("i3d");
        [face, self.i3d.features(cx, motion)]
    }

    /// Places of the face, `[batch, faces * places, static_dim]`, and places and times of the motion, `[batch, steps, dynamic_dim]`.
    fn tokens<'g>(&self, cx: Context<'g>, [face, motion]: [Var<'g>; 2]) -> [Var<'g>; 2] {
        let batch = motion.shape().axis(0);
        let (width, motion_width) = (self.config.head.static_dim, self.config.head.dynamic_dim);
        let count = face.shape().axis(0) / batch;
        let face = {
            let _scope = cx.graph.scope("resnet");
            let places = face.shape().axis(2) * face.shape().axis(3);
            let tokens = face.reshape([batch, count, width, places]).permute(&[0, 1, 3, 2]);
            tokens.reshape([batch, count * places, width])
        };
        let _scope = cx.graph.scope("i3d");
        let steps = motion.shape().axes()[2..].iter().product();
        [face, motion.reshape([batch, motion_width, steps]).permute(&[0, 2, 1])]
    }

    /// The inputs `faces` and `flow` of [`PersonalityNetwork::forward`].
    pub(super) fn inputs<'g>(&self, graph: &'g Graph, batch: usize) -> [Var<'g>; 2] {
        let PersonalityNetworkConfig { faces, face_size, frames, frame_size, .. } = self.config;
        let faces = graph.input("faces", [batch, faces, 3, face_size, face_size]);
        [faces, graph.input("flow", [batch, 2, frames.saturating_sub(1), frame_size, frame_size])]
    }
}

/// The training graph of batches that are full: batch norm would take in whatever filled one up. Inputs `faces`, `flow` and
/// `target [batch, 5]`; outputs `loss` and `traits`.
pub fn training_graph(model: &PersonalityNetwork, graph: &Graph, batch: usize, loss: RegressionLoss) -> Result<()> {
    let [faces, flow] = model.inputs(graph, batch);
    let target = graph.input("target", [batch, TRAITS.len()]);
    let cx = Context { graph, parameters: model.parameters(), training: true };
    let traits = model.forward(cx, faces, flow).traits.named("traits");
    let _scope = graph.scope("loss");
    loss.of(traits - target).mean().as_loss();
    Ok(())
}

/// The forward plan of a network.
pub struct TraitScorer {
    pub(super) plan: Plan,
}

impl TraitScorer {
    pub fn new(store: &ParameterStore, model: &PersonalityNetwork, batch: usize) -> Result<Self> {
        let plan = Plan::new(store, Mode::Forward, |graph| {
            let [faces, flow] = model.inputs(graph, batch);
            let cx = Context { graph, parameters: model.parameters(), training: false };
            model.forward(cx, faces, flow).traits.named("traits");
            Ok(())
        })?;
        Ok(TraitScorer { plan })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The traits of the real clips of all `batches`, in order and in the order of [`TRAITS`], waiting for the GPU.
    ///
    /// # Errors
    /// Where a batch does not fit the model's inputs, or a trait is not finite.
    pub fn run_all(&self, batches: impl IntoIterator<Item = Batch>) -> Result<Vec<[f32; 5]>> {
        let mut traits: Vec<[f32; 5]> = Vec::new();
        for batch in batches {
            batch.write_known_to(&self.plan)?;
            self.plan.run()?;
            let values = self.plan.read("traits")?;
            traits.extend(values.as_chunks::<5>().0.iter().take(batch.samples));
        }
        match traits.iter().position(|traits| traits.iter().any(|value| !value.is_finite())) {
            Some(index) => Err(Error::Config(format!(
                "a trait of clip {} of {} is not finite: check its pictures and the weights",
                index + 1,
                traits.len()
            ))),
            None => Ok(traits),
        }
    }
}
