//! Which models are compared: presets with variations, and trained ones.

use crate::common::{ScheduleKind, TrainingConfig};
use crate::msa::{self, Data, ModelConfig, modalities};
use crate::pretraining::Pretraining;
use crate::training;
use clap::ValueEnum;
use limbic::data::Corpus;
use limbic::data::builtin::EMOTIONS;
use limbic::gpu::Gpu;
use limbic::graph::Parameters;
use limbic::models::RegressionLoss;
use limbic::models::msa::{
    BaselineConfig, ContrastConfig, EmotionTask, Encoder, Fusion, MsaConfig, Pooling, Preset, SentimentModel,
};
use limbic::train::checkpoint::Checkpoint;
use limbic::{Error, Result};
use std::path::PathBuf;

/// What can be changed in a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Variation {
    /// Pools each modality before they meet.
    Baseline,
    Lstm,
    Gru,
    Tcn,
    /// Attends at several time scales.
    Multiscale,
    /// Gates instead of a softmax over modalities.
    Gated,
    /// Encoders that look at no later step, as streams need.
    Causal,
    /// A head for emotions.
    MultiTask,
    /// Pools over time by attention.
    AttentionPooling,
    /// The others attend to the text too.
    Bidirectional,
    /// Pre-trains the encoders by contrast, for some epochs over some of the clips.
    Pretrained,
}

impl Variation {
    fn apply(self, config: MsaConfig) -> ModelConfig {
        ModelConfig::SequenceLevel(match self {
            Variation::Baseline => return ModelConfig::Baseline(BaselineConfig::like(&config, true)),
            Variation::Lstm => MsaConfig { encoder: Encoder::Lstm, ..config },
            Variation::Gru => MsaConfig { encoder: Encoder::Gru, ..config },
            Variation::Tcn => MsaConfig { encoder: Encoder::Tcn, ..config },
            Variation::Multiscale => MsaConfig { encoder: Encoder::Multiscale, ..config },
            Variation::Gated => MsaConfig { fusion: Fusion::Gated, ..config },
            Variation::Causal => MsaConfig { causal: true, ..config },
            Variation::MultiTask => {
                let classes = EMOTIONS.map(String::from).to_vec();
                MsaConfig { emotions: Some(EmotionTask { classes, weight: 0.5 }), ..config }
            }
            Variation::AttentionPooling => MsaConfig { pooling_method: Pooling::Attention, ..config },
            Variation::Bidirectional => MsaConfig { bidirectional_fusion: true, ..config },
            // a matter of the weights
            Variation::Pretrained => config,
        })
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }
}

/// A model as the command line names it.
#[derive(Debug, Clone, PartialEq)]
pub enum Named {
    /// `small`, `large+lstm+bidirectional`.
    Preset { name: String, variations: Vec<Variation> },
    /// The directory that msa_train wrote, or its `config.json`.
    Trained(PathBuf),
}

impl Named {
    pub fn parse(text: &str) -> Result<Self> {
        let path = PathBuf::from(text);
        if path.exists() || text.ends_with(".json") || text.contains(std::path::MAIN_SEPARATOR) {
            let directory = if path.is_dir() { path } else { path.parent().map(PathBuf::from).unwrap_or_default() };
            return Ok(Named::Trained(if directory.as_os_str().is_empty() { ".".into() } else { directory }));
        }
        let mut parts = text.split('+');
        let name = parts.next().unwrap_or_default().to_string();
        let unknown = |_| {
            let known = Variation::value_variants().iter().map(|one| format!("+{}", one.name())).collect::<Vec<_>>();
            Error::Config(format!(
                "there is no model '{text}': name small, medium, default or large, any of {} behind it, or the directory or config.json of a trained one",
                known.join(", ")
            ))
        };
        Preset::parse(&name).map_err(|error| unknown(error.to_string()))?;
        let variations =
            parts.map(|part| Variation::from_str(part, false)).collect::<Result<_, _>>().map_err(unknown)?;
        Ok(Named::Preset { name, variations })
    }

