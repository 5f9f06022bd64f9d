//! Scenes whose motion is known: a texture that is a formula, sampled where the motion says, so that the truth is exact.

use limbic::Result;
use limbic::train::metrics::FlowMetrics;
use std::f64::consts::TAU;

/// To the right and down, in pixels.
pub type Vector = [f64; 2];

/// Waves of random direction, phase and length, the lengths from 6 to 40 pixels.
struct Texture(Vec<[f64; 3]>);

const WAVES: usize = 24;

impl Texture {
    fn new(seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut wave = || {
            let ((sin, cos), frequency) = ((next() * TAU).sin_cos(), TAU / (6.0 * (40.0f64 / 6.0).powf(next())));
            [frequency * cos, frequency * sin, next() * TAU]
        };
        Texture((0..WAVES).map(|_| wave()).collect())
    }

    /// In [0, 1].
    fn at(&self, [x, y]: Vector) -> f64 {
        let sum: f64 = self.0.iter().map(|[a, b, phase]| (a * x + b * y + phase).sin()).sum();
        (0.5 + 2.0 * sum / WAVES as f64).clamp(0.0, 1.0)
    }
}

/// Frames before and after a motion, and the motion of each pixel of the first.
pub struct Scene {
    pub name: &'static str,
    /// Height and width.
    pub size: [usize; 2],
    /// Gray levels in [0, 1].
    pub frames: [Vec<f32>; 2],
    /// `[2, height, width]`.
    pub truth: Vec<f32>,
}

impl Scene {
    /// `back` says where a pixel of the second frame was in the first, `forth` where one of the first is in the second.
    fn new(
        name: &'static str,
        size: [usize; 2],
        back: impl Fn(Vector) -> Vector,
        forth: impl Fn(Vector) -> Vector,
    ) -> Self {
        let texture = Texture::new(name.bytes().map(u64::from).sum());
        let [height, width] = size;
        let places = || (0..height * width).map(|i| [(i % width) as f64, (i / width) as f64]);
        let first = places().map(|at| texture.at(at) as f32).collect();
        let second = places().map(|at| texture.at(back(at)) as f32).collect();
        let truth = [0, 1].iter().flat_map(|axis| places().map(|at| (forth(at)[*axis] - at[*axis]) as f32));
        Scene { name, size, frames: [first, second], truth: truth.collect() }
    }

    /// All of it by the same vector.
    pub fn moved(name: &'static str, size: [usize; 2], by: Vector) -> Self {
        Scene::new(name, size, |[x, y]| [x - by[0], y - by[1]], |[x, y]| [x + by[0], y + by[1]])
    }

    /// About the middle: turned to the right by `angle`, in radians, and enlarged by `scale`.
    pub fn turned(name: &'static str, size: [usize; 2], angle: f64, scale: f64) -> Self {
        let middle = [size[1] as f64 / 2.0, size[0] as f64 / 2.0];
        let about = move |[x, y]: Vector, angle: f64, scale: f64| {
            let ((dx, dy), (sin, cos)) = ((x - middle[0], y - middle[1]), angle.sin_cos());
            [middle[0] + scale * (cos * dx - sin * dy), middle[1] + scale * (sin * dx + cos * dy)]
        };
        Scene::new(name, size, |at| about(at, -angle, 1.0 / scale), |at| about(at, angle, scale))
    }

    /// The left half slides along the border, the right half along it the other way.
    pub fn sliding(name: &'static str, size: [usize; 2], by: f64) -> Self {
        let sign = |x: f64| if x < size[1] as f64 / 2.0 { 1.0 } else { -1.0 };
        Scene::new(name, size, |[x, y]| [x, y - by * sign(x)], |[x, y]| [x, y + by * sign(x)])
    }

    /// Noise, uniform up to `amplitude`, and gray levels of eight bits, as a camera's.
    pub fn noisy(mut self, amplitude: f32) -> Self {
        let mut state = 1u32;
        for level in self.frames.iter_mut().flatten() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            *level = ((*level + amplitude * noise).clamp(0.0, 1.0) * 255.0).round() / 255.0;
        }
        self
    }

    /// Errors of `flow` over the pixels that are `border` or more from the frame's border, before and after.
    pub fn errors(&self, flow: &[f32], border: usize) -> Result<FlowMetrics> {
        let [height, width] = self.size;
        let inside = |x: f32, y: f32| {
            let least = border as f32;
            let most = |len: usize| (len - 1 - border) as f32;
            (least..=most(width)).contains(&x) && (least..=most(height)).contains(&y)
        };
        let counts = |i: usize| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            u32::from(inside(x, y) && inside(x + self.truth[i], y + self.truth[i + height * width]))
        };
        FlowMetrics::compute(flow, &self.truth, &(0..height * width).map(counts).collect::<Vec<u32>>())
    }
}
