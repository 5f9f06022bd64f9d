//! Curves over steps or epochs.

use std::path::Path;

use super::axis::{Axis, Scale, extent};
use super::canvas::{Canvas, Point, Rect, Stroke, picture};
use super::legend::{Entry, Header, Mark};
use super::style::{BORDER, INK, WHITE, series_color, with_alpha};
use super::{check_room, text};
use crate::{Error, Result};

/// Which value of a series is its best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Losses and errors.
    Lowest,
    /// Accuracies and correlations.
    Highest,
}

/// One named curve.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// `(x, y)` from left to right. A point that is not finite (or not positive, on a logarithmic axis) is a gap.
    pub points: Vec<(f64, f64)>,
    /// Rings the best point and states it in the legend.
    pub best: Option<Goal>,
    /// In [0, 1): how much each point keeps of the running mean before it. Above 0 that mean is drawn, over the faint
    /// points themselves; for losses per step, 0.9 or more.
    pub smoothing: f64,
}

impl Series {
    /// A series over 1, 2, 3 and so on: a value per epoch.
    pub fn new<T: Copy + Into<f64>>(name: impl Into<String>, values: &[T]) -> Self {
        let points = values.iter().enumerate().map(|(i, &value)| ((i + 1) as f64, value.into())).collect();
        Series { name: name.into(), points, ..Default::default() }
    }
}

/// How [`curves`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvesOptions {
    /// Above the plot; may be empty.
    pub title: String,
    /// With its unit: "epoch", "step".
    pub x_label: String,
    /// With its unit: "loss (MSE)".
    pub y_label: String,
    /// The vertical scale.
    pub y_scale: Scale,
    /// Pixels.
    pub width: f64,
    /// Pixels.
    pub height: f64,
}

impl Default for CurvesOptions {
    fn default() -> Self {
        CurvesOptions {
            title: String::new(),
            x_label: "epoch".into(),
            y_label: String::new(),
            y_scale: Scale::Linear,
            width: 560.0,
            height: 360.0,
        }
    }
}

/// Draws `series` over a common horizontal axis and writes the SVG file `path`.
///
/// # Errors
/// [`Error::Config`] if no series has a value that can be drawn, a smoothing is outside [0, 1), or the size leaves no room;
/// [`Error::Io`] if the file cannot be written.
pub fn curves(path: impl AsRef<Path>, series: &[Series], options: &CurvesOptions) -> Result<()> {
    for one in series {
        if !(0.0..1.0).contains(&one.smoothing) {
            return Err(Error::Config(format!("curve '{}': smoothing {} is not in [0, 1)", one.name, one.smoothing)));
        }
    }
    let shown = |&(x, y): &(f64, f64)| Scale::Linear.shows(x) && options.y_scale.shows(y);
    let points = || series.iter().flat_map(|one| &one.points).copied().filter(shown);
    let (Some(x_range), Some(y_range)) =
        (extent(points().map(|p| p.0), Scale::Linear), extent(points().map(|p| p.1), options.y_scale))
    else {
        return Err(Error::Config(format!(
            "curves '{}': no series has a value that can be drawn{}",
            options.title,
            if options.y_scale == Scale::Log { " on a logarithmic axis, which needs positive ones" } else { "" }
        )));
    };

    let y = Axis::new(y_range, options.y_scale, 0.05, (options.height / 55.0) as usize);
    let left = y.left_margin(&options.y_label);
    let header = Header::new(&options.title, legend(series, options), options.width - left - BORDER);
    let counts = points().all(|(x, _)| x.fract() == 0.0);
    let length = options.width - left - BORDER;
    let wanted = (options.width / 70.0) as usize;
    let x = if counts { Axis::whole(x_range, 0.02, wanted) } else { Axis::new(x_range, Scale::Linear, 0.02, wanted) };
    let x = x.thinned(length);
    let area = Rect {
        left,
        top: header.height() + 4.0,
        right: options.width - x.right_margin(),
        bottom: options.height - Axis::bottom_margin(&options.x_label),
    };
    check_room(area)?;
    picture(path.as_ref(), options.width, options.height, |canvas| {
        header.draw(canvas, area.left);
        x.draw_bottom(canvas, area, &options.x_label);
        y.draw_left(canvas, area, &options.y_label);
        let place = |(a, b): (f64, f64)| (x.place(a, area.left, area.right), y.place(b, area.bottom, area.top));
        for (i, one) in series.iter().enumerate() {
            let runs = runs(&one.points, shown);
            draw_series(canvas, one, series_color(i), &runs, &place);
        }
        // Rings last: no curve hides them.
        for (i, one) in series.iter().enumerate() {
            if let Some(best) = best_point(one, options.y_scale) {
                canvas.disc(place(best), 5.0, WHITE);
                canvas.disc(place(best), 2.6, series_color(i));
                canvas.ring(place(best), 5.0, Stroke::new(INK, 1.6));
            }
        }
    })
}

