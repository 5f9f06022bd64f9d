//! The command-line flags of every training loop.

use crate::common::{ScheduleKind, TrainingConfig};
use crate::training;
use clap::{Args, ValueEnum};
use limbic::Result;
use limbic::models::RegressionLoss;

/// Those that a run which goes on takes from its checkpoint.
pub const FIXED: [&str; 9] = [
    "batch_size",
    "accumulation_steps",
    "learning_rate",
    "weight_decay",
    "clip_norm",
    "loss",
    "schedule",
    "warmup_epochs",
    "seed",
];

#[derive(Debug, Clone, Args)]
pub struct TrainingFlags {
    /// Default: 32, of videos 16.
    #[arg(long, alias = "batch-size")]
    pub batch_size: Option<usize>,
    /// Batches whose gradients are averaged for one update.
    #[arg(long, alias = "accumulation-steps", default_value_t = 1)]
    pub accumulation_steps: u32,
    #[arg(long, allow_negative_numbers = true, alias = "learning-rate")]
    pub learning_rate: Option<f64>,
    #[arg(long, allow_negative_numbers = true, alias = "weight-decay", default_value_t = 0.01)]
    pub weight_decay: f32,
    /// Gradients longer than this are shortened to it.
    #[arg(long, allow_negative_numbers = true, alias = "clip-norm", default_value_t = 1.0)]
    pub clip_norm: f32,
    #[arg(long, value_enum, default_value = "mse")]
    pub loss: LossFlag,
    #[arg(long, value_enum, default_value = "cosine")]
    pub schedule: ScheduleKind,
    #[arg(long, alias = "warmup-epochs", default_value_t = 1)]
    pub warmup_epochs: u64,
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Epochs without a better validation loss before it stops. Default: 10.
    #[arg(long)]
    pub patience: Option<u32>,
    /// Seed of the built-in corpus, the initial weights, dropout and the order of the clips.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LossFlag {
    Mse,
    Mae,
    Huber,
}

/// What a system trains with where no flag says otherwise.
pub struct Defaults {
    pub batch_size: usize,
    pub learning_rate: f64,
    pub epochs: u64,
}

impl TrainingFlags {
    pub fn config(&self, defaults: &Defaults) -> TrainingConfig {
        TrainingConfig {
            batch_size: self.batch_size.unwrap_or(defaults.batch_size),
            accumulation: self.accumulation_steps,
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            loss: match self.loss {
                LossFlag::Mse => RegressionLoss::Mse,
                LossFlag::Mae => RegressionLoss::Mae,
                LossFlag::Huber => RegressionLoss::Huber,
            },
            schedule: self.schedule,
            warmup_epochs: self.warmup_epochs,
            epochs: self.epochs.unwrap_or(defaults.epochs),
            patience: self.patience.unwrap_or(10),
            seed: self.seed,
        }
    }

    /// Changes in a saved run's configuration what may change when it goes on.
    pub fn resume(&self, saved: &mut TrainingConfig) -> Result<()> {
        saved.epochs = self.epochs.unwrap_or(saved.epochs);
        saved.patience = self.patience.unwrap_or(saved.patience);
        training::check(saved)
    }
}
