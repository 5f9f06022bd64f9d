//! Contrastive pre-training of the modality encoders: without labels they learn what the modalities of a clip have in common.
//!
//! ```text
//! text  -> encoder -> mean of valid steps -> projection -> length 1 -+
//! audio -> encoder -> mean of valid steps -> projection -> length 1 -+-> symmetric InfoNCE of each two, over the batch
//! video -> encoder -> mean of valid steps -> projection -> length 1 -+
//! ```

use super::config::check_weight;
use super::encoder::ModalityEncoder;
use super::task::{BatchShape, inputs};
use super::{ModalityConfig, ModalityInput, MsaConfig, Stream, clean, one_per_modality};
use crate::error::{Error, Result};
use crate::graph::{Graph, ParameterSpec, Parameters, Precision, Var, check_values};
use crate::nn::{Context, Linear};
use crate::ops::elementwise::fill;
use crate::ops::loss::infonce_pairs;
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// How clips are contrasted.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct ContrastConfig {
    /// Width of the space in which the modalities meet.
    pub projection_dim: usize,
    /// Cosine similarities are divided by it: the lower, the more the nearest wrong clip counts.
    pub temperature: f32,
}

impl Default for ContrastConfig {
    fn default() -> Self {
        ContrastConfig { projection_dim: 64, temperature: 0.1 }
    }
}

impl ContrastConfig {
    /// Checks ranges, and that `config` has modalities to contrast.
    pub fn check(&self, config: &MsaConfig) -> Result<()> {
        let wrong = |message: String| Err(Error::Config(message));
        if config.modalities.len() < 2 {
            return wrong("contrastive pre-training compares modalities: it needs two or more".to_string());
        }
        if self.projection_dim == 0 {
            return wrong("projection_dim must be at least 1".to_string());
        }
        if !(1e-3..=1e3).contains(&self.temperature) {
            return wrong(format!("the temperature must be from 0.001 to 1000, not {}", self.temperature));
        }
        check_weight("projections", self.projection_dim, config.model_dim)
    }
}

/// A modality of a batch in the space where modalities meet.
#[derive(Debug, Clone, Copy)]
pub struct Embedding<'g> {
    /// `[batch, projection_dim]`, as projected: its direction is what is compared.
    pub vector: Var<'g>,
    /// `[batch]`, 1 where the clip has this modality: any valid step.
    pub present: Var<'g>,
}

/// The encoders of an [`super::Msa`] with a projection each, to be trained by contrast before the model is: each two modalities of a clip
/// should be nearer in the space of the projections than those of different clips (InfoNCE, as van den Oord et al. 2018; both ways, as
/// Radford et al. 2021). Labels are not needed.
///
/// Parameters are named `<modality>_encoder.*`, equal to the model's in name, shape and start, and `contrast.<modality>.*`, which are
/// dropped afterwards.
///
/// ```no_run
/// use limbic::models::msa::{BatchShape, ContrastConfig, ContrastiveEncoders, Msa, MsaConfig, Preset, pretraining_graph};
/// use limbic::plan::{Batch, ParameterStore};
/// use limbic::train::{OptimizerConfig, StepSettings, Trainer};
///
/// # fn pretrain(gpu: &limbic::gpu::Gpu, batches: Vec<Batch>) -> limbic::Result<ParameterStore> {
/// let config = MsaConfig::preset(Preset::Small, MsaConfig::source_modalities(64));
/// let encoders = ContrastiveEncoders::new(&config, ContrastConfig::default())?;
/// let store = ParameterStore::new(gpu, encoders.parameters(), &encoders.parameters().initial_values(7))?;
/// let shape = BatchShape::full(32, &config.modalities);
/// let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.01), 7, |graph| {
///     pretraining_graph(&encoders, graph, &shape)
/// })?;
/// for batch in batches {
///     trainer.step(batch.without(&["target", "sample_weight"]), StepSettings { learning_rate: 1e-3, beta1: None })?;
/// }
/// trainer.finish()?;
/// let model = Msa::new(&config)?;
/// let mut values = model.parameters().initial_values(7);
/// encoders.hand_over(&store.download()?, model.parameters(), &mut values)?;
/// ParameterStore::new(gpu, model.parameters(), &values)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ContrastiveEncoders {
    config: MsaConfig,
    contrast: ContrastConfig,
    parameters: Parameters,
    encoders: Vec<ModalityEncoder>,
    projections: Vec<Linear>,
}

impl ContrastiveEncoders {
    /// The encoders of the model that `config` describes.
    ///
    /// # Errors
    /// [`Error::Config`] where sizes do not fit together, and for a model of one modality.
    pub fn new(config: &MsaConfig, contrast: ContrastConfig) -> Result<Self> {
        config.check()?;
        contrast.check(config)?;
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let encoders =
            config.modalities.iter().map(|modality| ModalityEncoder::new(&mut root, config, modality)).collect();
        let mut place = root.at("contrast");
        let projection = |modality: &ModalityConfig| {
            Linear::new(&mut place, &modality.name, config.model_dim, contrast.projection_dim)
        };
        let projections = config.modalities.iter().map(projection).collect();
        Ok(ContrastiveEncoders { config: config.clone(), contrast, parameters, encoders, projections })
    }

    /// The configuration of the model that the encoders belong to.
    pub fn config(&self) -> &MsaConfig {
        &self.config
    }

