//! Grouped bars with their values: metrics of several models.

use std::path::Path;

use plotters::style::text_anchor::VPos;

use super::axis::{Axis, Scale, extent};
use super::canvas::{Canvas, Font, Point, Rect, Stroke, picture};
use super::legend::{Entry, Header, Mark};
use super::style::{BORDER, INK, NOTE_SIZE, QUIET, TICK_SIZE, WHITE, series_color, with_alpha};
use super::{check_room, drawable, text};
use crate::{Error, Result};

/// The bars of one colour: one model over several metrics, or one metric over several models.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BarSeries {
    /// What the legend calls it; with a single series and an empty name there is no legend.
    pub name: String,
    /// One value per category; not finite (or not positive, on a logarithmic axis): written as "n/a".
    pub values: Vec<f64>,
    /// Half the length of each error bar (a standard deviation, say); empty: none.
    pub errors: Vec<f64>,
}

/// A line across all bars: the best possible value, chance level.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// What the legend calls it.
    pub name: String,
    /// Where it stands on the value axis.
    pub value: f64,
}

/// How [`bars`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct BarsOptions {
    /// Above the plot; may be empty.
    pub title: String,
    /// What the values are, with their unit.
    pub value_label: String,
    /// The value axis.
    pub scale: Scale,
    /// Bars grow to the right, with the categories' names to their left: for long names.
    pub horizontal: bool,
    /// A dashed line across all bars, stated in the legend.
    pub reference: Option<Reference>,
    /// Places after the point of the values that are written on the bars; on a logarithmic axis three digits count instead.
    pub decimals: usize,
    /// Pixels.
    pub width: f64,
    /// Pixels; a horizontal picture is as high as its bars need instead.
    pub height: f64,
}

impl Default for BarsOptions {
    fn default() -> Self {
        BarsOptions {
            title: String::new(),
            value_label: String::new(),
            scale: Scale::Linear,
            horizontal: false,
            reference: None,
            decimals: 3,
            width: 560.0,
            height: 360.0,
        }
    }
}

impl BarsOptions {
    fn written(&self, value: f64) -> String {
        match self.scale {
            Scale::Linear => text::number(value, self.decimals),
            Scale::Log => text::significant(value, 3),
        }
    }
}

/// Draws a group of bars per category, one bar per series in each, and writes the SVG file `path`.
///
/// # Errors
/// [`Error::Config`] if there is no category, a series has another number of values or errors, nothing can be drawn, or the
/// size leaves no room; [`Error::Io`] if the file cannot be written.
pub fn bars(
    path: impl AsRef<Path>,
    categories: &[impl AsRef<str>],
    series: &[BarSeries],
    options: &BarsOptions,
) -> Result<()> {
    check(categories.len(), series, options)?;
    let chart = Chart::new(categories.iter().map(AsRef::as_ref).collect(), series, options)?;
    check_room(chart.area)?;
    picture(path.as_ref(), options.width, chart.height, |canvas| chart.draw(canvas))
}

fn check(categories: usize, series: &[BarSeries], options: &BarsOptions) -> Result<()> {
    let wrong = |message: String| Err(Error::Config(format!("bars '{}': {message}", options.title)));
    if categories == 0 || series.is_empty() {
        return wrong(format!("{} series over {categories} categories: give at least one of each", series.len()));
    }
    for one in series {
        let (values, errors) = (one.values.len(), one.errors.len());
        if values != categories || (errors != 0 && errors != categories) {
            return wrong(format!(
                "series '{}' has {values} values and {errors} errors for {categories} categories",
                one.name
            ));
        }
    }
    match &options.reference {
        Some(reference) if !options.scale.shows(reference.value) => {
            wrong(format!("the reference '{}' at {} cannot be drawn on this axis", reference.name, reference.value))
        }
        _ => Ok(()),
    }
}

const NAME_ROOM: f64 = 200.0;
/// The thickness of a horizontal bar with the gap after it, and what lies between groups.
const THICKNESS: f64 = 19.0;
const GROUP_GAP: f64 = 12.0;
const ERROR_CAP: f64 = 3.5;

