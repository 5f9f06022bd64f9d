//! Attention heat maps: queries (words) down, context steps (frames, seconds) across.

use std::path::Path;

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Font, Point, Rect, Stroke, picture};
use super::colorbar::ColorBar;
use super::legend::Header;
use super::style::{ABSENT, BORDER, LABEL_SIZE, TICK_SIZE, series_color, viridis, with_alpha};
use super::{check_room, drawable, text};
use crate::{Error, Result};

/// One map: how much each query attends to each context step.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionMap {
    /// "text to audio", "head 3".
    pub title: String,
    /// One label per row of `weights`: the words.
    pub queries: Vec<String>,
    /// `[queries, context]`, row-major, in [0, 1]. Not finite: drawn as absent.
    pub weights: Vec<f32>,
    /// True where a query is real, padding is not drawn; empty: all are.
    pub query_mask: Vec<bool>,
    /// True where a context step is real; padding at both ends is not drawn, inner padding is left grey; empty: all are.
    pub context_mask: Vec<bool>,
    /// The context axis with its unit: "time (s)", "audio frame".
    pub context_label: String,
    /// Where the first context step begins on that axis.
    pub context_start: f64,
    /// How long a context step is on that axis: 0.01 for frames of 10 ms.
    pub context_step: f64,
    /// Words under the context steps, one each, in place of numbers (text to text); empty: numbers.
    pub context_words: Vec<String>,
    /// A curve above the map over the same context steps.
    pub strip: Option<Strip>,
}

impl Default for AttentionMap {
    fn default() -> Self {
        AttentionMap {
            title: String::new(),
            queries: Vec::new(),
            weights: Vec::new(),
            query_mask: Vec::new(),
            context_mask: Vec::new(),
            context_label: "context step".into(),
            context_start: 0.0,
            context_step: 1.0,
            context_words: Vec::new(),
            strip: None,
        }
    }
}

/// A curve over the context steps: audio energy, face motion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Strip {
    /// What it is.
    pub name: String,
    /// One value per context step; drawn between its own lowest and highest.
    pub values: Vec<f32>,
}

/// How [`attention`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionOptions {
    /// Above the maps; may be empty.
    pub title: String,
    /// What the rows are: "word".
    pub query_label: String,
    /// What the colour is.
    pub weight_label: String,
    /// Maps side by side; the others follow below.
    pub columns: usize,
    /// Colours show how many times a weight is that of uniform attention over the valid context, which makes maps of
    /// different lengths comparable.
    pub relative: bool,
    /// The weight of the lightest colour; `None`: the largest weight of all maps.
    pub max_weight: Option<f64>,
    /// Pixels; the height follows from the rows.
    pub width: f64,
}

impl Default for AttentionOptions {
    fn default() -> Self {
        AttentionOptions {
            title: String::new(),
            query_label: String::new(),
            weight_label: "attention weight".into(),
            columns: 1,
            relative: false,
            max_weight: None,
            width: 640.0,
        }
    }
}

/// Draws `maps` in a grid with one colour bar and writes the SVG file `path`.
///
/// Where there are more context steps than pixels, a pixel shows the largest weight of its steps.
///
/// # Errors
/// [`Error::Config`] if there is no map, a map has no valid position, its lists do not fit each other, a valid weight lies
/// outside [0, 1], or the width leaves no room; [`Error::Io`] if the file cannot be written.
pub fn attention(path: impl AsRef<Path>, maps: &[AttentionMap], options: &AttentionOptions) -> Result<()> {
    let mut panels = maps.iter().map(|map| Panel::new(map, options.relative)).collect::<Result<Vec<_>>>()?;
    if panels.is_empty() || options.columns == 0 {
        return Err(Error::Config("attention maps: give at least one map, and at least one column".into()));
    }
    let largest = panels.iter().map(Panel::max_weight).fold(0.0, f64::max);
    let high = options.max_weight.unwrap_or(if largest > 0.0 { largest } else { 1.0 });
    if !drawable(high) || high <= 0.0 {
        return Err(Error::Config(format!("attention maps: max_weight {high} must be a positive number")));
    }
    let bar = ColorBar::new(0.0, high, &options.weight_label);
    let header = Header::new(&options.title, Vec::new(), options.width - 2.0 * BORDER);
    let height = lay_out(&mut panels, options, header.height(), bar.room());
    let Some(all) = panels.iter().map(|panel| panel.heat).reduce(around) else { return Ok(()) };
    for panel in &panels {
        // A single row is lower than other plots may be.
        check_room(Rect { bottom: panel.heat.top + 20.0, ..panel.heat })?;
    }
    let height = height.max(ColorBar::bottom(all) + BORDER);
    picture(path.as_ref(), options.width, height, |canvas| {
        header.draw(canvas, BORDER);
        for panel in &panels {
            panel.draw(canvas, &bar);
        }
        bar.draw(canvas, all);
        let query_label = text::fit(&options.query_label, LABEL_SIZE, all.height());
        canvas.text(&query_label, (BORDER + LABEL_SIZE / 2.0, all.center().1), Font::LABEL.centered().upward());
    })
}

