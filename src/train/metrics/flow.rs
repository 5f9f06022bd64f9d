//! Errors of optical flow.

use super::{check_finite, check_lengths};
use crate::{Error, Result};

/// How far a flow is from the motion that really was, by the two measures of Baker et al., "A Database and Evaluation Methodology for
/// Optical Flow" (2011), each a mean over pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct FlowMetrics {
    /// The distance between the two vectors, in pixels.
    pub end_point: f64,
    /// The angle between them as motions in space and time, `(x, y, 1)`, in degrees.
    pub angular: f64,
}

impl FlowMetrics {
    /// Compares flows of `[2, pixels]` at the pixels that `counted` (1 or 0 each) names.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the lengths differ, no pixel counts, or a value is not finite.
    pub fn compute(flow: &[f32], truth: &[f32], counted: &[u32]) -> Result<Self> {
        check_lengths(flow.len(), truth.len())?;
        check_finite("flow value", flow)?;
        check_finite("true value", truth)?;
        let pixels = counted.len();
        let count = counted.iter().filter(|counts| **counts != 0).count();
        if flow.len() != 2 * pixels || count == 0 {
            let message = format!("{} values are no flow of {pixels} pixels of which {count} count", flow.len());
            return Err(Error::Config(message));
        }
        let vector = |values: &[f32], at: usize| [f64::from(values[at]), f64::from(values[at + pixels])];
        let (mut end_point, mut angular) = (0.0, 0.0);
        for at in (0..pixels).filter(|at| counted[*at] != 0) {
            let ([x, y], [u, v]) = (vector(flow, at), vector(truth, at));
            end_point += (x - u).hypot(y - v);
            // of the cross product rather than the cosine, which has no digits left for small angles
            let across = (y - v).hypot(u - x).hypot(x * v - y * u);
            angular += across.atan2(x * u + y * v + 1.0).to_degrees();
        }
        Ok(FlowMetrics { end_point: end_point / count as f64, angular: angular / count as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_angles_of_the_pixels_that_count() {
        let metrics = |flow: &[f32], truth: &[f32], counted: &[u32]| FlowMetrics::compute(flow, truth, counted);
        let found = metrics(&[1.0, 9.0, 0.0, 9.0], &[0.0, 0.0, 0.0, 0.0], &[1, 0]).unwrap();
        assert!((found.end_point - 1.0).abs() < 1e-12 && (found.angular - 45.0).abs() < 1e-9, "{found:?}");
        let same = metrics(&[1.5, -2.0], &[1.5, -2.0], &[1]).unwrap();
        assert_eq!((same.end_point, same.angular), (0.0, 0.0));
        for wrong in [
            metrics(&[1.0; 2], &[1.0; 4], &[1, 1]),
            metrics(&[1.0; 2], &[1.0; 2], &[0]),
            metrics(&[f32::NAN; 2], &[1.0; 2], &[1]),
        ] {
            assert!(matches!(wrong, Err(Error::Config(_))));
        }
    }
}
