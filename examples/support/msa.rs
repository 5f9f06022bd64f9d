//! What msa_train and msa_predict share: what a checkpoint says of itself, and the data it was made with.

use crate::common::{self, TrainingConfig};
use limbic::data::builtin::{self, Builtin, BuiltinConfig};
use limbic::data::stream::{ClipWriter, Epochs, Streamed};
use limbic::data::{Batches, Clip, Corpus, Labels, LoadOptions, Modality, Split, load_corpus_with};
use limbic::models::msa::{
    BaselineConfig, BatchShape, ClipScore, ContrastConfig, ModalityConfig, Msa, MsaBaseline, MsaConfig, Scorer,
    SentimentModel,
};
use limbic::plan::Batch;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::metrics::{ClassificationMetrics, SentimentMetrics, classification_table, sentiment_table};
use limbic::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A checkpoint's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Changes when the meaning of a field does.
    pub version: u32,
    pub model: ModelConfig,
    pub data: DataSource,
    /// How the data is read.
    #[serde(default)]
    pub reading: LoadOptions,
    pub training: TrainingConfig,
    /// How the encoders were trained before, if they were.
    #[serde(default)]
    pub pretraining: Option<PretrainingConfig>,
}

/// Contrastive pre-training of a model's encoders.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PretrainingConfig {
    pub epochs: u64,
    pub contrast: ContrastConfig,
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
    /// An MMSA or MulT file, a folder of clips to stream, or one that the built-in corpus was exported to.
    File(PathBuf),
}

/// Batches that are made ahead of the step where clips come from disk.
pub const AHEAD: usize = 4;

/// The clips, and for the built-in corpus what is known of its rule.
pub struct Data {
    /// Without values where the clips stay on disk.
    pub corpus: Corpus,
    // msa_predict asks for the clips only
    #[allow(dead_code)]
    pub builtin: Option<Builtin>,
    pub streamed: Option<Streamed>,
}

impl DataSource {
    pub fn load(&self, reading: &LoadOptions) -> Result<Data> {
        let memory = |corpus| Data { corpus, builtin: None, streamed: None };
        match self {
            DataSource::Builtin { seed } => {
                let builtin = builtin::generate(BuiltinConfig { seed: *seed, ..BuiltinConfig::default() })?;
                Ok(Data { builtin: Some(builtin.clone()), ..memory(builtin.corpus) })
            }
            DataSource::File(path) if path.join("clips.csv").is_file() => match *reading == LoadOptions::default() {
                true => Ok(memory(builtin::read_export(path)?)),
                false => {
                    let message =
                        "holds exported clips, with labels and splits of their own: leave out --emotion and --folds";
                    Err(Error::io(path, message))
                }
            },
            DataSource::File(path) if Streamed::is_in(path) => {
                let streamed = Streamed::open(path)?;
                let corpus = streamed.corpus().clone();
                let asked = reading.emotion.map(|emotion| Labels::Binary { name: emotion.name().to_string() });
                if asked.is_some_and(|asked| asked != corpus.labels) {
                    let message = "its labels are not of that emotion: write the clips again from the original";
                    return Err(Error::io(path, message));
                }
                Ok(Data { streamed: Some(streamed), ..memory(corpus) })
            }
            DataSource::File(path) => Ok(memory(load_corpus_with(path, reading)?)),
        }
    }
}

impl Data {
    /// The same clips, written to `folder` and read from there.
    // msa_predict does not
    #[allow(dead_code)]
    pub fn on_disk(self, folder: &Path) -> Result<Self> {
        ClipWriter::write_corpus(folder, &self.corpus)?;
        let streamed = Streamed::open(folder)?;
        Ok(Data { corpus: streamed.corpus().clone(), streamed: Some(streamed), ..self })
    }

    /// Scores of all clips of `split`, in order.
    pub fn scores(&self, scorer: &Scorer, model: &dyn SentimentModel, split: Split) -> Result<Vec<ClipScore>> {
        let (wanted, batch) = (wanted(model), scorer.shape().batch);
        let Some(streamed) = &self.streamed else {
            return scorer.run_all(Batches::new(&self.corpus, self.corpus.split(split), &wanted, batch)?.in_order());
        };
        let mut scores = Vec::new();
        for batch in streamed.batches(split, &wanted, batch, AHEAD)?.in_order()? {
            scores.extend(scorer.run(&batch?)?);
        }
        Ok(scores)
    }

