//! A map as a surface in space.

use std::path::Path;

use super::canvas::{Canvas, Font, Point, Stroke, picture};
use super::colorbar::ColorBar;
use super::image::range_of;
use super::legend::Header;
use super::style::{BORDER, GRID, INK, TICK_SIZE, TITLE_SIZE, WHITE, mix, viridis};
use super::text;
use crate::{Error, Result};

/// How [`surface`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct SurfaceOptions {
    /// Above the surface; may be empty.
    pub title: String,
    /// What the columns are: "x", "frame".
    pub column_label: String,
    /// What the rows are.
    pub row_label: String,
    /// What height and colour are.
    pub value_label: String,
    /// From where it is seen: degrees turned to the right, and degrees above the ground.
    pub view: (f64, f64),
    /// Pixels, without the colour bar.
    pub width: f64,
}

impl Default for SurfaceOptions {
    fn default() -> Self {
        SurfaceOptions {
            title: String::new(),
            column_label: "column".into(),
            row_label: "row".into(),
            value_label: "activation".into(),
            view: (35.0, 35.0),
            width: 460.0,
        }
    }
}

/// How high the surface is, its ground being 1 wide.
const HEIGHT: f64 = 0.55;

/// Draws `values [rows, columns]` as a surface of so many by so many points, seen from above at an angle, far parts first so that near
/// ones hide them, and writes the SVG file `path`. Cells with a value that is not finite are left out.
///
/// # Errors
/// [`Error::Config`] where the values do not fit, are fewer than 2 x 2 or more than 256 a side, none is finite, or the view is not from
/// above; [`Error::Io`] if the file cannot be written.
pub fn surface(
    path: impl AsRef<Path>,
    values: &[f32],
    [rows, columns]: [usize; 2],
    options: &SurfaceOptions,
) -> Result<()> {
    let wrong = |message: String| Err(Error::Config(format!("surface '{}': {message}", options.title)));
    let sides = 2..=256;
    if !sides.contains(&rows) || !sides.contains(&columns) || values.len() != rows * columns {
        return wrong(format!("{} values of {rows} x {columns}: each side may be 2 to 256", values.len()));
    }
    let (turn, above) = options.view;
    if !(0.0..=90.0).contains(&turn) || !(5.0..=85.0).contains(&above) || !(120.0..=2000.0).contains(&options.width) {
        return wrong(format!("a view at {turn}, {above} degrees: turned by 0 to 90, from 5 to 85 above"));
    }
    if !values.iter().any(|value| super::drawable(f64::from(*value))) {
        return wrong("no value can be drawn".to_string());
    }
    let (low, high) = range_of(values);
    let bar = ColorBar::new(f64::from(low), f64::from(high), &options.value_label);
    let header_room = (options.width + bar.room()).max(text::width(&options.title, TITLE_SIZE * 1.05).min(640.0));
    let header = Header::new(&options.title, Vec::new(), header_room);
    let scene =
        Scene::new(options, header.height(), text::widest(bar.ticks().map(|(_, label)| label), TICK_SIZE) + 10.0);
    let area = scene.area;
    let height = (area.bottom).max(ColorBar::bottom(area)) + BORDER;
    picture(path.as_ref(), header_room + 2.0 * BORDER, height, |canvas| {
        header.draw(canvas, BORDER);
        scene.draw_ground(canvas, options);
        scene.draw_heights(canvas, &bar);
        scene.draw_surface(canvas, values, [rows, columns], &bar);
        bar.draw(canvas, area);
    })
}

/// From the ground's [0, 1] x [0, 1] and a height in [0, 1] to pixels.
struct Scene {
    turn: (f64, f64),
    above: (f64, f64),
    scale: f64,
    middle: Point,
    area: super::canvas::Rect,
}

impl Scene {
    /// `beside` pixels are kept to the left, for the heights' labels.
    fn new(options: &SurfaceOptions, top: f64, beside: f64) -> Self {
        let [turn, above] = [options.view.0, options.view.1].map(|degrees| degrees.to_radians().sin_cos());
        // the turned unit square is at most sin + cos wide; labels stand beside it
        let wide = turn.0 + turn.1;
        let scale = (options.width - 40.0 - beside) / wide;
        let (depth, rise) = (scale * wide * above.0, scale * HEIGHT * above.1);
        let height = depth + rise + 46.0;
        let area = super::canvas::Rect { left: BORDER, top, right: BORDER + options.width, bottom: top + height };
        let middle = (area.left + (options.width + beside) / 2.0, top + rise + 8.0 + depth / 2.0);
        Scene { turn, above, scale, middle, area }
    }

