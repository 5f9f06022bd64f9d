//! Optical flow: the frames, the flow by the colour wheel of the Middlebury benchmark, and how far it is from the truth.

use std::path::Path;

use super::canvas::{Canvas, Font, Rect, Stroke, picture};
use super::colorbar::ColorBar;
use super::image::Image;
use super::legend::Header;
use super::style::{BORDER, INK, NOTE_SIZE};
use super::text;
use super::wheel::{self, vectors};
use crate::{Error, Result};

/// Two frames and the flow between them: a row of the picture.
#[derive(Debug, Clone, Copy)]
pub struct FlowRow<'a> {
    /// Beside the row; may be empty.
    pub name: &'a str,
    /// Height and width.
    pub size: [usize; 2],
    /// Both frames, gray levels in [0, 1].
    pub frames: [&'a [f32]; 2],
    /// `[2, height, width]`, pixels to the right and down.
    pub flow: &'a [f32],
    /// The same, of the motion that really is, where it is known.
    pub truth: Option<&'a [f32]>,
}

/// How [`flow`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowPictureOptions {
    /// Above the rows; may be empty.
    pub title: String,
    /// Width of an image in pixels.
    pub tile: f64,
    /// Arrows over the flow, as long as the motion, magnified; the longest is nearly as long as they are apart.
    pub arrows: bool,
    /// The error, in pixels, of the lightest colour; `None`: what 99 of 100 pixels stay below.
    pub largest_error: Option<f64>,
}

impl Default for FlowPictureOptions {
    fn default() -> Self {
        FlowPictureOptions { title: String::new(), tile: 168.0, arrows: true, largest_error: None }
    }
}

const GAP: f64 = 8.0;
const CAPTION: f64 = NOTE_SIZE + 5.0;
const HEADING: f64 = NOTE_SIZE + 7.0;
const NAME: f64 = NOTE_SIZE + 8.0;
/// Full colour over the length that 99 of 100 vectors stay below: a constant motion's errors must not look like outliers, which are dark.
const HEADROOM: f64 = 1.15;
/// Arrows along the longer side of an image.
const ARROWS: usize = 14;

/// Draws each row's frames, flow, and with a truth also that and the distance between the two (the end-point error), and writes the SVG
/// file `path`. Hue is direction and saturation is magnitude, full a little above the largest motions of the row, and darker beyond.
/// What is not finite is gray.
///
/// # Errors
/// [`Error::Config`] where there is no row, values do not fit their size, or sizes make no sense; [`Error::Io`] if the file cannot be
/// written.
pub fn flow(path: impl AsRef<Path>, rows: &[FlowRow<'_>], options: &FlowPictureOptions) -> Result<()> {
    let wrong = |message: String| Error::Config(format!("flow '{}': {message}", options.title));
    if !(48.0..=2000.0).contains(&options.tile) {
        return Err(wrong(format!("images of {} pixels: choose 48 to 2000", options.tile)));
    }
    let drawn = rows.iter().map(Drawn::new).collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?;
    let Some(first) = drawn.first() else { return Err(wrong("there is no row to draw".to_string())) };
    let errors: Vec<f64> = drawn.iter().flat_map(|row| row.errors.iter().flatten().copied()).collect();
    let largest = options.largest_error.unwrap_or_else(|| quantile(errors.clone(), 0.99).max(1e-3));
    if !super::drawable(largest) || largest <= 0.0 {
        return Err(wrong(format!("no errors lie between 0 and {largest}")));
    }
    let bar = (!errors.is_empty()).then(|| ColorBar::new(0.0, largest, "error, pixels"));
    let headings: &[&str] = &["first frame", "second frame", "flow", "true flow", "error"];
    let columns = if bar.is_some() { 5 } else { 3 };
    let named = rows.iter().any(|row| !row.name.is_empty());
    let left = BORDER + if named { NAME } else { 0.0 };
    let right = left + columns as f64 * (options.tile + GAP) - GAP;
    let width = right + GAP * 2.0 + wheel::SIZE.0.max(bar.as_ref().map_or(0.0, ColorBar::room)) + BORDER;
    let header = Header::new(&options.title, Vec::new(), width - 2.0 * BORDER);
    let top = header.height() + HEADING;
    let heights: Vec<f64> = drawn.iter().map(|row| row.height(options.tile)).collect();
    let bottom = top + heights.iter().map(|height| height + CAPTION + GAP).sum::<f64>() - GAP;
    let beside = Rect { left, right, top: top + wheel::SIZE.1, bottom: (bottom - CAPTION).max(top + wheel::SIZE.1) };
    let legends = if bar.is_some() { ColorBar::bottom(beside) } else { top + wheel::SIZE.1 };
    picture(path.as_ref(), width, bottom.max(legends) + BORDER, |canvas| {
        header.draw(canvas, BORDER);
        for (index, heading) in headings[..columns].iter().enumerate() {
            let middle = left + index as f64 * (options.tile + GAP) + options.tile / 2.0;
            canvas.text(heading, (middle, top - HEADING + 1.0), Font::TICK.centered().below());
        }
        let mut above = top;
        for (row, height) in drawn.iter().zip(&heights) {
            let name = text::fit(row.of.name, NOTE_SIZE, *height);
            let at = (BORDER + NOTE_SIZE / 2.0, above + height / 2.0);
            canvas.text(&name, at, Font::NOTE.colored(INK).centered().upward());
            row.draw(
                canvas,
                Rect { left, top: above, right: left + options.tile, bottom: above + height },
                options,
                largest,
            );
            above += height + CAPTION + GAP;
        }
        wheel::draw(canvas, (right + GAP * 2.0, top), &first.wheel_note(drawn.len()));
        if let Some(bar) = &bar {
            bar.draw(canvas, beside);
        }
    })
}

/// A row, checked.
struct Drawn<'a> {
    of: &'a FlowRow<'a>,
    /// The motion of full colour, in pixels.
    largest: f64,
    /// Of each pixel, where the truth is known and all is finite.
    errors: Vec<Option<f64>>,
}