    /// Shows `visit` all clips of `split` in order, in batches of `batch` for scoring.
    // msa_predict scores only
    #[allow(dead_code)]
    pub fn each_batch(
        &self,
        wanted: &[(String, usize)],
        split: Split,
        batch: usize,
        mut visit: impl FnMut(&Batch) -> Result<()>,
    ) -> Result<()> {
        match &self.streamed {
            None => {
                let batches = Batches::new(&self.corpus, self.corpus.split(split), wanted, batch)?;
                batches.in_order().try_for_each(|batch| visit(&batch))
            }
            Some(streamed) => {
                streamed.batches(split, wanted, batch, AHEAD)?.in_order()?.try_for_each(|batch| visit(&batch?))
            }
        }
    }

    /// The training clips in batches of `batch`, with their emotions if asked for.
    // msa_predict trains nothing
    #[allow(dead_code)]
    pub fn train(&self, wanted: &[(String, usize)], batch: usize, emotions: bool, seed: u64) -> Result<Train<'_>> {
        Ok(match &self.streamed {
            None => {
                let batches = Batches::new(&self.corpus, &self.corpus.train, wanted, batch)?;
                let batches = if emotions { batches.with_emotions() } else { batches };
                Train::Memory { batches, seed }
            }
            Some(streamed) => {
                let batches = streamed.batches(Split::Train, wanted, batch, AHEAD)?;
                let batches = if emotions { batches.with_emotions() } else { batches };
                Train::Disk(batches.epochs(seed))
            }
        })
    }

    /// The clips to stop by: those for validation, or where there are none those for tests.
    #[allow(dead_code)]
    pub fn valid(&self) -> Split {
        if self.corpus.valid.is_empty() { Split::Test } else { Split::Valid }
    }

    /// Clip `index` of `split`, with its values.
    // msa_predict does not look at one
    #[allow(dead_code)]
    pub fn clip(&self, split: Split, index: usize) -> Result<Clip> {
        match &self.streamed {
            Some(streamed) => streamed.clip(split, index),
            None => Ok(self.corpus.split(split)[index].clone()),
        }
    }
}

/// Where training batches come from.
#[allow(dead_code)]
pub enum Train<'a> {
    Memory { batches: Batches<'a>, seed: u64 },
    Disk(Epochs),
}

#[allow(dead_code)]
impl Train<'_> {
    /// Batches of an epoch.
    pub fn len(&self) -> usize {
        match self {
            Train::Memory { batches, .. } => batches.len(),
            Train::Disk(epochs) => epochs.len(),
        }
    }

    pub fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        Ok(match self {
            Train::Memory { batches, seed } => Box::new(batches.shuffled(*seed, epoch).skip(first).map(Ok)),
            Train::Disk(epochs) => Box::new(epochs.from(epoch, first)?),
        })
    }
}

/// How good scores are, by what the labels mean.
#[derive(Debug, Clone, PartialEq)]
pub enum Metrics {
    Sentiment(SentimentMetrics),
    /// A score above 0 says that the clip is what the labels ask.
    Classes(ClassificationMetrics),
}

impl Metrics {
    pub fn compute(labels: &Labels, scores: &[f32], truth: &[f32]) -> Result<Self> {
        let classes = |values: &[f32], bound: f32| values.iter().map(|v| usize::from(*v > bound)).collect::<Vec<_>>();
        Ok(match labels {
            Labels::Sentiment => Metrics::Sentiment(SentimentMetrics::compute(scores, truth)?),
            Labels::Binary { .. } => {
                Metrics::Classes(ClassificationMetrics::compute(&classes(scores, 0.0), &classes(truth, 0.5), 2)?)
            }
        })
    }

    /// All rows as one table; they are of one kind.
    pub fn table<'a>(rows: impl IntoIterator<Item = (&'a str, &'a Metrics)>) -> String {
        let (mut sentiment, mut classes) = (Vec::new(), Vec::new());
        for (name, metrics) in rows {
            match metrics {
                Metrics::Sentiment(metrics) => sentiment.push((name, metrics)),
                Metrics::Classes(metrics) => classes.push((name, metrics)),
            }
        }
        if classes.is_empty() { sentiment_table(sentiment) } else { classification_table(classes) }
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
