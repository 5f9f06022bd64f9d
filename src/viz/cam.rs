//! Class activation maps: where in an image a score comes from.

use super::image::range_of;
use crate::{Error, Result};

/// Grad-CAM (Selvaraju et al. 2017) of one example: the channels of `map [channels, height, width]` weighted by the mean of the score's
/// `gradient` with respect to each, summed, and what speaks against the score set to 0. Returns `[height, width]`.
///
/// # Errors
/// [`Error::Config`] where the sizes do not fit, or are 0.
pub fn grad_cam(map: &[f32], gradient: &[f32], [channels, height, width]: [usize; 3]) -> Result<Vec<f32>> {
    let places = height * width;
    if channels * places == 0 || map.len() != channels * places || gradient.len() != map.len() {
        return Err(Error::Config(format!(
            "a map of {} values and a gradient of {} do not fit [{channels}, {height}, {width}]",
            map.len(),
            gradient.len()
        )));
    }
    let mut cam = vec![0.0f64; places];
    for (map, gradient) in map.chunks(places).zip(gradient.chunks(places)) {
        let weight = gradient.iter().map(|&g| f64::from(g)).sum::<f64>() / places as f64;
        cam.iter_mut().zip(map).for_each(|(sum, &value)| *sum += weight * f64::from(value));
    }
    Ok(cam.into_iter().map(|value| value.max(0.0) as f32).collect())
}

/// `values [height, width]` at another size, linear between the centres of the old pixels and constant beyond the outermost, as
/// PyTorch's `interpolate(mode="bilinear", align_corners=False)` does it.
///
/// # Errors
/// [`Error::Config`] where the sizes do not fit, or are 0.
pub fn resize_bilinear(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Result<Vec<f32>> {
    if from.contains(&0) || to.contains(&0) || values.len() != from[0] * from[1] {
        return Err(Error::Config(format!("{} values of size {from:?} cannot become {to:?}", values.len())));
    }
    // the two old places around each new one, and the share of the second
    let places = |axis: usize| -> Vec<(usize, usize, f64)> {
        let ratio = from[axis] as f64 / to[axis] as f64;
        let place = |index: usize| {
            let at = ((index as f64 + 0.5) * ratio - 0.5).max(0.0);
            let below = (at as usize).min(from[axis] - 1);
            (below, (below + 1).min(from[axis] - 1), at - below as f64)
        };
        (0..to[axis]).map(place).collect()
    };
    let columns = places(1);
    let mut resized = Vec::with_capacity(to[0] * to[1]);
    for (upper, lower, down) in places(0) {
        let at = |row: usize, column: usize| f64::from(values[row * from[1] + column]);
        resized.extend(columns.iter().map(|&(left, right, along)| {
            let between = |row: usize| at(row, left) * (1.0 - along) + at(row, right) * along;
            (between(upper) * (1.0 - down) + between(lower) * down) as f32
        }));
    }
    Ok(resized)
}

/// `values` brought to [0, 1] by their smallest and largest; all 0 where they are all the same.
pub fn to_unit(values: &[f32]) -> Vec<f32> {
    let (low, high) = range_of(values);
    values.iter().map(|value| if value.is_finite() { (value - low) / (high - low) } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grad_cam_is_what_the_paper_says() {
        // two channels over 1 x 3: mean gradients 2 and -1
        let map = [1.0, 0.0, 3.0, 1.0, 4.0, 2.0];
        let gradient = [1.0, 2.0, 3.0, -3.0, 0.0, 0.0];
        assert_eq!(grad_cam(&map, &gradient, [2, 1, 3]).unwrap(), [1.0, 0.0, 4.0]);
        assert!(grad_cam(&map, &gradient[1..], [2, 1, 3]).is_err());
        assert!(grad_cam(&[], &[], [0, 1, 3]).is_err());
    }

    #[test]
    fn resizing_is_pytorchs() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 3.]]]]), (4, 4), mode="bilinear")
        let wanted = [[0.0, 0.25, 0.75, 1.0], [0.5, 0.75, 1.25, 1.5], [1.5, 1.75, 2.25, 2.5], [2.0, 2.25, 2.75, 3.0]];
        assert_eq!(resize_bilinear(&[0.0, 1.0, 2.0, 3.0], [2, 2], [4, 4]).unwrap(), wanted.concat());
        // and smaller, without antialiasing: interpolate(torch.arange(6.).view(1, 1, 1, 6), (1, 2), mode="bilinear")
        let row = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(resize_bilinear(&row, [1, 6], [1, 2]).unwrap(), [1.0, 4.0]);
        assert_eq!(resize_bilinear(&row, [2, 3], [2, 3]).unwrap(), row);
        assert!(resize_bilinear(&row, [2, 2], [4, 4]).is_err() && resize_bilinear(&row, [2, 3], [0, 4]).is_err());
    }

    #[test]
    fn unit_range_reaches_both_ends() {
        assert_eq!(to_unit(&[-1.0, 1.0, 0.0, f32::NAN]), [0.0, 1.0, 0.5, 0.0]);
        assert_eq!(to_unit(&[3.0, 3.0]), [0.0, 0.0]);
    }
}
