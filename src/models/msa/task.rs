//! From a model to the graphs that train it and score with it: inputs, loss, outputs.

use super::config::ModalityConfig;
use super::{ModalityInput, Msa, MsaBaseline};
use crate::error::{Error, Result};
use crate::graph::{Graph, Parameters, Precision, Var};
use crate::models::RegressionLoss;
use crate::nn::Context;
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// A model that scores clips: the sequence-level one, the baseline, or your own.
pub trait SentimentModel {
    fn parameters(&self) -> &Parameters;

    fn modalities(&self) -> &[ModalityConfig];

    /// Scores `[batch, 1]` and, where the model weighs modalities, the weights `[batch, modalities]`.
    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> (Var<'g>, Option<Var<'g>>);
}

impl SentimentModel for Msa {
    fn parameters(&self) -> &Parameters {
        self.parameters()
    }

    fn modalities(&self) -> &[ModalityConfig] {
        &self.config().modalities
    }

    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> (Var<'g>, Option<Var<'g>>) {
        let output = self.forward(cx, inputs);
        (output.score, Some(output.fused.weights))
    }
}

impl SentimentModel for MsaBaseline {
    fn parameters(&self) -> &Parameters {
        self.parameters()
    }

    fn modalities(&self) -> &[ModalityConfig] {
        &self.config().modalities
    }

    /// The source's baseline knows no masks: padding enters as the zeros it is made of.
    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> (Var<'g>, Option<Var<'g>>) {
        let clean = |input: &ModalityInput<'g>| match input.mask {
            Some(mask) => input.features.mask_rows(mask),
            None => input.features,
        };
        self.forward(cx, &inputs.iter().map(clean).collect::<Vec<_>>())
    }
}

/// The fixed shape of a batch: clips, and steps per modality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchShape {
    pub batch: usize,
    /// Steps of each modality's padded sequences, in the model's order.
    pub seq_lens: Vec<usize>,
}

impl BatchShape {
    /// Batches of `batch` clips at each modality's full length.
    pub fn full(batch: usize, modalities: &[ModalityConfig]) -> Self {
        BatchShape { batch, seq_lens: modalities.iter().map(|modality| modality.seq_len).collect() }
    }
}

fn inputs<'g>(model: &dyn SentimentModel, graph: &'g Graph, shape: &BatchShape) -> Vec<ModalityInput<'g>> {
    let input = |(modality, seq_len): (&ModalityConfig, &usize)| ModalityInput {
        features: graph.input(&modality.name, [shape.batch, *seq_len, modality.dim]),
        mask: Some(graph.mask_input(&format!("{}_mask", modality.name), [shape.batch, *seq_len])),
    };
    model.modalities().iter().zip(&shape.seq_lens).map(input).collect()
}

/// The training graph. Inputs: `<modality>` and `<modality>_mask` each, `target [batch, 1]`, and `sample_weight [batch, 1]`, which
/// is 0 for rows that pad an incomplete batch. Outputs: `loss`, `score`.
pub fn training_graph(
    model: &dyn SentimentModel,
    graph: &Graph,
    shape: &BatchShape,
    loss: RegressionLoss,
) -> Result<()> {
    let inputs = inputs(model, graph, shape);
    let (target, weight) = (graph.input("target", [shape.batch, 1]), graph.input("sample_weight", [shape.batch, 1]));
    let cx = Context { graph, parameters: model.parameters(), training: true };
    let (score, _) = model.score(cx, &inputs);
    let _scope = graph.scope("loss");
    let losses = loss.of(score.named("score") - target) * weight;
    (losses.sum() / weight.sum()).as_loss();
    Ok(())
}

/// The scoring graph: the same inputs without target and weight; outputs `score` and, where the model has them,
/// `fusion_weights`.
pub fn scoring_graph(model: &dyn SentimentModel, graph: &Graph, shape: &BatchShape) -> Result<()> {
    let inputs = inputs(model, graph, shape);
    let cx = Context { graph, parameters: model.parameters(), training: false };
    let (score, weights) = model.score(cx, &inputs);
    score.named("score");
    if let Some(weights) = weights {
        weights.named("fusion_weights");
    }
    Ok(())
}

/// What a [`Scorer`] says of one clip.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipScore {
    pub score: f32,
    /// One weight per modality, summing to 1; empty where the model does not weigh them.
    pub fusion_weights: Vec<f32>,
}

/// The forward plan of a model.
pub struct Scorer {
    plan: Plan,
    shape: BatchShape,
    /// Whether the model weighs its modalities.
    weighs: bool,
}

impl Scorer {
    pub fn new(store: &ParameterStore, model: &dyn SentimentModel, shape: &BatchShape) -> Result<Self> {
        Self::with_precision(store, model, shape, Precision::F32)
    }

    /// As [`Scorer::new`], with what lies between the layers kept in `precision`.
    pub fn with_precision(
        store: &ParameterStore,
        model: &dyn SentimentModel,
        shape: &BatchShape,
        precision: Precision,
    ) -> Result<Self> {
        let plan = Plan::new(store, Mode::Forward, |graph| {
            graph.set_precision(precision);
            scoring_graph(model, graph, shape)
        })?;
        let weighs = plan.output_shape("fusion_weights").is_ok();
        Ok(Scorer { plan, shape: shape.clone(), weighs })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn shape(&self) -> &BatchShape {
        &self.shape
    }

    /// Scores the real clips of `batch`, waiting for the GPU.
    ///
    /// # Errors
    /// Where a batch does not fit the model's inputs, or a score is not finite.
    pub fn run(&self, batch: &Batch) -> Result<Vec<ClipScore>> {
        self.run_all([batch])
    }

    /// Scores the real clips of all `batches`, in order.
    ///
    /// # Errors
    /// As [`Scorer::run`]; clips are counted over all batches.
    pub fn run_all<B: std::borrow::Borrow<Batch>>(
        &self,
        batches: impl IntoIterator<Item = B>,
    ) -> Result<Vec<ClipScore>> {
        let mut scores = Vec::new();
        for batch in batches {
            scores.extend(self.score(batch.borrow())?);
        }
        match scores.iter().position(|clip| !clip.score.is_finite()) {
            Some(index) => Err(Error::Config(format!(
                "the score of clip {} of {} is not finite: check its features and the weights",
                index + 1,
                scores.len()
            ))),
            None => Ok(scores),
        }
    }

    fn score(&self, batch: &Batch) -> Result<Vec<ClipScore>> {
        batch.write_known_to(&self.plan)?;
        self.plan.run()?;
        let scores = self.plan.read("score")?;
        let weights = match self.weighs {
            true => self.plan.read("fusion_weights")?,
            false => Vec::new(),
        };
        let per_clip = weights.len() / self.shape.batch.max(1);
        let clip = |(index, score): (usize, &f32)| ClipScore {
            score: *score,
            fusion_weights: weights[index * per_clip..(index + 1) * per_clip].to_vec(),
        };
        Ok(scores.iter().take(batch.samples).enumerate().map(clip).collect())
    }
}
