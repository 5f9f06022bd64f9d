//! A run that is stopped anywhere, saved, and taken up by a new process ends with the bits of one that was never stopped.

use crate::tiny::{batch, mixed_trainer, model, store, trainer, weights};
use limbic::Result;
use limbic::graph::Precision;
use limbic::models::msa::Msa;
use limbic::plan::{Batch, ParameterStore};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, RunState, Task, Validation};
use limbic::train::{Clipping, EarlyStopping, EpochRow, OptimizerConfig, OptimizerState, Plateau, Schedule, Trainer};
use limbic::{Error, weights as files};
use std::sync::atomic::{AtomicBool, Ordering};

/// An odd number, so that accumulating over two crosses the ends of epochs.
const BATCHES: usize = 5;
const EPOCHS: u64 = 3;

/// Batches in an order that depends on the epoch; the validation loss is a sum of weights.
pub struct Repeated<'a> {
    pub store: &'a ParameterStore,
}

impl Task for Repeated<'_> {
    fn batches(&self) -> usize {
        BATCHES
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new((0..BATCHES as u64).map(move |index| batch((index * 2 + epoch) % BATCHES as u64)))
    }

    fn validate(&self) -> Result<Validation> {
        let values = self.store.download()?;
        let loss = values.iter().flatten().map(|value| f64::from(value * value)).sum();
        Ok(Validation { loss, metrics: vec![("weights".to_string(), values.len() as f64)] })
    }
}

/// [`Repeated`], with a stop asked for once so many steps were taken: when the next batch is drawn, whenever reports come in.
struct StopAfter<'a> {
    task: Repeated<'a>,
    steps: usize,
    stop: &'a AtomicBool,
}

impl Task for StopAfter<'_> {
    fn batches(&self) -> usize {
        self.task.batches()
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        let before = epoch as usize * BATCHES;
        Box::new(self.task.epoch(epoch).enumerate().map(move |(index, batch)| {
            self.stop.fetch_or(before + index >= self.steps, Ordering::Relaxed);
            batch
        }))
    }

    fn validate(&self) -> Result<Validation> {
        self.task.validate()
    }
}

/// Everything that must be the same in the end.
#[derive(Debug, PartialEq)]
struct End {
    weights: Vec<Vec<u32>>,
    optimizer: OptimizerState,
    /// Training loss, validation loss and learning rate of every epoch.
    history: Vec<[u64; 3]>,
}

fn end(trainer: &Trainer, rows: &[EpochRow]) -> End {
    let figures = |row: &EpochRow| [row.train_loss, row.valid_loss, row.learning_rate].map(f64::to_bits);
    End {
        weights: weights(trainer.store()),
        optimizer: trainer.state().expect("the state"),
        history: rows.iter().map(figures).collect(),
    }
}

struct Setting {
    name: &'static str,
    optimizer: OptimizerConfig,
    schedule: Schedule,
    precision: Precision,
}

fn settings() -> Vec<Setting> {
    let cosine = Schedule::Cosine { lr: 1e-2, warmup_steps: 2, total_steps: 7, min_lr: 1e-4 };
    let clipping = Clipping::GlobalNorm(0.5);
    let momentum = OptimizerConfig { accumulation: 2, clipping, ..OptimizerConfig::sgd(0.9) };
    let plateau = Plateau { patience: 0, factor: 0.5, ..Plateau::new(1e-2) };
    vec![
        Setting {
            name: "AdamW, accumulation 2, cosine",
            optimizer: OptimizerConfig { accumulation: 2, clipping, ..OptimizerConfig::adamw(0.01) },
            schedule: cosine.clone(),
            precision: Precision::F32,
        },
        Setting {
            name: "momentum, accumulation 2, plateau",
            optimizer: momentum,
            schedule: Schedule::Plateau(plateau),
            precision: Precision::F32,
        },
        Setting {
            name: "AdamW, mixed precision, cosine",
            optimizer: OptimizerConfig { clipping, ..OptimizerConfig::adamw(0.01) },
            schedule: cosine,
            precision: Precision::Mixed,
        },
    ]
}

