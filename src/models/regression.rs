//! What models that predict numbers minimise.

use crate::graph::Var;

/// What the training minimises, averaged over the clips of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum RegressionLoss {
    #[default]
    Mse,
    Mae,
    /// Quadratic to an error of 1, linear beyond.
    Huber,
}

impl RegressionLoss {
    /// The loss of each error.
    pub fn of(self, error: Var<'_>) -> Var<'_> {
        match self {
            RegressionLoss::Mse => error.square(),
            RegressionLoss::Mae => error.abs(),
            RegressionLoss::Huber => error.huber(1.0),
        }
    }

    /// The loss of one error.
    pub fn value(self, error: f64) -> f64 {
        match self {
            RegressionLoss::Mse => error * error,
            RegressionLoss::Mae => error.abs(),
            RegressionLoss::Huber if error.abs() <= 1.0 => 0.5 * error * error,
            RegressionLoss::Huber => error.abs() - 0.5,
        }
    }
}
