//! Trains one model and scores it.

use crate::msa::{RunConfig, batch_shape, check_fit, wanted};
use crate::training::{Outcome, fit, optimizer, precision};
use limbic::data::{Batches, Clip, Corpus};
use limbic::gpu::Gpu;
use limbic::models::msa::{ClipScore, RegressionLoss, Scorer, SentimentModel, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Observer, Task, Validation};
use limbic::train::metrics::SentimentMetrics;
use limbic::{Error, Result};

/// A model on a GPU with the plans that train it and score with it.
pub struct Run<'a> {
    pub config: RunConfig,
    pub model: Box<dyn SentimentModel>,
    pub corpus: &'a Corpus,
    pub trainer: Trainer,
    pub scorer: Scorer,
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
        let optimizer = optimizer(training);
        let shape = batch_shape(model.as_ref(), training.batch_size);
        let loss = training.loss;
        let precision = precision(training);
        let trainer = Trainer::new(&store, optimizer, training.seed as u32, |graph| {
            graph.set_precision(precision);
            training_graph(model.as_ref(), graph, &shape, loss)
        })?;
        let scorer = Scorer::with_precision(&store, model.as_ref(), &shape, precision)?;
        Ok(Run { config, model, corpus, trainer, scorer })
    }

    /// Trains from the start, or from where `checkpoint` stands if `resume`.
    pub fn fit(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        resume: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
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
        fit(&mut self.trainer, &task, training, checkpoint, resume, observer)
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
        let losses = scores.iter().zip(&self.labels).map(error).map(|error| self.loss.value(error));
        let loss = losses.sum::<f64>() / scores.len().max(1) as f64;
        let named = |name: &str, value: f64| (name.to_string(), value);
        let metrics =
            vec![named("mae", metrics.mae), named("pearson", metrics.pearson), named("acc2_has0", metrics.acc2_has0)];
        Ok(Validation { loss, metrics })
    }
}
