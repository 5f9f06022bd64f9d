//! Multimodal sentiment analysis at the level of sequences: no modality is pooled before it has met the others.
//!
//! ```text
//! text  -> projection + positions -> blocks -+-> text <- audio -> text <- video -+-> pool -+
//! audio -> projection + positions -> blocks -+   (and back, if bidirectional)    +-> pool -+-> weighted sum -> score
//! video -> projection + positions -> blocks -+                                   +-> pool -+
//! ```

mod baseline;
mod config;
mod encoder;
mod fusion;
mod pretraining;
mod stream;
mod task;

pub use super::RegressionLoss;
pub use baseline::{BaselineConfig, MsaBaseline};
pub use config::{EmotionTask, Encoder, Fusion, ModalityConfig, MsaConfig, Pooling, Preset, TIME_SCALES};
pub use encoder::{LearnablePositionalEmbedding, ModalityEncoder};
pub use fusion::{AdaptiveFusionHead, CrossModalFusion, Fused, GatedFusionHead, Stream};
pub use pretraining::{
    ContrastConfig, ContrastiveEncoders, Embedded, Embedder, Embedding, embedding_graph, pretraining_graph,
};
pub use stream::StreamScorer;
pub use task::{BatchShape, ClipScore, Objective, Scored, Scorer, SentimentModel, scoring_graph, training_graph};

use crate::error::Result;
use crate::graph::{Parameters, Var};
use crate::nn::{Context, Linear};
use crate::ops::attention::AttentionOutput;
use fusion::FusionHead;

/// One modality's input.
#[derive(Debug, Clone, Copy)]
pub struct ModalityInput<'g> {
    /// `[batch, seq, dim]`.
    pub features: Var<'g>,
    /// `[batch, seq]`, 1 = valid; `None` derives it: a step is valid if any feature differs from 0.
    pub mask: Option<Var<'g>>,
}

/// Everything the model computes on its way.
#[derive(Debug, Clone)]
pub struct MsaOutput<'g> {
    /// `[batch, 1]`, always f32.
    pub score: Var<'g>,
    /// Logits `[batch, classes]`, with an emotion head.
    pub emotions: Option<Var<'g>>,
    pub fused: Fused<'g>,
    /// Each modality's sequence after its encoder, and after fusion.
    pub encoded: Vec<Stream<'g>>,
    pub sequences: Vec<Stream<'g>>,
    /// Attention of every block, by the block's name (`text_encoder.blocks.0`, `text_encoder.blocks.0.scale2`,
    /// `fusion.text_from_audio.0`).
    pub attentions: Vec<(String, AttentionOutput<'g>)>,
    /// With attention pooling, the weights over each modality's steps, `[batch, seq]`.
    pub step_weights: Vec<Var<'g>>,
}

/// The sequence-level model.
#[derive(Debug, Clone)]
pub struct Msa {
    config: MsaConfig,
    parameters: Parameters,
    encoders: Vec<ModalityEncoder>,
    fusion: CrossModalFusion,
    weighing: FusionHead,
    head: Linear,
    emotion_head: Option<Linear>,
}

impl Msa {
    /// # Errors
    /// [`crate::Error::Config`] where sizes do not fit together.
    pub fn new(config: &MsaConfig) -> Result<Self> {
        config.check()?;
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let encoders =
            config.modalities.iter().map(|modality| ModalityEncoder::new(&mut root, config, modality)).collect();
        let fusion = CrossModalFusion::new(&mut root, config);
        let weighing = FusionHead::new(&mut root, config);
        let head = Linear::new(&mut root, "head", config.model_dim, 1);
        let classes = config.emotions.as_ref().map(|task| task.classes.len());
        let emotion_head = classes.map(|classes| Linear::new(&mut root, "emotion_head", config.model_dim, classes));
        Ok(Msa { config: config.clone(), parameters, encoders, fusion, weighing, head, emotion_head })
    }

    pub fn config(&self) -> &MsaConfig {
        &self.config
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Writes the model's graph over one input per modality, in the configuration's order.
    pub fn forward<'g>(&self, cx: Context<'g>, inputs: &[ModalityInput<'g>]) -> MsaOutput<'g> {
        let mut attentions = Vec::new();
        let mut encoded = Vec::with_capacity(inputs.len());
        let inputs = one_per_modality(cx, &self.config.modalities, inputs);
        for (encoder, input) in self.encoders.iter().zip(&inputs) {
            let scope = cx.graph.scope(encoder.name());
            let (features, mask) = clean(input);
            drop(scope);
            let (x, blocks) = encoder.forward(cx, features, mask);
            encoded.push(Stream { x, mask });
            attentions.extend(blocks.into_iter().map(|(name, block)| (format!("{}.{name}", encoder.name()), block)));
        }
        self.join(cx, encoded, attentions)
    }

    /// From encoded sequences to the score.
    fn join<'g>(
        &self,
        cx: Context<'g>,
        encoded: Vec<Stream<'g>>,
        mut attentions: Vec<(String, AttentionOutput<'g>)>,
    ) -> MsaOutput<'g> {
        let (sequences, fused_attentions) = self.fusion.forward(cx, &encoded);
        attentions.extend(fused_attentions.into_iter().map(|(name, attention)| (format!("fusion.{name}"), attention)));
        let (fused, step_weights) = self.weighing.forward(cx, &sequences);
        let score = self.head.forward(cx, fused.fused);
        let emotions = self.emotion_head.as_ref().map(|head| head.forward(cx, fused.fused));
        MsaOutput { score, emotions, fused, encoded, sequences, attentions, step_weights }
    }
}

/// The inputs, if there is one for each modality; else the graph fails and gets stand-ins, so that building can go on.
fn one_per_modality<'g>(
    cx: Context<'g>,
    modalities: &[ModalityConfig],
    inputs: &[ModalityInput<'g>],
) -> Vec<ModalityInput<'g>> {
    if inputs.len() == modalities.len() {
        return inputs.to_vec();
    }
    let names: Vec<&str> = modalities.iter().map(|modality| modality.name.as_str()).collect();
    cx.graph.fail("msa", format!("wants one input each for {}, got {}", names.join(", "), inputs.len()));
    let stand_in = |modality: &ModalityConfig| ModalityInput {
        features: cx.graph.input(&format!("no {}", modality.name), [1, 1, modality.dim]),
        mask: None,
    };
    modalities.iter().map(stand_in).collect()
}

/// Features and mask of an input. What an explicit mask hides is set to 0 at the door, so that nothing behind it, forward or
/// backward, ever meets what padding held.
fn clean<'g>(input: &ModalityInput<'g>) -> (Var<'g>, Var<'g>) {
    match input.mask {
        Some(mask) => (input.features.mask_rows(mask), mask),
        None => (input.features, input.features.padding_mask(0.0)),
    }
}
