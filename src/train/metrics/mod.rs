//! How good predictions are: regression, sentiment, personality and classification, as the field reports them.
//!
//! Sums run in f64. A score that has nothing to divide by is 0, as with scikit-learn's `zero_division=0`, so that every
//! metric of finite input is finite and can be written as JSON. Empty input, lengths that differ and values that are not
//! finite are errors: a NaN among the predictions must not become a plausible table.

mod classification;
mod features;
mod flow;
mod pca;
mod personality;
mod regression;
mod retrieval;
mod sentiment;
mod table;

pub use classification::{ClassScores, ClassificationMetrics, classification_table};
pub use features::{Distribution, FeatureMetrics, quantile};
pub use flow::FlowMetrics;
pub use pca::Pca;
pub use personality::{PersonalityMetrics, TraitScores, personality_table};
pub use regression::RegressionMetrics;
pub use retrieval::RetrievalMetrics;
pub use sentiment::{SentimentMetrics, sentiment_table};

use crate::{Error, Result};

/// Refuses empty input and lengths that differ.
fn check_lengths(predicted: usize, truth: usize) -> Result<()> {
    if predicted != truth {
        return Err(Error::Config(format!("{predicted} predictions cannot be compared with {truth} labels")));
    }
    if truth == 0 {
        return Err(Error::Config("metrics need at least one prediction: is this split empty?".into()));
    }
    Ok(())
}

/// Refuses NaN and infinity, naming the first.
fn check_finite(what: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(Error::Config(format!("{what} {at} is {}: metrics need finite values", values[at]))),
        None => Ok(()),
    }
}

/// `part / whole`, 0 where there is no whole.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
