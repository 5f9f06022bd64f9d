//! The scale of a heat map.

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Font, Rect, Stroke};
use super::style::{INK, LABEL_SIZE, TICK_SIZE, viridis};
use super::text;

const BAR: f64 = 14.0;
const GAP: f64 = 16.0;
/// A bar lower than this has no room for its labels; a longer one than that says no more.
const SHORTEST: f64 = 120.0;
const LONGEST: f64 = 260.0;

/// Viridis from `low` to `high`.
#[derive(Debug, Clone)]
pub struct ColorBar {
    axis: Axis,
    title: String,
}

impl ColorBar {
    /// Equal ends are pulled apart, so that every value has a colour.
    pub fn new(low: f64, high: f64, title: &str) -> Self {
        ColorBar { axis: Axis::new((low, high), Scale::Linear, 0.0, 5), title: title.to_string() }
    }

    /// Where a bar beside `area` ends, for the picture to be high enough.
    pub fn bottom(area: Rect) -> f64 {
        area.top + area.height().clamp(SHORTEST, LONGEST)
    }

    /// Where `value` lies in [0, 1].
    pub fn level(&self, value: f64) -> f64 {
        self.axis.place(value, 0.0, 1.0)
    }

    /// Round values and their labels.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.axis.ticks()
    }

    /// Pixels from the heat map's right edge to the end of the bar's labels.
    pub fn room(&self) -> f64 {
        let title = if self.title.is_empty() { 0.0 } else { LABEL_SIZE + 8.0 };
        GAP + BAR + 6.0 + self.label_width() + title
    }

    fn label_width(&self) -> f64 {
        text::widest(self.ticks().map(|(_, label)| label), TICK_SIZE)
    }

    /// Draws the bar to the right of `beside`.
    pub fn draw(&self, canvas: &mut Canvas<'_>, beside: Rect) {
        let left = beside.right + GAP;
        let bar = Rect { left, right: left + BAR, top: beside.top, bottom: Self::bottom(beside) };
        let steps = 100;
        for i in 0..steps {
            let at = |i: i32| bar.bottom - bar.height() * f64::from(i) / f64::from(steps);
            // Each slice reaches under the next one, or hairlines would show between them.
            let slice = Rect { top: at(i + 1), bottom: (at(i) + 1.0).min(bar.bottom), ..bar };
            canvas.fill(slice, viridis((f64::from(i) + 0.5) / f64::from(steps)));
        }
        canvas.frame(bar, Stroke::new(INK, 0.6));
        for (value, label) in self.ticks() {
            let at = self.axis.place(value, bar.bottom, bar.top);
            canvas.line((bar.right, at), (bar.right + 3.0, at), Stroke::new(INK, 0.8));
            canvas.text(label, (bar.right + 6.0, at), Font::TICK);
        }
        let title = text::fit(&self.title, LABEL_SIZE, bar.height());
        let across = bar.right + 6.0 + self.label_width() + 6.0 + LABEL_SIZE / 2.0;
        canvas.text(&title, (across, bar.center().1), Font::LABEL.centered().upward());
    }
}
