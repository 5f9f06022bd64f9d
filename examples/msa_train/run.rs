//! Trains one model and scores it.

use crate::msa::{RunConfig, batch_shape, check_fit, wanted};
use crate::training::{Outcome, fit, optimizer};
use limbic::data::{Batches, Clip, Corpus};
use limbic::gpu::Gpu;
use limbic::models::msa::{ClipScore, RegressionLoss, Scorer, SentimentModel, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Observer, Task, Validation};
use limbic::train::metrics::{ClassificationMetrics, SentimentMetrics};
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
        let training = &self.config.training;
        let wanted = wanted(self.model.as_ref());
        let batches = |clips: &'a [Clip]| Batches::new(self.corpus, clips, &wanted, training.batch_size);
        let valid = if self.corpus.valid.is_empty() { &self.corpus.test } else { &self.corpus.valid };
        let train = batches(&self.corpus.train)?;
        let task = Sentiment {
            train: if self.model.emotions().is_some() { train.with_emotions() } else { train },
            valid: batches(valid)?,
            clips: valid,
            emotion_weight: self.model.emotions().map_or(0.0, |task| f64::from(task.weight)),
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
    train: Batches<'a>,
    valid: Batches<'a>,
    /// Those of the validation.
    clips: &'a [Clip],
    emotion_weight: f64,
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
        let scored = self.scorer.run_all(self.valid.in_order())?;
        let (scores, labels) = (scored.iter().map(|clip| clip.score).collect::<Vec<_>>(), labels(self.clips));
        let metrics = SentimentMetrics::compute(&scores, &labels)?;
        let error = |(score, label): (&f32, &f32)| f64::from(score - label);
        let losses = scores.iter().zip(&labels).map(error).map(|error| self.loss.value(error));
        let loss = losses.sum::<f64>() / scores.len().max(1) as f64;
        let named = |name: &str, value: f64| (name.to_string(), value);
        let mut metrics =
            vec![named("mae", metrics.mae), named("pearson", metrics.pearson), named("acc2_has0", metrics.acc2_has0)];
        let emotions = emotion_metrics(self.clips, &scored)?;
        metrics.extend(emotions.iter().map(|(metrics, _)| named("emotion_accuracy", metrics.accuracy)));
        let loss = loss + emotions.map_or(0.0, |(_, cross_entropy)| self.emotion_weight * cross_entropy);
        Ok(Validation { loss, metrics })
    }
}