    /// `u` along the columns, `v` along the rows, `w` up.
    fn place(&self, u: f64, v: f64, w: f64) -> Point {
        let (x, y) = (u - 0.5, v - 0.5);
        let across = x * self.turn.1 - y * self.turn.0;
        let near = x * self.turn.0 + y * self.turn.1;
        let down = near * self.above.0 - w * HEIGHT * self.above.1;
        (self.middle.0 + self.scale * across, self.middle.1 + self.scale * down)
    }

    fn draw_ground(&self, canvas: &mut Canvas<'_>, options: &SurfaceOptions) {
        for step in 0..=4 {
            let at = f64::from(step) / 4.0;
            let stroke = Stroke::new(GRID, 1.0);
            canvas.line(self.place(at, 0.0, 0.0), self.place(at, 1.0, 0.0), stroke);
            canvas.line(self.place(0.0, at, 0.0), self.place(1.0, at, 0.0), stroke);
            // the two walls behind
            canvas.line(self.place(0.0, 0.0, at), self.place(1.0, 0.0, at), stroke);
            canvas.line(self.place(0.0, 0.0, at), self.place(0.0, 1.0, at), stroke);
        }
        let stroke = Stroke::new(INK, 1.0);
        let corners = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.0)].map(|(u, v)| self.place(u, v, 0.0));
        canvas.path(&corners, stroke);
        canvas.line(self.place(0.0, 0.0, 0.0), self.place(0.0, 0.0, 1.0), stroke);
        // below the middle of the two near edges, each to its side
        let below = |at: Point| (at.0, at.1 + 10.0);
        let room = self.area.width() / 2.0 - 20.0;
        let columns = text::fit(&options.column_label, Font::LABEL.size, room);
        let rows = text::fit(&options.row_label, Font::LABEL.size, room);
        let (left, right) = (below(self.place(0.5, 1.0, 0.0)), below(self.place(1.0, 0.5, 0.0)));
        canvas.text(&format!("{columns} →"), (left.0 - 6.0, left.1), Font::LABEL.right().below());
        canvas.text(&format!("← {rows}"), (right.0 + 6.0, right.1), Font::LABEL.below());
    }

    /// The colour bar's ticks once more, up the left edge of the walls.
    fn draw_heights(&self, canvas: &mut Canvas<'_>, bar: &ColorBar) {
        for (value, label) in bar.ticks() {
            let (x, y) = self.place(0.0, 1.0, bar.level(value));
            canvas.line((x - 4.0, y), (x, y), Stroke::new(INK, 1.0));
            canvas.text(label, (x - 7.0, y), Font::TICK.right());
        }
        canvas.line(self.place(0.0, 1.0, 0.0), self.place(0.0, 1.0, 1.0), Stroke::new(INK, 1.0));
    }

    fn draw_surface(&self, canvas: &mut Canvas<'_>, values: &[f32], [rows, columns]: [usize; 2], bar: &ColorBar) {
        let level = |row: usize, column: usize| bar.level(f64::from(values[row * columns + column]));
        let mut cells: Vec<(usize, usize)> =
            (0..rows - 1).flat_map(|row| (0..columns - 1).map(move |column| (row, column))).collect();
        let along = |index: usize, count: usize| index as f64 / (count - 1) as f64;
        let near =
            |&(row, column): &(usize, usize)| along(column, columns) * self.turn.0 + along(row, rows) * self.turn.1;
        cells.sort_by(|a, b| near(a).total_cmp(&near(b)));
        let edge = Stroke::new(mix(INK, WHITE, 0.35), if rows.max(columns) > 64 { 0.15 } else { 0.4 });
        for (row, column) in cells {
            let corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)];
            if corners.iter().any(|(row, column)| !values[row * columns + column].is_finite()) {
                continue;
            }
            let point = |&(row, column): &(usize, usize)| {
                self.place(along(column, columns), along(row, rows), level(row, column))
            };
            let outline: Vec<Point> = corners.iter().chain(&corners[..1]).map(point).collect();
            let mean = corners.iter().map(|&(row, column)| level(row, column)).sum::<f64>() / 4.0;
            canvas.polygon(&outline[..4], viridis(mean));
            canvas.path(&outline, edge);
        }
    }
}
