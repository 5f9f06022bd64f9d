//! What the training examples share: the run around the training loop, and what is printed and drawn of any run.

use crate::common::{ScheduleKind, TrainingConfig};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::Parameters;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, Observer, RunState, Task};
use limbic::train::{Clipping, EarlyStopping, History, OptimizerConfig, Plateau, Schedule, Trainer};
use limbic::viz::{CurvesOptions, Goal, Series, curves};
use limbic::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often progress is printed where there is no terminal to draw a bar on.
pub const EVERY: Duration = Duration::from_secs(10);

/// Set by Ctrl-C: the run saves its state and leaves.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// What a finished run leaves.
pub struct Outcome {
    pub ending: Ending,
    pub history: History,
    pub best_epoch: Option<u64>,
    pub seconds: f64,
}

/// The GPU called `adapter`, or the best; says which.
pub fn open_gpu(adapter: Option<&str>) -> Result<Gpu> {
    let gpu = Gpu::with_options(&GpuOptions { adapter: adapter.map(str::to_string), ..GpuOptions::default() })?;
    let (info, capabilities) = (gpu.info(), gpu.capabilities());
    let kind = if capabilities.software { " (software: no GPU is used)" } else { "" };
    println!("adapter   {} through {:?}{kind}", info.name, info.backend);
    Ok(gpu)
}

/// Has Ctrl-C set [`STOP`]. Without a handler it would still end the program, only not cleanly; a second one does so at once.
pub fn catch_interrupt() {
    let stop = || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    if let Err(error) = ctrlc::set_handler(stop) {
        eprintln!("warning: Ctrl-C will not save the run: {error}");
    }
}

/// The directory of a run that goes on or is new. To be called after the data is read: a wrong `--data` leaves no folder behind.
pub fn checkpoint(out: &Path, resume: bool) -> Result<Checkpoint> {
    if resume { Checkpoint::open(out) } else { Checkpoint::create(out) }
}

/// Trains from the start, or from where `checkpoint` stands if `resume`.
pub fn fit(
    trainer: &mut Trainer,
    task: &dyn Task,
    training: &TrainingConfig,
    checkpoint: Option<&Checkpoint>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let begun = std::time::Instant::now();
    let mut fit = match checkpoint.filter(|_| resume) {
        Some(checkpoint) => Fit::resume(trainer, training.epochs, checkpoint, &STOP)?,
        None => {
            let schedule = schedule(training, task.batches() as u64);
            schedule.validate()?;
            let state = RunState::new(schedule, EarlyStopping::new(training.patience));
            Fit::new(trainer, training.epochs, state, checkpoint, &STOP)
        }
    };
    fit.state.early_stopping.patience = training.patience;
    let ending = fit.run(task, observer)?;
    let best_epoch = fit.state.early_stopping.best_epoch();
    let history = fit.state.history.clone();
    Ok(Outcome { ending, history, best_epoch, seconds: begun.elapsed().as_secs_f64() })
}

/// Checks what can be checked of a run before there is data for it.
pub fn check(training: &TrainingConfig) -> Result<()> {
    limbic::train::fit::check_epochs(training.epochs)?;
    if training.batch_size == 0 {
        return Err(Error::Config("--batch_size must be at least 1".to_string()));
    }
    optimizer(training).check()?;
    schedule(training, 1).validate()
}

pub fn optimizer(training: &TrainingConfig) -> OptimizerConfig {
    OptimizerConfig {
        clipping: Clipping::GlobalNorm(training.clip_norm),
        accumulation: training.accumulation,
        ..OptimizerConfig::adamw(training.weight_decay)
    }
}

/// The learning rate over the updates of a run of `batches` batches per epoch.
fn schedule(training: &TrainingConfig, batches: u64) -> Schedule {
    let lr = training.learning_rate;
    let updates = |epochs: u64| epochs.saturating_mul(batches) / u64::from(training.accumulation.max(1));
    match training.schedule {
        ScheduleKind::Constant => Schedule::Constant { lr },
        ScheduleKind::Step => Schedule::Step { lr, every: updates((training.epochs / 3).max(1)).max(1), factor: 0.3 },
        ScheduleKind::Cosine => Schedule::Cosine {
            lr,
            warmup_steps: updates(training.warmup_epochs.min(training.epochs / 2)),
            total_steps: updates(training.epochs).max(1),
            min_lr: lr * 0.01,
        },
        ScheduleKind::Plateau => Schedule::Plateau(Plateau::new(lr)),
    }
}

/// Parameters by part, memory and dispatches of a step.
pub fn describe_model(parameters: &Parameters, trainer: &Trainer, batch_size: usize) {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for spec in parameters.specs() {
        let part = spec.name.split('.').next().unwrap_or_default();
        match parts.last_mut().filter(|(name, _)| name == part) {
            Some((_, count)) => *count += spec.shape.len(),
            None => parts.push((part.to_string(), spec.shape.len())),
        }
    }
    println!("model     {} parameters", grouped(parameters.count()));
    for (name, count) in parts {
        println!("          {name:16} {:>12}", grouped(count));
    }
    let (memory, optimizer) = trainer.memory();
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    let textures = match memory.textures {
        0 => String::new(),
        bytes => format!(", textures to read through {:.1}", mib(bytes)),
    };
    println!(
        "memory    {:.1} MiB planned for training: activations {:.1} (at least {:.1}), parameters and gradients {:.1}, optimiser {:.1}, inputs {:.1}{textures}",
        mib(memory.total() + optimizer),
        mib(memory.activations),
        mib(memory.activations_lower_bound),
        mib(memory.parameters + memory.parameter_gradients),
        mib(optimizer),
        mib(memory.inputs),
    );
    let dispatches = trainer.plan().program().len() + trainer.optimizer().dispatches();
    println!("step      {dispatches} dispatches, batches of {batch_size}");
}

pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub fn ending(outcome: &Outcome) {
    let why = match outcome.ending {
        Ending::EarlyStop => "validation stopped improving",
        _ => "all epochs done",
    };
    let best = outcome.best_epoch.map_or(String::new(), |epoch| format!("; best validation in epoch {epoch}"));
    println!("trained in {:.1} s ({why}{best})", outcome.seconds);
}

/// Draws `loss.svg`.
pub fn loss_curves(out: &Path, history: &History) -> Result<()> {
    let column =
        |value: fn(&limbic::train::history::EpochRow) -> f64| history.rows().iter().map(value).collect::<Vec<f64>>();
    let train = Series::new("training", &column(|row| row.train_loss));
    let valid = Series { best: Some(Goal::Lowest), ..Series::new("validation", &column(|row| row.valid_loss)) };
    let options = CurvesOptions { title: "Loss".into(), y_label: "loss".into(), ..CurvesOptions::default() };
    curves(out.join("loss.svg"), &[train, valid], &options)
}
