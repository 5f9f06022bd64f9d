//! The drawing surface: plotters' SVG backend with fractional coordinates, and the file that it becomes.

use std::path::Path;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, RGBColor, ShapeStyle};

use super::image::Image;
use super::style::{INK, LABEL_SIZE, NOTE_SIZE, QUIET, TICK_SIZE, TITLE_SIZE, WHITE};
use crate::{Error, Result};

/// The backend draws on whole units; ten to a pixel, and the view box maps them back.
const UNITS: f64 = 10.0;
/// The longest side of a picture in pixels: far below where the units overflow.
const LARGEST: f64 = 20_000.0;
const FONTS: &str = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif";

/// A place in pixels, right and down from the upper left corner.
pub type Point = (f64, f64);

/// An upright rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Rect {
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub fn center(&self) -> Point {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    pub color: RGBAColor,
    /// Pixels.
    pub width: f64,
    pub dashed: bool,
}

impl Stroke {
    pub fn new(color: impl Into<RGBAColor>, width: f64) -> Self {
        Stroke { color: color.into(), width, dashed: false }
    }

    pub fn dashed(self) -> Self {
        Stroke { dashed: true, ..self }
    }
}

/// How a text looks and which of its points stands at the given place.
#[derive(Clone, Copy)]
pub struct Font {
    pub size: f64,
    pub color: RGBColor,
    pub bold: bool,
    /// Turned by a quarter to the left, to be read from bottom to top.
    pub upward: bool,
    pub anchor: HPos,
    pub vertical: VPos,
}

impl Font {
    const fn new(size: f64, color: RGBColor, bold: bool) -> Self {
        Font { size, color, bold, upward: false, anchor: HPos::Left, vertical: VPos::Center }
    }

    pub const TITLE: Font = Font::new(TITLE_SIZE, INK, true);
    pub const HEADING: Font = Font::new(LABEL_SIZE, INK, true);
    pub const LABEL: Font = Font::new(LABEL_SIZE, INK, false);
    pub const TICK: Font = Font::new(TICK_SIZE, INK, false);
    pub const NOTE: Font = Font::new(NOTE_SIZE, QUIET, false);

    pub fn centered(self) -> Self {
        Font { anchor: HPos::Center, ..self }
    }

    pub fn right(self) -> Self {
        Font { anchor: HPos::Right, ..self }
    }

    pub fn below(self) -> Self {
        Font { vertical: VPos::Top, ..self }
    }

    pub fn upward(self) -> Self {
        Font { upward: true, ..self }
    }

    pub fn sized(self, size: f64) -> Self {
        Font { size, ..self }
    }

    pub fn colored(self, color: RGBColor) -> Self {
        Font { color, ..self }
    }
}

/// Draws in pixels. Texts are drawn as they are given: who calls makes them fit.
pub struct Canvas<'a> {
    svg: SVGBackend<'a>,
    failed: Option<String>,
    /// `<image>` elements, which lie below everything but the background.
    images: String,
}

