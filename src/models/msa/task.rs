//! From a model to the graphs that train it and score with it: inputs, loss, outputs.

use super::config::{EmotionTask, ModalityConfig};
use super::{ModalityInput, Msa, MsaBaseline, MsaOutput};
use crate::error::{Error, Result};
use crate::graph::{DType, Graph, Parameters, Precision, Var};
use crate::models::RegressionLoss;
use crate::nn::Context;
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// What a model says of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'g> {
    /// `[batch, 1]`.
    pub score: Var<'g>,
    /// `[batch, modalities]`, where the model weighs them.
    pub fusion_weights: Option<Var<'g>>,
    /// Logits `[batch, classes]`, where it has an emotion head.
    pub emotions: Option<Var<'g>>,
}

/// A model that scores clips: the sequence-level one, the baseline, or your own.
pub trait SentimentModel {
    fn parameters(&self) -> &Parameters;

    fn modalities(&self) -> &[ModalityConfig];

    /// The emotions that it tells apart, if it does.
    fn emotions(&self) -> Option<&EmotionTask> {
        None
    }

    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> Scored<'g>;
}

impl SentimentModel for Msa {
    fn parameters(&self) -> &Parameters {
        self.parameters()
    }

    fn modalities(&self) -> &[ModalityConfig] {
        &self.config().modalities
    }

    fn emotions(&self) -> Option<&EmotionTask> {
        self.config().emotions.as_ref()
    }

    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> Scored<'g> {
        self.forward(cx, inputs).scored()
    }
}

impl<'g> MsaOutput<'g> {
    pub(super) fn scored(&self) -> Scored<'g> {
        Scored { score: self.score, fusion_weights: Some(self.fused.weights), emotions: self.emotions }
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
    fn score<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> Scored<'g> {
        let clean = |input: &ModalityInput<'g>| match input.mask {
            Some(mask) => input.features.mask_rows(mask),
            None => input.features,
        };
        let (score, fusion_weights) = self.forward(cx, &inputs.iter().map(clean).collect::<Vec<_>>());
        Scored { score, fusion_weights, emotions: None }
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

/// What the training of scores minimises.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// A distance from the label.
    Regression(RegressionLoss),
    /// Binary cross entropy: the score is the logit of a label that is 0 or 1.
    Binary,
}

impl From<RegressionLoss> for Objective {
    fn from(loss: RegressionLoss) -> Self {
        Objective::Regression(loss)
    }
}

impl Objective {
    fn losses<'g>(self, score: Var<'g>, target: Var<'g>) -> Var<'g> {
        match self {
            Objective::Regression(loss) => loss.of(score - target),
            // the logit of the wrong answer
            Objective::Binary => (score * target.affine(-2.0, 1.0)).softplus(),
        }
    }

    /// The loss of one clip.
    pub fn value(self, score: f64, target: f64) -> f64 {
        match self {
            Objective::Regression(loss) => loss.value(score - target),
            Objective::Binary => {
                let wrong = score * (1.0 - 2.0 * target);
                wrong.max(0.0) + (-wrong.abs()).exp().ln_1p()
            }
        }
    }
}

/// The inputs that every graph has: `<modality>` and `<modality>_mask` each.
pub(super) fn inputs<'g>(
    modalities: &[ModalityConfig],
    graph: &'g Graph,
    shape: &BatchShape,
) -> Vec<ModalityInput<'g>> {
    let input = |(modality, seq_len): (&ModalityConfig, &usize)| ModalityInput {
        features: graph.input(&modality.name, [shape.batch, *seq_len, modality.dim]),
        mask: Some(graph.mask_input(&format!("{}_mask", modality.name), [shape.batch, *seq_len])),
    };
    modalities.iter().zip(&shape.seq_lens).map(input).collect()
}

