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
    /// How often the gradient is smoothed over neighbouring pixels; without, images are dominated by what flickers from pixel to pixel.
    pub smoothing: usize,
}

impl Default for MaximiseOptions {
    fn default() -> Self {
        MaximiseOptions { steps: 60, rate: 0.1, decay: 0.02, smoothing: 1 }
    }
}

/// Changes images of `shape [batch, channels, height, width]`, `start` at first, so that `objective`, one number made of them, grows
/// (Erhan et al. 2009). Each image is moved by its own gradient brought to one size, so one objective that adds up a filter per image
/// serves many filters at once. Freeze the store's parameters, or their gradients are computed as well.
///
/// # Errors
/// Where the graph is wrong, the start does not fit or an option is out of range; where a gradient is not finite.
pub fn maximise(
    store: &ParameterStore,
    shape: [usize; 4],
    start: Vec<f32>,
    options: &MaximiseOptions,
    objective: impl for<'g> FnOnce(Context<'g>, Var<'g>) -> Var<'g>,
) -> Result<Vec<f32>> {
    if options.rate.is_nan() || options.rate <= 0.0 || !(0.0..1.0).contains(&options.decay) {
        return Err(Error::Config("activation maximisation wants a positive rate and a decay in [0, 1)".to_string()));
    }
    let mut images = start;
    let plan = Plan::new(store, Mode::Gradients, |graph| {
        let image = graph.input_with_grad("image", Shape::new(&shape));
        let cx = Context { graph, parameters: store.parameters(), training: false };
        objective(cx, image).scale(-1.0).as_loss();
        Ok(())
    })?;
    let [_, channels, height, width] = shape;
    for _ in 0..options.steps {
        plan.write("image", &images)?;
        plan.run()?;
        let gradients = plan.read("grad/image")?;
        if gradients.iter().any(|gradient| !gradient.is_finite()) {
            return Err(Error::Config("the gradient of the image is not finite: check the weights".to_string()));
        }
        let one = channels * height * width;
        for (image, gradient) in images.chunks_mut(one).zip(gradients.chunks(one)) {
            let gradient = (0..options.smoothing).fold(gradient.to_vec(), |map, _| smooth(&map, [height, width]));
            let size = (gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>() / one as f64).sqrt() as f32;
            let step = if size > 0.0 { options.rate / size } else { 0.0 };
            image.iter_mut().zip(&gradient).for_each(|(x, g)| *x = (*x - step * g) * (1.0 - options.decay));
        }
    }
    Ok(images)
}

/// The mean over 3 x 3 pixels, of those that there are, weighted 1 2 1 each way.
fn smooth(planes: &[f32], [height, width]: [usize; 2]) -> Vec<f32> {
    let mut smoothed = Vec::with_capacity(planes.len());
    for plane in planes.chunks(height * width) {
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
            let (mut sum, mut weights) = (0.0, 0.0);
            for y in row.saturating_sub(1)..(row + 2).min(height) {
                for x in column.saturating_sub(1)..(column + 2).min(width) {
                    let weight = if y == row { 2.0 } else { 1.0 } * if x == column { 2.0 } else { 1.0 };
                    sum += weight * plane[y * width + x];
                    weights += weight;
                }
            }
            smoothed.push(sum / weights);
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
        assert!((point[0] - 16.0 / 9.0).abs() < 1e-6, "a corner sees four of the nine: {}", point[0]);
    }
}
