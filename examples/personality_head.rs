//! Trains the head that fuses face and motion on features that were extracted once, in seconds:
//! `cargo run --release --example personality_head -- --from runs/personality`.

#[path = "support/common.rs"]
mod common;
#[path = "support/exit.rs"]
mod exit;
#[path = "support/flags.rs"]
#[allow(dead_code)]
mod flags;
#[path = "support/personality.rs"]
#[allow(dead_code)]
mod personality;
#[path = "support/training.rs"]
#[allow(dead_code)]
mod training;
#[path = "support/traits.rs"]
mod traits;

use clap::Parser;
use common::shown;
use flags::{Defaults, TrainingFlags};
use limbic::data::features::{FeatureBatches, FeatureCorpus, FeatureSplit};
use limbic::data::video::{VideoBatches, VideoClip};
use limbic::gpu::Gpu;
use limbic::models::RegressionLoss;
use limbic::models::personality::{
    FeatureExtractor, NetworkConfig, Personality, PersonalityConfig, PersonalityNetwork, TRAITS, TraitScorer,
    export_network, head_training_graph,
};
use limbic::plan::{Batch, ParameterStore};
use limbic::train::Trainer;
use limbic::train::checkpoint::Checkpoint;
use limbic::train::fit::{Task, Validation};
use limbic::train::metrics::{PersonalityMetrics, personality_table};
use limbic::train::progress::TrainingBar;
use limbic::weights::{Export, Precision};
use limbic::{Error, Result};
use personality::{compute_flow, labels, video_shape};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use traits::{start_at_the_mean, validation};

/// Trains the cross-attention head on vectors of features, one of the face and one of the motion per clip.
#[derive(Debug, Clone, Parser)]
#[command(rename_all = "snake_case")]
struct Options {
    /// A directory that personality_train wrote: its extractors make features of the data that it was trained on.
    #[arg(long, value_name = "DIR", required_unless_present = "features", conflicts_with = "features")]
    from: Option<PathBuf>,
    /// Features from elsewhere: a safetensors file of {train,valid,test}.{faces,motion,traits}, each of clips by width.
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Where the features that were extracted go, for --features.
    #[arg(long, value_name = "FILE", requires = "from")]
    save: Option<PathBuf>,
    /// Where the trained head goes, as a file for inference.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Export in half precision.
    #[arg(long, requires = "export")]
    half: bool,
    #[command(flatten)]
    training: TrainingFlags,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let training = options.training.config(&Defaults { batch_size: 16, learning_rate: 2e-3, epochs: 40 });
    training::check(&training)?;
    let gpu = training::open_gpu(options.adapter.as_deref())?;
    let (features, config) = match (&options.from, &options.features) {
        (Some(run), _) => extract(&gpu, run)?,
        (None, Some(file)) => {
            let features = FeatureCorpus::read(file)?;
            (features, PersonalityConfig { momentum: 0.1, ..PersonalityConfig::default() })
        }
        (None, None) => unreachable!("the command line wants one of them"),
    };
    let [static_dim, dynamic_dim] = features.widths;
    if let Some(path) = &options.save {
        features.write(path)?;
        println!("the features are in {}", shown(path));
    }
    let [train, valid, test] = [&features.train, &features.valid, &features.test].map(|split| split.traits.len());
    println!(
        "features  {static_dim} of the face and {dynamic_dim} of the motion, of {train} training, {valid} validation, {test} test clips"
    );
    if train < training.batch_size {
        let message = format!("{train} training clips do not fill a batch of {}: --batch_size", training.batch_size);
        return Err(Error::Config(message));
    }

    let model = Personality::new(&PersonalityConfig { static_dim, dynamic_dim, ..config })?;
    let mut values = model.parameters().initial_values(training.seed);
    start_at_the_mean("", model.parameters(), &mut values, &features.train.traits);
    let store = ParameterStore::new(&gpu, model.parameters(), &values)?;
    let mut trainer = Trainer::new(&store, training::optimizer(&training), training.seed as u32, |graph| {
        head_training_graph(&model, graph, training.batch_size, training.loss)
    })?;
    training::describe_model(model.parameters(), &trainer, training.batch_size);
    let scorer = TraitScorer::of_features(&store, &model, training.batch_size)?;
    let batches = |split| FeatureBatches::new(split, features.widths, training.batch_size);
    let task = Head {
        train: batches(&features.train)?,
        valid: batches(&features.valid)?,
        labels: &features.valid.traits,
        scorer: &scorer,
        loss: training.loss,
        seed: training.seed,
    };
    let outcome = training::fit(&mut trainer, &task, &training, None, false, &mut TrainingBar::new(training::EVERY))?;
    training::ending(&outcome);
    if test > 0 {
        let predicted = scorer.run_all(batches(&features.test)?.in_order())?;
        let truth = &features.test.traits;
        let rows = [
            ("head on features", PersonalityMetrics::compute(&predicted, truth)?),
            ("predict the mean", PersonalityMetrics::of_the_mean(&features.train.traits, truth)?),
        ];
        println!("\ntest clips: {test}\n\n{}", personality_table(&TRAITS, &rows));
    }
    if let Some(path) = &options.export {
        let precision = if options.half { Precision::F16 } else { Precision::F32 };
        let about = Export::new(NetworkConfig::Personality { sizes: *model.config() }, "examples/personality_head");
        export_network(path, &Export { precision, ..about }, &store.download()?)?;
        println!("the head is in {}", shown(path));
    }
    Ok(())
}

/// Features of the clips that the run in `directory` was trained on, by its extractors, and the sizes of its head.
fn extract(gpu: &Gpu, directory: &Path) -> Result<(FeatureCorpus, PersonalityConfig)> {
    let checkpoint = Checkpoint::open(directory)?;
    let config = personality::read_config(&checkpoint)?;
    let model = PersonalityNetwork::new(&config.model)?;
    let store = ParameterStore::new(gpu, model.parameters(), &checkpoint.load_model(model.parameters())?)?;
    let (batch, shape) = (config.training.batch_size, video_shape(&config.model));
    let extractor = FeatureExtractor::new(&store, &model, batch)?;
    let split = |mut clips: Vec<VideoClip>| -> Result<FeatureSplit> {
        if clips.is_empty() {
            return Ok(FeatureSplit::default());
        }
        compute_flow(gpu, &shape, &mut clips)?;
        let [faces, motion] = extractor.run_all(VideoBatches::new(&clips, shape, batch)?.in_order())?;
        Ok(FeatureSplit { faces, motion, traits: labels(&clips) })
    };
    let corpus = config.data.load(&config.model)?.corpus;
    let head = config.model.head;
    let widths = [head.static_dim, head.dynamic_dim];
    Ok((
        FeatureCorpus { widths, train: split(corpus.train)?, valid: split(corpus.valid)?, test: split(corpus.test)? },
        head,
    ))
}

/// The head as the training loop sees it.
struct Head<'a> {
    train: FeatureBatches<'a>,
    valid: FeatureBatches<'a>,
    labels: &'a [[f32; 5]],
    scorer: &'a TraitScorer,
    loss: RegressionLoss,
    seed: u64,
}

impl Task for Head<'_> {
    fn batches(&self) -> usize {
        self.train.len()
    }

    fn epoch(&self, epoch: u64) -> Box<dyn Iterator<Item = Batch> + '_> {
        Box::new(self.train.shuffled(self.seed, epoch))
    }

    fn validate(&self) -> Result<Validation> {
        validation(&self.scorer.run_all(self.valid.in_order())?, self.labels, self.loss)
    }
}
