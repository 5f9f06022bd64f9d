//! Contrastive pre-training of a model's encoders as a task of the training loop.

use crate::common::TrainingConfig;
use crate::msa::{Data, Train};
use crate::training::{optimizer, precision};
use limbic::Result;
use limbic::data::Split;
use limbic::gpu::Gpu;
use limbic::graph::Parameters;
use limbic::models::msa::{BatchShape, ContrastConfig, ContrastiveEncoders, Embedder, MsaConfig, pretraining_graph};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::fit::{Task, Validation};
use limbic::train::metrics::RetrievalMetrics;

/// The encoders of a model on a GPU, with the plan that trains them.
pub struct Pretraining<'a> {
    encoders: ContrastiveEncoders,
    trainer: Trainer,
    task: Contrast<'a>,
}

impl<'a> Pretraining<'a> {
    /// Of the model that `config` describes, which starts from `training`'s seed.
    pub fn new(
        gpu: &Gpu,
        config: &MsaConfig,
        contrast: ContrastConfig,
        training: &TrainingConfig,
        data: &'a Data,
    ) -> Result<Self> {
        let encoders = ContrastiveEncoders::new(config, contrast)?;
        let (parameters, seed, precision) = (encoders.parameters(), training.seed, precision(training));
        let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(seed))?;
        let shape = BatchShape::full(training.batch_size, &config.modalities);
        let trainer = Trainer::new(&store, optimizer(training), seed as u32, |graph| {
            graph.set_precision(precision);
            graph.checkpoint_every(training.checkpoint_every);
            pretraining_graph(&encoders, graph, &shape)
        })?;
        let embedder = Embedder::new(&store, &encoders, &shape, precision)?;
        let wanted: Vec<_> = config.modalities.iter().map(|of| (of.name.clone(), of.seq_len)).collect();
        let train = data.train(&wanted, training.batch_size, false, seed)?;
        Ok(Pretraining { encoders, trainer, task: Contrast { train, data, valid: data.valid(), wanted, embedder } })
    }

    /// Runs a training loop over it.
    pub fn fit<R>(&mut self, fit: impl FnOnce(&mut Trainer, &dyn Task) -> Result<R>) -> Result<R> {
        fit(&mut self.trainer, &self.task)
    }

    /// Puts what the encoders learnt into `values`, which are of a model's `parameters`.
    pub fn hand_over(&self, parameters: &Parameters, values: &mut [Vec<f32>]) -> Result<()> {
        self.encoders.hand_over(&self.trainer.store().download()?, parameters, values)
    }
}

/// Contrast as the training loop sees it.
struct Contrast<'a> {
    train: Train<'a>,
    data: &'a Data,
    valid: Split,
    wanted: Vec<(String, usize)>,
    embedder: Embedder,
}

impl Task for Contrast<'_> {
    fn batches(&self) -> usize {
        self.train.len()
    }

    fn batches_from(&self, epoch: u64, first: usize) -> Result<Box<dyn Iterator<Item = Result<Batch>> + '_>> {
        let without_labels = |batch: Result<Batch>| Ok(batch?.without(&["target", "sample_weight"]));
        Ok(Box::new(self.train.batches_from(epoch, first)?.map(without_labels)))
    }

    fn validate(&self) -> Result<Validation> {
        let (mut loss, mut clips) = (0.0, Vec::new());
        self.data.each_batch(&self.wanted, self.valid, self.embedder.shape().batch, |batch| {
            let embedded = self.embedder.run(batch)?;
            loss += f64::from(embedded.loss) * embedded.clips.len() as f64;
            clips.extend(embedded.clips);
            Ok(())
        })?;
        let found = RetrievalMetrics::between_modalities(&clips)?;
        let metrics = [
            ("recall_at_1", found.recall_at_1),
            ("recall_at_5", found.recall_at_5),
            // 0.5 is chance
            ("mean_rank_share", found.mean_rank / (found.count + 1) as f64),
        ];
        let metrics = metrics.map(|(name, value)| (name.to_string(), value)).to_vec();
        Ok(Validation { loss: loss / clips.len().max(1) as f64, metrics })
    }
}
