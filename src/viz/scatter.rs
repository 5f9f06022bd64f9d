//! Predicted against true.

use std::collections::BTreeMap;
use std::path::Path;

use super::axis::{Axis, Scale, extent};
use super::canvas::{Canvas, Font, Point, Rect, Stroke, picture};
use super::legend::Header;
use super::style::{BORDER, INK, QUIET, TICK_SIZE, WHITE, series_color, with_alpha};
use super::{check_room, drawable, text};
use crate::{Error, Result};

/// How [`scatter`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct ScatterOptions {
    /// Above the plot; may be empty.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub truth_label: String,
    /// The vertical axis, with its unit.
    pub predicted_label: String,
    /// Both axes cover at least this range: (-3, 3) for MOSI; `None`: what the points need.
    pub range: Option<(f64, f64)>,
    /// Pixels; the plot is square.
    pub width: f64,
}

impl Default for ScatterOptions {
    fn default() -> Self {
        ScatterOptions {
            title: String::new(),
            truth_label: "true".into(),
            predicted_label: "predicted".into(),
            range: None,
            width: 440.0,
        }
    }
}

/// Draws a point per pair with the identity line, Pearson's r, the mean absolute error and the number of points, and writes
/// the SVG file `path`. Pairs with a value that is not finite are left out.
///
/// # Errors
/// [`Error::Config`] if the lists differ in length, no pair is finite, the range is none, or the width leaves no room;
/// [`Error::Io`] if the file cannot be written.
pub fn scatter(path: impl AsRef<Path>, truth: &[f32], predicted: &[f32], options: &ScatterOptions) -> Result<()> {
    let wrong = |message: String| Err(Error::Config(format!("scatter '{}': {message}", options.title)));
    if truth.len() != predicted.len() {
        return wrong(format!("{} true values but {} predictions", truth.len(), predicted.len()));
    }
    let pairs = truth.iter().zip(predicted).map(|(&t, &p)| (f64::from(t), f64::from(p)));
    let pairs: Vec<(f64, f64)> = pairs.filter(|&(t, p)| drawable(t) && drawable(p)).collect();
    let given = options.range.map(|(low, high)| [low, high]);
    if given.is_some_and(|[low, high]| !drawable(low) || !drawable(high) || low >= high) {
        return wrong("the range must be two finite numbers, the smaller one first".into());
    }
    let values = pairs.iter().flat_map(|&(t, p)| [t, p]);
    let (false, Some(range)) = (pairs.is_empty(), extent(values.chain(given.into_iter().flatten()), Scale::Linear))
    else {
        return wrong("no pair of finite values to draw".into());
    };
    let axis = Axis::new(range, Scale::Linear, 0.05, (options.width / 65.0) as usize);
    let left = axis.left_margin(&options.predicted_label);
    let right = options.width - axis.right_margin();
    let axis = axis.thinned(right - left);
    let header = Header::new(&options.title, Vec::new(), options.width - left - BORDER);
    let top = header.height() + 4.0;
    let area = Rect { left, top, right, bottom: top + right - left };
    check_room(area)?;
    let height = area.bottom + Axis::bottom_margin(&options.truth_label);
    picture(path.as_ref(), options.width, height, |canvas| {
        header.draw(canvas, area.left);
        axis.draw_bottom(canvas, area, &options.truth_label);
        axis.draw_left(canvas, area, &options.predicted_label);
        canvas.line((area.left, area.bottom), (area.right, area.top), Stroke::new(QUIET, 1.2).dashed());
        let place = |&(t, p): &(f64, f64)| (axis.place(t, area.left, area.right), axis.place(p, area.bottom, area.top));
        let points: Vec<Point> = pairs.iter().map(place).collect();
        draw_points(canvas, &points);
        draw_figures(canvas, &figures(&pairs), &points, area);
    })
}

