//! Rasters: gray or coloured by magnitude, resized, laid over each other, as PNG.

use std::path::Path;

use plotters::style::RGBColor;

use super::style::{mix, series_color, viridis};
use crate::{Error, Result};

/// The longest side of an image in pixels; what is larger is a mistake.
const LARGEST: usize = 16_384;

/// An image of three bytes (red, green, blue) per pixel, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// # Errors
    /// [`Error::Config`] where the bytes are not three per pixel, or a side is 0 or huge.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        check_size(width, height, pixels.len() / 3)?;
        if !pixels.len().is_multiple_of(3) {
            return Err(Error::Config(format!("{} bytes are no image of three per pixel", pixels.len())));
        }
        Ok(Image { width, height, pixels })
    }

    /// Gray levels, black where a value is `range.0` or less, white from `range.1` on.
    pub fn gray(values: &[f32], [height, width]: [usize; 2], range: (f32, f32)) -> Result<Self> {
        Self::colored_by(values, [height, width], range, |level| {
            let gray = (level * 255.0).round() as u8;
            RGBColor(gray, gray, gray)
        })
    }

    /// Viridis from `range.0` to `range.1`.
    pub fn heat(values: &[f32], [height, width]: [usize; 2], range: (f32, f32)) -> Result<Self> {
        Self::colored_by(values, [height, width], range, viridis)
    }

    fn colored_by(
        values: &[f32],
        [height, width]: [usize; 2],
        (low, high): (f32, f32),
        color: impl Fn(f64) -> RGBColor,
    ) -> Result<Self> {
        check_size(width, height, values.len())?;
        let span = (f64::from(high) - f64::from(low)).max(f64::MIN_POSITIVE);
        let level = |value: f32| match ((f64::from(value) - f64::from(low)) / span).clamp(0.0, 1.0) {
            level if level.is_nan() => 0.0,
            level => level,
        };
        let rgb = |value: &f32| {
            let RGBColor(r, g, b) = color(level(*value));
            [r, g, b]
        };
        Ok(Image { width, height, pixels: values.iter().flat_map(rgb).collect() })
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green, blue of each pixel, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Each pixel as a square of `factor` pixels: what is read as pixels should stay so in every viewer.
    pub fn enlarged(&self, factor: usize) -> Self {
        let factor = factor.max(1);
        let (width, height) = (self.width * factor, self.height * factor);
        let mut pixels = Vec::with_capacity(3 * width * height);
        for row in self.pixels.chunks(3 * self.width) {
            let wide: Vec<u8> =
                row.chunks(3).flat_map(|pixel| std::iter::repeat_n(pixel, factor)).flatten().copied().collect();
            (0..factor).for_each(|_| pixels.extend_from_slice(&wide));
        }
        Image { width, height, pixels }
    }

    /// This image under `heat`, a map of the same size in [0, 1]: where it is 0 the image alone is seen, where it is 1 `strength` of
    /// viridis' colour.
    ///
    /// # Errors
    /// [`Error::Config`] where the map has another size.
    pub fn under_heat(&self, heat: &[f32], strength: f64) -> Result<Self> {
        check_size(self.width, self.height, heat.len())?;
        let cover = |(pixel, heat): (&[u8], &f32)| {
            let level = if heat.is_finite() { f64::from(*heat).clamp(0.0, 1.0) } else { 0.0 };
            let below = RGBColor(pixel[0], pixel[1], pixel[2]);
            let RGBColor(r, g, b) = mix(below, viridis(level), strength.clamp(0.0, 1.0) * level);
            [r, g, b]
        };
        let pixels = self.pixels.chunks_exact(3).zip(heat).flat_map(cover).collect();
        Ok(Image { pixels, ..*self })
    }

    /// This image with an orange frame, a sixty-fourth of its height wide, inside the rectangle from row and column `from` up to `to`.
    pub fn outlined(&self, from: [usize; 2], to: [usize; 2]) -> Self {
        let wide = (self.height / 64).max(1);
        let RGBColor(r, g, b) = series_color(1);
        let mut image = self.clone();
        let inside = |at: usize, axis: usize| (from[axis]..to[axis]).contains(&at);
        let near = |at: usize, axis: usize| at < from[axis] + wide || at + wide >= to[axis];
        for (index, pixel) in image.pixels.chunks_exact_mut(3).enumerate() {
            let (row, column) = (index / self.width, index % self.width);
            if inside(row, 0) && inside(column, 1) && (near(row, 0) || near(column, 1)) {
                pixel.copy_from_slice(&[r, g, b]);
            }
        }
        image
    }

    /// Images of one height side by side, `gap` white pixels between them.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none, or their heights differ.
    pub fn beside(images: &[Image], gap: usize) -> Result<Self> {
        let Some(first) = images.first() else { return Err(Error::Config("no image to draw".to_string())) };
        if images.iter().any(|image| image.height != first.height) {
            return Err(Error::Config("images side by side must be of one height".to_string()));
        }
        let width = images.iter().map(|image| image.width).sum::<usize>() + gap * (images.len() - 1);
        let mut pixels = Vec::with_capacity(3 * width * first.height);
        for row in 0..first.height {
            for (index, image) in images.iter().enumerate() {
                if index > 0 {
                    pixels.resize(pixels.len() + 3 * gap, 255);
                }
                pixels.extend_from_slice(&image.pixels[3 * row * image.width..][..3 * image.width]);
            }
        }
        Image::new(width, first.height, pixels)
    }

    /// Writes a PNG, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        let bytes = self.png();
        crate::files::atomic_write(path, |file| file.write_all(&bytes?))
    }

    pub(super) fn png(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }
}

