//! The training loop: epochs, validation, schedule, early stopping, history, checkpoints. What is trained is a [`Task`]; the loop
//! is the same for every system.

use super::checkpoint::Checkpoint;
use super::early_stopping::{EarlyStopping, Verdict};
use super::history::{EpochRow, History};
use super::optimizer::StepSettings;
use super::schedule::Schedule;
use super::trainer::{StepReport, Trainer};
use crate::error::{Error, Result};
use crate::plan::Batch;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a training loop needs to know of what it trains.
pub trait Task {
    /// Batches per epoch.
    fn batches(&self) -> usize;

    /// The batches of `epoch`, in an order that depends on nothing else. Not asked for where [`Task::batches_from`] is implemented.
    fn epoch(&self, _epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new(std::iter::empty())
    }

    /// The batches of `epoch` from number `first` on, for a task whose batches may fail to come: an error ends the run and is its error.
    fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        Ok(Box::new(self.epoch(epoch).skip(first).map(Ok)))
    }

    /// The loss on held-out data with the trainer's current weights, and any other figures by name.
    fn validate(&self) -> Result<Validation>;
}

/// The outcome of a validation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validation {
    pub loss: f64,
    pub metrics: Vec<(String, f64)>,
}

/// Progress, for a bar or a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Counted from 0.
    pub epoch: u64,
    pub epochs: u64,
    /// Batches done in this epoch.
    pub batch: usize,
    pub batches: usize,
    pub report: StepReport,
}

/// What the loop tells while it runs. All methods may be left as they are.
pub trait Observer {
    fn step(&mut self, _progress: &Progress) {}

    fn epoch(&mut self, _row: &EpochRow, _improved: bool) {}
}

impl Observer for () {}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// All epochs were run.
    Done,
    /// Validation stopped improving.
    EarlyStop,
    /// The caller asked for it; the state was saved and the run can go on.
    Interrupted,
}

/// Where a run stands; saved with the weights, it makes a resumed run continue bit for bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub epoch: u64,
    /// Batches done in this epoch.
    pub batch: usize,
    pub steps: u64,
    pub updates: u64,
    pub schedule: Schedule,
    pub early_stopping: EarlyStopping,
    pub history: History,
    /// Sum of the losses of this epoch's finished batches, times their samples.
    loss_sum: f64,
    samples: usize,
    /// Seconds spent in this epoch before an interruption.
    seconds: f64,
}

impl RunState {
    /// The start of a run.
    pub fn new(schedule: Schedule, early_stopping: EarlyStopping) -> Self {
        RunState {
            epoch: 0,
            batch: 0,
            steps: 0,
            updates: 0,
            schedule,
            early_stopping,
            history: History::default(),
            loss_sum: 0.0,
            samples: 0,
            seconds: 0.0,
        }
    }
}

/// A training run.
pub struct Fit<'a> {
    pub trainer: &'a mut Trainer,
    pub epochs: u64,
    /// Where the best weights and the state go; `None` keeps them in memory only.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Set from a signal handler to stop after the current step.
    pub stop: &'a AtomicBool,
    pub state: RunState,
    /// Time in which training waited for its next batch, since this was made.
    pub data_wait: Duration,
    best: Option<Vec<Vec<f32>>>,
}

impl<'a> Fit<'a> {
    pub fn new(
        trainer: &'a mut Trainer,
        epochs: u64,
        state: RunState,
        checkpoint: Option<&'a Checkpoint>,
        stop: &'a AtomicBool,
    ) -> Self {
        Fit { trainer, epochs, checkpoint, stop, state, data_wait: Duration::ZERO, best: None }
    }

    /// Takes up the run that `checkpoint` holds: weights, moments, counters and everything that the loop remembers.
    pub fn resume(
        trainer: &'a mut Trainer,
        epochs: u64,
        checkpoint: &'a Checkpoint,
        stop: &'a AtomicBool,
    ) -> Result<Self> {
        let parameters = trainer.store().parameters().clone();
        let (values, optimizer, state): (_, _, RunState) = checkpoint.load_state(&parameters)?;
        state.schedule.validate().map_err(|error| Error::format(checkpoint.state_path(), "state", error))?;
        trainer.store().upload(&values)?;
        trainer.resume(state.steps, state.updates, &optimizer)?;
        let best = if checkpoint.model_path().is_file() { Some(checkpoint.load_model(&parameters)?) } else { None };
        Ok(Fit { best, ..Fit::new(trainer, epochs, state, Some(checkpoint), stop) })
    }

