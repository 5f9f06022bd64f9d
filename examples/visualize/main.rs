//! Pictures of what networks of faces and motion see: `cargo run --release --example visualize -- --out pictures`.
//!
//! Without `--model` and `--checkpoint` two small networks are trained first: one that reads smile, mouth and eyes from drawn faces, and one
//! that reads the five traits from drawn clips, over tokens, so that its attention can be looked at.

mod clip;
#[path = "../support/common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/faces.rs"]
#[allow(dead_code)]
mod faces;
mod look;
#[path = "../support/personality.rs"]
#[allow(dead_code)]
mod personality;
#[cfg(test)]
mod tests;
mod watch;

use clap::Parser;
use clip::ClipNet;
use faces::FaceNet;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::personality::{TRAITS, export_network};
use limbic::viz::MaximiseOptions;
use limbic::weights::Export;
use limbic::{Error, Result};
use look::Picture;
use std::path::PathBuf;
use std::process::ExitCode;
use watch::Watched;

/// Draws Grad-CAM, activations, filters, attention maps and the course of features of networks of faces and motion.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Where the pictures go.
    #[arg(long, default_value = "pictures", value_name = "DIR")]
    out: PathBuf,
    /// The directory that personality_train wrote (its --out): that model is looked at. Attention maps want one trained with --tokens.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "save", "target"])]
    checkpoint: Option<PathBuf>,
    /// A ResNet exported for inference (--save writes one): that network of faces is looked at, and no clip.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["clip", "trait"])]
    model: Option<PathBuf>,
    /// What the network of clips looks at: a folder of JPEG or PNG frames, or a video file (which takes an installed ffmpeg). Default: a clip
    /// of the data that the checkpoint was made with, or a drawn one.
    #[arg(long, value_name = "PATH")]
    clip: Option<PathBuf>,
    /// Saves the network of faces for inference, batch norms folded.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Which output of the network of faces Grad-CAM explains.
    #[arg(long, default_value_t = 0, value_name = "N")]
    target: usize,
    /// Which trait Grad-CAM explains over the clip: openness, conscientiousness, extraversion, agreeableness or neuroticism.
    #[arg(long = "trait", default_value = "extraversion", value_parser = TRAITS, value_name = "TRAIT", id = "trait")]
    explained: String,
    /// Whose activations are drawn: a path in the network such as layer1 or layer1.0.conv2. Default: the last map.
    #[arg(long, value_name = "PATH")]
    layer: Option<String>,
    /// Training steps of the small networks.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: u32,
    /// Steps of activation maximisation.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u16).range(1..))]
    ascent: u16,
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
    let (face, clip) = networks(&gpu, options)?;
    if options.target >= face.outputs.len() {
        let message = format!("--target {}: the network has {} outputs, from 0 on", options.target, face.outputs.len());
        return Err(Error::Config(message));
    }
    if let Some(path) = &options.save {
        let (config, values) = face.config.fold(&face.values)?;
        export_network(path, &Export::new(config, "examples/visualize, trained on drawn faces"), &values)?;
        println!("{}: the network of faces, for inference", path.display());
    }
    // first what may be asked for wrongly
    show(look::activations(&face, options.layer.as_deref(), out)?);
    // a network without outputs of its own has traits to explain instead
    if options.checkpoint.is_none() {
        show(look::grad_cams(&face, options.target, out)?);
        show(look::film(&face, options.target, out)?);
    }
    show(look::landscape(&face, out)?);
    show(look::filters(&face, &MaximiseOptions { steps: options.ascent.into(), ..Default::default() }, out)?);
    show(look::course(&face, out)?);
    show(look::layers(&face, out)?);
    let Some(clip) = clip else { return Ok(()) };
    watch(&clip, options)
}

/// The network of faces, and unless only that is given the one of clips.
fn networks(gpu: &Gpu, options: &Options) -> Result<(FaceNet, Option<ClipNet>)> {
    let given = options.clip.as_deref();
    if let Some(checkpoint) = &options.checkpoint {
        let clip = ClipNet::from_checkpoint(gpu, checkpoint, given)?;
        let face = FaceNet::inside(gpu, &clip.config().resnet, clip.parameters(), &clip.values)?;
        return Ok((face, Some(clip)));
    }
    let clip = match options.model {
        Some(_) => None,
        None => Some(ClipNet::trained(gpu, given, options.steps)?),
    };
    Ok((FaceNet::open(gpu, options.model.as_deref(), options.steps)?, clip))
}

fn watch(clip: &ClipNet, options: &Options) -> Result<()> {
    let (watched, out) = (Watched::new(clip)?, &options.out);
    let target = TRAITS.iter().position(|name| *name == options.explained).unwrap_or(0);
    show(watched.motion(target, out)?);
    show(watched.film(target, out)?);
    show(watched.traits(out)?);
    match watched.attention(out)? {
        Some(pictures) => pictures.into_iter().for_each(show),
        None => println!(
            "no attention maps: this model has one vector for the face and one for the motion, so that its softmax has one key and the \
             weight 1; train one with --tokens"
        ),
    }
    Ok(())
}

fn show((path, what): Picture) {
    println!("{}: {what}", path.display());
}
