//! Pictures of what a face network sees: `cargo run --release --example visualize -- --out pictures`.
//!
//! Without `--model` a small network is trained first, on drawn faces, to read smile, mouth and eyes.

#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/faces.rs"]
mod faces;
mod look;

use clap::Parser;
use faces::FaceNet;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::personality::export_network;
use limbic::weights::Export;
use limbic::{Error, Result};
use std::path::PathBuf;
use std::process::ExitCode;

/// Draws Grad-CAM maps, activations, filters and a clip's course of a face network.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Where the pictures go.
    #[arg(long, default_value = "pictures", value_name = "DIR")]
    out: PathBuf,
    /// A ResNet exported for inference (--save writes one). Default: a small one, trained now.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Saves the network for inference, batch norms folded.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Which of its outputs Grad-CAM explains.
    #[arg(long, default_value_t = 0, value_name = "N")]
    target: usize,
    /// Whose activations are drawn: a path in the network such as layer1 or layer1.0.conv2. Default: the last map.
    #[arg(long, value_name = "PATH")]
    layer: Option<String>,
    /// Training steps of the small network.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let out = &options.out;
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, format!("cannot be made as a folder: {error}")))?;
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    let net = FaceNet::open(&gpu, options.model.as_deref(), options.steps)?;
    if options.target >= net.outputs.len() {
        let message = format!("--target {}: the network has {} outputs, from 0 on", options.target, net.outputs.len());
        return Err(Error::Config(message));
    }
    if let Some(path) = &options.save {
        let (config, values) = net.config.fold(&net.values)?;
        export_network(path, &Export::new(config, "examples/visualize, trained on drawn faces"), &values)?;
        println!("{}: the network, for inference", path.display());
    }
    for (path, what) in [
        look::grad_cams(&net, options.target, out)?,
        look::activations(&net, options.layer.as_deref(), out)?,
        look::landscape(&net, out)?,
        look::filters(&net, out)?,
        look::course(&net, out)?,
        look::film(&net, options.target, out)?,
    ] {
        println!("{}: {what}", path.display());
    }
    Ok(())
}
