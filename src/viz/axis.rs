//! Ranges, ticks, and the two drawn axes with their grid.

use super::canvas::{Canvas, Font, Rect, Stroke};
use super::drawable;
use super::style::{BORDER, GRID, INK, LABEL_SIZE, TICK_SIZE};
use super::text;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences take equal room.
    #[default]
    Linear,
    /// Equal ratios take equal room; values that are not positive are left out.
    Log,
}

impl Scale {
    /// Whether `value` can be drawn on this scale.
    pub(super) fn shows(self, value: f64) -> bool {
        drawable(value) && (self == Scale::Linear || value > 1e-100)
    }
}

/// The smallest and the largest of the values that `scale` shows; `None` if there are none.
pub fn extent(values: impl IntoIterator<Item = f64>, scale: Scale) -> Option<(f64, f64)> {
    values.into_iter().filter(|&value| scale.shows(value)).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// A range with its ticks.
#[derive(Debug, Clone)]
pub struct Axis {
    pub low: f64,
    pub high: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
    /// Grid lines without a label, between the decades of a logarithmic axis.
    minor: Vec<f64>,
}

impl Axis {
    /// From `range.0` to `range.1` and `padding` of the length beyond both ends, with about `wanted` ticks.
    pub fn new(range: (f64, f64), scale: Scale, padding: f64, wanted: usize) -> Self {
        match scale {
            Scale::Linear => Self::linear(range, padding, wanted, f64::MIN_POSITIVE),
            Scale::Log => Self::log(range, padding, wanted),
        }
    }

    /// A linear axis of counts: epochs, steps. No tick falls between two whole numbers.
    pub fn whole(range: (f64, f64), padding: f64, wanted: usize) -> Self {
        Self::linear(range, padding, wanted, 1.0)
    }

    fn linear((mut low, mut high): (f64, f64), padding: f64, wanted: usize, least_step: f64) -> Self {
        // All-equal values, or so nearly equal that the ticks' labels could not tell them apart.
        let size = low.abs().max(high.abs());
        if high - low <= size * 1e-9 {
            let half = if size == 0.0 { 0.5 } else { (size * 0.05).max(least_step) };
            (low, high) = (low - half, high + half);
        }
        let margin = (high - low) * padding;
        (low, high) = (low - margin, high + margin);
        // A few ticks more than wanted are better than half as many.
        let step = nice_step(0.75 * (high - low) / wanted.max(1) as f64).max(least_step);
        let first = (low / step - 1e-9).ceil();
        let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
        let values: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
        let ticks = values.iter().map(|&value| (value, linear_label(value, step, &values))).collect();
        Axis { low, high, scale: Scale::Linear, ticks, minor: Vec::new() }
    }

    fn log((low, high): (f64, f64), padding: f64, wanted: usize) -> Self {
        let (mut from, mut to) = (low.log10(), high.log10());
        if to - from < 0.05 {
            (from, to) = (from - 0.3, to + 0.3);
        }
        let margin = (to - from) * padding;
        (from, to) = (from - margin, to + margin);
        let inside = |value: f64| (from - 1e-9..=to + 1e-9).contains(&value.log10());
        let decades = from.floor() as i32..=to.ceil() as i32;
        let steps = |digits: &[f64]| -> Vec<f64> {
            let all = decades.clone().flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
            all.filter(|&value| inside(value)).collect()
        };
        let nines = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let mut ticks = steps(&[1.0]);
        if ticks.len() < 3 {
            let finer = steps(&[1.0, 2.0, 5.0]);
            ticks = if finer.len() < 2 { steps(&nines) } else { finer };
        }
        let every = ticks.len().div_ceil(wanted.max(2));
        let minor = if to - from <= 5.0 { steps(&nines) } else { Vec::new() };
        let ticks = ticks.into_iter().step_by(every).map(|value| (value, log_label(value))).collect();
        Axis { low: 10f64.powf(from), high: 10f64.powf(to), scale: Scale::Log, ticks, minor }
    }

    /// Takes labels away until each has room on an axis of `length` pixels.
    pub fn thinned(mut self, length: f64) -> Self {
        let room = text::widest(self.labels(), TICK_SIZE) + 12.0;
        let most = (length / room).max(1.0) as usize;
        let every = self.ticks.len().div_ceil(most).max(1);
        self.ticks = self.ticks.into_iter().step_by(every).collect();
        self
    }

    /// Where `value` lies between the pixels `from` (the low end) and `to`; values beyond the ends are held there.
    pub fn place(&self, value: f64, from: f64, to: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        };
        from + (to - from) * share.clamp(0.0, 1.0)
    }

    pub fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().map(|(value, label)| (*value, label.as_str()))
    }

    fn labels(&self) -> impl Iterator<Item = &str> {
        self.ticks.iter().map(|(_, label)| label.as_str())
    }

    /// What a vertical axis with this title needs to the left of the plot.
    pub fn left_margin(&self, title: &str) -> f64 {
        let title = if title.is_empty() { 0.0 } else { LABEL_SIZE + 10.0 };
        BORDER + title + text::widest(self.labels(), TICK_SIZE) + 8.0
    }

    /// What a horizontal axis with this title needs below the plot.
    pub fn bottom_margin(title: &str) -> f64 {
        let title = if title.is_empty() { 0.0 } else { LABEL_SIZE + 8.0 };
        BORDER + TICK_SIZE + 7.0 + title
    }

    /// What the last label of a horizontal axis needs to the right of the plot.
    pub fn right_margin(&self) -> f64 {
        let half = self.ticks.last().map_or(0.0, |(_, label)| text::width(label, TICK_SIZE) / 2.0);
        (half + 4.0).max(BORDER + 4.0)
    }

    /// Draws grid, labels, axis line and title to the left of `area`.
    pub fn draw_left(&self, canvas: &mut Canvas<'_>, area: Rect, title: &str) {
        let at = |value| self.place(value, area.bottom, area.top);
        for &value in &self.minor {
            canvas.line((area.left, at(value)), (area.right, at(value)), Stroke::new(GRID, 0.5));
        }
        for (value, label) in self.ticks() {
            canvas.line((area.left, at(value)), (area.right, at(value)), Stroke::new(GRID, 1.0));
            canvas.text(label, (area.left - 7.0, at(value)), Font::TICK.right());
        }
        canvas.line((area.left, area.top), (area.left, area.bottom), Stroke::new(INK, 1.0));
        let title = text::fit(title, LABEL_SIZE, area.height() + BORDER);
        let across = area.left - 8.0 - text::widest(self.labels(), TICK_SIZE) - 6.0 - LABEL_SIZE / 2.0;
        canvas.text(&title, (across, area.center().1), Font::LABEL.centered().upward());
    }

    /// Draws grid, labels, axis line and title below `area`.
    pub fn draw_bottom(&self, canvas: &mut Canvas<'_>, area: Rect, title: &str) {
        let at = |value| self.place(value, area.left, area.right);
        for &value in &self.minor {
            canvas.line((at(value), area.top), (at(value), area.bottom), Stroke::new(GRID, 0.5));
        }
        for (value, _) in self.ticks() {
            canvas.line((at(value), area.top), (at(value), area.bottom), Stroke::new(GRID, 1.0));
        }
        self.draw_bottom_labels(canvas, area, title);
    }

    /// As [`Axis::draw_bottom`], without the grid: below a heat map.
    pub fn draw_bottom_labels(&self, canvas: &mut Canvas<'_>, area: Rect, title: &str) {
        for (value, label) in self.ticks() {
            let at = self.place(value, area.left, area.right);
            canvas.line((at, area.bottom), (at, area.bottom + 3.0), Stroke::new(INK, 1.0));
            canvas.text(label, (at, area.bottom + 6.0), Font::TICK.centered().below());
        }
        canvas.line((area.left, area.bottom), (area.right, area.bottom), Stroke::new(INK, 1.0));
        let title = text::fit(title, LABEL_SIZE, area.width() + BORDER);
        canvas.text(&title, (area.center().0, area.bottom + TICK_SIZE + 11.0), Font::LABEL.centered().below());
    }
}