fn check_size(width: usize, height: usize, count: usize) -> Result<()> {
    let sides = 1..=LARGEST;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(Error::Config(format!("an image of {width} x {height} pixels: each side may be 1 to {LARGEST}")));
    }
    if width * height != count {
        return Err(Error::Config(format!("{count} values are no image of {width} x {height}")));
    }
    Ok(())
}

/// The smallest and largest finite value; (0, 1) where there is none, and never equal.
pub(super) fn range_of(values: &[f32]) -> (f32, f32) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f32::INFINITY, f32::min), finite().fold(f32::NEG_INFINITY, f32::max));
    match low < high {
        true => (low, high),
        false if low.is_finite() => (low, low + 1.0),
        false => (0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_become_colors_and_odd_values_the_darkest() {
        let image = Image::gray(&[0.0, 0.5, 1.0, 2.0, -1.0, f32::NAN], [2, 3], (0.0, 1.0)).unwrap();
        let reds: Vec<u8> = image.pixels().iter().step_by(3).copied().collect();
        assert_eq!(reds, [0, 128, 255, 255, 0, 0]);
        assert_eq!(Image::heat(&[1.0], [1, 1], (0.0, 1.0)).unwrap().pixels(), [0xfd, 0xe7, 0x25]);
        assert!(Image::gray(&[0.0; 5], [2, 3], (0.0, 1.0)).is_err());
        assert!(Image::new(0, 2, vec![]).is_err() && Image::new(1, 1, vec![0; 4]).is_err());
    }

    #[test]
    fn pixels_grow_into_squares_and_images_stand_side_by_side() {
        let image = Image::gray(&[0.0, 1.0], [1, 2], (0.0, 1.0)).unwrap().enlarged(2);
        let reds: Vec<u8> = image.pixels().iter().step_by(3).copied().collect();
        assert_eq!((image.width(), image.height(), reds), (4, 2, vec![0, 0, 255, 255, 0, 0, 255, 255]));
        let both = Image::beside(&[image.clone(), image.clone()], 1).unwrap();
        assert_eq!((both.width(), both.height()), (9, 2));
        assert_eq!(both.pixels()[3 * 4], 255, "the gap is white");
        assert!(Image::beside(&[image.clone(), image.enlarged(2)], 1).is_err() && Image::beside(&[], 1).is_err());
    }

    #[test]
    fn an_outline_lies_inside_its_rectangle() {
        let image = Image::gray(&[0.0; 30], [5, 6], (0.0, 1.0)).unwrap().outlined([1, 2], [4, 9]);
        let drawn: Vec<usize> = (0..30).filter(|i| image.pixels()[3 * i] > 0).collect();
        assert_eq!(drawn, [8, 9, 10, 11, 14, 20, 21, 22, 23], "a right edge outside the image is not drawn");
    }

    #[test]
    fn heat_of_nothing_leaves_the_image_and_full_heat_covers_it() {
        let image = Image::gray(&[0.2, 0.8, 0.5], [1, 3], (0.0, 1.0)).unwrap();
        let under = image.under_heat(&[0.0, 1.0, f32::NAN], 1.0).unwrap();
        assert_eq!(under.pixels()[..3], image.pixels()[..3]);
        assert_eq!(under.pixels()[3..6], [0xfd, 0xe7, 0x25]);
        assert_eq!(under.pixels()[6..], image.pixels()[6..]);
        assert!(image.under_heat(&[0.0], 1.0).is_err());
    }

    #[test]
    fn a_png_holds_the_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.png");
        let image = Image::heat(&[0.1, 0.9, 0.4, 0.7, 0.2, 0.0], [3, 2], (0.0, 1.0)).unwrap();
        image.save_png(&path).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height, pixels), (2, 3, image.pixels().to_vec()));
    }
}
