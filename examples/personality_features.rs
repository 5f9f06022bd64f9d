//! How well features of faces tell subjects apart: `cargo run --release --example personality_features -- --out pictures`.
//!
//! Clips of several drawn subjects go through a face network; its features, averaged over a clip, are judged and drawn.

#[path = "support/exit.rs"]
mod exit;
#[path = "support/faces.rs"]
#[allow(dead_code)]
mod faces;

use clap::Parser;
use faces::{Dice, FaceNet, image};
use limbic::data::builtin::{Expression, FRAME_SIZE, Look, render};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::train::metrics::{FeatureMetrics, Pca};
use limbic::viz::{Group, GroupsOptions, scatter_groups};
use limbic::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Prints within-subject consistency, between-subject discriminability and the distribution of a face network's features.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Where the picture goes.
    #[arg(long, default_value = "pictures", value_name = "DIR")]
    out: PathBuf,
    /// A ResNet exported for inference (examples/visualize --save writes one). Default: a small one, trained now.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
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
    let net = FaceNet::open(&gpu, options.model.as_deref(), options.steps)?;
    let extractor = Extractor::new(&net, usize::from(options.frames))?;
    let mut dice = Dice(23);
    let subject = |number: u16| {
        let look = Look::from_seed(1000 + u64::from(number));
        (0..options.clips).map(|_| extractor.features(&clip(&look, extractor.frames, &mut dice))).collect()
    };
    let subjects = (0..options.subjects).map(subject).collect::<Result<Vec<Vec<Vec<f32>>>>>()?;
    print(&FeatureMetrics::compute(&subjects)?);
    let path = draw(&subjects, out)?;
    println!("\n{}: the features in the plane of their first two principal components", path.display());
    Ok(())
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
    println!("| figure | value |\n|:--|--:|");
    println!("| within-subject consistency (mean cosine similarity) | {:.3} |", metrics.consistency);
    println!("| between-subject discriminability (mean cosine distance) | {:.3} |", metrics.discriminability);
    println!("| mean of all values | {:.4} |", metrics.mean);
    println!("| standard deviation | {:.4} |", metrics.deviation);
    println!("| smallest .. largest | {:.4} .. {:.4} |", metrics.smallest, metrics.largest);
    println!("| zeros (%) | {:.1} |", 100.0 * metrics.zeros);
    println!("| dimensions that never change | {} of {} |", metrics.constant_dimensions, metrics.dimensions);
}

fn draw(subjects: &[Vec<Vec<f32>>], out: &Path) -> Result<PathBuf> {
    let pca = Pca::fit(&subjects.concat(), 2)?;
    let place = |clip: &Vec<f32>| {
        let at = pca.project(clip);
        (at[0], at.get(1).copied().unwrap_or(0.0))
    };
    let group = |(number, clips): (usize, &Vec<Vec<f32>>)| Group {
        name: format!("subject {}", number + 1),
        points: clips.iter().map(place).collect(),
    };
    let groups: Vec<Group> = subjects.iter().enumerate().map(group).collect();
    let share = |index: usize| 100.0 * pca.explained().get(index).copied().unwrap_or(0.0);
    let options = GroupsOptions {
        title: "Features of clips, by subject".to_string(),
        x_label: format!("first component ({:.0} % of the variance)", share(0)),
        y_label: format!("second component ({:.0} %)", share(1)),
        ..Default::default()
    };
    let path = out.join("features_pca.svg");
    scatter_groups(&path, &groups, &options)?;
    Ok(path)
}
