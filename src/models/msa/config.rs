//! Sizes and options of the multimodal sentiment models, and the presets.

use crate::error::{Error, Result};
use crate::nn::{NormOrder, TransformerConfig};
use crate::ops::recurrent::MOST_HIDDEN;

/// Layer norm's epsilon in these models.
const EPSILON: f32 = 1e-6;
/// No size may be larger; it keeps products of two sizes far from overflow.
const LARGEST_SIZE: usize = 1 << 20;
/// No weight may have more values: 128 MiB is what one buffer binding holds everywhere.
const LARGEST_WEIGHT: usize = 32 << 20;
/// More layers than anyone trains.
const MOST_LAYERS: usize = 1024;
/// Dilations double with every layer: more would reach further than any sequence is long.
const MOST_CONVOLUTIONS: usize = 16;
/// Inputs that are not a modality's.
const OTHER_INPUTS: [&str; 3] = ["target", "sample_weight", "emotion"];

/// One kind of input sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct ModalityConfig {
    /// "text", "audio", "video", or any other; layers and inputs are named after it.
    pub name: String,
    /// Features per step.
    pub dim: usize,
    /// The longest sequence: rows of the position table.
    pub seq_len: usize,
}

/// How a sequence becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum Pooling {
    /// The mean of the valid steps.
    #[default]
    Mean,
    /// A weighted mean with learned weights: Dense(D/4, tanh), Dense(1), softmax over the valid steps.
    Attention,
}

/// How the modalities' vectors become one, and what a modality takes over from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum Fusion {
    /// A weighted mean: the weights are a softmax over the modalities. What cross attention brings in is added as it is.
    #[default]
    Adaptive,
    /// A sum under gates in (0, 1), which each clip decides for each modality; another gate decides at every step how much of what cross
    /// attention brings in is taken over. A modality that is not there has gates of 0.
    Gated,
}

/// What encodes one modality's sequence before the modalities meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum Encoder {
    /// Learned positions and transformer blocks.
    #[default]
    Transformer,
    /// Bidirectional LSTM layers, half of model_dim in each direction.
    Lstm,
    /// Bidirectional GRU layers, likewise.
    Gru,
    /// A temporal convolutional network, layer `i` with dilation 2^i.
    Tcn,
    /// Learned positions and blocks that attend at several time scales, from coarse to fine.
    Multiscale,
}

/// Steps that the time scales of [`Encoder::Multiscale`] take as one.
pub const TIME_SCALES: [usize; 3] = [4, 2, 1];

/// A second task: which emotion a clip shows.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct EmotionTask {
    /// The names of the classes, two or more.
    pub classes: Vec<String>,
    /// How much its cross entropy counts beside the loss of the score.
    pub weight: f32,
}

/// Named sizes of the source's training guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    Small,
    Medium,
    Default,
    Large,
}

impl Preset {
    /// The preset called `name`.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "small" => Ok(Preset::Small),
            "medium" => Ok(Preset::Medium),
            "default" => Ok(Preset::Default),
            "large" => Ok(Preset::Large),
            other => Err(Error::Config(format!("there is no preset '{other}': take small, medium, default or large"))),
        }
    }
}

/// Everything that decides an [`super::Msa`]'s shape.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct MsaConfig {
    /// The first is the anchor: it attends to all others.
    pub modalities: Vec<ModalityConfig>,
    pub model_dim: usize,
    pub num_heads: usize,
    pub ff_dim: usize,
    /// Absent in files of before there was a choice: a transformer.
    #[cfg_attr(feature = "weights", serde(default))]
    pub encoder: Encoder,
    /// Encoders look at no step after the one that they encode, as streams need ([`super::StreamScorer`]); a recurrent one then has one
    /// direction with all of model_dim.
    #[cfg_attr(feature = "weights", serde(default))]
    pub causal: bool,
    /// Layers of each modality's encoder.
    pub n_layers_mod: usize,
    /// Cross-attention layers.
    pub n_layers_fuse: usize,
    /// The others attend to the anchor too.
    pub bidirectional_fusion: bool,
    pub pooling_method: Pooling,
    /// Absent in files of before there was a choice: adaptive.
    #[cfg_attr(feature = "weights", serde(default))]
    pub fusion: Fusion,
    /// A head for emotions beside the one for the score.
    #[cfg_attr(feature = "weights", serde(default))]
    pub emotions: Option<EmotionTask>,
    pub dropout: f32,
    /// Layer norm before each part (the default) or after it.
    pub norm_first: bool,
}

