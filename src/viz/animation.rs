//! Frames one after the other, as an animated GIF.

use std::path::Path;

use super::image::Image;
use crate::{Error, Result};

/// NeuQuant looks at every so many-th pixel when it chooses a frame's 256 colours.
const SAMPLING: i32 = 4;

/// Writes `frames` as a GIF that shows each for `seconds` (to a hundredth) and begins again at the end.
///
/// # Errors
/// [`Error::Config`] where there is no frame, they differ in size, or are shown for less than 0.02 s or more than 60;
/// [`Error::Io`] if the file cannot be written.
pub fn animation(path: impl AsRef<Path>, frames: &[Image], seconds: f64) -> Result<()> {
    let wrong = |message: String| Err(Error::Config(format!("animation: {message}")));
    let Some(first) = frames.first() else { return wrong("there is no frame".to_string()) };
    let size = |image: &Image| (image.width(), image.height());
    if frames.iter().any(|frame| size(frame) != size(first)) {
        return wrong("all frames must be of one size".to_string());
    }
    if !(0.02..=60.0).contains(&seconds) {
        return wrong(format!("{seconds} s per frame: choose 0.02 to 60, viewers show nothing faster"));
    }
    let delay = (seconds * 100.0).round() as u16;
    let (width, height) = (first.width() as u16, first.height() as u16);
    crate::files::atomic_write(path, |file| {
        let mut encoder = gif::Encoder::new(file, width, height, &[]).map_err(std::io::Error::other)?;
        encoder.set_repeat(gif::Repeat::Infinite).map_err(std::io::Error::other)?;
        for image in frames {
            let mut frame = gif::Frame::from_rgb_speed(width, height, image.pixels(), SAMPLING);
            frame.delay = delay;
            encoder.write_frame(&frame).map_err(std::io::Error::other)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_order_with_their_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let frame = |level: f32| Image::gray(&[level; 12], [3, 4], (0.0, 1.0)).unwrap();
        animation(&path, &[frame(0.0), frame(0.5), frame(1.0)], 0.1).unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(std::fs::File::open(&path).unwrap()).unwrap();
        let mut seen = Vec::new();
        while let Some(frame) = decoder.read_next_frame().unwrap() {
            assert_eq!((frame.width, frame.height, frame.delay), (4, 3, 10));
            seen.push(frame.buffer[0]);
        }
        assert_eq!(seen.len(), 3);
        assert!(seen[0] < 4 && seen[1].abs_diff(128) < 4 && seen[2] > 251, "{seen:?}");
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gif");
        let frame = |side: usize| Image::gray(&vec![0.0; side * side], [side, side], (0.0, 1.0)).unwrap();
        assert!(animation(&path, &[], 0.1).is_err());
        assert!(animation(&path, &[frame(2), frame(3)], 0.1).is_err());
        assert!(animation(&path, &[frame(2)], f64::NAN).is_err() && animation(&path, &[frame(2)], 0.001).is_err());
        assert!(!path.exists());
    }
}