/// Draws a picture of `width` x `height` pixels and writes it to `path`, whole or not at all.
pub fn picture(path: &Path, width: f64, height: f64, draw: impl FnOnce(&mut Canvas<'_>)) -> Result<()> {
    if !(1.0..=LARGEST).contains(&width) || !(1.0..=LARGEST).contains(&height) {
        return Err(Error::Config(format!(
            "a picture of {width:.0} x {height:.0} pixels: each side may be 1 to {LARGEST:.0}"
        )));
    }
    let mut document = String::new();
    let size = ((width * UNITS) as u32, (height * UNITS) as u32);
    let mut canvas = Canvas { svg: SVGBackend::with_string(&mut document, size), failed: None, images: String::new() };
    canvas.fill(Rect { left: 0.0, top: 0.0, right: width, bottom: height }, WHITE);
    draw(&mut canvas);
    canvas.keep(|svg| svg.present());
    if let Some(message) = canvas.failed.take() {
        return Err(Error::io(path, message));
    }
    let images = std::mem::take(&mut canvas.images);
    drop(canvas);
    // The backend's own first tag states units as pixels and no line joins; the second is the background.
    let body = document.find('>').map_or("", |end| &document[end + 1..]).trim_start();
    let (background, body) = body.split_at(body.find("/>").map_or(0, |end| end + 2));
    crate::files::atomic_write(path, |file| {
        writeln!(
            file,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {} {}" stroke-linejoin="round" stroke-linecap="round">"#,
            size.0, size.1
        )?;
        [background, "\n", &images, body.trim_start()].iter().try_for_each(|part| file.write_all(part.as_bytes()))
    })
}

impl Canvas<'_> {
    /// Runs one drawing call; the first failure is kept for [`picture`], so that drawing code stays readable.
    fn keep<E: std::fmt::Display>(&mut self, call: impl FnOnce(&mut SVGBackend<'_>) -> std::result::Result<(), E>) {
        if let Err(error) = call(&mut self.svg)
            && self.failed.is_none()
        {
            self.failed = Some(error.to_string());
        }
    }

    /// A straight or broken line through `points`.
    pub fn path(&mut self, points: &[Point], stroke: Stroke) {
        if stroke.dashed {
            for (from, to) in points.iter().zip(points.iter().skip(1)) {
                self.dashes(*from, *to, stroke);
            }
            return;
        }
        let style = shape(stroke.color, stroke.width);
        let points: Vec<_> = points.iter().map(|&point| units(point)).collect();
        self.keep(|svg| svg.draw_path(points, &style));
    }

    pub fn line(&mut self, from: Point, to: Point, stroke: Stroke) {
        self.path(&[from, to], stroke);
    }

    fn dashes(&mut self, from: Point, to: Point, stroke: Stroke) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let (on, period) = (5.0, 9.0);
        let length = dx.hypot(dy).max(1e-9);
        let at = |distance: f64| {
            let share = (distance / length).min(1.0);
            (from.0 + dx * share, from.1 + dy * share)
        };
        for i in 0..(length / period).ceil() as usize {
            let start = i as f64 * period;
            self.path(&[at(start), at(start + on)], Stroke { dashed: false, ..stroke });
        }
    }

    pub fn fill(&mut self, rect: Rect, color: impl Into<RGBAColor>) {
        let style = shape(color.into(), 0.0);
        let (from, to) = (units((rect.left, rect.top)), units((rect.right, rect.bottom)));
        if to.0 > from.0 && to.1 > from.1 {
            self.keep(|svg| svg.draw_rect(from, to, &style, true));
        }
    }

    /// Stretches `image` over `rect`, beneath all lines and texts. Where its pixels are large, they are seen as squares.
    pub fn image(&mut self, rect: Rect, image: &Image) {
        let factor = (2.0 * rect.width() / image.width() as f64).ceil().max(1.0) as usize;
        match image.enlarged(factor).png() {
            Ok(png) => {
                let ((x, y), (right, bottom)) = (units((rect.left, rect.top)), units((rect.right, rect.bottom)));
                let place = format!(r#"x="{x}" y="{y}" width="{}" height="{}""#, right - x, bottom - y);
                let data = base64(&png);
                let fit = r#"preserveAspectRatio="none""#;
                self.images += &format!("<image {place} {fit} href=\"data:image/png;base64,{data}\"/>\n");
            }
            Err(error) => {
                self.failed.get_or_insert(error.to_string());
            }
        }
    }

    /// The outline of `rect`.
    pub fn frame(&mut self, rect: Rect, stroke: Stroke) {
        let Rect { left, top, right, bottom } = rect;
        self.path(&[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], stroke);
    }

    pub fn polygon(&mut self, points: &[Point], color: impl Into<RGBAColor>) {
        let style = shape(color.into(), 0.0);
        let points: Vec<_> = points.iter().map(|&point| units(point)).collect();
        self.keep(|svg| svg.fill_polygon(points, &style));
    }

    pub fn disc(&mut self, center: Point, radius: f64, color: impl Into<RGBAColor>) {
        let style = shape(color.into(), 0.0);
        self.keep(|svg| svg.draw_circle(units(center), (radius * UNITS) as u32, &style, true));
    }

    pub fn ring(&mut self, center: Point, radius: f64, stroke: Stroke) {
        let style = shape(stroke.color, stroke.width);
        self.keep(|svg| svg.draw_circle(units(center), (radius * UNITS) as u32, &style, false));
    }

    pub fn text(&mut self, text: &str, at: Point, font: Font) {
        if text.is_empty() {
            return;
        }
        // The backend centres on small letters; a little lower looks centred for capitals and digits too.
        let drop = if matches!(font.vertical, VPos::Center) { font.size * 0.08 } else { 0.0 };
        let at = if font.upward { (at.0 + drop, at.1) } else { (at.0, at.1 + drop) };
        let weight = if font.bold { FontStyle::Bold } else { FontStyle::Normal };
        let turn = if font.upward { FontTransform::Rotate270 } else { FontTransform::None };
        // The backend divides the size that it is given by 1.24.
        let desc = FontDesc::new(FontFamily::Name(FONTS), font.size * UNITS * 1.24, weight).transform(turn);
        let style = desc.color(&font.color).pos(Pos::new(font.anchor, font.vertical));
        self.keep(|svg| svg.draw_text(text, &style, units(at)));
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let there = digit <= three.len();
            let value = (word >> (18 - 6 * digit)) & 63;
            text.push(if there { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

fn units(point: Point) -> (i32, i32) {
    ((point.0 * UNITS).round() as i32, (point.1 * UNITS).round() as i32)
}

fn shape(color: RGBAColor, width: f64) -> ShapeStyle {
    ShapeStyle { color, filled: true, stroke_width: (width * UNITS).round() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