    pub fn contrast(&self) -> &ContrastConfig {
        &self.contrast
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The embeddings of one input per modality, in the configuration's order.
    pub fn forward<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> Vec<Embedding<'g>> {
        let inputs = one_per_modality(cx, &self.config.modalities, inputs);
        let embed = |((encoder, projection), input): ((&ModalityEncoder, &Linear), &ModalityInput<'g>)| {
            let scope = cx.graph.scope(encoder.name());
            let (features, mask) = clean(input);
            drop(scope);
            let (x, _) = encoder.forward(cx, features, mask);
            let _scope = cx.graph.scope("contrast");
            let vector = projection.forward(cx, x.masked_mean(mask));
            Embedding { vector, present: Stream { x, mask }.present() }
        };
        self.encoders.iter().zip(&self.projections).zip(&inputs).map(embed).collect()
    }

    /// The mean of the symmetric InfoNCE of each two modalities over the clips that have both, `[]`.
    pub fn loss<'g>(&self, cx: Context<'g>, embeddings: &[Embedding<'g>]) -> Var<'g> {
        let _scope = cx.graph.scope("contrast");
        let pairs = (0..embeddings.len()).flat_map(|second| (0..second).map(move |first| (first, second)));
        let losses: Vec<Var<'g>> = pairs
            .map(|(first, second)| {
                let (a, b) = (embeddings[first], embeddings[second]);
                infonce_pairs(a.vector, b.vector, self.contrast.temperature, Some(both(a.present, b.present)))
            })
            .collect();
        cx.graph.stack(&losses, 0).mean()
    }

    /// Puts the encoders' parameters out of `learnt`, which are of [`ContrastiveEncoders::parameters`], into `values`, which are of the
    /// `model`'s parameters. All others stay.
    ///
    /// # Errors
    /// Where a parameter of the encoders is not the model's.
    pub fn hand_over(&self, learnt: &[Vec<f32>], model: &Parameters, values: &mut [Vec<f32>]) -> Result<()> {
        check_values(&self.parameters, learnt)?;
        check_values(model, values)?;
        for (spec, learnt) in self.parameters.specs().iter().zip(learnt) {
            if spec.name.starts_with("contrast.") {
                continue;
            }
            let same = |other: &ParameterSpec| other.name == spec.name && other.shape == spec.shape;
            let place = model.specs().iter().position(same);
            let place = place.ok_or_else(|| Error::Tensor {
                name: spec.name.clone(),
                message: "the model has no such parameter: were its encoders configured alike?".to_string(),
            })?;
            values[place].clone_from(learnt);
        }
        Ok(())
    }
}

/// 1 where both masks `[batch]` are.
fn both<'g>(a: Var<'g>, b: Var<'g>) -> Var<'g> {
    fill(a.graph(), [a.shape().axis(0), 1], 1.0).mask_rows(a).mask_rows(b).padding_mask(0.0)
}

/// The graph of a pre-training step. Inputs: `<modality>` and `<modality>_mask` each, as for scoring; rows without a valid step, as those
/// that pad an incomplete batch, are no clips. Output: `loss`.
pub fn pretraining_graph(model: &ContrastiveEncoders, graph: &Graph, shape: &BatchShape) -> Result<()> {
    let cx = Context { graph, parameters: model.parameters(), training: true };
    let embeddings = model.forward(cx, &inputs(&model.config.modalities, graph, shape));
    model.loss(cx, &embeddings).as_loss();
    Ok(())
}

/// The graph of embeddings. Inputs as for [`pretraining_graph`]; outputs `loss` and `<modality>_embedding [batch, projection_dim]` each.
pub fn embedding_graph(model: &ContrastiveEncoders, graph: &Graph, shape: &BatchShape) -> Result<()> {
    let cx = Context { graph, parameters: model.parameters(), training: false };
    let embeddings = model.forward(cx, &inputs(&model.config.modalities, graph, shape));
    for (modality, embedding) in model.config.modalities.iter().zip(&embeddings) {
        embedding.vector.normalize(1, 1e-12).mask_rows(embedding.present).named(&embedding_name(&modality.name));
    }
    model.loss(cx, &embeddings).as_loss();
    Ok(())
}

fn embedding_name(modality: &str) -> String {
    format!("{modality}_embedding")
}

/// What an [`Embedder`] says of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// As in training, without dropout.
    pub loss: f32,
    /// Of each real clip the vector of each modality, in the model's order: of length 1, or zeros where the clip lacks it.
    pub clips: Vec<Vec<Vec<f32>>>,
}

/// The forward plan of [`embedding_graph`].
pub struct Embedder {
    plan: Plan,
    modalities: Vec<String>,
    shape: BatchShape,
}

impl Embedder {
    /// Over a store of [`ContrastiveEncoders::parameters`], with what lies between the layers kept in `precision`.
    pub fn new(
        store: &ParameterStore,
        model: &ContrastiveEncoders,
        shape: &BatchShape,
        precision: Precision,
    ) -> Result<Self> {
        let plan = Plan::new(store, Mode::Forward, |graph| {
            graph.set_precision(precision);
            embedding_graph(model, graph, shape)
        })?;
        let modalities = model.config.modalities.iter().map(|modality| modality.name.clone()).collect();
        Ok(Embedder { plan, modalities, shape: shape.clone() })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn shape(&self) -> &BatchShape {
        &self.shape
    }

    /// Embeds the real clips of `batch`, waiting for the GPU.
    ///
    /// # Errors
    /// Where a batch does not fit the model's inputs.
    pub fn run(&self, batch: &Batch) -> Result<Embedded> {
        batch.write_known_to(&self.plan)?;
        self.plan.run()?;
        let mut clips = vec![Vec::with_capacity(self.modalities.len()); batch.samples.min(self.shape.batch)];
        for modality in &self.modalities {
            let name = embedding_name(modality);
            let (values, dim) = (self.plan.read(&name)?, self.plan.output_shape(&name)?.axis(1));
            clips.iter_mut().zip(values.chunks(dim)).for_each(|(clip, vector)| clip.push(vector.to_vec()));
        }
        Ok(Embedded { loss: self.plan.read("loss")?[0], clips })
    }
}
