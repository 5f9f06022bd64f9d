//! The command line. Names are those of the source's training script; dashes work too.

use crate::flags::{self, Defaults, TrainingFlags};
use crate::msa::{DataSource, ModelConfig, RunConfig, VERSION};
use crate::training;
use clap::{Parser, ValueEnum};
use limbic::data::Corpus;
use limbic::models::msa::{BaselineConfig, Encoder, ModalityConfig, MsaConfig, Pooling, Preset};
use limbic::{Error, Result};
use std::path::PathBuf;

/// What a run that goes on takes from its checkpoint, beside [`flags::FIXED`].
const FIXED: [&str; 16] = [
    "data",
    "preset",
    "baseline",
    "model_dim",
    "num_heads",
    "ff_dim",
    "encoder",
    "n_layers_mod",
    "n_layers_fuse",
    "bidirectional_fusion",
    "pooling_method",
    "dropout",
    "post_norm",
    "seq_len",
    "mixed_precision",
    "export",
];

/// Trains sequence-level multimodal sentiment analysis, beside its baseline and single-modality models.
///
/// Without --data it trains on a corpus made at run time from a seed (synthetic voices, drawn faces), so nothing is downloaded.
#[derive(Debug, Clone, Parser)]
#[command(rename_all = "snake_case")]
pub struct Options {
    /// MMSA data: a pickle (aligned_50.pkl, unaligned_50.pkl) or the same as .npz; or a folder that --export wrote. Default: the
    /// built-in corpus.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Directory of the checkpoint, history and pictures.
    #[arg(long, value_name = "DIR", default_value = "runs/msa")]
    pub out: PathBuf,
    /// Go on from the checkpoint in --out, with the data and settings it was begun with; --epochs and --patience may change.
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
    /// Half-precision storage: not there yet, refused with a sentence.
    #[arg(long, alias = "mixed-precision")]
    pub mixed_precision: bool,
    /// Train this model only; no comparison with the baseline and single modalities.
    #[arg(long)]
    pub alone: bool,
    /// Write the built-in corpus' first clips (WAV, PNG frames, text) to this directory and leave.
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub export: Option<PathBuf>,
    /// How many clips of each split --export writes.
    #[arg(long, alias = "export-clips", default_value_t = 8)]
    pub export_clips: usize,
    /// Print GPU time per kernel of a training step.
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

    /// Checks the flags before any data is read: with the source's feature sizes, which decide nothing here.
    pub fn check(&self) -> Result<()> {
        training::check(&self.over(MsaConfig::source_modalities(1))?.training)
    }

    /// The run that the flags describe, over `corpus`.
    pub fn config(&self, corpus: &Corpus) -> Result<RunConfig> {
        self.over(self.modalities(corpus))
    }

    fn over(&self, modalities: Vec<ModalityConfig>) -> Result<RunConfig> {
        if self.seq_len == Some(0) {
            return Err(Error::Config("--seq_len must be at least 1".to_string()));
        }
        if self.mixed_precision {
            let message = "--mixed_precision is not built yet: run without it, in f32".to_string();
            return Err(Error::Config(message));
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
            },
            n_layers_mod: self.n_layers_mod.unwrap_or(base.n_layers_mod),
            n_layers_fuse: self.n_layers_fuse.unwrap_or(base.n_layers_fuse),
            bidirectional_fusion: self.bidirectional_fusion || base.bidirectional_fusion,
            pooling_method: pooling,
            dropout: self.dropout.unwrap_or(base.dropout),
            norm_first: !self.post_norm,
            ..base
        };
        model.check()?;
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
        Ok(RunConfig { version: VERSION, model, data: self.source(), training: self.training.config(&defaults) })
    }

    /// The corpus' modalities at their longest sequence, or --seq_len if that is shorter.
    fn modalities(&self, corpus: &Corpus) -> Vec<ModalityConfig> {
        let clips = || corpus.train.iter().chain(&corpus.valid).chain(&corpus.test);
        let modality = |(index, modality): (usize, &limbic::data::Modality)| {
            let lens = clips().filter_map(|clip| clip.sequences.get(index)).map(|sequence| sequence.len);
            let longest = lens.max().unwrap_or(0).max(1);
            let seq_len = self.seq_len.map_or(longest, |most| longest.min(most));
            ModalityConfig { name: modality.name.clone(), dim: modality.dim, seq_len }
        };
        corpus.modalities.iter().enumerate().map(modality).collect()
    }
}
