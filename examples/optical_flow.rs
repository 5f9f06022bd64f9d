//! Optical flow on the GPU: `cargo run --release --example optical_flow -- --out flow`.
//!
//! Without files it measures the flow of scenes whose motion is known, and draws those and a face that moves. With two PNG files of one
//! size it draws the flow from the first to the second. The table goes to standard output.

#[path = "support/exit.rs"]
mod exit;
#[path = "support/motion.rs"]
mod motion;

use clap::Parser;
use limbic::data::builtin::{Expression, FRAME_SIZE, Look, render};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::Parameters;
use limbic::ops::optical_flow::FlowOptions;
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::viz::{FlowPictureOptions, FlowRow, flow};
use limbic::{Error, Result};
use motion::Scene;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Computes and draws optical flow: of two images, or of scenes whose motion is known.
#[derive(Debug, Parser)]
struct Options {
    /// PNG of the first frame.
    #[arg(requires = "second")]
    first: Option<PathBuf>,
    /// PNG of the second frame, of the same size.
    second: Option<PathBuf>,
    /// Where the pictures go; made if it is not there.
    #[arg(long, default_value = "flow")]
    out: PathBuf,
    /// Weight of brightness constancy against smoothness: lower for noisy frames.
    #[arg(long, default_value_t = FlowOptions::default().data_weight)]
    data_weight: f32,
    /// Levels of the pyramid [default: by the size].
    #[arg(long)]
    levels: Option<usize>,
    /// Linearisations on each level.
    #[arg(long, default_value_t = FlowOptions::default().warps)]
    warps: usize,
    /// Iterations for each.
    #[arg(long, default_value_t = FlowOptions::default().iterations)]
    iterations: usize,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match (&options.first, &options.second) {
        (Some(first), Some(second)) => of_files(&options, first, second),
        _ => of_scenes(&options),
    };
    exit::exit_on_error(outcome)
}

/// What computes flows: a device and how to.
struct Flow {
    store: ParameterStore,
    options: FlowOptions,
}

impl Flow {
    fn new(options: &Options) -> Result<Self> {
        let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
        eprintln!("on {}", gpu.info().name);
        let &Options { data_weight, levels, warps, iterations, .. } = options;
        Ok(Flow {
            store: ParameterStore::new(&gpu, &Parameters::new(), &[])?,
            options: FlowOptions { data_weight, levels, warps, iterations, ..FlowOptions::default() },
        })
    }

    /// The flow from the first of two frames to the second, and the milliseconds that it took.
    fn of(&self, frames: [&[f32]; 2], [height, width]: [usize; 2]) -> Result<(Vec<f32>, f64)> {
        let plan = Plan::new(&self.store, Mode::Forward, |graph| {
            let [first, second] = ["first", "second"].map(|name| graph.input(name, [1, 1, height, width]));
            first.optical_flow(second, &self.options).named("flow");
            Ok(())
        })?;
        plan.write("first", frames[0])?;
        plan.write("second", frames[1])?;
        plan.run()?;
        // the first run compiled the kernels
        let (_, start) = (plan.read("flow")?, Instant::now());
        plan.run()?;
        let flow = plan.read("flow")?;
        Ok((flow, start.elapsed().as_secs_f64() * 1e3))
    }
}

fn of_scenes(options: &Options) -> Result<()> {
    let computer = Flow::new(options)?;
    let size = [144, 192];
    let scenes = [
        Scene::moved("still", size, [0.0, 0.0]),
        Scene::moved("moved by (1.3, -0.7)", size, [1.3, -0.7]),
        Scene::moved("moved by (7, 4)", size, [7.0, 4.0]),
        Scene::turned("turned by 3 degrees", size, 3f64.to_radians(), 1.0),
        Scene::turned("enlarged by 5 %", size, 0.0, 1.05),
        Scene::sliding("halves that slide", size, 1.5),
        Scene::moved("moved, with noise", size, [1.3, -0.7]).noisy(0.03),
    ];
    println!("| scene | end-point error, pixels | 8 pixels from the border | angular error, degrees | ms |");
    println!("|:---|---:|---:|---:|---:|");
    let mut flows = Vec::new();
    for scene in &scenes {
        let [first, second] = &scene.frames;
        let (flow, ms) = computer.of([first, second], size)?;
        let (all, inner) = (scene.errors(&flow, 0)?, scene.errors(&flow, 8)?);
        let name = scene.name;
        println!("| {name} | {:.3} | {:.3} | {:.2} | {ms:.0} |", all.end_point, inner.end_point, all.angular);
        flows.push(flow);
    }
    let rows: Vec<FlowRow<'_>> = scenes.iter().zip(&flows).skip(1).map(|(scene, flow)| row(scene, flow)).collect();
    let title = "Optical flow of known motions".to_string();
    draw(options, "scenes.svg", &rows, FlowPictureOptions { title, tile: 150.0, ..Default::default() })?;
    face(options, &computer)
}

