//! Batches of a corpus on disk, made ahead.

use super::Streamed;
use crate::data::batches::{Batcher, shuffled};
use crate::data::corpus::{Clip, Split};
use crate::data::prefetch::{Prefetch, Waits};
use crate::error::{Error, Result};
use crate::plan::Batch;
use std::cell::{Cell, RefCell};
use std::fs::File;

/// Cuts a split on disk into batches.
#[derive(Debug, Clone)]
pub struct StreamBatches {
    streamed: Streamed,
    split: Split,
    batcher: Batcher,
    ahead: usize,
}

impl StreamBatches {
    pub(super) fn new(streamed: Streamed, split: Split, batcher: Batcher, ahead: usize) -> Self {
        StreamBatches { streamed, split, batcher, ahead }
    }

    /// See [`crate::data::Batches::with_emotions`].
    pub fn with_emotions(self) -> Self {
        StreamBatches { batcher: self.batcher.with_emotions(), ..self }
    }

    /// Number of batches, the last one possibly incomplete.
    pub fn len(&self) -> usize {
        self.clips().div_ceil(self.batcher.size())
    }

    pub fn is_empty(&self) -> bool {
        self.clips() == 0
    }

    fn clips(&self) -> usize {
        self.streamed.corpus().split(self.split).len()
    }

    /// Memory that batches take at most: those ahead, the one being made and the one being used.
    pub fn bytes(&self) -> usize {
        (self.ahead.max(1) + 2) * self.batcher.bytes()
    }

    /// Batches for scoring, in the clips' own order.
    ///
    /// # Errors
    /// Where no thread can be started; what goes wrong while reading is an item.
    pub fn in_order(&self) -> Result<Prefetch<Batch>> {
        Prefetch::new(self.ahead, self.reader((0..self.clips()).collect(), 0, None))
    }

    /// Batches for training, epoch after epoch, in the order of [`crate::data::Batches::shuffled`].
    pub fn epochs(self, seed: u64) -> Epochs {
        Epochs { batches: self, seed, running: RefCell::new(None), waits: Cell::default() }
    }

    fn reader(&self, order: Vec<usize>, first: usize, again: Option<(u64, u64)>) -> Reader {
        Reader { batches: self.clone(), order, next: first, again, file: None }
    }
}

/// Reads batches one after the other.
struct Reader {
    batches: StreamBatches,
    order: Vec<usize>,
    /// The next batch of this order.
    next: usize,
    /// Seed and epoch where the next epoch follows; batches then have labels.
    again: Option<(u64, u64)>,
    file: Option<File>,
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        let size = self.batches.batcher.size();
        if self.next * size >= self.order.len() {
            let (seed, epoch) = self.again.as_mut()?;
            *epoch += 1;
            self.order = shuffled(self.order.len(), *seed, *epoch);
            self.next = 0;
        }
        let start = self.next * size;
        self.next += 1;
        let end = (start + size).min(self.order.len());
        Some(self.batch(start, end))
    }
}

impl Reader {
    fn batch(&mut self, start: usize, end: usize) -> Result<Batch> {
        let StreamBatches { streamed, split, batcher, .. } = &self.batches;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(streamed.0.open(*split)?),
        };
        let read = |index: &usize| streamed.0.read(file, *split, *index);
        let clips = self.order[start..end].iter().map(read).collect::<Result<Vec<Clip>>>()?;
        let clips: Vec<&Clip> = clips.iter().collect();
        Ok(if self.again.is_some() { batcher.training(&clips) } else { batcher.scoring(&clips) })
    }
}

/// The training batches of all epochs. Reading goes on from one epoch into the next, also while validation runs.
pub struct Epochs {
    batches: StreamBatches,
    seed: u64,
    running: RefCell<Option<Running>>,
    waits: Cell<Waits>,
}

/// What is being read, and where it stands.
struct Running {
    epoch: u64,
    batch: usize,
    ahead: Prefetch<Batch>,
}

impl Epochs {
    /// Batches of an epoch.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The batches of `epoch` from number `first` on. An error is the last item.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn from(&self, epoch: u64, first: usize) -> Result<impl Iterator<Item = Result<Batch>> + '_> {
        let mut running = self.running.borrow_mut();
        let goes_on = running.as_ref().is_some_and(|running| (running.epoch, running.batch) == (epoch, first));
        if !goes_on {
            // the old one first: two threads would hold twice the batches
            *running = None;
            let order = shuffled(self.batches.clips(), self.seed, epoch);
            let reader = self.batches.reader(order, first, Some((self.seed, epoch)));
            *running = Some(Running { epoch, batch: first, ahead: Prefetch::new(self.batches.ahead, reader)? });
        }
        let mut failed = false;
        Ok((first..self.len()).map_while(move |batch| {
            let item = if failed { None } else { self.take(epoch, batch) };
            failed = matches!(item, Some(Err(_)));
            item
        }))
    }

    fn take(&self, epoch: u64, batch: usize) -> Option<Result<Batch>> {
        let mut running = self.running.borrow_mut();
        let Some(current) = running.as_mut().filter(|running| (running.epoch, running.batch) == (epoch, batch)) else {
            let message = "two iterators take batches of the same epochs: finish one before the next begins";
            return Some(Err(Error::Config(message.to_string())));
        };
        let before = current.ahead.waits();
        let item = current.ahead.next();
        let (mut waits, after) = (self.waits.get(), current.ahead.waits());
        waits += Waits {
            taken: after.taken - before.taken,
            waited: after.waited - before.waited,
            time: after.time - before.time,
        };
        self.waits.set(waits);
        (current.epoch, current.batch) = if batch + 1 == self.len() { (epoch + 1, 0) } else { (epoch, batch + 1) };
        if !matches!(item, Some(Ok(_))) {
            *running = None;
        }
        item
    }

    /// How long batches were waited for, over all epochs.
    pub fn waits(&self) -> Waits {
        self.waits.get()
    }
}
