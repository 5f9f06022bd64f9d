//! The models of human affect. Each reads like the figure in its paper.

pub mod msa;
pub mod personality;
mod regression;

pub use regression::RegressionLoss;
