//! The command line. Names are those of the source's training script; dashes work too.

use crate::flags::{self, Defaults, TrainingFlags};
use crate::msa::{DataSource, ModelConfig, PretrainingConfig, RunConfig, VERSION, modalities};
use crate::training;
use clap::{Parser, ValueEnum};
use limbic::data::builtin::EMOTIONS;
use limbic::data::mult::Emotion;
use limbic::data::{Corpus, LoadOptions};
use limbic::models::msa::{
    BaselineConfig, ContrastConfig, EmotionTask, Encoder, Fusion, ModalityConfig, MsaConfig, Pooling, Preset,
};
use limbic::{Error, Result};
use std::path::PathBuf;

/// What a run that goes on takes from its checkpoint, beside [`flags::FIXED`].
const FIXED: [&str; 24] = [
    "data",
    "folds",
    "stream",
    "emotion",
    "preset",
    "baseline",
    "model_dim",
    "num_heads",
    "ff_dim",
    "encoder",
    "causal",
    "n_layers_mod",
    "n_layers_fuse",
    "bidirectional_fusion",
    "pooling_method",
    "fusion",
    "multi_task",
    "emotion_weight",
    "pretrain_epochs",
    "contrast_temperature",
    "dropout",
    "post_norm",
    "seq_len",
    "export",
];

