//! Optical flow of motions that are known: textures are sampled where the motion says, so that the truth is exact.

mod support;

use limbic::Result;
use limbic::ops::optical_flow::FlowOptions;
use limbic::plan::{Mode, Plan};
use support::{empty_store, noise};

type Vector = [f64; 2];

/// A texture in the plane: waves of random direction, length and phase, of 6 to 40 pixels, in [0, 1].
struct Texture(Vec<[f64; 4]>);

impl Texture {
    fn new(seed: u64) -> Self {
        let wave = |values: &[f32]| {
            let [turn, length, phase] = [0, 1, 2].map(|i| f64::from(values[i]) * 0.5 + 0.5);
            let frequency = std::f64::consts::TAU / (6.0 * (40.0f64 / 6.0).powf(length));
            let (sin, cos) = (turn * std::f64::consts::TAU).sin_cos();
            [frequency * cos, frequency * sin, phase * std::f64::consts::TAU, 1.0 / 24.0]
        };
        Texture(noise(3 * 24, seed).chunks(3).map(wave).collect())
    }

    fn at(&self, [x, y]: Vector) -> f64 {
        let sum: f64 = self.0.iter().map(|[a, b, phase, height]| height * (a * x + b * y + phase).sin()).sum();
        (0.5 + 2.0 * sum).clamp(0.0, 1.0)
    }
}

/// Frames before and after a motion, and the motion of each pixel of the first.
struct Scene {
    size: [usize; 2],
    frames: [Vec<f32>; 2],
    truth: Vec<Vector>,
}

impl Scene {
    /// `back` says where a pixel of the second frame was in the first, `forth` where one of the first is in the second.
    fn new(size: [usize; 2], seed: u64, back: impl Fn(Vector) -> Vector, forth: impl Fn(Vector) -> Vector) -> Self {
        let texture = Texture::new(seed);
        let [height, width] = size;
        let places = || (0..height * width).map(|i| [(i % width) as f64, (i / width) as f64]);
        let first = places().map(|at| texture.at(at) as f32).collect();
        let second = places().map(|at| texture.at(back(at)) as f32).collect();
        let truth = places().map(|at| [0, 1].map(|axis| forth(at)[axis] - at[axis])).collect();
        Scene { size, frames: [first, second], truth }
    }

    fn moved(size: [usize; 2], seed: u64, by: Vector) -> Self {
        Scene::new(size, seed, |[x, y]| [x - by[0], y - by[1]], |[x, y]| [x + by[0], y + by[1]])
    }

    /// About the middle: turned by `angle`, in radians, and drawn out by `scale`.
    fn turned(size: [usize; 2], seed: u64, angle: f64, scale: f64) -> Self {
        let middle = [size[1] as f64 / 2.0, size[0] as f64 / 2.0];
        let about = move |[x, y]: Vector, angle: f64, scale: f64| {
            let (dx, dy) = (x - middle[0], y - middle[1]);
            let (sin, cos) = angle.sin_cos();
            [middle[0] + scale * (cos * dx - sin * dy), middle[1] + scale * (sin * dx + cos * dy)]
        };
        Scene::new(size, seed, move |at| about(at, -angle, 1.0 / scale), move |at| about(at, angle, scale))
    }

    /// The mean distance between `flow`, `[2, height, width]`, and the truth, in pixels, over the places more than `border` away from the
    /// frame's border that move to a place inside.
    fn error(&self, flow: &[f32], border: usize) -> f64 {
        let [height, width] = self.size;
        let pixels = height * width;
        let inside = |[x, y]: Vector| {
            let border = border as f64;
            x >= border && y >= border && x <= width as f64 - 1.0 - border && y <= height as f64 - 1.0 - border
        };
        let counted = (0..pixels).filter(|i| {
            let (at, by) = ([(i % width) as f64, (i / width) as f64], self.truth[*i]);
            inside(at) && inside([at[0] + by[0], at[1] + by[1]])
        });
        let distance = |i: usize| {
            let [u, v] = self.truth[i];
            (f64::from(flow[i]) - u).hypot(f64::from(flow[i + pixels]) - v)
        };
        let distances: Vec<f64> = counted.map(distance).collect();
        distances.iter().sum::<f64>() / distances.len() as f64
    }
}

/// The flow of each pair, one after the other, of one plan.
fn flow_of(scenes: &[&Scene], options: &FlowOptions) -> Result<Vec<f32>> {
    let [height, width] = scenes[0].size;
    let plan = Plan::new(&empty_store(), Mode::Forward, |graph| {
        let shape = [scenes.len(), 1, height, width];
        let [previous, next] = ["previous", "next"].map(|name| graph.input(name, shape));
        previous.optical_flow(next, options).named("flow");
        Ok(())
    })?;
    for (which, name) in ["previous", "next"].into_iter().enumerate() {
        let frames: Vec<f32> = scenes.iter().flat_map(|scene| scene.frames[which].clone()).collect();
        plan.write(name, &frames)?;
    }
    plan.run()?;
    plan.read("flow")
}

fn error_of(name: &str, scene: &Scene) -> f64 {
    let flow = flow_of(&[scene], &FlowOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (all, inner) = (scene.error(&flow, 0), scene.error(&flow, 8));
    println!("{name:24} {all:.4} px, 8 pixels from the border {inner:.4} px");
    inner
}

#[test]
fn scenes() {
    let size = [96, 128];
    for (name, scene) in [
        ("still", Scene::moved(size, 1, [0.0, 0.0])),
        ("fraction", Scene::moved(size, 2, [1.3, -0.7])),
        ("large", Scene::moved(size, 3, [7.0, 4.0])),
        ("turned", Scene::turned(size, 4, 0.04, 1.0)),
        ("zoomed", Scene::turned(size, 5, 0.0, 1.05)),
    ] {
        error_of(name, &scene);
    }
}
