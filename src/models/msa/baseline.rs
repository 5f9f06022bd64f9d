//! The baseline: every modality is averaged over time before the modalities meet. No positions, no masks.

use super::config::{ModalityConfig, MsaConfig};
use super::{ModalityInput, one_per_modality};
use crate::error::Result;
use crate::graph::{Parameters, Var};
use crate::nn::{Context, Linear, TransformerBlock};

/// Sizes of an [`MsaBaseline`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct BaselineConfig {
    pub modalities: Vec<ModalityConfig>,
    pub model_dim: usize,
    pub num_heads: usize,
    pub ff_dim: usize,
    pub n_layers_mod: usize,
    pub n_layers_fuse: usize,
    /// Weigh the modalities' own vectors by a softmax of the fused one, instead of taking the fused one.
    pub adaptive_fusion: bool,
    pub dropout: f32,
    pub norm_first: bool,
}

impl BaselineConfig {
    /// The baseline of the same sizes as `config`.
    pub fn like(config: &MsaConfig, adaptive_fusion: bool) -> Self {
        BaselineConfig {
            modalities: config.modalities.clone(),
            model_dim: config.model_dim,
            num_heads: config.num_heads,
            ff_dim: config.ff_dim,
            n_layers_mod: config.n_layers_mod,
            n_layers_fuse: config.n_layers_fuse,
            adaptive_fusion,
            dropout: config.dropout,
            norm_first: config.norm_first,
        }
    }

    fn as_msa(&self) -> MsaConfig {
        MsaConfig {
            modalities: self.modalities.clone(),
            model_dim: self.model_dim,
            num_heads: self.num_heads,
            ff_dim: self.ff_dim,
            encoder: super::Encoder::Transformer,
            causal: false,
            n_layers_mod: self.n_layers_mod,
            n_layers_fuse: self.n_layers_fuse,
            bidirectional_fusion: false,
            pooling_method: super::Pooling::Mean,
            fusion: super::Fusion::Adaptive,
            emotions: None,
            dropout: self.dropout,
            norm_first: self.norm_first,
        }
    }
}

/// The early-pooling model (`MSAModel` of the source).
#[derive(Debug, Clone)]
pub struct MsaBaseline {
    config: BaselineConfig,
    parameters: Parameters,
    encoders: Vec<(String, Linear, Vec<TransformerBlock>)>,
    fusion: Vec<TransformerBlock>,
    fusion_weights: Option<Linear>,
    head: Linear,
}

impl MsaBaseline {
    /// # Errors
    /// [`crate::Error::Config`] where sizes do not fit together.
    pub fn new(config: &BaselineConfig) -> Result<Self> {
        let sizes = config.as_msa();
        sizes.check()?;
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let mut encoders = Vec::new();
        for modality in &config.modalities {
            let name = format!("{}_encoder", modality.name);
            let mut place = root.at(&name);
            let projection = Linear::new(&mut place, "projection", modality.dim, config.model_dim);
            let block = |index: usize| TransformerBlock::new(&mut place, &format!("blocks.{index}"), sizes.block());
            encoders.push((name, projection, (0..config.n_layers_mod).map(block).collect()));
        }
        let mut place = root.at("fusion");
        let block = |index: usize| TransformerBlock::new(&mut place, &format!("blocks.{index}"), sizes.block());
        let fusion = (0..config.n_layers_fuse).map(block).collect();
        let fusion_weights = config
            .adaptive_fusion
            .then(|| Linear::new(&mut root, "fusion_weights", config.model_dim, config.modalities.len()));
        let head = Linear::new(&mut root, "head", config.model_dim, 1);
        Ok(MsaBaseline { config: config.clone(), parameters, encoders, fusion, fusion_weights, head })
    }

    pub fn config(&self) -> &BaselineConfig {
        &self.config
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `inputs`: `[batch, seq, dim]` per modality, padding included. Returns the score `[batch, 1]` and, with adaptive fusion, the
    /// weights `[batch, modalities]`.
    pub fn forward<'g>(&self, cx: Context<'g>, inputs: &[Var<'g>]) -> (Var<'g>, Option<Var<'g>>) {
        let mut vectors = Vec::with_capacity(inputs.len());
        let inputs: Vec<_> = inputs.iter().map(|features| ModalityInput { features: *features, mask: None }).collect();
        let inputs = one_per_modality(cx, &self.config.modalities, &inputs);
        for ((name, projection, blocks), input) in self.encoders.iter().zip(&inputs) {
            let _scope = cx.graph.scope(name);
            let x = projection.forward(cx, input.features);
            let x = blocks.iter().fold(x, |x, block| block.forward(cx, x, None).0);
            vectors.push(x.mean_axes(&[1]));
        }
        let tokens = cx.graph.stack(&vectors, 1);
        let scope = cx.graph.scope("fusion");
        let fused = self.fusion.iter().fold(tokens, |x, block| block.forward(cx, x, None).0).mean_axes(&[1]);
        drop(scope);
        let Some(weigh) = &self.fusion_weights else {
            return (self.head.forward(cx, fused), None);
        };
        let weights = weigh.forward(cx, fused).softmax(1);
        let (batch, count) = (weights.shape().axis(0), weights.shape().axis(1));
        let weighted = (tokens * weights.reshape([batch, count, 1])).sum_axes(&[1]);
        (self.head.forward(cx, weighted), Some(weights))
    }
}