/// A whole run; `stops` are the steps after which it is interrupted, each time to be taken up by a new store and trainer whose own
/// start is another.
fn run(model: &Msa, setting: &Setting, stops: &[usize]) -> End {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = Checkpoint::create(folder.path().join("run")).expect("a checkpoint");
    for (index, steps) in stops.iter().copied().chain([usize::MAX]).enumerate() {
        let stop = AtomicBool::new(false);
        let store = store(model, if index == 0 { 1 } else { 77 });
        let make = match setting.precision {
            Precision::F32 => trainer,
            Precision::Mixed => mixed_trainer,
        };
        let mut trainer = make(model, &store, setting.optimizer.clone(), 9);
        let mut fit = if index == 0 {
            let state = RunState::new(setting.schedule.clone(), EarlyStopping::new(10));
            Fit::new(&mut trainer, EPOCHS, state, Some(&checkpoint), &stop)
        } else {
            Fit::resume(&mut trainer, EPOCHS, &checkpoint, &stop).expect("a run to go on with")
        };
        let ending =
            fit.run(&StopAfter { task: Repeated { store: &store }, steps, stop: &stop }, &mut ()).expect("a run");
        if ending == Ending::Interrupted {
            continue;
        }
        assert_eq!((ending, steps), (Ending::Done, usize::MAX), "{}", setting.name);
        let rows = fit.state.history.rows().to_vec();
        // the run's last weights, not its best ones, are what every later step would have started from
        let (values, ..) = checkpoint.load_state::<RunState>(store.parameters()).expect("the state");
        store.upload(&values).expect("the last weights");
        return end(&trainer, &rows);
    }
    unreachable!("the last leg is not interrupted")
}

#[test]
fn an_interrupted_run_ends_with_the_same_bits() {
    let model = model(0.2);
    for setting in settings() {
        let unbroken = run(&model, &setting, &[]);
        assert_eq!(unbroken.history.len(), EPOCHS as usize);
        // within an accumulation, at an epoch's end in one, right before the end, and again and again
        for stops in [&[1][..], &[2, 3], &[5], &[7], &[14], &[1, 4, 6, 10, 11]] {
            assert_eq!(run(&model, &setting, stops), unbroken, "{}, stopped after {stops:?}", setting.name);
        }
    }
}

#[test]
fn what_was_summed_but_not_yet_applied_is_part_of_the_state() {
    let model = model(0.0);
    let config = OptimizerConfig { accumulation: 3, ..OptimizerConfig::adamw(0.0) };
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, config, 1);
    for (step, held) in [(0, true), (1, true), (2, false)] {
        trainer.step(batch(step), crate::tiny::rate(1e-2)).unwrap();
        let state = trainer.state().unwrap();
        assert_eq!(!state.accumulated.is_empty(), held, "after step {step}");
    }
    let mut state = trainer.state().unwrap();
    state.accumulated.clear();
    let error = trainer.resume(4, 1, &state).unwrap_err();
    assert!(error.to_string().contains("accumulation"), "{error}");
    state.first.pop();
    assert!(matches!(trainer.resume(3, 1, &state), Err(Error::Config(_))));
}

#[test]
fn a_state_that_is_not_there_or_is_broken_or_of_another_model_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    assert!(Checkpoint::open(&path).unwrap_err().to_string().contains("run"));
    let checkpoint = Checkpoint::create(&path).unwrap();
    let model = model(0.1);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.0), 1);
    let stop = AtomicBool::new(false);
    let mut resume = |checkpoint: &Checkpoint| {
        let result = Fit::resume(&mut trainer, 2, checkpoint, &stop);
        result.map(drop).expect_err("nothing to resume").to_string()
    };
    let missing = resume(&checkpoint);
    assert!(missing.contains("training.safetensors") && missing.contains("no run was saved"), "{missing}");
    std::fs::write(checkpoint.state_path(), b"half a fi").unwrap();
    assert!(resume(&checkpoint).contains("no safetensors file"));
    // whole, but without the run's state
    files::write(checkpoint.state_path(), &files::Tensors::new(), &files::Metadata::new()).unwrap();
    assert!(resume(&checkpoint).contains("state: is missing"));
    // of a model without fusion
    let other = Msa::new(&crate::tiny::config(0.1).only("text")).unwrap();
    let values = other.parameters().initial_values(1);
    let moments =
        OptimizerState { first: values.clone(), second: values.clone(), accumulated: Vec::new(), scaling: None };
    let state = |lr| RunState::new(Schedule::Constant { lr }, EarlyStopping::new(3));
    checkpoint.save_state(other.parameters(), &values, &moments, &state(1e-3)).unwrap();
    let message = resume(&checkpoint);
    assert!(message.contains("audio_encoder.projection.weight"), "{message}");
    // a rate that would end the run in NaN
    let values = model.parameters().initial_values(1);
    let moments =
        OptimizerState { first: values.clone(), second: values.clone(), accumulated: Vec::new(), scaling: None };
    checkpoint.save_state(model.parameters(), &values, &moments, &state(-1.0)).unwrap();
    assert!(resume(&checkpoint).contains("lr is -1"));
}