    /// Runs until the epochs are done, validation stops improving or `stop` is set. Unless interrupted, the trainer's weights
    /// are the best ones afterwards.
    pub fn run(&mut self, task: &dyn Task, observer: &mut dyn Observer) -> Result<Ending> {
        while self.state.epoch < self.epochs {
            // a run that had stopped by itself and is taken up again stays stopped
            if self.state.early_stopping.exhausted() {
                return self.end(Ending::EarlyStop);
            }
            if self.run_epoch(task, observer)? == Ending::Interrupted {
                self.save()?;
                return Ok(Ending::Interrupted);
            }
            let verdict = self.end_epoch(task, observer)?;
            self.save()?;
            if matches!(verdict, Verdict::Stop) {
                return self.end(Ending::EarlyStop);
            }
        }
        self.end(Ending::Done)
    }

    fn end(&mut self, ending: Ending) -> Result<Ending> {
        if let Some(best) = &self.best {
            self.trainer.store().upload(best)?;
        }
        Ok(ending)
    }

    fn run_epoch(&mut self, task: &dyn Task, observer: &mut dyn Observer) -> Result<Ending> {
        let begun = Instant::now();
        let before = self.state.seconds;
        let mut batches = task.batches_from(self.state.epoch, self.state.batch)?;
        loop {
            let asked = Instant::now();
            let batch = batches.next();
            self.data_wait += asked.elapsed();
            let Some(batch) = batch.transpose()? else { break };
            if self.stop.load(Ordering::Relaxed) {
                let reports = self.trainer.finish()?;
                self.note(&reports, task, observer);
                self.state.seconds = before + begun.elapsed().as_secs_f64();
                return Ok(Ending::Interrupted);
            }
            let settings = StepSettings {
                learning_rate: self.state.schedule.lr(self.state.updates),
                beta1: self.state.schedule.beta1(self.state.updates),
            };
            let reports = self.trainer.step(batch, settings)?;
            self.state.batch += 1;
            self.state.steps = self.trainer.steps();
            self.state.updates = self.trainer.updates();
            self.note(&reports, task, observer);
        }
        let reports = self.trainer.finish()?;
        self.note(&reports, task, observer);
        self.state.seconds = before + begun.elapsed().as_secs_f64();
        Ok(Ending::Done)
    }

    fn note(&mut self, reports: &[StepReport], task: &dyn Task, observer: &mut dyn Observer) {
        for report in reports {
            self.state.loss_sum += f64::from(report.loss) * report.samples as f64;
            self.state.samples += report.samples;
            observer.step(&Progress {
                epoch: self.state.epoch,
                epochs: self.epochs,
                batch: self.state.batch,
                batches: task.batches(),
                report: *report,
            });
        }
    }

    fn end_epoch(&mut self, task: &dyn Task, observer: &mut dyn Observer) -> Result<Verdict> {
        let validation = task.validate()?;
        let state = &mut self.state;
        let row = EpochRow {
            epoch: state.epoch + 1,
            step: state.steps,
            train_loss: state.loss_sum / state.samples.max(1) as f64,
            valid_loss: validation.loss,
            learning_rate: state.schedule.lr(state.updates.saturating_sub(1)),
            seconds: state.seconds,
            samples_per_second: state.samples as f64 / state.seconds.max(1e-9),
            metrics: validation.metrics,
        };
        state.schedule.observe(row.valid_loss);
        let verdict = state.early_stopping.observe(row.epoch, row.valid_loss);
        let improved = matches!(verdict, Verdict::Improved);
        state.history.push(row.clone())?;
        state.epoch += 1;
        state.batch = 0;
        (state.loss_sum, state.samples, state.seconds) = (0.0, 0, 0.0);
        if improved {
            let best = self.trainer.store().download()?;
            if let Some(checkpoint) = self.checkpoint {
                checkpoint.save_model(self.trainer.store().parameters(), &best)?;
            }
            self.best = Some(best);
        }
        observer.epoch(&row, improved);
        Ok(verdict)
    }

    fn save(&mut self) -> Result<()> {
        let Some(checkpoint) = self.checkpoint else { return Ok(()) };
        let store = self.trainer.store();
        checkpoint.save_state(store.parameters(), &store.download()?, &self.trainer.state()?, &self.state)?;
        checkpoint.save_history(&self.state.history)
    }
}

/// Checks that a run is a whole number of steps long.
pub fn check_epochs(epochs: u64) -> Result<()> {
    if epochs == 0 { Err(Error::Config("train for at least 1 epoch".to_string())) } else { Ok(()) }
}