fn row<'a>(scene: &'a Scene, flow: &'a [f32]) -> FlowRow<'a> {
    let [first, second] = &scene.frames;
    FlowRow { name: scene.name, size: scene.size, frames: [first, second], flow, truth: Some(&scene.truth) }
}

/// A face that turns aside, and one that begins to smile.
fn face(options: &Options, computer: &Flow) -> Result<()> {
    let still = Expression { smile: -0.5, mouth: 0.1, eyes: 1.0, ..Expression::default() };
    let moves = [
        ("head tilts", Expression { tilt: 0.06, shift: (1.0, -0.5), ..still }),
        ("smile", Expression { smile: 0.5, mouth: 0.25, ..still }),
    ];
    let size = [FRAME_SIZE; 2];
    let frame = |expression: &Expression| -> Vec<f32> {
        render(&Look::from_seed(3), expression).into_iter().map(|level| f32::from(level) / 255.0).collect()
    };
    let first = frame(&still);
    let seconds = moves.map(|(name, expression)| (name, frame(&expression)));
    let flows = seconds.iter().map(|(_, second)| computer.of([&first, second], size).map(|(flow, _)| flow));
    let flows = flows.collect::<Result<Vec<_>>>()?;
    let rows: Vec<FlowRow<'_>> = seconds
        .iter()
        .zip(&flows)
        .map(|((name, second), flow)| FlowRow { name, size, frames: [&first, second], flow, truth: None })
        .collect();
    let title = "Optical flow of a drawn face".to_string();
    draw(options, "face.svg", &rows, FlowPictureOptions { title, ..Default::default() })
}

fn of_files(options: &Options, first: &Path, second: &Path) -> Result<()> {
    let (a, b) = (read_gray(first)?, read_gray(second)?);
    if a.size != b.size {
        let sizes = [a.size, b.size].map(|[height, width]| format!("{width} x {height}"));
        let message = format!("its {} pixels do not go with the {} of {}", sizes[1], sizes[0], first.display());
        return Err(Error::format(second, "size", message));
    }
    let computer = Flow::new(options)?;
    let (found, ms) = computer.of([&a.levels, &b.levels], a.size)?;
    let (x, y) = found.split_at(found.len() / 2);
    let lengths = || x.iter().zip(y).map(|(x, y)| f64::from(x.hypot(*y)));
    let mean = lengths().sum::<f64>() / x.len() as f64;
    println!("mean motion {mean:.3} pixels, largest {:.3}, in {ms:.0} ms", lengths().fold(0.0, f64::max));
    let row = FlowRow { name: "", size: a.size, frames: [&a.levels, &b.levels], flow: &found, truth: None };
    draw(options, "flow.svg", &[row], FlowPictureOptions { tile: 320.0, ..Default::default() })
}

fn draw(options: &Options, name: &str, rows: &[FlowRow<'_>], how: FlowPictureOptions) -> Result<()> {
    std::fs::create_dir_all(&options.out).map_err(|error| Error::io(&options.out, error))?;
    let path = options.out.join(name);
    flow(&path, rows, &how)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// An image's gray levels in [0, 1].
struct Gray {
    size: [usize; 2],
    levels: Vec<f32>,
}

fn read_gray(path: &Path) -> Result<Gray> {
    let broken = |error: png::DecodingError| Error::format(path, "PNG", error);
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    let bytes = reader.output_buffer_size().ok_or_else(|| Error::format(path, "size", "the image is too large"))?;
    let mut pixels = vec![0; bytes];
    let info = reader.next_frame(&mut pixels).map_err(broken)?;
    let channels = info.color_type.samples();
    let gray = |pixel: &[u8]| match *pixel {
        [r, g, b, ..] => (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) / 255.0,
        _ => f32::from(pixel[0]) / 255.0,
    };
    let levels = pixels[..info.buffer_size()].chunks_exact(channels).map(gray).collect();
    Ok(Gray { size: [info.height as usize, info.width as usize], levels })
}
