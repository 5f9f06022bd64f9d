//! What a filter looks for: the image that it answers to most strongly.

use crate::error::{Error, Result};
use crate::graph::{Shape, Var};
use crate::nn::Context;
use crate::plan::{Mode, ParameterStore, Plan};

/// How [`maximise`] climbs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaximiseOptions {
    /// Steps of gradient ascent.
    pub steps: usize,
    /// How far a step goes: the root mean square of what it adds to each image.
    pub rate: f32,
    /// The share of each value that a step takes away, in [0, 1); keeps values small.
    pub decay: f32,
    /// The gradient is climbed at so many scales at once, each about twice as coarse as the one before and all equally strong; with a
    /// single one, images are dominated by what flickers from pixel to pixel.
    pub scales: usize,
    /// Each step sees the image moved by up to so many pixels each way, around its edges: what is found may not hang on exact places.
    pub jitter: usize,
    /// How often an image without a gradient begins again, each time with stronger noise.
    pub restarts: usize,
    /// Everything random follows from it.
    pub seed: u64,
}

impl Default for MaximiseOptions {
    fn default() -> Self {
        MaximiseOptions { steps: 96, rate: 0.08, decay: 0.02, scales: 3, jitter: 3, restarts: 5, seed: 1 }
    }
}

/// Finds images of `shape [batch, channels, height, width]` for which `objective`, one number made of them, is large (Erhan et al. 2009;
/// jitter and scales as in Olah et al. 2017). Each image starts as faint noise and is moved by its own gradient brought to one size, so one
/// objective that adds up a filter per image serves many filters at once. An image that has no gradient wherever it begins, since its
/// filter answers to nothing, is `None`. Freeze the store's parameters, or their gradients are computed as well.
///
/// # Errors
/// Where the graph is wrong, the shape is empty or an option is out of range; where a gradient is not finite.
pub fn maximise(
    store: &ParameterStore,
    shape: [usize; 4],
    options: &MaximiseOptions,
    objective: impl for<'g> FnOnce(Context<'g>, Var<'g>) -> Var<'g>,
) -> Result<Vec<Option<Vec<f32>>>> {
    let rate = options.rate.is_finite() && options.rate > 0.0;
    if !rate || !(0.0..1.0).contains(&options.decay) || options.scales == 0 || shape.contains(&0) {
        let message = "activation maximisation wants an image, a scale, a positive rate, and a decay in [0, 1)";
        return Err(Error::Config(message.to_string()));
    }
    let plan = Plan::new(store, Mode::Gradients, |graph| {
        let image = graph.input_with_grad("image", Shape::new(&shape));
        let cx = Context { graph, parameters: store.parameters(), training: false };
        objective(cx, image).scale(-1.0).as_loss();
        Ok(())
    })?;
    let [count, channels, height, width] = shape;
    let size = [height, width];
    let mut noise = Noise(options.seed);
    let begin = |attempt, noise: &mut Noise| {
        let image = noise.image([channels, height, width], attempt);
        Climb { image, steps: 0, attempt }
    };
    let mut climbs: Vec<Climb> = (0..count).map(|_| begin(0, &mut noise)).collect();
    while climbs.iter().any(|climb| climb.goes_on(options)) {
        let by = [noise.shift(options.jitter), noise.shift(options.jitter)];
        let seen: Vec<f32> = climbs.iter().flat_map(|climb| rolled(&climb.image, size, by)).collect();
        plan.write("image", &seen)?;
        plan.run()?;
        let gradients = plan.read("grad/image")?;
        if gradients.iter().any(|gradient| !gradient.is_finite()) {
            return Err(Error::Config("the gradient of the image is not finite: check the weights".to_string()));
        }
        for (climb, gradient) in climbs.iter_mut().zip(gradients.chunks(seen.len() / count)) {
            if !climb.goes_on(options) {
                continue;
            }
            if gradient.iter().all(|gradient| *gradient == 0.0) {
                *climb = begin(climb.attempt + 1, &mut noise);
            } else {
                climb.step(&rolled(gradient, size, by.map(|by| -by)), size, options);
            }
        }
    }
    Ok(climbs.into_iter().map(|climb| (climb.attempt <= options.restarts).then_some(climb.image)).collect())
}

/// An image on its way.
struct Climb {
    image: Vec<f32>,
    steps: usize,
    attempt: usize,
}

impl Climb {
    fn goes_on(&self, options: &MaximiseOptions) -> bool {
        self.steps < options.steps && self.attempt <= options.restarts
    }