/// A chart with its layout.
struct Chart<'a> {
    categories: Vec<&'a str>,
    series: &'a [BarSeries],
    options: &'a BarsOptions,
    header: Header,
    axis: Axis,
    area: Rect,
    height: f64,
    /// Values are written upward, since they are wider than their bars.
    upward: bool,
}

impl<'a> Chart<'a> {
    fn new(categories: Vec<&'a str>, series: &'a [BarSeries], options: &'a BarsOptions) -> Result<Self> {
        let Some(range) = value_range(series, options) else {
            return Err(Error::Config(format!("bars '{}': no value can be drawn", options.title)));
        };
        let names = text::widest(categories.iter().copied(), TICK_SIZE).min(NAME_ROOM);
        let rough = Axis::new(range, options.scale, 0.0, 6);
        let left = if options.horizontal { BORDER + names + 8.0 } else { rough.left_margin(&options.value_label) };
        let right = options.width - if options.horizontal { rough.right_margin() } else { BORDER };
        let header_left = if options.horizontal { BORDER } else { left };
        let header = Header::new(&options.title, legend(series, options), right - header_left);
        let top = header.height() + 4.0;
        let bottom = match options.horizontal {
            true => top + categories.len() as f64 * (THICKNESS * series.len() as f64 + GROUP_GAP),
            false => {
                let slot = (right - left) / categories.len() as f64;
                let lines = if names_of(&categories, slot).iter().any(|name| name.len() > 1) { 2.0 } else { 1.0 };
                options.height - BORDER - lines * TICK_SIZE * 1.2 - 6.0
            }
        };
        let height =
            if options.horizontal { bottom + Axis::bottom_margin(&options.value_label) } else { options.height };
        let area = Rect { left, top, right, bottom };
        check_room(area)?;

        let written = |one: &BarSeries| one.values.iter().map(|&v| options.written(v)).collect::<Vec<_>>();
        let labels: Vec<String> = series.iter().flat_map(written).collect();
        let widest = text::widest(labels.iter().map(String::as_str), NOTE_SIZE);
        let pitch = area.width() / categories.len() as f64 * 0.82 / series.len() as f64;
        let upward = !options.horizontal && widest > pitch - 2.0;
        let room = if upward || options.horizontal { widest + 8.0 } else { NOTE_SIZE + 8.0 };
        let length = if options.horizontal { area.width() } else { area.height() };
        let wanted = if options.horizontal { length / 75.0 } else { length / 50.0 };
        let range = with_room(range, options.scale, (room / length).min(0.45));
        let axis = Axis::new(range, options.scale, 0.0, wanted as usize);
        let axis = if options.horizontal { axis.thinned(length) } else { axis };
        // The final axis may have wider labels than the rough one.
        let left = if options.horizontal { left } else { axis.left_margin(&options.value_label) };
        Ok(Chart { categories, series, options, header, axis, area: Rect { left, ..area }, height, upward })
    }

    /// The pixel of `value` along the value axis.
    fn at(&self, value: f64) -> f64 {
        match self.options.horizontal {
            true => self.axis.place(value, self.area.left, self.area.right),
            false => self.axis.place(value, self.area.bottom, self.area.top),
        }
    }

    /// `along` the categories and `value` pixels across become a point.
    fn point(&self, along: f64, value: f64) -> Point {
        if self.options.horizontal { (value, along) } else { (along, value) }
    }

    /// Where bars begin.
    fn base(&self) -> f64 {
        let base = if self.options.scale == Scale::Log { self.axis.low } else { 0.0 };
        self.at(base)
    }

    fn slot(&self) -> (f64, f64) {
        match self.options.horizontal {
            true => (self.area.top, self.area.height() / self.categories.len() as f64),
            false => (self.area.left, self.area.width() / self.categories.len() as f64),
        }
    }