    /// What the model was trained on.
    pub fn data(&self) -> Result<Option<Data>> {
        match self {
            Named::Preset { .. } => Ok(None),
            Named::Trained(directory) => {
                let config = msa::read_config(&Checkpoint::open(directory)?)?;
                config.data.load(&config.reading).map(Some)
            }
        }
    }

    /// The preset `preset`, and it again with each variation.
    pub fn all(preset: &str) -> Vec<String> {
        let varied = Variation::value_variants().iter().map(|one| format!("{preset}+{}", one.name()));
        std::iter::once(preset.to_string()).chain(varied).collect()
    }
}

/// A model to compare, with its weights.
pub struct Candidate {
    pub name: String,
    pub config: ModelConfig,
    pub model: Box<dyn SentimentModel>,
    pub weights: Vec<Vec<f32>>,
}

impl Candidate {
    /// The model that `text` names, over `corpus`; one that was not trained starts from `seed`.
    pub fn new(gpu: &Gpu, text: &str, corpus: &Corpus, seed: u64) -> Result<Self> {
        let named = Named::parse(text)?;
        let (config, checkpoint) = match &named {
            Named::Preset { name, variations } => {
                let start = MsaConfig::preset(Preset::parse(name)?, modalities(corpus, None));
                (vary(start, variations), None)
            }
            Named::Trained(directory) => {
                let checkpoint = Checkpoint::open(directory)?;
                (msa::read_config(&checkpoint)?.model, Some(checkpoint))
            }
        };
        let model = config.build()?;
        msa::check_fit(model.as_ref(), corpus)?;
        let mut weights = match checkpoint {
            Some(checkpoint) => checkpoint.load_model(model.parameters())?,
            None => model.parameters().initial_values(seed),
        };
        if matches!(named, Named::Preset { variations, .. } if variations.contains(&Variation::Pretrained)) {
            pretrain(gpu, &config, corpus, seed, model.parameters(), &mut weights)?;
        }
        Ok(Candidate { name: text.to_string(), config, model, weights })
    }
}

/// `start` with all variations; the baseline is the last of them.
fn vary(start: MsaConfig, variations: &[Variation]) -> ModelConfig {
    variations.iter().fold(ModelConfig::SequenceLevel(start), |config, variation| match config {
        ModelConfig::SequenceLevel(config) => variation.apply(config),
        baseline => baseline,
    })
}

/// Pre-trains the encoders of `config`, in so many epochs.
const PRETRAINING_EPOCHS: u64 = 10;
/// Over at most so many clips.
const PRETRAINING_CLIPS: usize = 256;

/// Puts pre-trained encoders into `weights`.
fn pretrain(
    gpu: &Gpu,
    config: &ModelConfig,
    corpus: &Corpus,
    seed: u64,
    parameters: &Parameters,
    weights: &mut [Vec<f32>],
) -> Result<()> {
    let ModelConfig::SequenceLevel(config) = config else {
        return Err(Error::Config("early pooling has no encoders to pre-train: leave out +pretrained".to_string()));
    };
    let from = if corpus.train.is_empty() { &corpus.test } else { &corpus.train };
    let clips = from[..from.len().min(PRETRAINING_CLIPS)].to_vec();
    let corpus = Corpus {
        name: corpus.name.clone(),
        modalities: corpus.modalities.clone(),
        labels: corpus.labels.clone(),
        emotions: corpus.emotions.clone(),
        // there is nothing to stop early by
        valid: clips.clone(),
        train: clips,
        test: Vec::new(),
    };
    let training = TrainingConfig {
        batch_size: 16,
        accumulation: 1,
        learning_rate: 1e-3,
        weight_decay: 0.01,
        clip_norm: 1.0,
        loss: RegressionLoss::Mse,
        schedule: ScheduleKind::Constant,
        warmup_epochs: 0,
        epochs: PRETRAINING_EPOCHS,
        patience: u32::MAX,
        seed,
        checkpoint_every: 0,
        mixed_precision: false,
    };
    let data = Data { corpus, builtin: None, streamed: None };
    let mut pretraining = Pretraining::new(gpu, config, ContrastConfig::default(), &training, &data)?;
    pretraining.fit(|trainer, task| training::fit(trainer, task, &training, None, false, &mut ()))?;
    pretraining.hand_over(parameters, weights)
}
