//! Pictures from files: PNG and JPEG, brought to one size.

use crate::error::{Error, Result};
use std::io::Cursor;
use std::path::Path;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Longest side that is read: beyond it a header is taken for damaged.
const LONGEST_SIDE: usize = 16_384;

/// A colour picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    /// `height * width * 3`, row by row: red, green, blue.
    pixels: Vec<u8>,
}

impl Image {
    /// # Errors
    /// Where there are not `3 * width * height` values, or none.
    pub fn rgb(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self> {
        let wanted = width.checked_mul(height).and_then(|places| places.checked_mul(3));
        if wanted != Some(pixels.len()) || pixels.is_empty() {
            let message = format!("{} values are no picture of {width} x {height} in three colours", pixels.len());
            return Err(Error::Config(message));
        }
        Ok(Image { width, height, pixels })
    }

    /// A picture of gray levels.
    ///
    /// # Errors
    /// Where there are not `width * height` of them, or none.
    pub fn gray(width: usize, height: usize, levels: &[u8]) -> Result<Self> {
        Image::rgb(width, height, levels.iter().flat_map(|level| [*level; 3]).collect())
    }

    /// The picture in a PNG or JPEG file; its content decides, not its name.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is cut short, damaged or something else.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        let decoded = match bytes.as_slice() {
            [0xff, 0xd8, ..] => jpeg(&bytes),
            [0x89, b'P', b'N', b'G', ..] => png(&bytes),
            [] => Err("is an empty file, where a PNG or JPEG picture was expected".to_string()),
            _ => Err("is neither PNG nor JPEG, by its first bytes: convert it to one of the two".to_string()),
        };
        let (width, height, pixels) = decoded.map_err(|message| Error::format(path, "picture", message))?;
        Image::rgb(width, height, pixels).map_err(|error| Error::format(path, "picture", error))
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn height(&self) -> usize {
        self.height
    }

    /// Its middle square at `size` x `size`: the short side is brought to `size`, what is too long is cut at both ends. Shrinking averages
    /// (a triangle as wide as the step, as Pillow and torchvision with antialiasing).
    pub fn square(&self, size: usize) -> Image {
        if size == 0 {
            return Image { width: 0, height: 0, pixels: Vec::new() };
        }
        let side = self.width.min(self.height);
        let columns = Taps::new(self.width, side, size);
        let rows = Taps::new(self.height, side, size);
        // across, then down
        let mut narrow = vec![0.0f32; self.height * size * 3];
        for (from, to) in self.pixels.chunks_exact(self.width * 3).zip(narrow.chunks_exact_mut(size * 3)) {
            for (tap, pixel) in columns.0.iter().zip(to.chunks_exact_mut(3)) {
                for (weight, source) in tap.weights.iter().zip(from.chunks_exact(3).skip(tap.first)) {
                    pixel.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * f32::from(*value));
                }
            }
        }
        let mut pixels = Vec::with_capacity(size * size * 3);
        for tap in &rows.0 {
            let mut row = vec![0.0f32; size * 3];
            for (weight, source) in tap.weights.iter().zip(narrow.chunks_exact(size * 3).skip(tap.first)) {
                row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
            }
            pixels.extend(row.into_iter().map(|value| value.round().clamp(0.0, 255.0) as u8));
        }
        Image { width: size, height: size, pixels }
    }

    /// Red, green and blue one after the other, as convolutions want them: `[3, height, width]`.
    pub fn planes(&self) -> Vec<u8> {
        (0..3).flat_map(|channel| self.pixels.iter().skip(channel).step_by(3).copied()).collect()
    }

    /// Brightness by ITU-R BT.601, `[height, width]`.
    pub fn luma(&self) -> Vec<u8> {
        let luma = |pixel: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|channel| u32::from(pixel[channel]));
            ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
        };
        self.pixels.chunks_exact(3).map(luma).collect()
    }
}

/// What one pixel of a resized line is the weighted sum of.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

struct Taps(Vec<Tap>);

