//! What all examples of a system share: a run's configuration on disk, paths.

use clap::ValueEnum;
use limbic::models::RegressionLoss;
use limbic::train::checkpoint::Checkpoint;
use limbic::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a model was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingConfig {
    pub batch_size: usize,
    pub accumulation: u32,
    pub learning_rate: f64,
    pub weight_decay: f32,
    pub clip_norm: f32,
    pub loss: RegressionLoss,
    pub schedule: ScheduleKind,
    pub warmup_epochs: u64,
    pub epochs: u64,
    pub patience: u32,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    Constant,
    Step,
    Cosine,
    Plateau,
}

/// Reads a checkpoint's `config.json`, which `program` wrote, and checks its version.
pub fn read_config<T: DeserializeOwned>(checkpoint: &Checkpoint, version: u32, program: &str) -> Result<T> {
    if !checkpoint.config_path().is_file() {
        let message = format!("is not there: this is no directory that {program} wrote (its --out)");
        return Err(Error::io(checkpoint.config_path(), message));
    }
    // the version first: what another one holds may not be readable here
    let found = checkpoint.load_config::<Version>()?.version;
    if found != version {
        let message =
            format!("is {found}, this program reads {version}: train again, or use the program that wrote it");
        return Err(Error::format(checkpoint.config_path(), "version", message));
    }
    checkpoint.load_config()
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// A path as people should see it.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