/// Trains sequence-level multimodal sentiment analysis, beside its baseline and single-modality models.
///
/// Without --data it trains on a corpus made at run time from a seed (synthetic voices, drawn faces), so nothing is downloaded.
#[derive(Debug, Clone, Parser)]
#[command(rename_all = "snake_case")]
pub struct Options {
    /// A pickle of MMSA (aligned_50.pkl, unaligned_50.pkl; or the same as .npz) or of MulT (mosi_data.pkl, iemocap_data.pkl), told apart
    /// by what is in it; a folder of the CMU SDK's .csd files (build with --features csd), of clips to stream, or one that --export wrote. Default: the built-in corpus.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Which videos of a folder of .csd files are in which split: lines 'train <video>', 'valid <video>', 'test <video>'. Default: folds.txt
    /// in that folder.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub folds: Option<PathBuf>,
    /// Read clips from disk while training, so that they need not fit into memory: --data is written to clips/ in --out first. A folder
    /// of such clips as --data is always read so.
    #[arg(long, requires = "data")]
    pub stream: bool,
    /// Which of IEMOCAP's emotions to tell from the others: neutral, happy, sad or angry. It is trained with binary cross entropy.
    #[arg(long, requires = "data")]
    pub emotion: Option<Emotion>,
    /// Directory of the checkpoint, history and pictures.
    #[arg(long, value_name = "DIR", default_value = "runs/msa")]
    pub out: PathBuf,
    /// Go on from the checkpoint in --out, with the data and settings it was begun with; --epochs, --patience and
    /// --checkpoint_every may change.
    #[arg(long, conflicts_with_all = FIXED.into_iter().chain(flags::FIXED))]
    pub resume: bool,
    /// Sizes to start from; the flags below change them. Default: small for the built-in corpus, default for --data.
    #[arg(long, value_parser = ["small", "medium", "default", "large"])]
    pub preset: Option<String>,
    /// Train the early-pooling baseline instead.
    #[arg(long)]
    pub baseline: bool,
    #[arg(long, alias = "model-dim")]
    pub model_dim: Option<usize>,
    #[arg(long, alias = "num-heads")]
    pub num_heads: Option<usize>,
    #[arg(long, alias = "ff-dim")]
    pub ff_dim: Option<usize>,
    /// What encodes each modality's sequence.
    #[arg(long, value_enum, default_value = "transformer", conflicts_with = "baseline")]
    pub encoder: EncoderFlag,
    /// Encoders look at no later step, so that the model can score a live stream.
    #[arg(long, conflicts_with = "baseline")]
    pub causal: bool,
    /// Layers of each modality's encoder.
    #[arg(long, alias = "n-layers-mod")]
    pub n_layers_mod: Option<usize>,
    /// Cross-attention layers.
    #[arg(long, alias = "n-layers-fuse")]
    pub n_layers_fuse: Option<usize>,
    /// Audio and video attend to the text too.
    #[arg(long, alias = "bidirectional-fusion")]
    pub bidirectional_fusion: bool,
    #[arg(long, alias = "pooling-method", value_enum)]
    pub pooling_method: Option<PoolingFlag>,
    /// How modalities are weighed.
    #[arg(long, value_enum, default_value = "adaptive", conflicts_with = "baseline")]
    pub fusion: FusionFlag,
    /// Learn the clips' emotions too, with a head of their own; needs data that has them.
    #[arg(long, alias = "multi-task", conflicts_with = "baseline")]
    pub multi_task: bool,
    /// How much the emotions' cross entropy counts beside the loss of the score.
    #[arg(
        long,
        alias = "emotion-weight",
        allow_negative_numbers = true,
        default_value_t = 0.5,
        requires = "multi_task"
    )]
    pub emotion_weight: f32,
    /// Epochs in which the encoders first learn, without labels, to tell which sound and video belong to which text: contrastive
    /// pre-training, by InfoNCE between each two modalities. Then the whole model is trained as ever, from these encoders. A few are
    /// enough: in many, encoders lose what their modality alone tells. Default: 0.
    #[arg(long, alias = "pretrain-epochs", value_name = "EPOCHS", conflicts_with = "baseline")]
    pub pretrain_epochs: Option<u64>,
    /// What pre-training divides cosine similarities by: the lower, the more the nearest wrong clip counts.
    #[arg(
        long,
        alias = "contrast-temperature",
        allow_negative_numbers = true,
        default_value_t = ContrastConfig::default().temperature,
        requires = "pretrain_epochs"
    )]
    pub contrast_temperature: f32,
    #[arg(long, allow_negative_numbers = true)]
    pub dropout: Option<f32>,
    /// Layer norm after each part instead of before it.
    #[arg(long, alias = "post-norm")]
    pub post_norm: bool,
    /// Longest sequence; longer ones are cut. Default: the longest in the data.
    #[arg(long, alias = "seq-len")]
    pub seq_len: Option<usize>,
    #[command(flatten)]
    pub training: TrainingFlags,
    /// Train this model only; no comparison with the baseline and single modalities.
    #[arg(long)]
    pub alone: bool,
    /// Write the built-in corpus' first clips (WAV, PNG frames, text) to this directory and leave.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub export: Option<PathBuf>,
    /// How many clips of each split --export writes.
    #[arg(long, alias = "export-clips", default_value_t = 8)]
    pub export_clips: usize,
    /// Print GPU time per kernel and layer of a training step, and write it to profile.json in --out: a trace for ui.perfetto.dev.
    #[arg(long)]
    pub profile: bool,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    pub adapter: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum EncoderFlag {
    Transformer,
    Lstm,
    Gru,
    /// A temporal convolutional network.
    Tcn,
    /// Attention at several time scales.
    Multiscale,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FusionFlag {
    /// By a softmax over modalities.
    Adaptive,
    /// By gates of each clip, and of each step of cross attention.
    Gated,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PoolingFlag {
    Mean,
    Attention,
}

impl Options {
    pub fn source(&self) -> DataSource {
        match &self.data {
            Some(path) => DataSource::File(path.clone()),
            None => DataSource::Builtin { seed: self.training.seed },
        }
    }

    pub fn reading(&self) -> LoadOptions {
        LoadOptions { emotion: self.emotion, folds: self.folds.clone() }
    }

    /// Checks the flags before any data is read: with the source's feature sizes, which decide nothing here.
    pub fn check(&self) -> Result<()> {
        training::check(&self.over(MsaConfig::source_modalities(1), &EMOTIONS.map(String::from))?.training)
    }

    /// The run that the flags describe, over `corpus`.
    pub fn config(&self, corpus: &Corpus) -> Result<RunConfig> {
        self.over(modalities(corpus, self.seq_len), &corpus.emotions)
    }

    fn over(&self, modalities: Vec<ModalityConfig>, emotions: &[String]) -> Result<RunConfig> {
        if self.seq_len == Some(0) {
            return Err(Error::Config("--seq_len must be at least 1".to_string()));
        }
        if self.multi_task && emotions.is_empty() {
            let message = "--multi_task needs clips with emotions, and the data has none: train without it";
            return Err(Error::Config(message.to_string()));
        }
        let builtin = self.data.is_none();
        let preset = match self.preset.as_deref() {
            Some(name) => Preset::parse(name)?,
            None if builtin => Preset::Small,
            None => Preset::Default,
        };
        let base = MsaConfig::preset(preset, modalities);
        let pooling = match self.pooling_method {
            Some(PoolingFlag::Mean) => Pooling::Mean,
            Some(PoolingFlag::Attention) => Pooling::Attention,
            None => base.pooling_method,
        };
        let model = MsaConfig {
            model_dim: self.model_dim.unwrap_or(base.model_dim),
            num_heads: self.num_heads.unwrap_or(base.num_heads),
            ff_dim: self.ff_dim.unwrap_or(base.ff_dim),
            encoder: match self.encoder {
                EncoderFlag::Transformer => Encoder::Transformer,
                EncoderFlag::Lstm => Encoder::Lstm,
                EncoderFlag::Gru => Encoder::Gru,
                EncoderFlag::Tcn => Encoder::Tcn,
                EncoderFlag::Multiscale => Encoder::Multiscale,
            },
            causal: self.causal,
            n_layers_mod: self.n_layers_mod.unwrap_or(base.n_layers_mod),
            n_layers_fuse: self.n_layers_fuse.unwrap_or(base.n_layers_fuse),
            bidirectional_fusion: self.bidirectional_fusion || base.bidirectional_fusion,
            pooling_method: pooling,
            fusion: match self.fusion {
                FusionFlag::Adaptive => Fusion::Adaptive,
                FusionFlag::Gated => Fusion::Gated,
            },
            emotions: self.multi_task.then(|| EmotionTask { classes: emotions.to_vec(), weight: self.emotion_weight }),
            dropout: self.dropout.unwrap_or(base.dropout),
            norm_first: !self.post_norm,
            ..base
        };
        model.check()?;
        let contrast = ContrastConfig { temperature: self.contrast_temperature, ..ContrastConfig::default() };
        let pretraining = match self.pretrain_epochs.unwrap_or(0) {
            0 => None,
            epochs => {
                contrast.check(&model)?;
                Some(PretrainingConfig { epochs, contrast })
            }
        };
        let model = if self.baseline {
            ModelConfig::Baseline(BaselineConfig::like(&model, true))
        } else {
            ModelConfig::SequenceLevel(model)
        };
        let defaults = Defaults {
            batch_size: 32,
            learning_rate: if builtin { 2e-3 } else { 1e-4 },
            epochs: if builtin { 12 } else { 100 },
        };
        Ok(RunConfig {
            version: VERSION,
            model,
            data: self.source(),
            reading: self.reading(),
            training: self.training.config(&defaults),
            pretraining,
        })
    }
}
