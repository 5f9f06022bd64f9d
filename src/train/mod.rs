//! Training: optimisers, schedules, metrics, early stopping, checkpoints, and the loop that uses them.

#[cfg(feature = "weights")]
pub mod checkpoint;
pub mod early_stopping;
#[cfg(feature = "weights")]
pub mod fit;
pub mod history;
mod loss_scaling;
pub mod metrics;
pub mod optimizer;
#[cfg(feature = "progress")]
pub mod progress;
mod running;
pub mod schedule;
mod trainer;
mod update;

pub use early_stopping::{EarlyStopping, Verdict};
pub use history::{EpochRow, History};
pub use loss_scaling::LossScaling;
pub use optimizer::{
    Clipping, Convention, Optimizer, OptimizerConfig, OptimizerState, ParameterGroup, Rule, StepSettings,
};
pub use schedule::{Anneal, OneCycle, Plateau, Schedule, Threshold};
pub use trainer::{StepReport, Trainer};
