//! How good features are that tell subjects apart.

use super::check_finite;
use crate::{Error, Result};

/// Features of several clips of several subjects, judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureMetrics {
    /// Within-subject consistency: cosine similarity of two clips of one subject, the mean over a subject's pairs, then over subjects.
    pub consistency: f64,
    /// Between-subject discriminability: cosine distance (1 - similarity) of two clips of different subjects, the mean over all pairs.
    pub discriminability: f64,
    /// Mean and standard deviation of all values.
    pub mean: f64,
    pub deviation: f64,
    pub smallest: f64,
    pub largest: f64,
    /// The share of values that are 0.
    pub zeros: f64,
    /// Dimensions that are the same for every clip: they say nothing.
    pub constant_dimensions: usize,
    pub dimensions: usize,
}

impl FeatureMetrics {
    /// Of `subjects`, each a list of its clips' features.
    ///
    /// # Errors
    /// [`Error::Config`] with fewer than two subjects, a subject with fewer than two clips, features that differ in length, are not
    /// finite, or are all 0 (they have no direction).
    pub fn compute(subjects: &[Vec<Vec<f32>>]) -> Result<Self> {
        let dimensions = subjects.iter().flatten().next().map_or(0, Vec::len);
        if subjects.len() < 2 || subjects.iter().any(|clips| clips.len() < 2) || dimensions == 0 {
            let message = "consistency and discriminability want two subjects or more, with two clips or more each";
            return Err(Error::Config(message.to_string()));
        }
        if let Some(odd) = subjects.iter().flatten().find(|clip| clip.len() != dimensions) {
            return Err(Error::Config(format!("features of {} and of {dimensions} values in one set", odd.len())));
        }
        let units: Vec<Vec<Vec<f64>>> =
            subjects.iter().map(|clips| clips.iter().map(|clip| unit(clip)).collect()).collect::<Result<_>>()?;
        let similarity = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let within = |clips: &Vec<Vec<f64>>| {
            let pairs = clips.iter().enumerate().flat_map(|(i, a)| clips[i + 1..].iter().map(move |b| (a, b)));
            average(pairs.map(|(a, b)| similarity(a, b)))
        };
        let between = units.iter().enumerate().flat_map(|(i, one)| {
            let others = units[i + 1..].iter().flatten();
            others.flat_map(move |b| one.iter().map(move |a| 1.0 - similarity(a, b)))
        });
        let values = || subjects.iter().flatten().flatten().map(|value| f64::from(*value));
        let mean = average(values());
        let first = &subjects[0][0];
        let constant = |d: &usize| subjects.iter().flatten().all(|clip| clip[*d] == first[*d]);
        Ok(FeatureMetrics {
            consistency: average(units.iter().map(within)),
            discriminability: average(between),
            mean,
            deviation: average(values().map(|value| (value - mean).powi(2))).sqrt(),
            smallest: values().fold(f64::INFINITY, f64::min),
            largest: values().fold(f64::NEG_INFINITY, f64::max),
            zeros: average(values().map(|value| f64::from(u8::from(value == 0.0)))),
            constant_dimensions: (0..dimensions).filter(constant).count(),
            dimensions,
        })
    }
}

fn unit(clip: &[f32]) -> Result<Vec<f64>> {
    check_finite("feature", clip)?;
    let length = clip.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 {
        return Err(Error::Config("features that are all 0 have no direction to compare".to_string()));
    }
    Ok(clip.iter().map(|x| f64::from(*x) / length).collect())
}

fn average(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_counted_by_hand() {
        // one subject along x and at 60 degrees to it, the other along y, twice
        let height = 3f32.sqrt() / 2.0;
        let subjects = [vec![vec![2.0, 0.0, 7.0e-30], vec![0.5, height, 7.0e-30]], vec![vec![0.0, 1.0, 7.0e-30]; 2]];
        let metrics = FeatureMetrics::compute(&subjects).unwrap();
        assert!((metrics.consistency - (0.5 + 1.0) / 2.0).abs() < 1e-6);
        let by_hand = (2.0 * 1.0 + 2.0 * (1.0 - f64::from(height))) / 4.0;
        assert!((metrics.discriminability - by_hand).abs() < 1e-6, "{}", metrics.discriminability);
        assert_eq!((metrics.constant_dimensions, metrics.dimensions), (1, 3));
        assert!((metrics.zeros - 3.0 / 12.0).abs() < 1e-12);
        assert_eq!((metrics.smallest, metrics.largest), (0.0, 2.0));
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let compute = |subjects: &[Vec<Vec<f32>>]| FeatureMetrics::compute(subjects).unwrap_err().to_string();
        assert!(compute(&[vec![vec![1.0]; 2]]).contains("two subjects"));
        assert!(compute(&[vec![vec![1.0]; 2], vec![vec![1.0]]]).contains("two clips"));
        assert!(compute(&[vec![vec![1.0]; 2], vec![vec![1.0], vec![1.0, 2.0]]]).contains("in one set"));
        assert!(compute(&[vec![vec![1.0]; 2], vec![vec![0.0]; 2]]).contains("no direction"));
        assert!(compute(&[vec![vec![1.0]; 2], vec![vec![f32::NAN]; 2]]).contains("finite"));
    }
}
