//! Weights of a model that msa_train trained for PyTorch or Keras, and theirs for limbic:
//! `cargo run --release --example convert_weights -- runs/msa --to pytorch --output msa.safetensors`.
//!
//! `scripts/check_weights.py` has the models in both frameworks; [`limbic::weights::pytorch`] and [`limbic::weights::keras`] say what is
//! called what.

#[path = "support/common.rs"]
mod common;
#[path = "support/exit.rs"]
mod exit;
// the data has no part in it
#[allow(dead_code)]
#[path = "support/msa.rs"]
mod msa;

use clap::{ArgGroup, Parser, ValueEnum};
use common::shown;
use limbic::graph::Parameters;
use limbic::train::checkpoint::Checkpoint;
use limbic::weights::keras::{self, KerasModel};
use limbic::weights::{self, Metadata, Tensors, pytorch};
use limbic::{Error, Result};
use msa::ModelConfig;
use std::path::PathBuf;
use std::process::ExitCode;

/// Converts the weights of a sentiment model from and to PyTorch and Keras.
#[derive(Debug, Clone, Parser)]
#[command(group(ArgGroup::new("direction").required(true).args(["to", "from"])))]
struct Options {
    /// The directory that msa_train wrote (its --out); it says what the model is.
    checkpoint: PathBuf,
    /// Write the model's weights for this framework, as a safetensors file.
    #[arg(long, value_enum)]
    to: Option<Framework>,
    /// Read weights of this framework from --input, and write a checkpoint that msa_predict takes.
    #[arg(long, value_enum, requires = "input")]
    from: Option<Framework>,
    /// A safetensors file: a PyTorch state dict, or a Keras model's variables by path.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    input: Option<PathBuf>,
    /// With --to the file, with --from the directory that is written.
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Framework {
    Pytorch,
    Keras,
}

fn main() -> ExitCode {
    exit::exit_on_error(convert(&Options::parse()))
}

fn convert(options: &Options) -> Result<()> {
    let checkpoint = Checkpoint::open(&options.checkpoint)?;
    let config = msa::read_config(&checkpoint)?;
    let model = config.model.build()?;
    let parameters = model.parameters();
    if let Some(framework) = options.to {
        let tensors = export(framework, &config.model, parameters, &checkpoint.load_model(parameters)?)?;
        let metadata = Metadata::from([("format".to_string(), "pt".to_string())]);
        weights::write(&options.output, &tensors, &metadata)?;
        println!("wrote {} tensors to {}", tensors.len(), shown(&options.output));
    }
    if let (Some(framework), Some(input)) = (options.from, &options.input) {
        if options.output == options.checkpoint {
            let message = "--output is the checkpoint that says what the model is: name another directory";
            return Err(Error::Config(message.to_string()));
        }
        let values = import(framework, &config.model, &weights::read(input)?, parameters)?;
        let written = Checkpoint::create(&options.output)?;
        written.clear()?;
        written.save_config(&config)?;
        written.save_model(parameters, &values)?;
        println!("wrote a checkpoint to {}", shown(&options.output));
    }
    Ok(())
}

fn export(framework: Framework, model: &ModelConfig, parameters: &Parameters, values: &[Vec<f32>]) -> Result<Tensors> {
    match framework {
        Framework::Pytorch => pytorch::export(parameters, values),
        Framework::Keras => in_keras(model).export(parameters, values),
    }
}

fn import(
    framework: Framework,
    model: &ModelConfig,
    tensors: &Tensors,
    parameters: &Parameters,
) -> Result<Vec<Vec<f32>>> {
    match framework {
        Framework::Pytorch => pytorch::import(tensors, parameters),
        Framework::Keras => in_keras(model).import(tensors, parameters),
    }
}

fn in_keras(model: &ModelConfig) -> KerasModel {
    match model {
        ModelConfig::SequenceLevel(config) => KerasModel { heads: config.num_heads, layer_path: keras::layer_path },
        ModelConfig::Baseline(config) => KerasModel { heads: config.num_heads, layer_path: keras::baseline_layer_path },
    }
}
