//! Early stopping, and what a run leaves on disk.

use crate::resume::Repeated;
use crate::tiny::{batch, model, store, trainer, weights};
use limbic::Result;
use limbic::plan::{Batch, ParameterStore};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, Observer, RunState, Task, Validation};
use limbic::train::{EarlyStopping, EpochRow, History, OptimizerConfig, Schedule};
use std::cell::RefCell;
use std::sync::atomic::AtomicBool;

/// Two batches an epoch and validation losses that are told in advance; keeps the weights that it saw.
struct Told<'a> {
    store: &'a ParameterStore,
    losses: &'a [f64],
    seen: RefCell<Vec<Vec<Vec<u32>>>>,
}

impl Task for Told<'_> {
    fn batches(&self) -> usize {
        2
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new((0..2).map(move |index| batch(2 * epoch + index)))
    }

    fn validate(&self) -> Result<Validation> {
        let mut seen = self.seen.borrow_mut();
        seen.push(weights(self.store));
        Ok(Validation { loss: self.losses[seen.len() - 1], metrics: Vec::new() })
    }
}

#[derive(Default)]
struct Improved(Vec<bool>);

impl Observer for Improved {
    fn epoch(&mut self, _: &EpochRow, improved: bool) {
        self.0.push(improved);
    }
}

fn start(patience: u32) -> RunState {
    RunState::new(Schedule::Constant { lr: 1e-2 }, EarlyStopping::new(patience))
}

#[test]
fn a_run_that_stops_early_ends_with_its_best_weights() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::create(folder.path()).unwrap();
    let model = model(0.1);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 1);
    let stop = AtomicBool::new(false);
    let task = Told { store: &store, losses: &[3.0, 2.0, f64::NAN, 2.5, 0.0], seen: RefCell::default() };
    let mut observer = Improved::default();
    let mut fit = Fit::new(&mut trainer, 5, start(2), Some(&checkpoint), &stop);
    assert_eq!(fit.run(&task, &mut observer).unwrap(), Ending::EarlyStop);
    assert_eq!(observer.0, [true, true, false, false], "the fifth epoch is not run");
    assert_eq!(fit.state.early_stopping.best_epoch(), Some(2));
    let seen = task.seen.take();
    assert_ne!(seen[1], seen[3]);
    assert_eq!(weights(&store), seen[1], "the weights of the second epoch");
    let saved = checkpoint.load_model(model.parameters()).unwrap();
    let saved: Vec<Vec<u32>> =
        saved.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect();
    assert_eq!(saved, seen[1], "and they are what is saved");
    let history = History::read_csv(checkpoint.history_path()).unwrap();
    assert_eq!(history.rows().len(), 4);
    assert!(history.rows()[2].valid_loss.is_nan());

    // taken up again, it is over, with the same weights
    let task = Told { store: &store, losses: &[], seen: RefCell::default() };
    let mut fit = Fit::resume(&mut trainer, 5, &checkpoint, &stop).unwrap();
    assert_eq!(fit.run(&task, &mut ()).unwrap(), Ending::EarlyStop);
    assert_eq!(weights(&store), seen[1]);
}

#[test]
fn best_weights_are_kept_without_a_checkpoint_too() {
    let model = model(0.1);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 1);
    let stop = AtomicBool::new(false);
    let task = Told { store: &store, losses: &[1.0, 2.0], seen: RefCell::default() };
    let mut fit = Fit::new(&mut trainer, 2, start(10), None, &stop);
    assert_eq!(fit.run(&task, &mut ()).unwrap(), Ending::Done);
    assert_eq!(weights(&store), task.seen.take()[0]);
}

#[test]
fn a_new_run_does_not_stand_beside_an_older_ones_files() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::create(folder.path()).unwrap();
    assert!(!checkpoint.clear().unwrap(), "there was nothing");
    let model = model(0.1);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 1);
    let stop = AtomicBool::new(false);
    let mut fit = Fit::new(&mut trainer, 1, start(10), Some(&checkpoint), &stop);
    fit.run(&Repeated { store: &store }, &mut ()).unwrap();
    assert!(checkpoint.model_path().is_file() && checkpoint.state_path().is_file());
    assert!(checkpoint.clear().unwrap());
    let error = checkpoint.load_model(model.parameters()).unwrap_err().to_string();
    assert!(error.contains("before its first validation"), "{error}");
}
