//! What msa_train and msa_predict share: what a checkpoint says of itself, and the data it was made with.

use crate::common::{self, TrainingConfig};
use limbic::data::builtin::{self, Builtin, BuiltinConfig};
use limbic::data::{Corpus, Modality, load_corpus};
use limbic::models::msa::{BaselineConfig, BatchShape, ModalityConfig, Msa, MsaBaseline, MsaConfig, SentimentModel};
use limbic::train::checkpoint::Checkpoint;
use limbic::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A checkpoint's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Changes when the meaning of a field does.
    pub version: u32,
    pub model: ModelConfig,
    pub data: DataSource,
    pub training: TrainingConfig,
}

pub const VERSION: u32 = 1;

/// Which model, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelConfig {
    SequenceLevel(MsaConfig),
    Baseline(BaselineConfig),
}

impl ModelConfig {
    pub fn build(&self) -> Result<Box<dyn SentimentModel>> {
        Ok(match self {
            ModelConfig::SequenceLevel(config) => Box::new(Msa::new(config)?),
            ModelConfig::Baseline(config) => Box::new(MsaBaseline::new(config)?),
        })
    }
}

/// Where the clips come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// The corpus that is made at run time from this seed.
    Builtin { seed: u64 },
    /// An MMSA file, or a folder that the built-in corpus was exported to.
    File(PathBuf),
}

/// The clips, and for the built-in corpus what is known of its rule.
pub struct Data {
    pub corpus: Corpus,
    // msa_predict asks for the clips only
    #[allow(dead_code)]
    pub builtin: Option<Builtin>,
}

impl DataSource {
    pub fn load(&self) -> Result<Data> {
        match self {
            DataSource::Builtin { seed } => {
                let builtin = builtin::generate(BuiltinConfig { seed: *seed, ..BuiltinConfig::default() })?;
                Ok(Data { corpus: builtin.corpus.clone(), builtin: Some(builtin) })
            }
            DataSource::File(path) if path.join("clips.csv").is_file() => {
                Ok(Data { corpus: builtin::read_export(path)?, builtin: None })
            }
            DataSource::File(path) => Ok(Data { corpus: load_corpus(path)?, builtin: None }),
        }
    }
}

/// The fixed shape of a run's batches.
pub fn batch_shape(model: &dyn SentimentModel, batch_size: usize) -> BatchShape {
    BatchShape::full(batch_size, model.modalities())
}

/// A model's modalities as the batcher wants them.
pub fn wanted(model: &dyn SentimentModel) -> Vec<(String, usize)> {
    model.modalities().iter().map(|modality| (modality.name.clone(), modality.seq_len)).collect()
}

/// The corpus' modalities at their longest sequence, or at `seq_len` steps if that is shorter.
// msa_predict takes the model's
#[allow(dead_code)]
pub fn modalities(corpus: &Corpus, seq_len: Option<usize>) -> Vec<ModalityConfig> {
    let clips = || corpus.train.iter().chain(&corpus.valid).chain(&corpus.test);
    let modality = |(index, modality): (usize, &Modality)| {
        let lens = clips().filter_map(|clip| clip.sequences.get(index)).map(|sequence| sequence.len);
        let longest = lens.max().unwrap_or(0).max(1);
        let seq_len = seq_len.map_or(longest, |most| longest.min(most));
        ModalityConfig { name: modality.name.clone(), dim: modality.dim, seq_len }
    };
    corpus.modalities.iter().enumerate().map(modality).collect()
}

/// Checks that `corpus` has what `model` takes: each modality by name, with as many features.
pub fn check_fit(model: &dyn SentimentModel, corpus: &Corpus) -> Result<()> {
    let there = |wanted: &ModalityConfig| {
        corpus.modalities.iter().any(|modality| modality.name == wanted.name && modality.dim == wanted.dim)
    };
    if model.modalities().iter().all(there) {
        return Ok(());
    }
    let list = |parts: Vec<String>| parts.join(", ");
    Err(Error::Config(format!(
        "the data does not fit the model: the model takes {}, but {} has {}",
        list(
            model
                .modalities()
                .iter()
                .map(|modality| format!("{} of {} features", modality.name, modality.dim))
                .collect()
        ),
        corpus.name,
        list(corpus.modalities.iter().map(|modality| format!("{} of {}", modality.name, modality.dim)).collect()),
    )))
}

/// Reads a checkpoint's configuration and checks its version.
pub fn read_config(checkpoint: &Checkpoint) -> Result<RunConfig> {
    common::read_config(checkpoint, VERSION, "msa_train")
}
