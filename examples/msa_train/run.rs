//! Trains one model and scores it.

use crate::msa::{RunConfig, ScheduleKind, batch_shape, check_fit, wanted};
use limbic::data::{Batches, Clip, Corpus};
use limbic::gpu::Gpu;
use limbic::models::msa::{ClipScore, RegressionLoss, Scorer, SentimentModel, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Fit, Observer, RunState, Task, Validation};
use limbic::train::metrics::SentimentMetrics;
use limbic::train::{Clipping, EarlyStopping, History, OptimizerConfig, Plateau, Schedule, Trainer};
use limbic::{Error, Result};
use std::sync::atomic::AtomicBool;

/// Set by Ctrl-C: the run saves its state and leaves.
pub static STOP: AtomicBool = AtomicBool::new(false);

/// A model on a GPU with the plans that train it and score with it.
pub struct Run<'a> {
    pub config: RunConfig,
    pub model: Box<dyn SentimentModel>,
    pub corpus: &'a Corpus,
    pub trainer: Trainer,
    pub scorer: Scorer,
}

/// What a finished run leaves.
pub struct Outcome {
    pub ending: Ending,
    pub history: History,
    pub best_epoch: Option<u64>,
    pub seconds: f64,
}

impl<'a> Run<'a> {
    pub fn new(gpu: &Gpu, config: RunConfig, corpus: &'a Corpus) -> Result<Self> {
        let model = config.model.build()?;
        check_fit(model.as_ref(), corpus)?;
        if corpus.train.is_empty() || corpus.valid.is_empty() && corpus.test.is_empty() {
            let message = "has too few clips: training needs training clips, and validation or test clips to stop by";
            return Err(Error::Config(format!("{} {message}", corpus.name)));
        }
        let parameters = model.parameters();
        let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(config.training.seed))?;
        let training = &config.training;
        let optimizer = optimizer(&config);
        let shape = batch_shape(model.as_ref(), training.batch_size);
        let loss = training.loss;
        let trainer = Trainer::new(&store, optimizer, training.seed as u32, |graph| {
            training_graph(model.as_ref(), graph, &shape, loss)
        })?;
        let scorer = Scorer::new(&store, model.as_ref(), &shape)?;
        Ok(Run { config, model, corpus, trainer, scorer })
    }

    /// Trains from the start, or from where `checkpoint` stands if `resume`.
    pub fn fit(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        resume: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let begun = std::time::Instant::now();
        let training = &self.config.training;
        let wanted = wanted(self.model.as_ref());
        let batches = |clips: &'a [Clip]| Batches::new(self.corpus, clips, &wanted, training.batch_size);
        let valid = if self.corpus.valid.is_empty() { &self.corpus.test } else { &self.corpus.valid };
        let task = Sentiment {
            train: batches(&self.corpus.train)?,
            valid: batches(valid)?,
            labels: labels(valid),
            scorer: &self.scorer,
            loss: training.loss,
            seed: training.seed,
        };
        let mut fit = match checkpoint.filter(|_| resume) {
            Some(checkpoint) => Fit::resume(&mut self.trainer, training.epochs, checkpoint, &STOP)?,
            None => {
                let schedule = schedule(&self.config, task.batches() as u64);
                schedule.validate()?;
                let state = RunState::new(schedule, EarlyStopping::new(training.patience));
                Fit::new(&mut self.trainer, training.epochs, state, checkpoint, &STOP)
            }
        };
        fit.state.early_stopping.patience = training.patience;
        let ending = fit.run(&task, observer)?;
        let best_epoch = fit.state.early_stopping.best_epoch();
        let history = fit.state.history.clone();
        Ok(Outcome { ending, history, best_epoch, seconds: begun.elapsed().as_secs_f64() })
    }

    /// Scores of `clips`, in order.
    pub fn score(&self, clips: &[Clip]) -> Result<Vec<ClipScore>> {
        let batches = Batches::new(self.corpus, clips, &wanted(self.model.as_ref()), self.config.training.batch_size)?;
        self.scorer.run_all(batches.in_order())
    }

    /// The test metrics of the trainer's current weights, with the scores.
    pub fn test(&self) -> Result<(SentimentMetrics, Vec<ClipScore>)> {
        if self.corpus.test.is_empty() {
            return Err(Error::Config(format!("{} has no test clips to measure on", self.corpus.name)));
        }
        let scores = self.score(&self.corpus.test)?;
        let predicted: Vec<f32> = scores.iter().map(|clip| clip.score).collect();
        Ok((SentimentMetrics::compute(&predicted, &labels(&self.corpus.test))?, scores))
    }
}

pub fn labels(clips: &[Clip]) -> Vec<f32> {
    clips.iter().map(|clip| clip.label).collect()
}

/// Checks what can be checked of a run before there is data for it.
pub fn check(config: &RunConfig) -> Result<()> {
    limbic::train::fit::check_epochs(config.training.epochs)?;
    if config.training.batch_size == 0 {
        return Err(Error::Config("--batch_size must be at least 1".to_string()));
    }
    optimizer(config).check()?;
    schedule(config, 1).validate()
}

fn optimizer(config: &RunConfig) -> OptimizerConfig {
    let training = &config.training;
    OptimizerConfig {
        clipping: Clipping::GlobalNorm(training.clip_norm),
        accumulation: training.accumulation,
        ..OptimizerConfig::adamw(training.weight_decay)
    }
}

/// The learning rate over the updates of a run of `batches` batches per epoch.
fn schedule(config: &RunConfig, batches: u64) -> Schedule {
    let training = &config.training;
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

/// Sentiment as the training loop sees it.
struct Sentiment<'a> {
    train: Batches<'a>,
    valid: Batches<'a>,
    labels: Vec<f32>,
    scorer: &'a Scorer,
    loss: RegressionLoss,
    seed: u64,
}

impl Task for Sentiment<'_> {
    fn batches(&self) -> usize {
        self.train.len()
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new(self.train.shuffled(self.seed, epoch))
    }

    fn validate(&self) -> Result<Validation> {
        let scores: Vec<f32> = self.scorer.run_all(self.valid.in_order())?.iter().map(|clip| clip.score).collect();
        let metrics = SentimentMetrics::compute(&scores, &self.labels)?;
        let error = |(score, label): (&f32, &f32)| f64::from(score - label);
        let losses = scores.iter().zip(&self.labels).map(error).map(|error| match self.loss {
            RegressionLoss::Mse => error * error,
            RegressionLoss::Mae => error.abs(),
            RegressionLoss::Huber if error.abs() <= 1.0 => 0.5 * error * error,
            RegressionLoss::Huber => error.abs() - 0.5,
        });
        let loss = losses.sum::<f64>() / scores.len().max(1) as f64;
        let named = |name: &str, value: f64| (name.to_string(), value);
        let metrics =
            vec![named("mae", metrics.mae), named("pearson", metrics.pearson), named("acc2_has0", metrics.acc2_has0)];
        Ok(Validation { loss, metrics })
    }
}
