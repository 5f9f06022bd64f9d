//! Title and legend, above the plot, where they can cover no data.

use plotters::style::RGBColor;

use super::canvas::{Canvas, Font, Point, Rect, Stroke};
use super::style::{BORDER, TICK_SIZE, TITLE_SIZE};
use super::text;

/// What stands before a legend's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Swatch,
    Line,
    Dashed,
    Ring,
}

impl Mark {
    /// Pixels, with the gap before the label.
    fn width(self) -> f64 {
        match self {
            Mark::Swatch | Mark::Ring => 18.0,
            Mark::Line => 24.0,
            Mark::Dashed => 29.0,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub label: String,
    pub color: RGBColor,
    pub mark: Mark,
}

const ENTRY_GAP: f64 = 18.0;
const ROW: f64 = TICK_SIZE * 1.5;

/// A title and rows of legend entries, laid out for a given width.
#[derive(Debug, Clone)]
pub struct Header {
    title: String,
    rows: Vec<Vec<(f64, Entry)>>,
}

impl Header {
    /// Lays out `title` and `entries` on `room` pixels.
    pub fn new(title: &str, entries: Vec<Entry>, room: f64) -> Self {
        let mut rows: Vec<Vec<(f64, Entry)>> = Vec::new();
        let mut left = f64::INFINITY;
        for mut entry in entries {
            entry.label = text::fit(&entry.label, TICK_SIZE, room - entry.mark.width());
            let width = entry.mark.width() + text::width(&entry.label, TICK_SIZE);
            if left + width > room {
                rows.push(Vec::new());
                left = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((left, entry));
            }
            left += width + ENTRY_GAP;
        }
        Header { title: text::fit(title, TITLE_SIZE * 1.05, room), rows }
    }

    /// Pixels from the picture's upper edge to the plot.
    pub fn height(&self) -> f64 {
        let title = if self.title.is_empty() { 0.0 } else { TITLE_SIZE + 8.0 };
        let legend = if self.rows.is_empty() { 0.0 } else { ROW * self.rows.len() as f64 + 2.0 };
        BORDER + title + legend + 4.0
    }

    /// Draws both, flush with `left`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, left: f64) {
        let mut middle = BORDER + TITLE_SIZE / 2.0;
        canvas.text(&self.title, (left, middle), Font::TITLE);
        middle = BORDER + ROW / 2.0 + if self.title.is_empty() { 0.0 } else { TITLE_SIZE + 8.0 };
        for row in &self.rows {
            for (offset, entry) in row {
                draw_mark(canvas, (left + offset, middle), entry);
                canvas.text(&entry.label, (left + offset + entry.mark.width(), middle), Font::TICK);
            }
            middle += ROW;
        }
    }
}

fn draw_mark(canvas: &mut Canvas<'_>, (left, middle): Point, entry: &Entry) {
    let right = left + entry.mark.width() - 6.0;
    match entry.mark {
        Mark::Swatch => {
            let swatch = Rect { left, top: middle - 5.5, right, bottom: middle + 5.5 };
            canvas.fill(swatch, entry.color);
        }
        Mark::Line => canvas.line((left, middle), (right, middle), Stroke::new(entry.color, 2.2)),
        Mark::Dashed => canvas.line((left, middle), (right, middle), Stroke::new(entry.color, 1.5).dashed()),
        Mark::Ring => canvas.ring((left + 6.0, middle), 5.0, Stroke::new(entry.color, 1.8)),
    }
}
