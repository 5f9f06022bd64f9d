//! Features of clips that something extracted beforehand, with labels of the five traits: what a head alone is trained on.
//!
//! A safetensors file with `train.faces [clips, width]`, `train.motion [clips, width]` and `train.traits [clips, 5]` (openness,
//! conscientiousness, extraversion, agreeableness, neuroticism, in [0, 1]), the same for `valid` and, if it is there, `test`.

use super::batches::shuffled;
use crate::error::{Error, Result};
use crate::plan::Batch;
use crate::weights::{self, Metadata, Tensor, Tensors};
use std::path::Path;

/// Features of one split's clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureSplit {
    /// `[clips, width]`.
    pub faces: Vec<f32>,
    /// `[clips, width]`.
    pub motion: Vec<f32>,
    pub traits: Vec<[f32; 5]>,
}

/// Features of clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureCorpus {
    /// Of the face's features and of the motion's.
    pub widths: [usize; 2],
    pub train: FeatureSplit,
    pub valid: FeatureSplit,
    pub test: FeatureSplit,
}

impl FeatureCorpus {
    /// Reads a file of features.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read; [`Error::Format`] naming the tensor that is missing, of another shape, or not finite.
    pub fn read(path: &Path) -> Result<Self> {
        let tensors = weights::read(path)?;
        let width = |name: &str| match tensors.get(name).map(Tensor::shape) {
            Some([_, width]) if *width > 0 => Ok(*width),
            Some(shape) => Err(Error::format(path, name, format!("has the shape {shape:?}, not [clips, width]"))),
            None => Err(Error::format(path, name, "is missing")),
        };
        let widths = [width("train.faces")?, width("train.motion")?];
        let split = |name: &str| read_split(&tensors, path, name, widths);
        let has_test = tensors.iter().any(|(name, _)| name.starts_with("test."));
        let test = if has_test { split("test")? } else { FeatureSplit::default() };
        Ok(FeatureCorpus { widths, train: split("train")?, valid: split("valid")?, test })
    }

    /// Writes them as a file that [`FeatureCorpus::read`] reads, whole or not at all.
    ///
    /// # Errors
    /// Where the values are not of these widths, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors = Tensors::new();
        for (name, split) in [("train", &self.train), ("valid", &self.valid), ("test", &self.test)] {
            let clips = split.traits.len();
            let [faces, motion] = self.widths;
            let mut insert = |part: &str, width: usize, values: Vec<f32>| -> Result<()> {
                tensors.insert(format!("{name}.{part}"), Tensor::f32([clips, width], values)?);
                Ok(())
            };
            if clips > 0 {
                insert("faces", faces, split.faces.clone())?;
                insert("motion", motion, split.motion.clone())?;
                insert("traits", 5, split.traits.as_flattened().to_vec())?;
            }
        }
        weights::write(path, &tensors, &Metadata::new())
    }
}

fn read_split(tensors: &Tensors, path: &Path, name: &str, [faces, motion]: [usize; 2]) -> Result<FeatureSplit> {
    let key = format!("{name}.traits");
    let clips = tensors.get(&key).and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0);
    let part = |part: &str, width: usize| {
        let key = format!("{name}.{part}");
        let values = tensors.f32(&key, &[clips, width])?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(place) => Err(Error::format(path, key, format!("a value of clip {} is not finite", place / width))),
            None => Ok(values.to_vec()),
        }
    };
    let traits = part("traits", 5)?.as_chunks::<5>().0.to_vec();
    if let Some(clip) = traits.iter().position(|traits| traits.iter().any(|label| !(0.0..=1.0).contains(label))) {
        return Err(Error::format(path, key, format!("a label of clip {clip} does not lie in [0, 1]")));
    }
    Ok(FeatureSplit { faces: part("faces", faces)?, motion: part("motion", motion)?, traits })
}

/// Cuts a split into batches of a fixed size: inputs `faces [batch, width]` and `motion [batch, width]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureBatches<'a> {
    split: &'a FeatureSplit,
    widths: [usize; 2],
    batch: usize,
}

impl<'a> FeatureBatches<'a> {
    /// # Errors
    /// Where there are no clips, or not as many features as `widths` ask for.
    pub fn new(split: &'a FeatureSplit, widths: [usize; 2], batch: usize) -> Result<Self> {
        let clips = split.traits.len();
        if clips == 0 || batch == 0 {
            return Err(Error::Config(format!("nothing to batch: {clips} clips in batches of {batch}")));
        }
        let (found, wanted) = ([split.faces.len(), split.motion.len()], widths.map(|width| width * clips));
        if found != wanted {
            return Err(Error::Config(format!("{clips} clips want {wanted:?} features, there are {found:?}")));
        }
        Ok(FeatureBatches { split, widths, batch })
    }

    /// Batches of an epoch of training.
    pub fn len(&self) -> usize {
        self.split.traits.len() / self.batch
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batches for scoring, in the clips' own order; the rows that fill the last one up are zeros.
    pub fn in_order(&self) -> impl Iterator<Item = Batch> + '_ {
        let clips: Vec<usize> = (0..self.split.traits.len()).collect();
        let starts = (0..clips.len()).step_by(self.batch);
        starts.map(move |start| self.batch_of(&clips[start..clips.len().min(start + self.batch)]))
    }

    /// Full batches for training, with `target [batch, 5]`, in an order that depends on `seed` and `epoch` alone.
    pub fn shuffled(&self, seed: u64, epoch: u64) -> impl Iterator<Item = Batch> + '_ {
        let order = shuffled(self.split.traits.len(), seed, epoch);
        (0..self.len()).map(move |index| {
            let chosen = &order[index * self.batch..(index + 1) * self.batch];
            let targets = chosen.iter().flat_map(|&clip| self.split.traits[clip]).collect();
            self.batch_of(chosen).float("target", targets)
        })
    }

    fn batch_of(&self, clips: &[usize]) -> Batch {
        let rows = |values: &[f32], width: usize| {
            let mut rows = vec![0.0; self.batch * width];
            for (row, &clip) in rows.chunks_exact_mut(width).zip(clips) {
                row.copy_from_slice(&values[clip * width..(clip + 1) * width]);
            }
            rows
        };
        let [faces, motion] = self.widths;
        let batch = Batch::new(clips.len()).float("faces", rows(&self.split.faces, faces));
        batch.float("motion", rows(&self.split.motion, motion))
    }
}
