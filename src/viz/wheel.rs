//! The colours of motion: hue is direction, saturation is magnitude.

use plotters::style::RGBColor;

use super::canvas::{Canvas, Font, Rect, Stroke};
use super::image::Image;
use super::style::{ABSENT, INK, NOTE_SIZE, QUIET, WHITE, mix};
use crate::{Error, Result};

/// Diameter of the wheel, and the size of all that belongs to it.
const WHEEL: f64 = 92.0;
pub const SIZE: (f64, f64) = (WHEEL + 66.0, WHEEL + 52.0);

impl Image {
    /// The colours of `flow [2, height, width]`, to the right and down: hue is direction and saturation is magnitude, full at `largest` and
    /// darker beyond (Baker et al. 2011). What is not finite is gray.
    ///
    /// # Errors
    /// [`Error::Config`] where the sizes do not fit.
    pub fn flow(flow: &[f32], [height, width]: [usize; 2], largest: f64) -> Result<Image> {
        if flow.len() != 2 * height * width {
            return Err(Error::Config(format!("{} values are no flow of {width} x {height} pixels", flow.len())));
        }
        let scale = 1.0 / largest.max(1e-3);
        let pixels = vectors(flow).flat_map(|vector| {
            let RGBColor(r, g, b) = vector.map_or(ABSENT, |vector| color(vector.map(|part| part * scale)));
            [r, g, b]
        });
        Image::new(width, height, pixels.collect())
    }
}

/// Draws the wheel with its directions and `note` below, [`SIZE`] in all, to the right of and below `corner`.
pub fn draw(canvas: &mut Canvas<'_>, corner: (f64, f64), note: &str) {
    let (x, y) = (corner.0 + SIZE.0 / 2.0, corner.1 + SIZE.1 / 2.0 - 8.0);
    let size = 4 * WHEEL as usize;
    let half = size as f64 / 2.0;
    let pixel = |index: usize| {
        let vector = [index % size, index / size].map(|at| (at as f64 + 0.5 - half) / half);
        let RGBColor(r, g, b) = if vector[0].hypot(vector[1]) <= 1.0 { color(vector) } else { WHITE };
        [r, g, b]
    };
    let radius = WHEEL / 2.0;
    let place = Rect { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius };
    if let Ok(image) = Image::new(size, size, (0..size * size).flat_map(pixel).collect()) {
        canvas.image(place, &image);
    }
    canvas.ring((x, y), radius, Stroke::new(QUIET, 0.6));
    canvas.line((place.left, y), (place.right, y), Stroke::new(INK, 0.4));
    canvas.line((x, place.top), (x, place.bottom), Stroke::new(INK, 0.4));
    canvas.text("right", (place.right + 4.0, y), Font::NOTE);
    canvas.text("left", (place.left - 4.0, y), Font::NOTE.right());
    canvas.text("up", (x, place.top - NOTE_SIZE * 0.7), Font::NOTE.centered());
    canvas.text("down", (x, place.bottom + 3.0), Font::NOTE.centered().below());
    canvas.text(note, (x, place.bottom + 3.0 + NOTE_SIZE * 1.3), Font::NOTE.centered().below());
}

/// The vectors of `[2, pixels]`; `None` where one is not finite.
pub fn vectors(flow: &[f32]) -> impl Iterator<Item = Option<[f64; 2]>> {
    let (x, y) = flow.split_at(flow.len() / 2);
    let vector = |(x, y): (&f32, &f32)| (x.is_finite() && y.is_finite()).then(|| [f64::from(*x), f64::from(*y)]);
    x.iter().zip(y).map(vector)
}

/// Steps from each of red, yellow, green, cyan, blue, magenta to the next.
const STEPS: [usize; 6] = [15, 6, 4, 11, 13, 6];
const PRIMARIES: [RGBColor; 6] = [
    RGBColor(255, 0, 0),
    RGBColor(255, 255, 0),
    RGBColor(0, 255, 0),
    RGBColor(0, 255, 255),
    RGBColor(0, 0, 255),
    RGBColor(255, 0, 255),
];

/// The colour of a motion whose largest has length 1: S. Baker et al., "A Database and Evaluation Methodology for Optical Flow" (2011),
/// with hues spread by how well people tell them apart. Longer ones are darker.
fn color([x, y]: [f64; 2]) -> RGBColor {
    let total = STEPS.iter().sum::<usize>() as f64;
    let turn = ((-y).atan2(-x) / std::f64::consts::PI + 1.0) / 2.0;
    let mut step = turn * (total - 1.0);
    let mut sector = 0;
    while sector + 1 < STEPS.len() && step >= STEPS[sector] as f64 {
        step -= STEPS[sector] as f64;
        sector += 1;
    }
    let hue = mix(PRIMARIES[sector], PRIMARIES[(sector + 1) % 6], (step / STEPS[sector] as f64).min(1.0));
    let length = x.hypot(y);
    if length <= 1.0 { mix(WHITE, hue, length) } else { mix(hue, RGBColor(0, 0, 0), 0.25) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_have_the_hues_of_the_benchmark() {
        assert_eq!(color([0.0, 0.0]), WHITE);
        // right is red, down yellow to green, left cyan, up blue to violet
        assert_eq!(color([1.0, 0.0]), RGBColor(255, 0, 0));
        let RGBColor(r, g, b) = color([0.0, 1.0]);
        assert!(g > 200 && r > 150 && b == 0, "{r} {g} {b}");
        let RGBColor(r, g, b) = color([-1.0, 1e-9]);
        assert!(r == 0 && g > 150 && b > 200, "{r} {g} {b}");
        let RGBColor(r, g, b) = color([0.0, -1.0]);
        assert!(b > 200 && g < 60 && r < 200, "{r} {g} {b}");
        assert_eq!(color([2.0, 0.0]), RGBColor(191, 0, 0));
    }

    #[test]
    fn half_a_motion_is_half_as_saturated() {
        let RGBColor(r, g, b) = color([0.5, 0.0]);
        assert_eq!((r, g, b), (255, 128, 128));
    }

    #[test]
    fn an_image_of_flow_has_a_color_per_vector() {
        let image = Image::flow(&[2.0, 0.0, f32::NAN, 0.0, 0.0, 1.0], [1, 3], 2.0).unwrap();
        assert_eq!(image.pixels(), [255, 0, 0, 255, 255, 255, ABSENT.0, ABSENT.1, ABSENT.2]);
        assert!(Image::flow(&[0.0; 5], [1, 3], 2.0).is_err());
    }
}
