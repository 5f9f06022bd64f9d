//! From the face's features and the motion's to five traits.

use crate::error::{Error, Result};
use crate::graph::{Parameters, Path, Var};
use crate::nn::{BatchNorm, Context, LayerNorm, Linear, MultiHeadAttention, MultiHeadAttentionConfig};
use crate::ops::attention::{AttentionMasks, AttentionOutput};
use crate::ops::batch_norm::BatchNormOptions;

/// What the outputs are, in order.
pub const TRAITS: [&str; 5] = ["openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism"];

/// Keras' default.
const NORM_EPSILON: f32 = 1e-3;

/// Sizes of a [`PersonalityHead`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct PersonalityConfig {
    /// Width of the face's features.
    pub static_dim: usize,
    /// Width of the motion's features.
    pub dynamic_dim: usize,
    /// What both are projected to, and the width of an attention head.
    pub fusion_dim: usize,
    pub num_heads: usize,
    /// Width of the layer before the traits.
    pub hidden: usize,
    pub dropout: f32,
    /// Weight of a batch in the batch norm's running statistics: Keras' 0.01, or more for short trainings.
    pub momentum: f32,
}

impl Default for PersonalityConfig {
    /// The source's: 371,717 parameters, of which 371,461 are trainable and 256 running statistics.
    fn default() -> Self {
        let (static_dim, dynamic_dim, fusion_dim, num_heads) = (512, 256, 128, 4);
        PersonalityConfig { static_dim, dynamic_dim, fusion_dim, num_heads, hidden: 64, dropout: 0.3, momentum: 0.01 }
    }
}

impl PersonalityConfig {
    /// Checks that every value is in its range.
    pub fn check(&self) -> Result<()> {
        let sizes = [self.static_dim, self.dynamic_dim, self.fusion_dim, self.num_heads, self.hidden];
        if sizes.contains(&0) || !(0.0..1.0).contains(&self.dropout) || !(0.0..=1.0).contains(&self.momentum) {
            let message = "every size of a personality model must be at least 1, dropout in [0, 1), momentum in [0, 1]";
            return Err(Error::Config(message.to_string()));
        }
        Ok(())
    }
}

/// The face asks the motion: both are projected to one width, the face's tokens attend to the motion's, and what they find is added to
/// the projected face and normalised.
///
/// Where both are single vectors there is one key only: its weight is 1 whatever is asked, and query and key get no gradient. Weights mean
/// something over tokens (places of the face, places and times of the motion).
#[derive(Debug, Clone)]
pub struct CrossAttention {
    name: String,
    static_proj: Linear,
    dynamic_proj: Linear,
    attention: MultiHeadAttention,
    norm: LayerNorm,
}

impl CrossAttention {
    pub fn new(path: &mut Path<'_>, name: &str, config: &PersonalityConfig) -> Self {
        let mut path = path.at(name);
        let width = config.fusion_dim;
        let heads =
            MultiHeadAttentionConfig { head_dim: width, ..MultiHeadAttentionConfig::new(width, config.num_heads) };
        CrossAttention {
            name: name.to_string(),
            static_proj: Linear::new(&mut path, "static_proj", config.static_dim, width),
            dynamic_proj: Linear::new(&mut path, "dynamic_proj", config.dynamic_dim, width),
            attention: MultiHeadAttention::to_context(&mut path, "attention", heads),
            norm: LayerNorm::new(&mut path, "norm", width, NORM_EPSILON),
        }
    }

    /// `face [batch, tokens, static_dim]`, `motion [batch, steps, dynamic_dim]` and the motion's mask `[batch, steps]`, if it has one, to
    /// `[batch, tokens, fusion_dim]` and the attention.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        face: Var<'g>,
        motion: Var<'g>,
        mask: Option<Var<'g>>,
    ) -> (Var<'g>, AttentionOutput<'g>) {
        let _scope = cx.graph.scope(&self.name);
        let asking = self.static_proj.forward(cx, face);
        let asked = self.dynamic_proj.forward(cx, motion);
        let masks = AttentionMasks { key: mask, ..AttentionMasks::default() };
        let (found, attention) = self.attention.forward(cx, asking, Some(asked), masks);
        (self.norm.forward(cx, asking + found), attention)
    }
}