    fn step(&mut self, gradient: &[f32], size: [usize; 2], options: &MaximiseOptions) {
        let mut direction = vec![0.0; gradient.len()];
        let (mut map, mut passes) = (gradient.to_vec(), 1);
        for _ in 0..options.scales {
            map = (0..passes).fold(map, |map, _| smooth(&map, size));
            let strength = 1.0 / root_mean_square(&map).max(1e-30);
            direction.iter_mut().zip(&map).for_each(|(sum, value)| *sum += strength * value);
            // deviations grow with the root of how often it is smoothed
            passes *= 3;
        }
        let step = options.rate / root_mean_square(&direction).max(1e-6);
        let keep = 1.0 - options.decay;
        self.image.iter_mut().zip(&direction).for_each(|(x, g)| *x = (*x - step * g) * keep);
        self.steps += 1;
    }
}

fn root_mean_square(values: &[f32]) -> f32 {
    (values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / values.len() as f64).sqrt() as f32
}

/// SplitMix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -`most` to `most`.
    fn shift(&mut self, most: usize) -> isize {
        (self.next() % (2 * most as u64 + 1)) as isize - most as isize
    }

    /// Where attempt number `attempt` begins: noise that grows stronger and coarser.
    fn image(&mut self, [channels, height, width]: [usize; 3], attempt: usize) -> Vec<f32> {
        let white = (0..channels * height * width).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0);
        let mut map = (0..attempt).fold(white.collect::<Vec<f32>>(), |map, _| smooth(&map, [height, width]));
        let mean = map.iter().sum::<f32>() / map.len() as f32;
        map.iter_mut().for_each(|value| *value -= mean);
        let strength = 0.05 * (1 << (2 * attempt).min(16)) as f32 / root_mean_square(&map).max(1e-6);
        map.into_iter().map(|value| strength * value).collect()
    }
}

/// Each plane moved down and to the right by `by`; what leaves it comes in on the other side.
fn rolled(planes: &[f32], [height, width]: [usize; 2], [down, right]: [isize; 2]) -> Vec<f32> {
    let from = |to: usize, by: isize, len: usize| (to as isize - by).rem_euclid(len as isize) as usize;
    let mut moved = Vec::with_capacity(planes.len());
    for plane in planes.chunks(height * width) {
        for row in 0..height {
            let row = &plane[from(row, down, height) * width..][..width];
            moved.extend((0..width).map(|column| row[from(column, right, width)]));
        }
    }
    moved
}

/// The mean over 3 x 3 pixels, weighted 1 2 1 each way; beyond the edges the outermost pixels go on.
fn smooth(planes: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let around = |at: usize, len: usize| (at.saturating_sub(1), (at + 1).min(len - 1));
    let mut across = vec![0.0; planes.len()];
    for (row, to) in planes.chunks(width).zip(across.chunks_mut(width)) {
        for (at, to) in to.iter_mut().enumerate() {
            let (left, right) = around(at, width);
            *to = 0.25 * (row[left] + 2.0 * row[at] + row[right]);
        }
    }
    let mut smoothed = vec![0.0; planes.len()];
    for (plane, to) in across.chunks(height * width).zip(smoothed.chunks_mut(height * width)) {
        for (at, to) in to.chunks_mut(width).enumerate() {
            let (up, down) = around(at, height);
            let [up, here, down] = [up, at, down].map(|row| &plane[row * width..][..width]);
            for (column, to) in to.iter_mut().enumerate() {
                *to = 0.25 * (up[column] + 2.0 * here[column] + down[column]);
            }
        }
    }
    smoothed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_what_is_even_and_spreads_a_point() {
        assert_eq!(smooth(&[2.0; 12], [3, 4]), [2.0; 12]);
        let point = smooth(&[0.0, 0.0, 0.0, 0.0, 16.0, 0.0, 0.0, 0.0, 0.0], [3, 3]);
        assert_eq!(point[4], 4.0);
        assert_eq!((point[0], point[1]), (1.0, 2.0));
    }

    #[test]
    fn rolling_there_and_back_changes_nothing() {
        let planes: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let there = rolled(&planes, [3, 4], [1, -2]);
        assert_eq!(there[..4], [10.0, 11.0, 8.0, 9.0], "the last row comes first, from its third value on");
        assert_eq!(rolled(&there, [3, 4], [-1, 2]), planes);
    }
}