/// Points grow smaller and fainter as they grow many, so that density stays visible; those that fall on the same pixel are
/// drawn once, as strong as all of them together.
fn draw_points(canvas: &mut Canvas<'_>, points: &[Point]) {
    let count = points.len() as f64;
    let radius = (5.0 - count.log10()).clamp(1.6, 3.6);
    let alpha = (0.85 - 0.2 * count.log10()).clamp(0.06, 0.7);
    // Few enough to be told apart keep their exact place.
    let grid = if points.len() > 2000 { 1.0 } else { 10.0 };
    let mut together: BTreeMap<(i64, i64), i32> = BTreeMap::new();
    for point in points {
        *together.entry(((point.0 * grid).round() as i64, (point.1 * grid).round() as i64)).or_default() += 1;
    }
    for ((x, y), count) in together {
        let strength = (1.0 - (1.0 - alpha).powi(count)).min(1.0);
        let strength = (strength * 100.0).round() / 100.0;
        canvas.disc((x as f64 / grid, y as f64 / grid), radius, with_alpha(series_color(0), strength.max(0.01)));
    }
}

/// The lines in the corner.
fn figures(pairs: &[(f64, f64)]) -> [String; 3] {
    let error = pairs.iter().map(|(t, p)| (t - p).abs()).sum::<f64>() / pairs.len() as f64;
    let r = match pearson(pairs) {
        Some(r) => text::number(r, 3),
        None => "–".to_string(),
    };
    [
        format!("r = {r}"),
        format!("MAE = {}", text::significant(error, 3)),
        format!("n = {}", text::number(pairs.len() as f64, 0)),
    ]
}

/// Pearson's correlation; none where either side is constant.
fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    let count = pairs.len() as f64;
    let mean = |side: fn(&(f64, f64)) -> f64| pairs.iter().map(side).sum::<f64>() / count;
    let (t_mean, p_mean) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let (mut tt, mut pp, mut tp) = (0.0, 0.0, 0.0);
    for (t, p) in pairs {
        let (t, p) = (t - t_mean, p - p_mean);
        tt += t * t;
        pp += p * p;
        tp += t * p;
    }
    let spread = tt.sqrt() * pp.sqrt();
    (spread > 0.0 && spread.is_finite()).then(|| (tp / spread).clamp(-1.0, 1.0))
}

/// Writes `lines` into the corner with the fewest points, of the two that the identity line does not pass.
fn draw_figures(canvas: &mut Canvas<'_>, lines: &[String], points: &[Point], area: Rect) {
    let (width, row) = (text::widest(lines.iter().map(String::as_str), TICK_SIZE) + 12.0, TICK_SIZE * 1.35);
    let height = row * lines.len() as f64 + 8.0;
    let upper = Rect {
        left: area.left + 6.0,
        top: area.top + 6.0,
        right: area.left + 6.0 + width,
        bottom: area.top + 6.0 + height,
    };
    let lower = Rect {
        left: area.right - 6.0 - width,
        top: area.bottom - 6.0 - height,
        right: area.right - 6.0,
        bottom: area.bottom - 6.0,
    };
    let covered = |corner: &Rect| {
        let inside =
            |p: &&Point| (corner.left..corner.right).contains(&p.0) && (corner.top..corner.bottom).contains(&p.1);
        points.iter().filter(inside).count()
    };
    let corner = if covered(&upper) <= covered(&lower) { upper } else { lower };
    if covered(&corner) > 0 {
        canvas.fill(corner, with_alpha(WHITE, 0.85));
    }
    for (i, line) in lines.iter().enumerate() {
        let middle = corner.top + 4.0 + row * (i as f64 + 0.5);
        canvas.text(line, (corner.left + 6.0, middle), Font::TICK.colored(INK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_a_statistics_package() {
        // numpy.corrcoef([1, 2, 3, 4], [1.1, 1.9, 3.2, 3.6])[0, 1] = 0.982642...
        let pairs = [(1.0, 1.1), (2.0, 1.9), (3.0, 3.2), (4.0, 3.6)];
        assert_eq!(figures(&pairs), ["r = 0.983", "MAE = 0.200", "n = 4"]);
        assert_eq!(figures(&[(1.0, 2.0), (1.0, 3.0)]), ["r = –", "MAE = 1.50", "n = 2"]);
    }
}