impl<'a> Drawn<'a> {
    fn new(of: &'a FlowRow<'a>) -> std::result::Result<Self, String> {
        let [height, width] = of.size;
        let pixels = height * width;
        let fit = of.frames.iter().all(|frame| frame.len() == pixels)
            && [Some(of.flow), of.truth].into_iter().flatten().all(|flow| flow.len() == 2 * pixels);
        if pixels == 0 || !fit {
            return Err(format!("frames and flow of '{}' are not of {width} x {height} pixels", of.name));
        }
        let shown = of.truth.unwrap_or(of.flow);
        let lengths = vectors(shown).flatten().map(|[x, y]| x.hypot(y)).collect();
        let errors = of.truth.map_or(Vec::new(), |truth| {
            let distance = |(a, b): (Option<[f64; 2]>, Option<[f64; 2]>)| Some((a?[0] - b?[0]).hypot(a?[1] - b?[1]));
            vectors(of.flow).zip(vectors(truth)).map(distance).collect()
        });
        Ok(Drawn { of, largest: HEADROOM * quantile(lengths, 0.99), errors })
    }

    fn height(&self, width: f64) -> f64 {
        width * self.of.size[0] as f64 / self.of.size[1] as f64
    }

    fn wheel_note(&self, rows: usize) -> String {
        if rows == 1 { format!("rim: {:.1} pixels", self.largest) } else { "rim: see each flow".to_string() }
    }

    /// Draws the images from `place`, the first one's, to the right.
    fn draw(&self, canvas: &mut Canvas<'_>, place: Rect, options: &FlowPictureOptions, largest_error: f64) {
        let mut place = place;
        let mut tile = |canvas: &mut Canvas<'_>, image: Result<Image>, caption: String, arrows: Option<&[f32]>| {
            if let Ok(image) = image {
                canvas.image(place, &image);
            }
            let caption = text::fit(&caption, NOTE_SIZE, place.width());
            canvas.text(&caption, (place.center().0, place.bottom + 3.0), Font::NOTE.centered().below());
            if let Some(flow) = arrows.filter(|_| options.arrows) {
                self.draw_arrows(canvas, place, flow);
            }
            let step = place.width() + GAP;
            place = Rect { left: place.left + step, right: place.right + step, ..place };
        };
        for frame in self.of.frames {
            tile(canvas, Image::gray(frame, self.of.size, (0.0, 1.0)), String::new(), None);
        }
        tile(
            canvas,
            self.colored(self.of.flow),
            format!("full colour: {:.1} pixels", self.largest),
            Some(self.of.flow),
        );
        let Some(truth) = self.of.truth else { return };
        tile(canvas, self.colored(truth), String::new(), Some(truth));
        let known: Vec<f64> = self.errors.iter().flatten().copied().collect();
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let map: Vec<f32> = self.errors.iter().map(|error| error.map_or(0.0, |error| error as f32)).collect();
        let image = Image::heat(&map, self.of.size, (0.0, largest_error as f32));
        tile(canvas, image, format!("mean {mean:.3} pixels"), None);
    }

    fn colored(&self, flow: &[f32]) -> Result<Image> {
        Image::flow(flow, self.of.size, self.largest)
    }

    fn draw_arrows(&self, canvas: &mut Canvas<'_>, place: Rect, flow: &[f32]) {
        let [height, width] = self.of.size;
        let spacing = (height.max(width) as f64 / ARROWS as f64).max(1.0);
        let scale = place.width() / width as f64;
        let longest = 0.9 * spacing * scale / self.largest.max(1e-3);
        let vectors: Vec<Option<[f64; 2]>> = vectors(flow).collect();
        let along = |len: usize| {
            let count = ((len as f64 / spacing) as usize).max(1);
            (0..count).map(move |i| (i as f64 + 0.5) * len as f64 / count as f64)
        };
        for y in along(height) {
            for x in along(width) {
                let Some(vector) = vectors[y as usize * width + x as usize] else { continue };
                let by = vector.map(|part| part * longest);
                let length = by[0].hypot(by[1]);
                if length >= 1.5 && length <= 1.5 * spacing * scale {
                    draw_arrow(canvas, (place.left + x * scale, place.top + y * scale), by);
                }
            }
        }
    }
}

/// An arrow about `middle`.
fn draw_arrow(canvas: &mut Canvas<'_>, middle: (f64, f64), [dx, dy]: [f64; 2]) {
    let tip = (middle.0 + dx / 2.0, middle.1 + dy / 2.0);
    let tail = (middle.0 - dx / 2.0, middle.1 - dy / 2.0);
    let length = dx.hypot(dy);
    let head = (0.4 * length).min(3.6);
    let (along, across) =
        ((dx / length * head, dy / length * head), (-dy / length * head * 0.45, dx / length * head * 0.45));
    let neck = (tip.0 - along.0, tip.1 - along.1);
    canvas.line(tail, neck, Stroke::new(INK, 0.9));
    let corners = [tip, (neck.0 + across.0, neck.1 + across.1), (neck.0 - across.0, neck.1 - across.1)];
    canvas.polygon(&corners, INK);
}

/// What `share` of the values stay below; 0 where there are none.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((share * last as f64).ceil() as usize).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_set_the_scale() {
        let mut values = vec![1.0; 199];
        values.push(50.0);
        assert_eq!(quantile(values, 0.99), 1.0);
        assert_eq!(quantile(Vec::new(), 0.99), 0.0);
    }
}