impl MsaConfig {
    /// A preset over the given modalities.
    pub fn preset(preset: Preset, modalities: Vec<ModalityConfig>) -> Self {
        let base = MsaConfig {
            modalities,
            model_dim: 256,
            num_heads: 4,
            ff_dim: 512,
            encoder: Encoder::default(),
            causal: false,
            n_layers_mod: 2,
            n_layers_fuse: 2,
            bidirectional_fusion: false,
            pooling_method: Pooling::Mean,
            fusion: Fusion::default(),
            emotions: None,
            dropout: 0.1,
            norm_first: true,
        };
        match preset {
            Preset::Small => {
                MsaConfig { model_dim: 64, num_heads: 2, ff_dim: 128, n_layers_mod: 1, n_layers_fuse: 1, ..base }
            }
            Preset::Medium => MsaConfig { model_dim: 128, ff_dim: 256, n_layers_fuse: 1, ..base },
            Preset::Default => base,
            Preset::Large => MsaConfig {
                num_heads: 8,
                n_layers_mod: 3,
                bidirectional_fusion: true,
                pooling_method: Pooling::Attention,
                ..base
            },
        }
    }

    /// The source's three modalities: GloVe 300, COVAREP 74, FACET 47, all of one length.
    pub fn source_modalities(seq_len: usize) -> Vec<ModalityConfig> {
        let modality = |name: &str, dim| ModalityConfig { name: name.to_string(), dim, seq_len };
        vec![modality("text", 300), modality("audio", 74), modality("video", 47)]
    }

    /// This configuration over one modality alone.
    pub fn only(&self, name: &str) -> Self {
        let modalities = self.modalities.iter().filter(|modality| modality.name == name).cloned().collect();
        MsaConfig { modalities, ..self.clone() }
    }

    /// Checks ranges and divisibility.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Config(message));
        if self.modalities.is_empty() {
            return wrong("at least one modality is needed".to_string());
        }
        for (index, modality) in self.modalities.iter().enumerate() {
            if modality.dim == 0 || modality.seq_len == 0 {
                return wrong(format!("modality '{}' needs at least one feature and one step", modality.name));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if modality.name.is_empty() || !modality.name.chars().all(plain) {
                return wrong(format!("'{}' is no modality name: use letters, digits and _", modality.name));
            }
            if self.modalities[..index].iter().any(|other| other.name == modality.name) {
                return wrong(format!("two modalities are called '{}'", modality.name));
            }
            if OTHER_INPUTS.contains(&modality.name.as_str()) || modality.name.ends_with("_mask") {
                return wrong(format!("'{}' is the name of another input: call the modality otherwise", modality.name));
            }
        }
        if self.num_heads == 0 || self.model_dim == 0 || !self.model_dim.is_multiple_of(self.num_heads) {
            return wrong(format!("model_dim {} must be a multiple of num_heads {}", self.model_dim, self.num_heads));
        }
        if self.model_dim < 4 || self.ff_dim == 0 {
            return wrong("model_dim must be at least 4 and ff_dim at least 1".to_string());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong(format!("dropout must be in [0, 1), not {}", self.dropout));
        }
        if self.n_layers_mod > MOST_LAYERS || self.n_layers_fuse > MOST_LAYERS {
            return wrong(format!("n_layers_mod and n_layers_fuse must be at most {MOST_LAYERS}"));
        }
        self.check_emotions()?;
        self.check_encoder()?;
        self.check_weights()
    }

