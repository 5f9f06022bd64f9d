//! Errors and agreement of real-valued predictions.

use super::{check_finite, check_lengths};
use crate::Result;

/// How far predictions are from the truth, in the label's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct RegressionMetrics {
    /// Mean absolute error.
    pub mae: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Pearson's correlation, in [-1, 1]. 0 if the predictions or the labels are all the same: numpy gives NaN there, but
    /// a constant predictor explains nothing, and 0 says so in a table and in JSON.
    pub pearson: f64,
    /// The coefficient of determination, 1 - residual / total sum of squares: 0 is as good as predicting the mean,
    /// negative is worse. For labels that are all the same it is 1 if every prediction is exact, else 0
    /// (as scikit-learn's `r2_score`).
    pub r2: f64,
}

impl RegressionMetrics {
    /// Compares predictions with labels, element by element.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the lengths differ, there is nothing to compare, or a value is not finite.
    pub fn compute(predicted: &[f32], truth: &[f32]) -> Result<Self> {
        check_lengths(predicted.len(), truth.len())?;
        check_finite("prediction", predicted)?;
        check_finite("label", truth)?;
        let count = truth.len() as f64;
        let residuals = || predicted.iter().zip(truth).map(|(&p, &t)| f64::from(p) - f64::from(t));
        let squares: f64 = residuals().map(|r| r * r).sum();
        let mse = squares / count;
        Ok(RegressionMetrics {
            mae: residuals().map(f64::abs).sum::<f64>() / count,
            mse,
            rmse: mse.sqrt(),
            pearson: pearson(predicted, truth),
            r2: determination(squares, truth),
        })
    }
}

pub(super) fn is_constant(values: &[f32]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

pub(super) fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
}

/// Constants are asked for by their values, not by a variance of 0: the mean of equal numbers may be off by a rounding,
/// and the correlation of roundings is noise.
fn pearson(a: &[f32], b: &[f32]) -> f64 {
    if is_constant(a) || is_constant(b) {
        return 0.0;
    }
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    (ab / (aa.sqrt() * bb.sqrt())).clamp(-1.0, 1.0)
}

fn determination(residual: f64, truth: &[f32]) -> f64 {
    if is_constant(truth) {
        return if residual == 0.0 { 1.0 } else { 0.0 };
    }
    let centre = mean(truth);
    let total: f64 = truth.iter().map(|&t| (f64::from(t) - centre).powi(2)).sum();
    1.0 - residual / total
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn agrees_with_sums_by_hand() {
        // residuals .5, -1, 0, 1.5; labels have mean 1.5 and sum of squares 5 around it.
        let metrics = RegressionMetrics::compute(&[0.5, 0.0, 2.0, 4.5], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert_relative_eq!(metrics.mae, 0.75, max_relative = 1e-15);
        assert_relative_eq!(metrics.mse, 0.875, max_relative = 1e-15);
        assert_relative_eq!(metrics.rmse, 0.875f64.sqrt(), max_relative = 1e-15);
        assert_relative_eq!(metrics.r2, 1.0 - 3.5 / 5.0, max_relative = 1e-14);
        // covariance sum 7, predictions' sum of squares around 1.75 is 12.25.
        assert_relative_eq!(metrics.pearson, 7.0 / (5.0f64 * 12.25).sqrt(), max_relative = 1e-14);
    }

    #[test]
    fn degenerate_input_is_defined() {
        // 0.1 is not exact in binary: its mean over seven may differ from it.
        let constant = RegressionMetrics::compute(&[0.1; 7], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.5]).unwrap();
        assert_eq!(constant.pearson, 0.0);
        let constant_truth = RegressionMetrics::compute(&[1.0, 2.0, 3.0], &[0.1; 3]).unwrap();
        assert_eq!((constant_truth.pearson, constant_truth.r2), (0.0, 0.0));
        let exact = RegressionMetrics::compute(&[0.1; 3], &[0.1; 3]).unwrap();
        assert_eq!((exact.mae, exact.r2), (0.0, 1.0));
        let one = RegressionMetrics::compute(&[2.0], &[3.0]).unwrap();
        assert_eq!((one.mae, one.pearson), (1.0, 0.0));
        // Squares that would overflow f32, spreads that would underflow in it.
        let wide = RegressionMetrics::compute(&[1e30, -1e30, 3e30], &[2e30, -2e30, 6e30]).unwrap();
        assert_relative_eq!(wide.pearson, 1.0, max_relative = 1e-12);
        let narrow = RegressionMetrics::compute(&[1e-40, 2e-40, 4e-40], &[-1e-40, -2e-40, -4e-40]).unwrap();
        assert_relative_eq!(narrow.pearson, -1.0, max_relative = 1e-12);
    }

    #[test]
    fn bad_input_is_an_error() {
        let text = |p: &[f32], t: &[f32]| RegressionMetrics::compute(p, t).unwrap_err().to_string();
        assert!(text(&[1.0], &[1.0, 2.0]).contains("1 predictions cannot be compared with 2 labels"));
        assert!(text(&[], &[]).contains("at least one"));
        assert!(text(&[1.0, f32::NAN], &[1.0, 2.0]).contains("prediction 1 is NaN"));
        assert!(text(&[1.0, 2.0], &[f32::INFINITY, 2.0]).contains("label 0 is inf"));
    }
}
