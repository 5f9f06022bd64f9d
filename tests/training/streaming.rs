//! Training on clips that stay on disk: the bits of training from memory, stopped and resumed too; a disk that fails ends the run with
//! its error.

use crate::tiny::{BATCH, DIMS, NAMES, SEQ_LENS, model, store, trainer, weights};
use limbic::data::stream::{ClipWriter, Epochs, Streamed};
use limbic::data::{Batches, Clip, Corpus, Labels, Modality, Sequence, Split};
use limbic::plan::Batch;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, RunState, Task, Validation};
use limbic::train::{EarlyStopping, OptimizerConfig, Schedule, Trainer};
use limbic::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const EPOCHS: u64 = 3;
const BATCHES: usize = 3;

fn corpus() -> Corpus {
    let clip = |index: usize| {
        let sequence = |modality: usize| {
            let len = 1 + (index + modality) % SEQ_LENS[modality];
            let values = crate::support::noise(len * DIMS[modality], (10 * index + modality) as u64);
            Sequence { len, values }
        };
        let sequences = vec![sequence(0), sequence(1)];
        Clip { id: index.to_string(), label: sequences[0].values[0], sequences, ..Clip::default() }
    };
    let modality = |index: usize| Modality { name: NAMES[index].to_string(), dim: DIMS[index] };
    Corpus {
        name: "noise".to_string(),
        modalities: vec![modality(0), modality(1)],
        labels: Labels::Sentiment,
        train: (0..10).map(clip).collect(),
        ..Corpus::default()
    }
}

fn wanted() -> Vec<(String, usize)> {
    (0..2).map(|index| (NAMES[index].to_string(), SEQ_LENS[index])).collect()
}

enum Source<'a> {
    Memory(Batches<'a>),
    Disk(Epochs),
}

/// Trains on `source`; stops once so many batches were drawn.
struct FromSource<'a> {
    source: Source<'a>,
    stop: Option<(&'a AtomicBool, usize)>,
}

impl Task for FromSource<'_> {
    fn batches(&self) -> usize {
        BATCHES
    }

    fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        let batches: Box<dyn Iterator<Item = Result<Batch>>> = match &self.source {
            Source::Memory(batches) => Box::new(batches.shuffled(4, epoch).skip(first).map(Ok)),
            Source::Disk(epochs) => Box::new(epochs.from(epoch, first)?),
        };
        let before = epoch as usize * BATCHES + first;
        Ok(Box::new(
            batches
                .enumerate()
                .inspect(move |(index, _)| {
                    if let Some((stop, after)) = self.stop {
                        stop.fetch_or(before + index >= after, Ordering::Relaxed);
                    }
                })
                .map(|(_, batch)| batch),
        ))
    }

    fn validate(&self) -> Result<Validation> {
        Ok(Validation { loss: 1.0, metrics: Vec::new() })
    }
}

fn fit<'a>(trainer: &'a mut Trainer, checkpoint: &'a Checkpoint, stop: &'a AtomicBool, resume: bool) -> Fit<'a> {
    if resume {
        return Fit::resume(trainer, EPOCHS, checkpoint, stop).unwrap();
    }
    let state = RunState::new(Schedule::Constant { lr: 1e-2 }, EarlyStopping::new(10));
    Fit::new(trainer, EPOCHS, state, Some(checkpoint), stop)
}

/// The weights after a run over `source`, which is stopped after as many batches as `stop` says and taken up by another trainer.
fn weights_after(source: &dyn Fn() -> Source<'static>, stop: Option<usize>) -> Vec<Vec<u32>> {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::create(folder.path()).unwrap();
    let model = model(0.2);
    let mut ending = Ending::Interrupted;
    let mut last = Vec::new();
    for part in 0..2 {
        let store = store(&model, 1);
        let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 3);
        let flag = AtomicBool::new(false);
        let task = FromSource { source: source(), stop: stop.filter(|_| part == 0).map(|after| (&flag, after)) };
        let mut fit = fit(&mut trainer, &checkpoint, &flag, part == 1);
        ending = fit.run(&task, &mut ()).unwrap();
        // the best weights are the first epoch's; the last ones lie in the state
        let saved: (Vec<Vec<f32>>, _, RunState) = checkpoint.load_state(model.parameters()).unwrap();
        last = saved.0.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect();
        if ending != Ending::Interrupted {
            break;
        }
    }
    assert_eq!(ending, Ending::Done);
    last
}

fn written(folder: &Path) -> Streamed {
    ClipWriter::write_corpus(folder, &corpus()).unwrap();
    Streamed::open(folder).unwrap()
}

#[test]
fn disk_and_memory_train_alike_stopped_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let streamed = written(folder.path());
    let corpus: &'static Corpus = Box::leak(Box::new(corpus()));
    let memory = || Source::Memory(Batches::new(corpus, &corpus.train, &wanted(), BATCH).unwrap());
    let disk = || Source::Disk(streamed.batches(Split::Train, &wanted(), BATCH, 2).unwrap().epochs(4));
    let expected = weights_after(&memory, None);
    assert_eq!(weights_after(&disk, None), expected);
    for stop in [1, BATCHES + 2] {
        assert_eq!(weights_after(&disk, Some(stop)), expected, "stopped after {stop}");
    }
}

#[test]
fn a_disk_that_fails_ends_the_run_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let streamed = written(folder.path());
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 3);
    let out = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::create(out.path()).unwrap();
    std::fs::write(folder.path().join("train.f32"), [0; 40]).unwrap();
    let flag = AtomicBool::new(false);
    let source = Source::Disk(streamed.batches(Split::Train, &wanted(), BATCH, 1).unwrap().epochs(4));
    let mut fit = fit(&mut trainer, &checkpoint, &flag, false);
    let error = fit.run(&FromSource { source, stop: None }, &mut ()).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("train.f32")), "{error}");
    // what was trained so far is still there
    assert!(!weights(trainer.store()).is_empty());
}