    fn check_emotions(&self) -> Result<()> {
        let Some(EmotionTask { classes, weight }) = &self.emotions else { return Ok(()) };
        let wrong = |message: String| Err(Error::Config(message));
        if classes.len() < 2 {
            return wrong(format!("{} emotions are nothing to tell apart: name two or more", classes.len()));
        }
        if let Some(twice) = (1..classes.len()).find(|index| classes[..*index].contains(&classes[*index])) {
            return wrong(format!("two emotions are called '{}'", classes[twice]));
        }
        match weight.is_finite() && *weight >= 0.0 {
            true => Ok(()),
            false => wrong(format!("the weight of the emotions' loss must be at least 0, not {weight}")),
        }
    }

    fn check_encoder(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::Config(message));
        let (dim, layers) = (self.model_dim, self.n_layers_mod);
        match self.encoder {
            Encoder::Tcn | Encoder::Multiscale if self.causal => {
                wrong("a causal encoder is a transformer, an lstm or a gru: the others look ahead".to_string())
            }
            Encoder::Lstm | Encoder::Gru if self.causal && dim > MOST_HIDDEN => {
                wrong(format!("model_dim must be at most {MOST_HIDDEN} with a causal recurrent encoder, not {dim}"))
            }
            Encoder::Lstm | Encoder::Gru if self.causal && layers == 0 => {
                wrong("a causal recurrent encoder needs at least one layer".to_string())
            }
            Encoder::Lstm | Encoder::Gru if self.causal => Ok(()),
            Encoder::Lstm | Encoder::Gru if !dim.is_multiple_of(2) => {
                wrong(format!("model_dim {dim} must be even: each direction of a recurrent encoder has half of it"))
            }
            Encoder::Lstm | Encoder::Gru if dim / 2 > MOST_HIDDEN => {
                wrong(format!("model_dim must be at most {} with a recurrent encoder, not {dim}", 2 * MOST_HIDDEN))
            }
            Encoder::Tcn if layers > MOST_CONVOLUTIONS => {
                wrong(format!("n_layers_mod must be at most {MOST_CONVOLUTIONS} with a temporal CNN, not {layers}"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that every weight fits a buffer binding.
    fn check_weights(&self) -> Result<()> {
        let dim = self.model_dim;
        let blocks = [("queries, keys and values", dim.saturating_mul(3), dim), ("feed-forward", self.ff_dim, dim)];
        let modalities = self.modalities.iter();
        let inputs = modalities
            .flat_map(|modality| [(modality.name.as_str(), modality.dim, dim), ("positions", modality.seq_len, dim)]);
        blocks.into_iter().chain(inputs).try_for_each(|(what, rows, columns)| check_weight(what, rows, columns))
    }

    pub(super) fn block(&self) -> TransformerConfig {
        TransformerConfig {
            model_dim: self.model_dim,
            heads: self.num_heads,
            ff_dim: self.ff_dim,
            dropout: self.dropout,
            order: if self.norm_first { NormOrder::Pre } else { NormOrder::Post },
            epsilon: EPSILON,
        }
    }
}

/// Checks that the weight of `what` fits a buffer binding.
pub(super) fn check_weight(what: &str, rows: usize, columns: usize) -> Result<()> {
    if rows <= 3 * LARGEST_SIZE && columns <= LARGEST_SIZE && rows * columns <= LARGEST_WEIGHT {
        return Ok(());
    }
    Err(Error::Config(format!(
        "the weight of {what} would be [{columns}, {rows}], more than the {LARGEST_WEIGHT} values that one buffer holds: make model_dim, ff_dim, seq_len, projection_dim or the features smaller"
    )))
}

#[cfg(all(test, feature = "weights"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_before_there_was_a_choice_means_the_default() {
        let small = MsaConfig::preset(Preset::Small, MsaConfig::source_modalities(8));
        let config = MsaConfig { encoder: Encoder::Gru, causal: true, fusion: Fusion::Gated, ..small.clone() };
        let text = serde_json::to_string(&config).unwrap();
        let chosen = [r#""encoder":"gru","#, r#""causal":true,"#, r#""fusion":"gated","#];
        assert!(chosen.iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(serde_json::from_str::<MsaConfig>(&text).unwrap(), config);
        let old = chosen.iter().fold(text, |text, part| text.replace(part, ""));
        assert_eq!(serde_json::from_str::<MsaConfig>(&old).unwrap(), small);
    }
}
