//! How well the vectors of one modality find the clip's own among those of another.

use super::check_lengths;
use crate::{Error, Result};

/// Ranks of the matching key among all keys, by cosine similarity; 1 is the nearest. Keys as near as the own one count as nearer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct RetrievalMetrics {
    /// Keys that each query chose from.
    pub count: usize,
    /// Share of queries whose own key is the nearest. Chance: `1 / count`.
    pub recall_at_1: f64,
    /// Share of queries whose own key is among the five nearest. Chance: `5 / count`.
    pub recall_at_5: f64,
    /// Chance: `(count + 1) / 2`.
    pub mean_rank: f64,
}

impl RetrievalMetrics {
    /// Of queries and keys of length 1, query `i` belonging to key `i`.
    ///
    /// # Errors
    /// [`Error::Config`] if there are none, their numbers or sizes differ, or a value is not finite.
    pub fn compute(queries: &[&[f32]], keys: &[&[f32]]) -> Result<Self> {
        check_lengths(queries.len(), keys.len())?;
        let dim = queries.first().map_or(0, |query| query.len());
        if let Some(odd) = queries.iter().chain(keys).find(|vector| vector.len() != dim) {
            return Err(Error::Config(format!("vectors of {dim} and of {} values cannot be compared", odd.len())));
        }
        if queries.iter().chain(keys).any(|vector| vector.iter().any(|value| !value.is_finite())) {
            return Err(Error::Config("an embedding is not finite: metrics need finite values".to_string()));
        }
        let similarity =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let rank = |(index, query): (usize, &&[f32])| {
            let own = similarity(query, keys[index]);
            keys.iter().filter(|key| similarity(query, key) >= own).count()
        };
        let ranks: Vec<usize> = queries.iter().enumerate().map(rank).collect();
        let count = ranks.len() as f64;
        let recall = |most: usize| ranks.iter().filter(|rank| **rank <= most).count() as f64 / count;
        Ok(RetrievalMetrics {
            count: keys.len(),
            recall_at_1: recall(1),
            recall_at_5: recall(5),
            mean_rank: ranks.iter().sum::<usize>() as f64 / count,
        })
    }

    /// The mean over both directions of each two modalities. `clips` have a vector per modality; zeros say that a clip lacks it, and it
    /// then takes no part.
    ///
    /// # Errors
    /// As [`RetrievalMetrics::compute`], and where no clip has two modalities.
    pub fn between_modalities(clips: &[Vec<Vec<f32>>]) -> Result<Self> {
        let modalities = clips.first().map_or(0, Vec::len);
        let mut all = Vec::new();
        for (from, to) in (0..modalities).flat_map(|from| (0..modalities).map(move |to| (from, to))) {
            let both = clips.iter().filter_map(|clip| vector(clip, from).zip(vector(clip, to)));
            let (queries, keys): (Vec<&[f32]>, Vec<&[f32]>) = both.unzip();
            if from != to && !queries.is_empty() {
                all.push(Self::compute(&queries, &keys)?);
            }
        }
        let mean = |value: fn(&Self) -> f64| all.iter().map(value).sum::<f64>() / all.len() as f64;
        let count = all.iter().map(|metrics| metrics.count).max();
        let count =
            count.ok_or_else(|| Error::Config("no clip has two modalities: nothing can be found".to_string()))?;
        Ok(RetrievalMetrics {
            count,
            recall_at_1: mean(|metrics| metrics.recall_at_1),
            recall_at_5: mean(|metrics| metrics.recall_at_5),
            mean_rank: mean(|metrics| metrics.mean_rank),
        })
    }
}

/// The clip's vector of a modality, if it has it.
fn vector(clip: &[Vec<f32>], modality: usize) -> Option<&[f32]> {
    let vector = clip.get(modality)?.as_slice();
    vector.iter().any(|value| *value != 0.0).then_some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(angle: f64) -> Vec<f32> {
        vec![angle.cos() as f32, angle.sin() as f32]
    }

    fn refs(vectors: &[Vec<f32>]) -> Vec<&[f32]> {
        vectors.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn ranks_by_cosine_similarity() {
        let keys: Vec<Vec<f32>> = (0..8).map(|index| unit(0.3 * f64::from(index))).collect();
        // nearest: the own key; the third; the own one; all others are nearer
        let queries: Vec<Vec<f32>> = [0.02, 0.62, 0.61, 3.0, 1.21, 1.52, 1.79, 0.0].map(unit).to_vec();
        let found = RetrievalMetrics::compute(&refs(&queries), &refs(&keys)).unwrap();
        // ranks 1, 3, 1, 5, 1, 1, 1, 8
        assert_eq!((found.count, found.recall_at_1, found.recall_at_5), (8, 5.0 / 8.0, 7.0 / 8.0));
        assert_eq!(found.mean_rank, 21.0 / 8.0);
    }

    #[test]
    fn vectors_that_are_all_alike_find_nothing() {
        let same = vec![vec![vec![1.0f32, 0.0], vec![1.0, 0.0]]; 4];
        let found = RetrievalMetrics::between_modalities(&same).unwrap();
        assert_eq!((found.recall_at_1, found.mean_rank), (0.0, 4.0));
    }

    #[test]
    fn clips_that_lack_a_modality_take_no_part() {
        let clip = |a: Vec<f32>, b: Vec<f32>| vec![a, b];
        let clips = [
            clip(unit(0.0), unit(0.1)),
            clip(unit(1.0), vec![0.0, 0.0]),
            clip(unit(2.0), unit(2.1)),
            clip(vec![0.0, 0.0], unit(0.0)),
        ];
        let found = RetrievalMetrics::between_modalities(&clips).unwrap();
        assert_eq!((found.count, found.recall_at_1, found.mean_rank), (2, 1.0, 1.0));
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let (a, b): ([&[f32]; 2], [&[f32]; 2]) = ([&[1.0, 0.0], &[0.0, 1.0]], [&[1.0, 0.0], &[f32::NAN, 1.0]]);
        let lacking = vec![vec![vec![0.0], vec![1.0]]];
        for wrong in [
            RetrievalMetrics::compute(&a, &a[..1]),
            RetrievalMetrics::compute(&a, &b),
            RetrievalMetrics::compute(&a, &[&[1.0], &[1.0]]),
            RetrievalMetrics::compute(&[], &[]),
            RetrievalMetrics::between_modalities(&lacking),
            RetrievalMetrics::between_modalities(&[]),
        ] {
            assert!(matches!(wrong, Err(Error::Config(_))));
        }
    }
}
