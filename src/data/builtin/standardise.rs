//! Features to mean 0 and standard deviation 1, by the statistics of the training clips alone.

use serde::{Deserialize, Serialize};

use crate::data::{Clip, Sequence};
use crate::error::{Error, Result};

/// Mean and standard deviation of every feature of one modality. Kept, because a clip that is scored later must be measured
/// with the same ruler; it reads and writes as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standardiser {
    /// Mean of each feature over all training steps.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature; 0 for one that never changes, which then becomes 0.
    pub deviation: Vec<f32>,
}

impl Standardiser {
    /// The statistics of modality `modality` (`dim` features) over all steps of `clips`.
    pub fn fit(clips: &[Clip], modality: usize, dim: usize) -> Self {
        let steps = || {
            let values = clips.iter().filter_map(|c| c.sequences.get(modality)).map(|s| &s.values);
            values.flat_map(|v| v.chunks_exact(dim.max(1)))
        };
        let (mut mean, mut square, mut count) = (vec![0f64; dim], vec![0f64; dim], 0f64);
        for step in steps() {
            count += 1.0;
            mean.iter_mut().zip(step).for_each(|(m, &x)| *m += f64::from(x));
        }
        mean.iter_mut().for_each(|m| *m /= f64::max(count, 1.0));
        for step in steps() {
            let centred = step.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m);
            square.iter_mut().zip(centred).for_each(|(s, d)| *s += d * d);
        }
        let deviation = |s: f64| (s / f64::max(count, 1.0)).sqrt();
        Standardiser {
            mean: mean.iter().map(|&m| m as f32).collect(),
            deviation: square.into_iter().map(|s| deviation(s) as f32).collect(),
        }
    }

    /// Standardises `sequence` in place. Refuses a sequence of another feature size.
    pub fn apply(&self, sequence: &mut Sequence) -> Result<()> {
        let dim = self.mean.len();
        if self.deviation.len() != dim || sequence.values.len() != sequence.len * dim {
            return Err(Error::Config(format!(
                "a sequence of {} values in {} steps does not fit statistics of {dim} features: use the statistics that were made with these features",
                sequence.values.len(),
                sequence.len
            )));
        }
        for step in sequence.values.chunks_exact_mut(dim.max(1)) {
            for ((x, mean), deviation) in step.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *x = if *deviation > 1e-6 { (*x - mean) / deviation } else { 0.0 };
            }
        }
        Ok(())
    }
}