/// The training graph. Inputs: `<modality>` and `<modality>_mask` each, `target [batch, 1]`, and `sample_weight [batch, 1]`, which
/// is 0 for rows that pad an incomplete batch; for a model with an emotion head also `emotion [batch]` (U32; `u32::MAX` is no class and
/// does not count), whose cross entropy is added with the task's weight. Outputs: `loss`, `score`.
pub fn training_graph(
    model: &dyn SentimentModel,
    graph: &Graph,
    shape: &BatchShape,
    objective: impl Into<Objective>,
) -> Result<()> {
    let inputs = inputs(model.modalities(), graph, shape);
    let (target, weight) = (graph.input("target", [shape.batch, 1]), graph.input("sample_weight", [shape.batch, 1]));
    let cx = Context { graph, parameters: model.parameters(), training: true };
    let scored = model.score(cx, &inputs);
    let _scope = graph.scope("loss");
    let losses = objective.into().losses(scored.score.named("score"), target) * weight;
    let of_scores = losses.sum() / weight.sum();
    let total = match model.emotions().zip(scored.emotions) {
        Some((task, logits)) => {
            let labels = graph.typed_input("emotion", [shape.batch], DType::U32);
            of_scores + logits.cross_entropy(labels, None, 0.0).scale(task.weight)
        }
        None => of_scores,
    };
    total.as_loss();
    Ok(())
}

/// The scoring graph: the same inputs without target and weight; outputs `score` and, where the model has them,
/// `fusion_weights` and `emotions`, a probability per class.
pub fn scoring_graph(model: &dyn SentimentModel, graph: &Graph, shape: &BatchShape) -> Result<()> {
    let inputs = inputs(model.modalities(), graph, shape);
    let cx = Context { graph, parameters: model.parameters(), training: false };
    name_outputs(&model.score(cx, &inputs));
    Ok(())
}

/// Keeps what scorers read.
pub(super) fn name_outputs(scored: &Scored<'_>) {
    scored.score.named("score");
    if let Some(weights) = scored.fusion_weights {
        weights.named("fusion_weights");
    }
    if let Some(logits) = scored.emotions {
        logits.softmax(1).named("emotions");
    }
}

/// What a [`Scorer`] says of one clip.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipScore {
    pub score: f32,
    /// One weight per modality, summing to 1 unless they are gates; empty where the model does not weigh them.
    pub fusion_weights: Vec<f32>,
    /// A probability per emotion; empty where the model has no head for them.
    pub emotions: Vec<f32>,
}

impl ClipScore {
    /// The likeliest emotion, where the model tells them apart.
    pub fn emotion(&self) -> Option<usize> {
        (0..self.emotions.len()).rev().max_by(|a, b| self.emotions[*a].total_cmp(&self.emotions[*b]))
    }
}

/// The forward plan of a model.
pub struct Scorer {
    plan: Plan,
    shape: BatchShape,
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
        Ok(Scorer { plan, shape: shape.clone() })
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
        read_scores(&self.plan, batch.samples)
    }
}

/// What the last run of a plan with the outputs of [`name_outputs`] says of its first `samples` clips.
pub(super) fn read_scores(plan: &Plan, samples: usize) -> Result<Vec<ClipScore>> {
    // the rows of an output [batch, ..], none where the model has no such output
    let rows = |name: &str| -> Result<Vec<Vec<f32>>> {
        let Ok(shape) = plan.output_shape(name) else { return Ok(Vec::new()) };
        Ok(plan.read(name)?.chunks(shape.len() / shape.axis(0)).map(<[f32]>::to_vec).collect())
    };
    let (weights, emotions) = (rows("fusion_weights")?, rows("emotions")?);
    let of = |rows: &[Vec<f32>], index: usize| rows.get(index).cloned().unwrap_or_default();
    let clip = |(index, score): (usize, &f32)| ClipScore {
        score: *score,
        fusion_weights: of(&weights, index),
        emotions: of(&emotions, index),
    };
    Ok(plan.read("score")?.iter().take(samples).enumerate().map(clip).collect())
}
