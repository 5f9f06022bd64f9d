//! How well features of faces tell subjects apart: `cargo run --release --example personality_features -- --out pictures`.
//!
//! Clips of several subjects, drawn or one's own, go through a face network; its features, averaged over a clip, are judged and drawn.

#[path = "../support/common.rs"]
#[allow(dead_code)]
mod common;
mod draw;
#[path = "../support/exit.rs"]
mod exit;
#[path = "../support/faces.rs"]
#[allow(dead_code)]
mod faces;
#[path = "../support/personality.rs"]
#[allow(dead_code)]
mod personality;
#[cfg(test)]
mod tests;

use clap::Parser;
use faces::{Dice, FaceNet, image};
use limbic::data::builtin::{Expression, FRAME_SIZE, Look, render};
use limbic::data::image::Image;
use limbic::data::{Fill, chalearn, frame_indices};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::personality::PersonalityNetwork;
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::train::checkpoint::Checkpoint;
use limbic::train::metrics::{Distribution, FeatureMetrics};
use limbic::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints within-subject consistency, between-subject discriminability and the distribution of a face network's features.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Where the pictures go.
    #[arg(long, default_value = "pictures", value_name = "DIR")]
    out: PathBuf,
    /// Writes the features of every clip, as CSV.
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// A ResNet exported for inference (examples/visualize --save writes one). Default: a small one, trained now.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The directory that personality_train wrote (its --out): the ResNet of that model.
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    checkpoint: Option<PathBuf>,
    /// Subjects of one's own: a folder for each, in it a folder of JPEG or PNG pictures for each clip; seen in gray, 64 x 64. Default: drawn
    /// ones.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["subjects", "clips"])]
    data: Option<PathBuf>,
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..=100))]
    subjects: u16,
    /// Clips of each subject.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=1000))]
    clips: u16,
    /// Frames of each clip.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    frames: u16,
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
    let net = network(&gpu, options)?;
    let extractor = Extractor::new(&net, usize::from(options.frames))?;
    let subjects = match &options.data {
        Some(dir) => read_subjects(dir, &extractor)?,
        None => draw_subjects(options, &extractor)?,
    };
    let (names, subjects): (Vec<String>, Vec<Vec<Vec<f32>>>) = subjects.into_iter().unzip();
    let metrics = FeatureMetrics::compute(&subjects)?;
    print(&metrics);
    println!();
    if let Some(path) = &options.features {
        write_features(&names, &subjects, path)?;
        println!("{}: the features of every clip", path.display());
    }
    for (path, what) in [
        draw::components(&names, &subjects, out)?,
        draw::similarities(&names, &metrics, out)?,
        draw::distribution(&subjects, out)?,
    ] {
        println!("{}: {what}", path.display());
    }
    Ok(())
}

fn network(gpu: &Gpu, options: &Options) -> Result<FaceNet> {
    let Some(dir) = &options.checkpoint else { return FaceNet::open(gpu, options.model.as_deref(), options.steps) };
    let checkpoint = Checkpoint::open(dir)?;
    let config = personality::read_config(&checkpoint)?.model;
    let model = PersonalityNetwork::new(&config)?;
    FaceNet::inside(gpu, &config.resnet, model.parameters(), &checkpoint.load_model(model.parameters())?)
}

/// A subject's name, and the features of each clip.
type Subject = (String, Vec<Vec<f32>>);

fn draw_subjects(options: &Options, extractor: &Extractor) -> Result<Vec<Subject>> {
    let mut dice = Dice(23);
    let subject = |number: u16| {
        let look = Look::from_seed(1000 + u64::from(number));
        let clips = (0..options.clips).map(|_| extractor.features(&clip(&look, extractor.frames, &mut dice)));
        Ok((format!("subject {}", number + 1), clips.collect::<Result<_>>()?))
    };
    (0..options.subjects).map(subject).collect()
}

