//! A run on disk: a directory with `config.json`, `model.safetensors` (the best weights so far) and `training.safetensors` (where the
//! run stands: current weights, moments, counters). Each file is written aside and renamed; the state of a run is one file, so it
//! is whole or it is the one before.

use super::loss_scaling::LossScaling;
use super::optimizer::OptimizerState;
use crate::error::{Error, Result};
use crate::graph::Parameters;
use crate::weights::{self, Metadata, Tensor, Tensors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The files of a checkpoint directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    directory: PathBuf,
}

/// The key of the metadata entry that holds the run's state as JSON.
const STATE: &str = "state";
/// What the names of a state's tensors begin with.
const VALUES: &str = "parameter/";
const FIRST: &str = "first_moment/";
const SECOND: &str = "second_moment/";
const ACCUMULATED: &str = "accumulated_gradient/";
/// The tensor that holds scale, updates and skipped updates of a run in mixed precision.
const SCALING: &str = "loss_scaling";

impl Checkpoint {
    /// The checkpoint in `directory`, which is made if it is not there.
    pub fn create(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)
            .map_err(|error| Error::io(&directory, format!("cannot be made as a directory: {error}")))?;
        Ok(Checkpoint { directory })
    }

    /// The checkpoint in `directory`.
    ///
    /// # Errors
    /// Where there is no such directory.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self> {
        let directory = directory.into();
        if !directory.is_dir() {
            return Err(Error::io(
                directory,
                "is no checkpoint directory: train one first (the training examples write them, --out)",
            ));
        }
        Ok(Checkpoint { directory })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn config_path(&self) -> PathBuf {
        self.directory.join("config.json")
    }

    pub fn model_path(&self) -> PathBuf {
        self.directory.join("model.safetensors")
    }

    pub fn state_path(&self) -> PathBuf {
        self.directory.join("training.safetensors")
    }

    pub fn history_path(&self) -> PathBuf {
        self.directory.join("history.csv")
    }

    /// Writes `history.csv`.
    pub fn save_history(&self, history: &super::history::History) -> Result<()> {
        history.write_csv(self.history_path())
    }

    pub fn save_config(&self, config: &impl Serialize) -> Result<()> {
        weights::write_json(self.config_path(), config)
    }

    pub fn load_config<T: DeserializeOwned>(&self) -> Result<T> {
        weights::read_json(self.config_path())
    }

    pub fn save_model(&self, parameters: &Parameters, values: &[Vec<f32>]) -> Result<()> {
        let mut tensors = Tensors::new();
        tensors.insert_parameters("", parameters, values)?;
        let metadata = Metadata::from([("format".to_string(), "pt".to_string())]);
        weights::write(self.model_path(), &tensors, &metadata)
    }

    /// The model's weights, checked against `parameters` by name and shape.
    pub fn load_model(&self, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
        let path = self.model_path();
        if !path.is_file() {
            let message =
                "is not there: the run was stopped before its first validation. Go on with it first (--resume)";
            return Err(Error::io(path, message));
        }
        load_weights(&path, parameters)
    }

    /// Saves where a run stands: current weights, the optimiser's state, and `state`.
    pub fn save_state(
        &self,
        parameters: &Parameters,
        values: &[Vec<f32>],
        optimizer: &OptimizerState,
        state: &impl Serialize,
    ) -> Result<()> {
        let mut tensors = Tensors::new();
        tensors.insert_parameters(VALUES, parameters, values)?;
        tensors.insert_parameters(FIRST, parameters, &optimizer.first)?;
        tensors.insert_parameters(SECOND, parameters, &optimizer.second)?;
        if !optimizer.accumulated.is_empty() {
            tensors.insert_parameters(ACCUMULATED, parameters, &optimizer.accumulated)?;
        }
        if let Some(LossScaling { scale, updates, skipped }) = optimizer.scaling {
            tensors.insert(SCALING, Tensor::f32([3], vec![scale, updates, skipped])?);
        }
        let state = serde_json::to_string(state).map_err(|error| Error::Config(error.to_string()))?;
        weights::write(self.state_path(), &tensors, &Metadata::from([(STATE.to_string(), state)]))
    }

    /// What [`Checkpoint::save_state`] saved: weights, the optimiser's state, and `T`.
    ///
    /// # Errors
    /// Where there is no such file, or it is of another model or format.
    pub fn load_state<T: DeserializeOwned>(
        &self,
        parameters: &Parameters,
    ) -> Result<(Vec<Vec<f32>>, OptimizerState, T)> {
        let path = self.state_path();
        if !path.is_file() {
            return Err(Error::io(path, "is not there: no run was saved here that could go on"));
        }
        let (tensors, metadata) = weights::read_with_metadata(&path)?;
        let state =
            metadata.get(STATE).ok_or_else(|| Error::format(&path, STATE, "is missing: this is no training state"))?;
        let state = serde_json::from_str(state).map_err(|error| Error::format(&path, STATE, error))?;
        let accumulated = match tensors.iter().any(|(name, _)| name.starts_with(ACCUMULATED)) {
            true => tensors.parameters(ACCUMULATED, parameters)?,
            false => Vec::new(),
        };
        let (first, second) = (tensors.parameters(FIRST, parameters)?, tensors.parameters(SECOND, parameters)?);
        let scaling = tensors.get(SCALING).map(|_| tensors.f32(SCALING, &[3])).transpose()?;
        let scaling = scaling.map(|of| LossScaling { scale: of[0], updates: of[1], skipped: of[2] });
        let optimizer = OptimizerState { first, second, accumulated, scaling };
        Ok((tensors.parameters(VALUES, parameters)?, optimizer, state))
    }

    /// Removes the weights, state and history of an earlier run, so that a new one never stands beside them. Returns whether
    /// there were any.
    pub fn clear(&self) -> Result<bool> {
        let mut found = false;
        for path in [self.model_path(), self.state_path(), self.history_path()] {
            match std::fs::remove_file(&path) {
                Ok(()) => found = true,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io(path, format!("cannot be removed: {error}"))),
            }
        }
        Ok(found)
    }
}

/// The weights in the safetensors file `path`, by name; every parameter must be there in its shape, and nothing else.
pub fn load_weights(path: &Path, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
    weights::read(path)?.exactly_parameters(parameters)
}
