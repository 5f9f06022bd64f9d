//! From clips to batches of a fixed shape: padded, masked, shuffled by seed.

use super::corpus::{Clip, Corpus, Modality};
use crate::error::{Error, Result};
use crate::plan::Batch;

/// Pads clips to a fixed shape, with masks, for the modalities that a model takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batcher {
    modalities: Vec<Modality>,
    /// Which of the clips' sequences each modality is.
    columns: Vec<usize>,
    seq_lens: Vec<usize>,
    batch: usize,
    emotions: bool,
}

impl Batcher {
    /// For batches of `batch` out of `clips` clips of `corpus`; see [`Batches::new`].
    pub(super) fn new(corpus: &Corpus, clips: usize, wanted: &[(String, usize)], batch: usize) -> Result<Self> {
        if clips == 0 || batch == 0 {
            return Err(Error::Config(format!(
                "{}: nothing to batch: {clips} clips in batches of {batch}",
                corpus.name
            )));
        }
        let (mut modalities, mut columns, mut seq_lens) = (Vec::new(), Vec::new(), Vec::new());
        for (name, seq_len) in wanted {
            let column = corpus.modalities.iter().position(|modality| modality.name == *name);
            let column = column.ok_or_else(|| {
                let known: Vec<&str> = corpus.modalities.iter().map(|modality| modality.name.as_str()).collect();
                Error::Config(format!("{} has no modality '{name}', it has {}", corpus.name, known.join(", ")))
            })?;
            modalities.push(corpus.modalities[column].clone());
            columns.push(column);
            seq_lens.push(*seq_len);
        }
        Ok(Batcher { modalities, columns, seq_lens, batch, emotions: false })
    }

    /// See [`Batches::with_emotions`].
    pub(super) fn with_emotions(self) -> Self {
        Batcher { emotions: true, ..self }
    }

    /// Clips of a batch.
    pub(super) fn size(&self) -> usize {
        self.batch
    }

    /// Memory of a batch: values and masks.
    pub(super) fn bytes(&self) -> usize {
        let steps = self.modalities.iter().zip(&self.seq_lens);
        4 * self.batch * steps.map(|(modality, seq_len)| (modality.dim + 1) * seq_len).sum::<usize>()
    }

    /// See [`Batches::scoring`].
    pub(super) fn scoring(&self, clips: &[&Clip]) -> Batch {
        let clips = &clips[..clips.len().min(self.batch)];
        let mut batch = Batch::new(clips.len());
        for ((modality, column), seq_len) in self.modalities.iter().zip(&self.columns).zip(&self.seq_lens) {
            let dim = modality.dim;
            let mut values = vec![0.0; self.batch * seq_len * dim];
            let mut mask = vec![0; self.batch * seq_len];
            for (row, clip) in clips.iter().enumerate() {
                let Some(sequence) = clip.sequences.get(*column) else { continue };
                let len = sequence.len.min(*seq_len).min(sequence.values.len() / dim.max(1));
                values[row * seq_len * dim..][..len * dim].copy_from_slice(&sequence.values[..len * dim]);
                mask[row * seq_len..][..len].fill(1);
            }
            batch = batch.float(&modality.name, values).integer(&format!("{}_mask", modality.name), mask);
        }
        batch
    }

    /// See [`Batches::training`].
    pub(super) fn training(&self, clips: &[&Clip]) -> Batch {
        let (mut targets, mut weights) = (vec![0.0; self.batch], vec![0.0; self.batch]);
        let mut emotions = vec![u32::MAX; self.batch];
        for (index, clip) in clips.iter().take(self.batch).enumerate() {
            targets[index] = clip.label;
            weights[index] = 1.0;
            emotions[index] = clip.emotion.unwrap_or(u32::MAX);
        }
        let batch = self.scoring(clips).float("target", targets).float("sample_weight", weights);
        if self.emotions { batch.integer("emotion", emotions) } else { batch }
    }
}

/// Cuts a split into batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Batches<'a> {
    clips: &'a [Clip],
    batcher: Batcher,
}

impl<'a> Batches<'a> {
    /// Batches of `batch` of `corpus`'s `clips`, for the modalities `(name, steps)` that a model takes. Longer sequences are cut
    /// to their first `steps`.
    ///
    /// # Errors
    /// Where the corpus has no such modality, or no clips.
    pub fn new(corpus: &Corpus, clips: &'a [Clip], wanted: &[(String, usize)], batch: usize) -> Result<Self> {
        Ok(Batches { clips, batcher: Batcher::new(corpus, clips.len(), wanted, batch)? })
    }

    /// Training batches get the clips' emotions too: `emotion [batch]`, `u32::MAX` where there is none.
    pub fn with_emotions(self) -> Self {
        Batches { batcher: self.batcher.with_emotions(), ..self }
    }

    /// Number of batches, the last one possibly incomplete.
    pub fn len(&self) -> usize {
        self.clips.len().div_ceil(self.batcher.batch)
    }

    pub fn is_empty(&self) -> bool {
        self.clips.is_empty()
    }

    /// Batches for scoring, in the clips' own order.
    pub fn in_order(&self) -> impl Iterator<Item = Batch> + '_ {
        self.clips.chunks(self.batcher.batch).map(|clips| self.scoring(&clips.iter().collect::<Vec<_>>()))
    }

    /// Batches for training, in an order that depends on `seed` and `epoch` alone.
    pub fn shuffled(&self, seed: u64, epoch: u64) -> impl Iterator<Item = Batch> + '_ {
        let order = shuffled(self.clips.len(), seed, epoch);
        let size = self.batcher.batch;
        (0..self.len()).map(move |index| {
            let end = ((index + 1) * size).min(order.len());
            let clips: Vec<&Clip> = order[index * size..end].iter().map(|clip| &self.clips[*clip]).collect();
            self.training(&clips)
        })
    }

    /// The model's inputs for at most as many clips as fit a batch; rows beyond them are padding.
    pub fn scoring(&self, clips: &[&Clip]) -> Batch {
        self.batcher.scoring(clips)
    }

    /// [`Batches::scoring`] with labels, and weights that are 0 for padding rows.
    pub fn training(&self, clips: &[&Clip]) -> Batch {
        self.batcher.training(clips)
    }
}

/// The numbers below `len` in an order that depends on `seed` and `epoch` alone.
pub(super) fn shuffled(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut state = seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for last in (1..order.len()).rev() {
        order.swap(last, (split_mix(&mut state) % (last as u64 + 1)) as usize);
    }
    order
}

/// The next number of a SplitMix64 sequence (Steele et al. 2014).
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