fn read_subjects(dir: &Path, extractor: &Extractor) -> Result<Vec<Subject>> {
    let read = |path: &PathBuf| Ok(image(&Image::read(path)?.square(FRAME_SIZE).luma()));
    let clip = |folder: &PathBuf| {
        let paths = chalearn::pictures(folder)?;
        let (places, _) = frame_indices(paths.len(), extractor.frames, Fill::Last)?;
        let pictures = places.iter().map(|place| read(&paths[*place])).collect::<Result<Vec<_>>>()?;
        extractor.features(&pictures.concat())
    };
    let subject = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, folders(folder)?.iter().map(clip).collect::<Result<_>>()?))
    };
    folders(dir)?.iter().map(subject).collect()
}

/// The folders in `dir`, by name.
fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(|error| Error::io(dir, error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.map_err(|error| Error::io(dir, error))?;
    paths.retain(|path| path.is_dir());
    paths.sort();
    match paths.len() {
        0 | 1 => Err(Error::io(dir, "wants two folders or more: of subjects in --data, of clips in each subject")),
        _ => Ok(paths),
    }
}

/// The network's features of a clip: their mean over its frames.
struct Extractor {
    plan: Plan,
    frames: usize,
}

impl Extractor {
    fn new(net: &FaceNet, frames: usize) -> Result<Self> {
        let plan = Plan::new(&net.store, Mode::Forward, |graph| {
            let cx = Context { graph, parameters: &net.parameters, training: false };
            let map = net.model.map(cx, graph.input("image", [frames, 3, FRAME_SIZE, FRAME_SIZE]));
            net.model.features(map).mean_axes(&[0]).named("features");
            Ok(())
        })?;
        Ok(Extractor { plan, frames })
    }

    fn features(&self, clip: &[f32]) -> Result<Vec<f32>> {
        self.plan.write("image", clip)?;
        self.plan.run()?;
        self.plan.read("features")
    }
}

/// A clip in which an expression, drawn at random, comes up and lives a little.
fn clip(look: &Look, frames: usize, dice: &mut Dice) -> Vec<f32> {
    let (rest, phase) = (dice.expression(), dice.uniform(0.0, 6.0));
    let frame = |index: usize| {
        let swing = (phase + index as f64 * 0.9).sin();
        let expression = Expression {
            smile: 0.5 * rest.smile + 0.15 * swing,
            mouth: (rest.mouth * 0.5 + 0.4 * swing).max(0.0),
            eyes: 0.8 + 0.2 * rest.eyes,
            tilt: rest.tilt * (1.0 + 0.3 * swing),
            ..rest
        };
        image(&render(look, &expression))
    };
    (0..frames).flat_map(frame).collect()
}

fn print(metrics: &FeatureMetrics) {
    let Distribution { mean, deviation, smallest, largest, zeros } = metrics.values;
    println!("| figure | value |\n|:--|--:|");
    println!("| within-subject consistency (mean cosine similarity) | {:.3} |", metrics.consistency);
    println!("| between-subject discriminability (mean cosine distance) | {:.3} |", metrics.discriminability);
    println!("| mean of all values | {mean:.4} |");
    println!("| standard deviation | {deviation:.4} |");
    println!("| smallest .. largest | {smallest:.4} .. {largest:.4} |");
    println!("| zeros (%) | {:.1} |", 100.0 * zeros);
    println!("| dimensions that never change | {} of {} |", metrics.constant_dimensions, metrics.dimensions);
}

/// A line per clip: subject, clip, features.
fn write_features(names: &[String], subjects: &[Vec<Vec<f32>>], path: &Path) -> Result<()> {
    let failed = std::io::Error::other;
    limbic::files::atomic_write(path, |file| {
        let mut csv = csv::Writer::from_writer(file);
        let header = ["subject", "clip"].map(String::from).into_iter();
        csv.write_record(header.chain((0..subjects[0][0].len()).map(|d| format!("feature_{d}")))).map_err(failed)?;
        for (subject, clips) in names.iter().zip(subjects) {
            for (clip, features) in clips.iter().enumerate() {
                let place = [subject.clone(), (clip + 1).to_string()].into_iter();
                csv.write_record(place.chain(features.iter().map(f32::to_string))).map_err(failed)?;
            }
        }
        csv.flush()
    })
}
