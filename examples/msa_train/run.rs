//! Trains one model and scores it.

use crate::msa::{AHEAD, Data, Metrics, RunConfig, batch_shape, check_fit, wanted};
use crate::training::{Outcome, fit, optimizer, precision};
use limbic::data::stream::{Epochs, Split};
use limbic::data::{Batches, Clip, Corpus, Labels};
use limbic::gpu::Gpu;
use limbic::models::msa::{ClipScore, Objective, Scorer, SentimentModel, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Observer, Task, Validation};
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

    /// Trains from the start, or from where `checkpoint` stands if `resume`.
    pub fn fit(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        resume: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        let training = &self.config.training;
        let corpus = &self.data.corpus;
        let valid = if corpus.valid.is_empty() { Split::Test } else { Split::Valid };
        let task = Sentiment {
            train: self.train()?,
            data: self.data,
            valid,
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
        let (corpus, training, wanted) = (&self.data.corpus, &self.config.training, wanted(self.model.as_ref()));
        let emotions = self.model.emotions().is_some();
        Ok(match &self.data.streamed {
            None => {
                let batches = Batches::new(corpus, &corpus.train, &wanted, training.batch_size)?;
                let batches = if emotions { batches.with_emotions() } else { batches };
                Train::Memory { batches, seed: training.seed }
            }
            Some(streamed) => {
                let batches = streamed.batches(Split::Train, &wanted, training.batch_size, AHEAD)?;
                let batches = if emotions { batches.with_emotions() } else { batches };
                Train::Disk(batches.epochs(training.seed))
            }
        })
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

/// Where training batches come from.
enum Train<'a> {
    Memory { batches: Batches<'a>, seed: u64 },
    Disk(Epochs),
}

impl Train<'_> {
    fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        Ok(match self {
            Train::Memory { batches, seed } => Box::new(batches.shuffled(*seed, epoch).skip(first).map(Ok)),
            Train::Disk(epochs) => Box::new(epochs.from(epoch, first)?),
        })
    }
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
        match &self.train {
            Train::Memory { batches, .. } => batches.len(),
            Train::Disk(epochs) => epochs.len(),
        }
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
