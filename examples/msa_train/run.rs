//! Trains one model and scores it.

use crate::common::TrainingConfig;
use crate::msa::{Data, Metrics, ModelConfig, PretrainingConfig, RunConfig, Train, batch_shape, check_fit, wanted};
use crate::pretraining::Pretraining;
use crate::training::{Outcome, fit, optimizer, precision};
use limbic::data::{Clip, Corpus, Labels, Split};
use limbic::gpu::Gpu;
use limbic::models::msa::{ClipScore, Objective, Scorer, SentimentModel, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Ending, Observer, Task, Validation};
use limbic::train::metrics::ClassificationMetrics;
use limbic::{Error, Result};

/// A model on a GPU with the plans that train it and score with it.
pub struct Run<'a> {
    pub config: RunConfig,
    pub model: Box<dyn SentimentModel>,
    pub data: &'a Data,
    pub trainer: Trainer,
    pub scorer: Scorer,
}

impl<'a> Run<'a> {
    pub fn new(gpu: &Gpu, config: RunConfig, data: &'a Data) -> Result<Self> {
        let corpus = &data.corpus;
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
        let objective = objective(&config, corpus);
        let precision = precision(training);
        let trainer = Trainer::new(&store, optimizer, training.seed as u32, |graph| {
            graph.set_precision(precision);
            graph.checkpoint_every(training.checkpoint_every);
            training_graph(model.as_ref(), graph, &shape, objective)
        })?;
        let scorer = Scorer::with_precision(&store, model.as_ref(), &shape, precision)?;
        Ok(Run { config, model, data, trainer, scorer })
    }

    /// Pre-trains the model's encoders as `config` says, from the start or from where `checkpoint` stands if `resume`, and puts what they
    /// learnt into the model. Unless interrupted: then the model is as it was.
    pub fn pretrain(
        &self,
        config: &PretrainingConfig,
        checkpoint: &Checkpoint,
        resume: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let ModelConfig::SequenceLevel(model) = &self.config.model else {
            return Err(Error::Config("the early-pooling baseline has no encoders to pre-train".to_string()));
        };
        let training = TrainingConfig { epochs: config.epochs, ..self.config.training.clone() };
        let store = self.trainer.store();
        let mut pretraining = Pretraining::new(store.gpu(), model, config.contrast, &training, self.data)?;
        let outcome =
            pretraining.fit(|trainer, task| fit(trainer, task, &training, Some(checkpoint), resume, observer))?;
        if outcome.ending != Ending::Interrupted {
            let mut values = store.download()?;
            pretraining.hand_over(store.parameters(), &mut values)?;
            store.upload(&values)?;
        }
        Ok(outcome)
    }

    /// Trains from the start, or from where `checkpoint` stands if `resume`.
    pub fn fit(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        resume: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let training = &self.config.training;
        let corpus = &self.data.corpus;
        let task = Sentiment {
            train: self.train()?,
            data: self.data,
            valid: self.data.valid(),
            model: self.model.as_ref(),
            emotion_weight: self.model.emotions().map_or(0.0, |task| f64::from(task.weight)),
            scorer: &self.scorer,
            objective: objective(&self.config, corpus),
        };
        let outcome = fit(&mut self.trainer, &task, training, checkpoint, resume, observer)?;
        if let Train::Disk(epochs) = &task.train {
            let waits = epochs.waits();
            println!(
                "data      {} of {} batches were not ready when they were asked for; {:.3} s were waited",
                waits.waited,
                waits.taken,
                waits.time.as_secs_f64()
            );
        }
        Ok(outcome)
    }