    fn draw(&self, canvas: &mut Canvas<'_>) {
        let (area, label) = (self.area, self.options.value_label.as_str());
        self.header.draw(canvas, if self.options.horizontal { BORDER } else { area.left });
        match self.options.horizontal {
            true => self.axis.draw_bottom(canvas, area, label),
            false => self.axis.draw_left(canvas, area, label),
        }
        let (start, slot) = self.slot();
        let inner = if self.options.horizontal { (slot - GROUP_GAP) / slot } else { 0.82 };
        let pitch = slot * inner / self.series.len() as f64;
        for c in 0..self.categories.len() {
            for (s, one) in self.series.iter().enumerate() {
                let along = start + slot * (c as f64 + (1.0 - inner) / 2.0) + pitch * s as f64;
                self.draw_bar(canvas, one, c, (along, pitch), series_color(s));
            }
        }
        if let Some(reference) = &self.options.reference {
            let at = self.at(reference.value);
            let (from, to) = match self.options.horizontal {
                true => (area.top, area.bottom),
                false => (area.left, area.right),
            };
            // The light line beneath keeps it visible on dark bars.
            canvas.line(self.point(from, at), self.point(to, at), Stroke::new(with_alpha(WHITE, 0.65), 3.2));
            canvas.line(self.point(from, at), self.point(to, at), Stroke::new(INK, 1.4).dashed());
        }
        let (from, to) = if self.options.horizontal { (area.top, area.bottom) } else { (area.left, area.right) };
        canvas.line(self.point(from, self.base()), self.point(to, self.base()), Stroke::new(INK, 1.0));
        self.draw_names(canvas);
    }

    fn draw_bar(
        &self,
        canvas: &mut Canvas<'_>,
        series: &BarSeries,
        category: usize,
        (along, pitch): (f64, f64),
        color: plotters::style::RGBColor,
    ) {
        let middle = along + pitch / 2.0;
        let base = self.base();
        let value = series.values.get(category).copied().filter(|&value| self.options.scale.shows(value));
        let Some(value) = value else {
            let font = self.value_font(false);
            return canvas.text("n/a", self.point(middle, base + self.away(false) * 4.0), font.colored(QUIET));
        };
        let end = self.at(value);
        let gap = (pitch * 0.08).min(2.0);
        let (a, b) = (self.point(along + gap, base.min(end)), self.point(along + pitch - gap, base.max(end)));
        canvas.fill(Rect { left: a.0, top: a.1, right: b.0, bottom: b.1 }, color);

        let error = series.errors.get(category).copied().filter(|&error| drawable(error) && error > 0.0);
        let downward = value < 0.0 && self.options.scale == Scale::Linear;
        let mut tip = end;
        if let Some(error) = error {
            let least = if self.options.scale == Scale::Log { self.axis.low } else { f64::NEG_INFINITY };
            let (low, high) = (self.at((value - error).max(least)), self.at(value + error));
            let stroke = Stroke::new(INK, 1.2);
            canvas.line(self.point(middle, low), self.point(middle, high), stroke);
            for cap in [low, high] {
                canvas.line(self.point(middle - ERROR_CAP, cap), self.point(middle + ERROR_CAP, cap), stroke);
            }
            tip = if downward { low } else { high };
        }
        if self.options.horizontal || pitch >= NOTE_SIZE {
            let written = self.options.written(value);
            let at = self.point(middle, tip + self.away(downward) * 4.0);
            canvas.text(&written, at, self.value_font(downward));
        }
    }

    /// The direction in pixels from a bar's base to beyond its end.
    fn away(&self, downward: bool) -> f64 {
        if self.options.horizontal != downward { 1.0 } else { -1.0 }
    }

    /// How a value is written beyond the end of its bar.
    fn value_font(&self, downward: bool) -> Font {
        let font = Font::NOTE.colored(INK);
        match (self.options.horizontal || self.upward, downward) {
            (true, false) => Font { upward: self.upward, ..font },
            (true, true) => Font { upward: self.upward, ..font.right() },
            (false, false) => Font { vertical: VPos::Bottom, ..font.centered() },
            (false, true) => font.centered().below(),
        }
    }