/// What a [`PersonalityHead`] makes.
#[derive(Debug, Clone, Copy)]
pub struct PersonalityOutput<'g> {
    /// `[batch, 5]`, in the order of [`TRAITS`].
    pub traits: Var<'g>,
    /// What the cross attention made, `[batch, fusion_dim]`, over tokens their mean.
    pub fused: Var<'g>,
    pub attention: AttentionOutput<'g>,
}

/// Cross attention, batch norm and dropout, a hidden layer, five traits: what stands on top of the two extractors.
#[derive(Debug, Clone)]
pub struct PersonalityHead {
    config: PersonalityConfig,
    cross_attention: CrossAttention,
    batch_norm: BatchNorm,
    hidden: Linear,
    output: Linear,
}

impl PersonalityHead {
    /// Makes its parameters under `path`.
    ///
    /// # Errors
    /// Where the configuration does not hold together.
    pub fn new(path: &mut Path<'_>, config: &PersonalityConfig) -> Result<Self> {
        config.check()?;
        let norms = BatchNormOptions { momentum: config.momentum, ..BatchNormOptions::keras() };
        Ok(PersonalityHead {
            config: *config,
            cross_attention: CrossAttention::new(path, "cross_attention", config),
            batch_norm: BatchNorm::new(path, "batch_norm", config.fusion_dim, norms),
            hidden: Linear::new(path, "hidden", config.fusion_dim, config.hidden),
            output: Linear::new(path, "output", config.hidden, TRAITS.len()),
        })
    }

    pub fn config(&self) -> &PersonalityConfig {
        &self.config
    }

    /// Of one vector for the face, `[batch, static_dim]`, and one for the motion, `[batch, dynamic_dim]`, as the source.
    pub fn forward<'g>(&self, cx: Context<'g>, face: Var<'g>, motion: Var<'g>) -> PersonalityOutput<'g> {
        let token = |x: Var<'g>| x.reshape([x.shape().axis(0), 1, x.shape().from_end(0)]);
        self.forward_tokens(cx, token(face), token(motion), None)
    }

    /// Of sequences of tokens, `[batch, tokens, static_dim]` and `[batch, steps, dynamic_dim]`, the motion's with a mask `[batch, steps]` if
    /// it has one.
    pub fn forward_tokens<'g>(
        &self,
        cx: Context<'g>,
        face: Var<'g>,
        motion: Var<'g>,
        mask: Option<Var<'g>>,
    ) -> PersonalityOutput<'g> {
        let (tokens, attention) = self.cross_attention.forward(cx, face, motion, mask);
        let fused = tokens.mean_axes(&[1]);
        let x = self.batch_norm.forward(cx, fused).dropout(cx.dropout(self.config.dropout));
        let traits = self.output.forward(cx, self.hidden.forward(cx, x).relu());
        PersonalityOutput { traits, fused, attention }
    }
}

/// A [`PersonalityHead`] with parameters of its own, over features that something else extracted.
#[derive(Debug, Clone)]
pub struct Personality {
    head: PersonalityHead,
    parameters: Parameters,
}

impl Personality {
    /// # Errors
    /// Where the configuration does not hold together.
    pub fn new(config: &PersonalityConfig) -> Result<Self> {
        let mut parameters = Parameters::new();
        Ok(Personality { head: PersonalityHead::new(&mut parameters.root(), config)?, parameters })
    }

    pub fn config(&self) -> &PersonalityConfig {
        self.head.config()
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// See [`PersonalityHead::forward`].
    pub fn forward<'g>(&self, cx: Context<'g>, face: Var<'g>, motion: Var<'g>) -> PersonalityOutput<'g> {
        self.head.forward(cx, face, motion)
    }

    /// See [`PersonalityHead::forward_tokens`].
    pub fn forward_tokens<'g>(
        &self,
        cx: Context<'g>,
        face: Var<'g>,
        motion: Var<'g>,
        mask: Option<Var<'g>>,
    ) -> PersonalityOutput<'g> {
        self.head.forward_tokens(cx, face, motion, mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_sources_parameters() {
        let model = Personality::new(&PersonalityConfig::default()).unwrap();
        assert_eq!((model.parameters().count(), model.parameters().trainable_count()), (371_717, 371_461));
    }

    #[test]
    fn sizes_of_nothing_are_errors() {
        assert!(Personality::new(&PersonalityConfig { hidden: 0, ..PersonalityConfig::default() }).is_err());
        assert!(Personality::new(&PersonalityConfig { dropout: 1.0, ..PersonalityConfig::default() }).is_err());
    }
}