impl Taps {
    /// From the middle `side` of `len` pixels to `size`.
    fn new(len: usize, side: usize, size: usize) -> Self {
        let step = side as f32 / size as f32;
        let reach = step.max(1.0);
        let start = (len - side) as f32 / 2.0;
        let tap = |index: usize| {
            let centre = start + (index as f32 + 0.5) * step - 0.5;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = ((centre + reach).floor().max(0.0) as usize).min(len - 1);
            let weight = |place: usize| (1.0 - (place as f32 - centre).abs() / reach).max(0.0);
            let weights: Vec<f32> = (first..=last).map(weight).collect();
            let sum: f32 = weights.iter().sum();
            Tap { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
        };
        Taps((0..size).map(tap).collect())
    }
}

type Decoded = std::result::Result<(usize, usize, Vec<u8>), String>;

fn jpeg(bytes: &[u8]) -> Decoded {
    let options = DecoderOptions::new_safe()
        .set_strict_mode(true)
        .set_max_width(LONGEST_SIDE)
        .set_max_height(LONGEST_SIDE)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder
        .decode()
        .map_err(|error| format!("is a damaged or unfinished JPEG ({error:?}): copy or export it again"))?;
    let info = decoder.info().ok_or("is a JPEG without a header")?;
    Ok((usize::from(info.width), usize::from(info.height), pixels))
}

/// What a decoder said, without the point that ends it.
fn said(error: &dyn std::fmt::Display) -> String {
    error.to_string().trim_end_matches('.').to_string()
}

fn png(bytes: &[u8]) -> Decoded {
    let damaged = |error: png::DecodingError| {
        format!("is a damaged or unfinished PNG ({}): copy or export it again", said(&error))
    };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    if width > LONGEST_SIDE || height > LONGEST_SIDE {
        return Err(format!("is {width} x {height} pixels, more than the {LONGEST_SIDE} a side that are read"));
    }
    let size = reader.output_buffer_size().ok_or("is too large a PNG")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    pixels.truncate(frame.buffer_size());
    let channels = frame.color_type.samples();
    let rgb = |pixel: &[u8]| if channels < 3 { [pixel[0]; 3] } else { [pixel[0], pixel[1], pixel[2]] };
    Ok((width, height, pixels.chunks_exact(channels).flat_map(rgb).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn striped(width: usize, height: usize, level: impl Fn(usize, usize) -> u8) -> Image {
        let levels: Vec<u8> = (0..width * height).map(|place| level(place % width, place / width)).collect();
        Image::gray(width, height, &levels).unwrap()
    }

    #[test]
    fn a_square_of_its_own_size_is_itself() {
        let image = striped(5, 5, |x, y| (40 * x + y) as u8);
        assert_eq!(image.square(5), image);
    }

    #[test]
    fn shrinking_averages_and_growing_interpolates() {
        // black and white columns, 8 to 2: nearly the mean everywhere, where picking pixels would be black or white
        let small = striped(8, 8, |x, _| if x % 2 == 0 { 0 } else { 255 }).square(2);
        assert!(small.pixels.iter().all(|level| (100..=155).contains(level)), "{:?}", small.pixels);
        let large = striped(2, 2, |x, _| if x == 0 { 0 } else { 100 }).square(4);
        let first: Vec<u8> = large.luma()[..4].to_vec();
        assert_eq!(first, [0, 25, 75, 100]);
    }

    #[test]
    fn the_middle_of_the_long_side_is_kept() {
        let wide = striped(12, 4, |x, _| if (4..8).contains(&x) { 200 } else { 0 });
        assert_eq!(wide.square(4).luma(), [200; 16]);
        let tall = striped(4, 12, |_, y| if (4..8).contains(&y) { 200 } else { 0 });
        assert_eq!(tall.square(4).luma(), [200; 16]);
    }

    #[test]
    fn planes_and_luma() {
        let image = Image::rgb(2, 1, vec![255, 0, 0, 0, 255, 255]).unwrap();
        assert_eq!(image.planes(), [255, 0, 0, 255, 0, 255]);
        assert_eq!(image.luma(), [76, 179]);
        assert!(Image::rgb(2, 1, vec![0; 5]).is_err());
        assert!(Image::rgb(0, 0, vec![]).is_err());
    }
}