/// The smallest rectangle around both.
fn around(a: Rect, b: Rect) -> Rect {
    Rect {
        left: a.left.min(b.left),
        top: a.top.min(b.top),
        right: a.right.max(b.right),
        bottom: a.bottom.max(b.bottom),
    }
}

const STRIP_HEIGHT: f64 = 34.0;
const STRIP_GAP: f64 = 4.0;
const WORD_ROOM: f64 = 130.0;

/// A checked map and its place.
struct Panel<'a> {
    map: &'a AttentionMap,
    /// The valid queries.
    rows: Vec<usize>,
    /// The first valid context step, and one past the last.
    first: usize,
    end: usize,
    steps: usize,
    /// What a weight is multiplied with before it is drawn.
    factor: f64,
    heat: Rect,
    show_words: bool,
}

impl<'a> Panel<'a> {
    fn new(map: &'a AttentionMap, relative: bool) -> Result<Self> {
        let wrong = |message: String| Err(Error::Config(format!("attention map '{}': {message}", map.title)));
        let queries = map.queries.len();
        if queries == 0 || map.weights.is_empty() || !map.weights.len().is_multiple_of(queries) {
            let weights = map.weights.len();
            return wrong(format!("{weights} weights for {queries} queries; give [queries, context] weights"));
        }
        let steps = map.weights.len() / queries;
        let lengths = [
            ("query_mask", map.query_mask.len(), queries),
            ("context_mask", map.context_mask.len(), steps),
            ("context_words", map.context_words.len(), steps),
            ("strip", map.strip.as_ref().map_or(steps, |strip| strip.values.len()), steps),
        ];
        for (name, len, want) in lengths {
            if len != want && (len > 0 || name == "strip") {
                return wrong(format!("{name} has {len} values, but the weights have {want}"));
            }
        }
        if !drawable(map.context_start) || !drawable(map.context_step) || map.context_step <= 0.0 {
            return wrong(format!(
                "context_start {} and context_step {}: give a finite start and a positive step",
                map.context_start, map.context_step
            ));
        }
        let is_valid = |mask: &[bool], i: usize| mask.get(i).copied().unwrap_or(true);
        let rows: Vec<usize> = (0..queries).filter(|&query| is_valid(&map.query_mask, query)).collect();
        let first = (0..steps).find(|&step| is_valid(&map.context_mask, step));
        let last = (0..steps).rfind(|&step| is_valid(&map.context_mask, step));
        let (Some(first), Some(last), false) = (first, last, rows.is_empty()) else {
            return wrong("its masks leave no valid position to draw".into());
        };
        let heat = Rect { left: 0.0, top: 0.0, right: 0.0, bottom: 0.0 };
        let mut panel = Panel { map, rows, first, end: last + 1, steps, factor: 1.0, heat, show_words: true };
        let stray = panel.valid_weights().find(|weight| !(-1e-3..=1.001).contains(weight));
        match stray {
            Some(weight) => wrong(format!("weight {weight} lies outside [0, 1]: give the weights after softmax")),
            None => {
                if relative {
                    panel.factor = (first..=last).filter(|&step| is_valid(&map.context_mask, step)).count() as f64;
                }
                Ok(panel)
            }
        }
    }

    /// What is drawn of the weight that `query` gives to `step`, if that step is valid and the weight is finite.
    fn weight(&self, query: usize, step: usize) -> Option<f64> {
        let valid = self.map.context_mask.get(step).copied().unwrap_or(true);
        let weight = self.map.weights.get(query * self.steps + step).copied().filter(|w| valid && w.is_finite());
        weight.map(|weight| self.factor * f64::from(weight))
    }

    fn valid_weights(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().flat_map(move |&row| (self.first..self.end).filter_map(move |step| self.weight(row, step)))
    }