    fn draw_names(&self, canvas: &mut Canvas<'_>) {
        let (start, slot) = self.slot();
        let middle = |i: usize| start + slot * (i as f64 + 0.5);
        if self.options.horizontal {
            let every = (TICK_SIZE * 1.1 / slot).ceil().max(1.0) as usize;
            for (i, name) in self.categories.iter().enumerate().step_by(every) {
                let name = text::fit(name, TICK_SIZE, NAME_ROOM);
                canvas.text(&name, (self.area.left - 7.0, middle(i)), Font::TICK.right());
            }
            return;
        }
        for (i, lines) in names_of(&self.categories, slot).iter().enumerate() {
            for (line, name) in lines.iter().enumerate() {
                let top = self.area.bottom + 6.0 + line as f64 * TICK_SIZE * 1.2;
                canvas.text(name, (middle(i), top), Font::TICK.centered().below());
            }
        }
    }
}

/// The names under upright bars `slot` pixels apart, in one or two lines; where they cannot all stand, every k-th does.
fn names_of(categories: &[&str], slot: f64) -> Vec<Vec<String>> {
    let widest = text::widest(categories.iter().copied(), TICK_SIZE);
    let every = ((widest + 8.0).min(48.0) / slot).ceil().max(1.0) as usize;
    let room = slot * every as f64 - 6.0;
    let lines = |(i, name): (usize, &&str)| match i % every {
        0 => text::fit_two_lines(name, TICK_SIZE, room),
        _ => Vec::new(),
    };
    categories.iter().enumerate().map(lines).collect()
}

fn legend(series: &[BarSeries], options: &BarsOptions) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (i, one) in series.iter().enumerate() {
        if series.len() > 1 || !one.name.is_empty() {
            entries.push(Entry { label: one.name.clone(), color: series_color(i), mark: Mark::Swatch });
        }
    }
    if let Some(reference) = &options.reference {
        let label = format!("{} ({})", reference.name, options.written(reference.value));
        entries.push(Entry { label, color: INK, mark: Mark::Dashed });
    }
    entries
}

/// From the lowest to the highest end of a bar, error bar or reference; bars on a linear axis begin at zero.
fn value_range(series: &[BarSeries], options: &BarsOptions) -> Option<(f64, f64)> {
    let ends = |one: &BarSeries| -> Vec<f64> {
        let errors = one.errors.iter().copied().map(|error| if drawable(error) { error.max(0.0) } else { 0.0 });
        let errors = errors.chain(std::iter::repeat(0.0));
        one.values.iter().zip(errors).flat_map(|(value, error)| [*value, value - error, value + error]).collect()
    };
    let bars = extent(series.iter().flat_map(ends), options.scale)?;
    let (low, high) = extent(options.reference.iter().map(|r| r.value).chain([bars.0, bars.1]), options.scale)?;
    Some(match options.scale {
        Scale::Linear if low == 0.0 && high == 0.0 => (0.0, 1.0),
        Scale::Linear => (low.min(0.0), high.max(0.0)),
        // The shortest bar still has some length; lengths over decades are read from a decade.
        Scale::Log => {
            let below = low / (high / low).powf(0.15).max(1.5);
            (if high < 10.0 * low { below } else { 10f64.powf(below.log10().floor()) }, high)
        }
    })
}

/// `range` with `share` of the axis free beyond each end that bars point to.
fn with_room((low, high): (f64, f64), scale: Scale, share: f64) -> (f64, f64) {
    match scale {
        Scale::Log => (low, high * (high / low).powf(share / (1.0 - share))),
        Scale::Linear => {
            let ends = f64::from(u8::from(high > 0.0) + u8::from(low < 0.0));
            let room = (high - low) * share / (1.0 - share * ends).max(0.1);
            (if low < 0.0 { low - room } else { low }, if high > 0.0 { high + room } else { high })
        }
    }
}