fn legend(series: &[Series], options: &CurvesOptions) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (i, one) in series.iter().enumerate() {
        entries.push(Entry { label: one.name.clone(), color: series_color(i), mark: Mark::Line });
    }
    for one in series {
        if let Some((x, y)) = best_point(one, options.y_scale) {
            let at = if x.fract() == 0.0 { text::number(x, 0) } else { text::significant(x, 3) };
            let unit = options.x_label.split(" (").next().unwrap_or_default();
            let label = format!("best {}: {} at {unit} {at}", one.name, text::significant(y, 3));
            entries.push(Entry { label, color: INK, mark: Mark::Ring });
        }
    }
    entries
}

/// The first of the best points.
fn best_point(series: &Series, scale: Scale) -> Option<(f64, f64)> {
    let sign = match series.best? {
        Goal::Lowest => 1.0,
        Goal::Highest => -1.0,
    };
    let shown = series.points.iter().copied().filter(|p| Scale::Linear.shows(p.0) && scale.shows(p.1));
    shown.min_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)))
}

/// The stretches of `points` without a gap.
fn runs(points: &[(f64, f64)], shown: impl Fn(&(f64, f64)) -> bool) -> Vec<Vec<(f64, f64)>> {
    points.split(|point| !shown(point)).filter(|run| !run.is_empty()).map(<[_]>::to_vec).collect()
}

fn draw_series(
    canvas: &mut Canvas<'_>,
    series: &Series,
    color: plotters::style::RGBColor,
    runs: &[Vec<(f64, f64)>],
    place: &impl Fn((f64, f64)) -> Point,
) {
    let few = runs.iter().map(Vec::len).sum::<usize>() <= 40;
    let mut mean = None;
    for run in runs {
        let raw: Vec<Point> = run.iter().copied().map(place).collect();
        if series.smoothing > 0.0 {
            canvas.path(&thin(&raw), Stroke::new(with_alpha(color, 0.3), 1.0));
            let smooth: Vec<Point> = smoothed(run, series.smoothing, &mut mean).into_iter().map(place).collect();
            canvas.path(&thin(&smooth), Stroke::new(color, 2.2));
            continue;
        }
        canvas.path(&thin(&raw), Stroke::new(color, 2.2));
        if few || raw.len() == 1 {
            for &point in &raw {
                canvas.disc(point, 2.8, color);
            }
        }
    }
}

/// The running mean of `run`, which goes on from the run before it.
fn smoothed(run: &[(f64, f64)], keep: f64, mean: &mut Option<f64>) -> Vec<(f64, f64)> {
    let step = |&(x, y): &(f64, f64)| {
        let next = mean.map_or(y, |mean| keep * mean + (1.0 - keep) * y);
        *mean = Some(next);
        (x, next)
    };
    run.iter().map(step).collect()
}

/// First, lowest, highest and last point of each pixel column: thousands of points look the same with a few hundred.
fn thin(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let by_height = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
        let lowest = column.iter().enumerate().min_by(by_height).map(|(i, _)| i);
        let highest = column.iter().enumerate().max_by(by_height).map(|(i, _)| i);
        let mut chosen = vec![0, lowest.unwrap_or(0), highest.unwrap_or(0), column.len() - 1];
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().filter_map(|i| column.get(i)));
    }
    kept
}