    fn max_weight(&self) -> f64 {
        self.valid_weights().fold(0.0, f64::max)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(|&row| self.map.queries.get(row)).map(String::as_str)
    }

    /// What words and the strip's name need to the left of the map.
    fn word_width(&self) -> f64 {
        let strip = self.map.strip.iter().map(|strip| strip.name.as_str());
        text::widest(self.words().chain(strip), TICK_SIZE).min(WORD_ROOM)
    }

    fn row_height(&self) -> f64 {
        (420.0 / self.rows.len() as f64).clamp(5.0, 22.0)
    }

    fn above(&self) -> f64 {
        let title = if self.map.title.is_empty() { 0.0 } else { LABEL_SIZE + 8.0 };
        title + if self.map.strip.is_some() { STRIP_HEIGHT + STRIP_GAP } else { 0.0 }
    }

    fn below(&self) -> f64 {
        match self.map.context_words.is_empty() {
            true => Axis::bottom_margin(&self.map.context_label),
            false => {
                let words = text::widest(self.map.context_words.iter().map(String::as_str), TICK_SIZE);
                words.min(WORD_ROOM) + BORDER + 8.0
            }
        }
    }

    /// The time axis under the map.
    fn axis(&self) -> Axis {
        let at = |step: usize| self.map.context_start + self.map.context_step * step as f64;
        let wanted = (self.heat.width() / 60.0).clamp(2.0, 12.0) as usize;
        let exact = Axis::new((at(self.first), at(self.end)), Scale::Linear, 0.0, wanted);
        exact.thinned(self.heat.width())
    }

    fn draw(&self, canvas: &mut Canvas<'_>, bar: &ColorBar) {
        let heat = self.heat;
        let title = text::fit(&self.map.title, LABEL_SIZE * 1.05, heat.width());
        canvas.text(&title, (heat.left, heat.top - self.above() + LABEL_SIZE / 2.0), Font::HEADING);
        canvas.fill(heat, ABSENT);
        for (i, &row) in self.rows.iter().enumerate() {
            self.draw_row(canvas, bar, i, row);
        }
        self.draw_words(canvas);
        if self.map.context_words.is_empty() {
            self.axis().draw_bottom_labels(canvas, heat, &self.map.context_label);
        } else {
            self.draw_context_words(canvas);
        }
        if let Some(strip) = &self.map.strip {
            self.draw_strip(canvas, strip);
        }
    }

    fn left_of(&self, step: usize) -> f64 {
        self.heat.left + self.heat.width() * (step - self.first) as f64 / (self.end - self.first) as f64
    }

