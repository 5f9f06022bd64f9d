//! How good features are that tell subjects apart.

use super::check_finite;
use crate::{Error, Result};

/// How values are distributed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution {
    pub mean: f64,
    /// The standard deviation, of these values rather than of those they are a sample of: numpy's.
    pub deviation: f64,
    pub smallest: f64,
    pub largest: f64,
    /// The share of values that are 0.
    pub zeros: f64,
}

impl Distribution {
    /// # Errors
    /// [`Error::Config`] where there is no value, or one is not finite.
    pub fn of(values: &[f32]) -> Result<Self> {
        check_finite("value", values)?;
        if values.is_empty() {
            return Err(Error::Config("no values have no distribution".to_string()));
        }
        let all = || values.iter().map(|value| f64::from(*value));
        let mean = average(all());
        Ok(Distribution {
            mean,
            deviation: average(all().map(|value| (value - mean).powi(2))).sqrt(),
            smallest: all().fold(f64::INFINITY, f64::min),
            largest: all().fold(f64::NEG_INFINITY, f64::max),
            zeros: average(all().map(|value| f64::from(u8::from(value == 0.0)))),
        })
    }
}

/// The value that `share` of `values` lie below, linear between two of them: numpy's `quantile`. 0 where there is none.
pub fn quantile(values: &[f32], share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Features of several clips of several subjects, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMetrics {
    /// Within-subject consistency: cosine similarity of two clips of one subject, the mean over a subject's pairs, then over subjects.
    pub consistency: f64,
    /// Between-subject discriminability: cosine distance (1 - similarity) of two clips of different subjects, the mean over all pairs.
    pub discriminability: f64,
    /// Mean cosine similarity of the clips of each two subjects, `[subjects, subjects]`; a subject's with itself is that of its pairs.
    pub similarities: Vec<f64>,
    /// Of all values.
    pub values: Distribution,
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
        let count = units.len();
        let (mut similarities, mut between) = (vec![0.0; count * count], Vec::new());
        for (i, one) in units.iter().enumerate() {
            let pairs = one.iter().enumerate().flat_map(|(at, a)| one[at + 1..].iter().map(move |b| (a, b)));
            similarities[i * count + i] = average(pairs.map(|(a, b)| similarity(a, b)));
            for (j, other) in units.iter().enumerate().skip(i + 1) {
                let pairs = one.iter().flat_map(|a| other.iter().map(move |b| similarity(a, b)));
                let pairs: Vec<f64> = pairs.collect();
                let mean = average(pairs.iter().copied());
                (similarities[i * count + j], similarities[j * count + i]) = (mean, mean);
                between.extend(pairs.iter().map(|similarity| 1.0 - similarity));
            }
        }
        let first = &subjects[0][0];
        let constant = |d: &usize| subjects.iter().flatten().all(|clip| clip[*d] == first[*d]);
        Ok(FeatureMetrics {
            consistency: average((0..count).map(|i| similarities[i * count + i])),
            discriminability: average(between.into_iter()),
            similarities,
            values: Distribution::of(&subjects.iter().flatten().flatten().copied().collect::<Vec<f32>>())?,
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
pub(super) mod tests {
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
        assert!((metrics.values.zeros - 3.0 / 12.0).abs() < 1e-12);
        assert_eq!((metrics.values.smallest, metrics.values.largest), (0.0, 2.0));
    }

    /// Three subjects, four clips each, five features.
    pub fn features() -> Vec<Vec<Vec<f32>>> {
        let value = |s: i16, c: i16, d: i16| f32::from((7 * s + 3 * c + 5 * d * d + 2 * s * d + c * d) % 11 - 3) / 4.0;
        let clip = |s: i16, c: i16| (0..5).map(|d| value(s, c, d)).collect();
        (0..3).map(|s| (0..4).map(|c| clip(s, c)).collect()).collect()
    }

    #[test]
    fn figures_are_numpys() {
        let metrics = FeatureMetrics::compute(&features()).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-7, "{a} is not numpy's {b}");
        // U = F / norm(F, axis=-1); triu(U[i] @ U[i].T, 1) and U[i] @ U[j].T, averaged
        let (a, b, c) = (0.33804035, 0.24558854, 0.25584785);
        let wanted = [0.09887296, a, b, a, 0.35173058, c, b, c, -0.02922389];
        metrics.similarities.iter().zip(wanted).for_each(|(found, wanted)| near(*found, wanted));
        near(metrics.consistency, 0.14045988257613756);
        near(metrics.discriminability, 0.7201744197387036);
        // F.mean(), F.std(), (F == 0).mean()
        near(metrics.values.mean, 0.5125);
        near(metrics.values.deviation, 0.7858448214077213);
        near(metrics.values.zeros, 1.0 / 6.0);
        assert_eq!((metrics.values.smallest, metrics.values.largest, metrics.constant_dimensions), (-0.75, 1.75, 0));
        // numpy.quantile of the third feature
        let third: Vec<f32> = features().concat().iter().map(|clip| clip[2]).collect();
        for (share, wanted) in [(0.05, -0.25), (0.25, -0.0625), (0.5, 0.625), (0.95, 1.5), (1.0, 1.5)] {
            near(quantile(&third, share), wanted);
        }
        assert_eq!(quantile(&[], 0.5), 0.0);
    }

    #[test]
    fn values_that_have_no_distribution_are_refused() {
        assert!(Distribution::of(&[]).is_err() && Distribution::of(&[1.0, f32::INFINITY]).is_err());
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