    /// The training clips as batches.
    fn train(&self) -> Result<Train<'a>> {
        let (training, model) = (&self.config.training, self.model.as_ref());
        self.data.train(&wanted(model), training.batch_size, model.emotions().is_some(), training.seed)
    }

    /// The first training batch.
    pub fn first_batch(&self) -> Result<Batch> {
        let train = self.train()?;
        let first = train.batches_from(0, 0)?.next();
        first.unwrap_or_else(|| Err(Error::Config("there are no training clips".to_string())))
    }

    /// The test metrics of the trainer's current weights, with the scores.
    pub fn test(&self) -> Result<(Metrics, Vec<ClipScore>)> {
        let corpus = &self.data.corpus;
        if corpus.test.is_empty() {
            return Err(Error::Config(format!("{} has no test clips to measure on", corpus.name)));
        }
        let scores = self.data.scores(&self.scorer, self.model.as_ref(), Split::Test)?;
        let predicted: Vec<f32> = scores.iter().map(|clip| clip.score).collect();
        Ok((Metrics::compute(&corpus.labels, &predicted, &labels(&corpus.test))?, scores))
    }
}

/// What is minimised: what the flags say of sentiment, cross entropy of a yes or no.
fn objective(config: &RunConfig, corpus: &Corpus) -> Objective {
    match corpus.labels {
        Labels::Sentiment => config.training.loss.into(),
        Labels::Binary { .. } => Objective::Binary,
    }
}

/// How well the emotions of `clips` were named and the mean cross entropy; nothing where the model names none or no clip has one.
pub fn emotion_metrics(clips: &[Clip], scores: &[ClipScore]) -> Result<Option<(ClassificationMetrics, f64)>> {
    let labelled =
        clips.iter().zip(scores).filter_map(|(clip, score)| Some((clip.emotion? as usize, score.emotion()?, score)));
    let (mut truth, mut named, mut entropy) = (Vec::new(), Vec::new(), 0.0);
    for (label, emotion, score) in labelled {
        truth.push(label);
        named.push(emotion);
        entropy -= score.emotions.get(label).map_or(0.0, |p| f64::from(p.max(f32::MIN_POSITIVE)).ln());
    }
    let classes = scores.iter().map(|score| score.emotions.len()).max().unwrap_or(0);
    if truth.is_empty() {
        return Ok(None);
    }
    let metrics = ClassificationMetrics::compute(&named, &truth, classes)?;
    Ok(Some((metrics, entropy / truth.len() as f64)))
}

pub fn labels(clips: &[Clip]) -> Vec<f32> {
    clips.iter().map(|clip| clip.label).collect()
}

/// Sentiment as the training loop sees it.
struct Sentiment<'a> {
    train: Train<'a>,
    data: &'a Data,
    valid: Split,
    model: &'a dyn SentimentModel,
    emotion_weight: f64,
    scorer: &'a Scorer,
    objective: Objective,
}

impl Task for Sentiment<'_> {
    fn batches(&self) -> usize {
        self.train.len()
    }

    fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        self.train.batches_from(epoch, first)
    }

    fn validate(&self) -> Result<Validation> {
        let corpus = &self.data.corpus;
        let (clips, scored) = (corpus.split(self.valid), self.data.scores(self.scorer, self.model, self.valid)?);
        let (scores, labels) = (scored.iter().map(|clip| clip.score).collect::<Vec<_>>(), labels(clips));
        let losses = scores.iter().zip(&labels);
        let losses = losses.map(|(score, label)| self.objective.value(f64::from(*score), f64::from(*label)));
        let loss = losses.sum::<f64>() / scores.len().max(1) as f64;
        let mut metrics = match Metrics::compute(&corpus.labels, &scores, &labels)? {
            Metrics::Sentiment(m) => vec![("mae", m.mae), ("pearson", m.pearson), ("acc2_has0", m.acc2_has0)],
            Metrics::Classes(m) => vec![("accuracy", m.accuracy), ("weighted_f1", m.weighted_f1)],
        };
        let emotions = emotion_metrics(clips, &scored)?;
        metrics.extend(emotions.iter().map(|(metrics, _)| ("emotion_accuracy", metrics.accuracy)));
        let loss = loss + emotions.map_or(0.0, |(_, cross_entropy)| self.emotion_weight * cross_entropy);
        let metrics = metrics.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        Ok(Validation { loss, metrics })
    }
}