/// The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `least`.
fn nice_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0].map(|digit| digit * power);
    steps.into_iter().find(|&step| step >= least * 0.999_999).unwrap_or(10.0 * power)
}

fn linear_label(value: f64, step: f64, all: &[f64]) -> String {
    let largest = all.iter().fold(step, |largest, value| largest.max(value.abs()));
    // Two digits of the step are enough: 0.25 has them, 0.2 shows one.
    let places = (0..2).find(|&more| {
        let unit = 10f64.powf(step.log10().floor() - f64::from(more));
        ((step / unit) - (step / unit).round()).abs() < 1e-6
    });
    let finest = step.log10().floor() as i32 - places.unwrap_or(1);
    if largest < 1e6 && finest >= -5 {
        return text::number(value, (-finest).max(0) as usize);
    }
    let digits = largest.log10().floor() as i32 - finest + 1;
    if value.abs() < step / 2.0 { "0".to_string() } else { text::significant(value, digits.clamp(1, 12) as usize) }
}

fn log_label(value: f64) -> String {
    let exponent = value.log10().round();
    let decade = (value / 10f64.powf(exponent) - 1.0).abs() < 1e-6;
    match decade {
        true if !(-3.0..6.0).contains(&exponent) => text::power_of_ten(exponent as i32),
        _ => text::significant(value, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.labels().collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::new((0.0, 1.0), Scale::Linear, 0.0, 5);
        assert_eq!(labels(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::new((-3.0, 3.0), Scale::Linear, 0.05, 7);
        assert_eq!(labels(&axis), ["−3", "−2", "−1", "0", "1", "2", "3"]);
        let axis = Axis::new((0.0, 2e9), Scale::Linear, 0.0, 4);
        assert_eq!(labels(&axis), ["0", "5.0×10⁸", "1.0×10⁹", "1.5×10⁹", "2.0×10⁹"]);
        assert_eq!(labels(&Axis::whole((1.0, 3.0), 0.0, 8)), ["1", "2", "3"]);
        assert_eq!(labels(&Axis::new((0.0, 1.0), Scale::Linear, 0.0, 3)), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
    }

    #[test]
    fn equal_and_extreme_values_still_make_an_axis() {
        for value in [0.0, 1.0, -1e-30, 3e9, 9e99, -9e99] {
            let axis = Axis::new((value, value), Scale::Linear, 0.05, 6);
            assert!(axis.low < value && value < axis.high, "{value}");
            assert!(!axis.ticks.is_empty() && axis.ticks.len() < 20, "{value}: {:?}", axis.ticks);
            let distinct: std::collections::HashSet<_> = axis.labels().collect();
            assert_eq!(distinct.len(), axis.ticks.len(), "{value}: {:?}", axis.ticks);
        }
        let axis = Axis::new((-9e99, 9e99), Scale::Linear, 0.05, 6);
        assert!((axis.place(0.0, 0.0, 100.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn decades_are_ticks_of_a_logarithmic_axis() {
        assert_eq!(labels(&Axis::new((0.01, 10.0), Scale::Log, 0.0, 6)), ["0.01", "0.1", "1", "10"]);
        assert_eq!(labels(&Axis::new((0.3, 1.5), Scale::Log, 0.0, 6)), ["0.5", "1"]);
        assert_eq!(labels(&Axis::new((2.1, 4.9), Scale::Log, 0.0, 6)), ["3", "4"]);
        assert_eq!(labels(&Axis::new((1e-8, 1e-5), Scale::Log, 0.0, 6)), ["10⁻⁸", "10⁻⁷", "10⁻⁶", "10⁻⁵"]);
        let axis = Axis::new((0.1, 10.0), Scale::Log, 0.0, 6);
        assert!((axis.place(1.0, 0.0, 100.0) - 50.0).abs() < 1e-9);
        assert!(Axis::new((1e-90, 1e90), Scale::Log, 0.0, 6).ticks.len() <= 6);
        assert!(Axis::new((5.0, 5.0), Scale::Log, 0.05, 6).ticks.len() >= 2);
    }

    #[test]
    fn the_extent_skips_what_cannot_be_drawn() {
        let values = [f64::NAN, 2.0, f64::INFINITY, -1.0, 0.0, 1e300];
        assert_eq!(extent(values, Scale::Linear), Some((-1.0, 2.0)));
        assert_eq!(extent(values, Scale::Log), Some((2.0, 2.0)));
        assert_eq!(extent([f64::NAN], Scale::Linear), None);
    }

    #[test]
    fn thinned_labels_do_not_touch() {
        let axis = Axis::new((0.0, 100_000.0), Scale::Linear, 0.0, 10).thinned(200.0);
        assert!(axis.ticks.len() <= 4 && axis.ticks.len() >= 2, "{:?}", axis.ticks);
    }
}