    /// Draws one query's weights: neighbours of the same colour, and steps that share a pixel, as one rectangle.
    fn draw_row(&self, canvas: &mut Canvas<'_>, bar: &ColorBar, i: usize, row: usize) {
        let height = self.row_height();
        let gap = if height >= 10.0 { 1.0 } else { 0.0 };
        let top = self.heat.top + height * i as f64;
        let steps: Vec<usize> = (self.first..self.end).collect();
        let pixels = steps.chunk_by(|&a, &b| self.left_of(a).floor() == self.left_of(b).floor() && a != b);
        let per_pixel = self.end - self.first > self.heat.width() as usize;
        let groups: Vec<&[usize]> = if per_pixel { pixels.collect() } else { steps.chunks(1).collect() };
        let shade = |group: &[usize]| {
            let largest = group.iter().filter_map(|&step| self.weight(row, step)).reduce(f64::max);
            largest.map(|weight| (bar.level(weight) * 255.0).round() as u8)
        };
        let shades: Vec<(&[usize], Option<u8>)> = groups.into_iter().map(|group| (group, shade(group))).collect();
        for run in shades.chunk_by(|a, b| a.1 == b.1) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (Some(&from), Some(&to)) = (first.0.first(), last.0.last()) else { continue };
            // A run reaches under the next one, or hairlines would show between them.
            let right = (self.left_of(to + 1) + 0.7).min(self.heat.right);
            let color = first.1.map_or(ABSENT, |level| viridis(f64::from(level) / 255.0));
            canvas.fill(Rect { left: self.left_of(from), top, right, bottom: top + height - gap }, color);
        }
    }

    fn draw_words(&self, canvas: &mut Canvas<'_>) {
        if !self.show_words {
            return;
        }
        let height = self.row_height();
        let every = (TICK_SIZE * 1.15 / height).ceil().max(1.0) as usize;
        for (i, word) in self.words().enumerate().step_by(every) {
            let word = text::fit(word, TICK_SIZE, WORD_ROOM);
            let middle = self.heat.top + height * (i as f64 + 0.5);
            canvas.text(&word, (self.heat.left - 6.0, middle), Font::TICK.right());
        }
    }

    fn draw_context_words(&self, canvas: &mut Canvas<'_>) {
        let step_width = self.heat.width() / (self.end - self.first) as f64;
        let every = (TICK_SIZE * 1.15 / step_width).ceil().max(1.0) as usize;
        for step in (self.first..self.end).step_by(every) {
            let word = self.map.context_words.get(step).map_or("", String::as_str);
            let word = text::fit(word, TICK_SIZE, WORD_ROOM);
            let at = (self.left_of(step) + step_width / 2.0, self.heat.bottom + 6.0);
            canvas.text(&word, at, Font::TICK.right().upward());
        }
    }

    /// The curve above the map, filled down to its lowest value.
    fn draw_strip(&self, canvas: &mut Canvas<'_>, strip: &Strip) {
        let bottom = self.heat.top - STRIP_GAP;
        let color = series_color(0);
        let value = |step: usize| strip.values.get(step).copied().map(f64::from).filter(|&v| drawable(v));
        let valid = |&step: &usize| self.map.context_mask.get(step).copied().unwrap_or(true);
        let shown: Vec<(usize, Option<f64>)> =
            (self.first..self.end).map(|step| (step, value(step).filter(|_| valid(&step)))).collect();
        let low = shown.iter().filter_map(|s| s.1).fold(f64::INFINITY, f64::min);
        let high = shown.iter().filter_map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
        let span = if high > low { high - low } else { 1.0 };
        for run in shown.split(|(_, value)| value.is_none()) {
            // A step's value stands over the whole of its step.
            let points: Vec<Point> = run
                .iter()
                .filter_map(|&(step, value)| Some((step, bottom - (STRIP_HEIGHT - 4.0) * (value? - low) / span)))
                .flat_map(|(step, y)| [(self.left_of(step), y), (self.left_of(step + 1), y)])
                .collect();
            let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { continue };
            let mut area = points.clone();
            area.extend([(last.0, bottom), (first.0, bottom)]);
            canvas.polygon(&area, with_alpha(color, 0.25));
            canvas.path(&points, Stroke::new(color, 1.2));
        }
        if self.show_words {
            let name = text::fit(&strip.name, TICK_SIZE, WORD_ROOM);
            canvas.text(&name, (self.heat.left - 6.0, bottom - STRIP_HEIGHT / 2.0), Font::TICK.right().colored(color));
        }
    }
}

/// Gives every panel its place, `top` pixels from the upper edge; returns the picture's height.
fn lay_out(panels: &mut [Panel<'_>], options: &AttentionOptions, top: f64, bar_room: f64) -> f64 {
    let columns = options.columns.min(panels.len());
    // Maps of the same words side by side name them once.
    for i in (0..panels.len()).filter(|i| i % columns > 0) {
        let same = panels[i].words().eq(panels[i - 1].words()) && panels[i].map.strip.is_none();
        panels[i].show_words = !same;
    }
    let word_room = |column: usize| {
        let of_column = panels.iter().skip(column).step_by(columns).filter(|panel| panel.show_words);
        of_column.map(|panel| panel.word_width() + 8.0).fold(if column > 0 { 14.0 } else { 0.0 }, f64::max)
    };
    let rooms: Vec<f64> = (0..columns).map(word_room).collect();
    let title = if options.query_label.is_empty() { 0.0 } else { LABEL_SIZE + 8.0 };
    let free = options.width - 2.0 * BORDER - title - bar_room - rooms.iter().sum::<f64>();
    let width = free / columns as f64;

    let mut y = top;
    for line in panels.chunks_mut(columns) {
        let above = line.iter().map(Panel::above).fold(0.0, f64::max);
        let mut left = BORDER + title;
        let mut bottom = y;
        for (panel, room) in line.iter_mut().zip(&rooms) {
            left += room;
            let height = panel.row_height() * panel.rows.len() as f64;
            panel.heat = Rect { left, top: y + above, right: left + width, bottom: y + above + height };
            bottom = bottom.max(panel.heat.bottom + panel.below());
            left += width;
        }
        y = bottom;
    }
    y
}
