//! Trains one network and scores with it.

use crate::personality::{RunConfig, labels};
use crate::training::{Outcome, fit, optimizer, precision};
use crate::traits::{start_at_the_mean, validation};
use limbic::data::video::{VideoBatches, VideoClip, VideoCorpus};
use limbic::gpu::Gpu;
use limbic::models::RegressionLoss;
use limbic::models::personality::{PersonalityNetwork, TraitScorer, load_resnet, training_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Observer, Task, Validation};
use limbic::{Error, Result};
use std::path::Path;

/// A network on a GPU with the plans that train it and score with it.
pub struct Run<'a> {
    config: RunConfig,
    pub model: PersonalityNetwork,
    corpus: &'a VideoCorpus,
    pub trainer: Trainer,
    scorer: TraitScorer,
}

impl<'a> Run<'a> {
    /// `resnet`: torchvision's weights to start from.
    pub fn new(gpu: &Gpu, config: RunConfig, corpus: &'a VideoCorpus, resnet: Option<&Path>) -> Result<Self> {
        let training = &config.training;
        if valid(corpus).is_empty() {
            return Err(Error::Config("there are no validation or test clips to stop by".to_string()));
        }
        if corpus.train.len() < training.batch_size {
            let (clips, batch) = (corpus.train.len(), training.batch_size);
            return Err(Error::Config(format!("{clips} training clips do not fill a batch of {batch}: --batch_size")));
        }
        let model = PersonalityNetwork::new(&config.model)?;
        let parameters = model.parameters();
        let mut values = parameters.initial_values(training.seed);
        if let Some(path) = resnet {
            load_resnet(path, parameters, "resnet", &mut values)?;
        }
        start_at_the_mean("head.", parameters, &mut values, &labels(&corpus.train));
        let store = ParameterStore::new(gpu, parameters, &values)?;
        let trainer = Trainer::new(&store, optimizer(training), training.seed as u32, |graph| {
            graph.set_precision(precision(training));
            graph.checkpoint_every(training.checkpoint_every);
            training_graph(&model, graph, training.batch_size, training.loss)
        })?;
        let scorer = TraitScorer::new(&store, &model, training.batch_size)?;
        Ok(Run { config, model, corpus, trainer, scorer })
    }

    /// Trains from the start, or from where `checkpoint` stands if `resume`.
    pub fn fit(&mut self, checkpoint: &Checkpoint, resume: bool, observer: &mut dyn Observer) -> Result<Outcome> {
        let training = &self.config.training;
        let valid = valid(self.corpus);
        let task = Traits {
            train: self.batches(&self.corpus.train)?,
            valid: self.batches(valid)?,
            labels: labels(valid),
            scorer: &self.scorer,
            loss: training.loss,
            seed: training.seed,
            mirror: self.config.mirror,
        };
        fit(&mut self.trainer, &task, training, Some(checkpoint), resume, observer)
    }

    /// The first training batch.
    pub fn first_batch(&self) -> Result<Batch> {
        let first = self.batches(&self.corpus.train)?.in_order().next();
        first.ok_or_else(|| Error::Config("there are no training clips".to_string()))
    }

    /// The traits of `clips`, in order.
    pub fn score(&self, clips: &[VideoClip]) -> Result<Vec<[f32; 5]>> {
        self.scorer.run_all(self.batches(clips)?.in_order())
    }

    fn batches<'b>(&self, clips: &'b [VideoClip]) -> Result<VideoBatches<'b>> {
        VideoBatches::new(clips, self.corpus.shape, self.config.training.batch_size)
    }
}

/// What early stopping goes by.
fn valid(corpus: &VideoCorpus) -> &[VideoClip] {
    if corpus.valid.is_empty() { &corpus.test } else { &corpus.valid }
}

/// The traits as the training loop sees them.
struct Traits<'a> {
    train: VideoBatches<'a>,
    valid: VideoBatches<'a>,
    labels: Vec<[f32; 5]>,
    scorer: &'a TraitScorer,
    loss: RegressionLoss,
    seed: u64,
    mirror: bool,
}

impl Task for Traits<'_> {
    fn batches(&self) -> usize {
        self.train.len()
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new(self.train.shuffled(self.seed, epoch, self.mirror))
    }

    fn validate(&self) -> Result<Validation> {
        let predicted = self.scorer.run_all(self.valid.in_order())?;
        validation(&predicted, &self.labels, self.loss)
    }
}
