//! Matrices with their numbers: confusion, correlation, ablation tables.

use std::path::Path;

use super::canvas::{Canvas, Font, Rect, picture};
use super::colorbar::ColorBar;
use super::legend::Header;
use super::style::{ABSENT, BORDER, LABEL_SIZE, TICK_SIZE, TITLE_SIZE, WHITE, text_on, viridis};
use super::{drawable, text};
use crate::{Error, Result};

/// What a cell's colour shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shade {
    /// The value itself.
    #[default]
    Value,
    /// The value's share of its row's sum, written below it: recall on the diagonal of a confusion matrix of true rows.
    RowShare,
}

/// How [`matrix`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixOptions {
    /// Above the matrix; may be empty.
    pub title: String,
    /// What the rows are: "true".
    pub row_label: String,
    /// What the columns are: "predicted".
    pub column_label: String,
    /// What the colour is: "clips".
    pub value_label: String,
    /// Places after the point.
    pub decimals: usize,
    /// What the colour shows.
    pub shade: Shade,
    /// The values of the darkest and the lightest colour; `None`: the smallest and largest value, or 0 to 1 for shares.
    pub range: Option<(f64, f64)>,
    /// Pixels per cell, each way.
    pub cell: f64,
}

impl Default for MatrixOptions {
    fn default() -> Self {
        MatrixOptions {
            title: String::new(),
            row_label: String::new(),
            column_label: String::new(),
            value_label: String::new(),
            decimals: 0,
            shade: Shade::Value,
            range: None,
            cell: 58.0,
        }
    }
}

const NAME_ROOM: f64 = 130.0;

/// Draws `values`, `[rows, columns]` row-major, with a name per row and column, and writes the SVG file `path`.
/// Values that are not finite leave their cell grey.
///
/// # Errors
/// [`Error::Config`] if a list is empty or they do not fit each other, no value is finite, the range or cell size makes no
/// sense, or shares are asked of negative values; [`Error::Io`] if the file cannot be written.
pub fn matrix(
    path: impl AsRef<Path>,
    rows: &[impl AsRef<str>],
    columns: &[impl AsRef<str>],
    values: &[f64],
    options: &MatrixOptions,
) -> Result<()> {
    let wrong = |message: String| Error::Config(format!("matrix '{}': {message}", options.title));
    if rows.is_empty() || columns.is_empty() || values.len() != rows.len() * columns.len() {
        return Err(wrong(format!("{} values for {} rows and {} columns", values.len(), rows.len(), columns.len())));
    }
    if !(8.0..=500.0).contains(&options.cell) {
        return Err(wrong(format!("cells of {} pixels: choose 8 to 500", options.cell)));
    }
    let cells = cells(values, columns.len(), options).map_err(wrong)?;
    let known = || cells.iter().flatten().map(|cell| cell.level);
    let range = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = options.range.unwrap_or(if options.shade == Shade::Value { range } else { (0.0, 1.0) });
    if !drawable(low) || !drawable(high) || low > high {
        return Err(wrong(format!("no finite value between {low} and {high} to draw")));
    }
    let bar = ColorBar::new(low, high, &options.value_label);
    let names = Names::new(rows, columns, options);
    let body = (options.cell * columns.len() as f64, options.cell * rows.len() as f64);
    // The title may be wider than a small matrix.
    let title_room = text::width(&options.title, TITLE_SIZE * 1.05).min(640.0);
    let width = (names.left + body.0 + bar.room() + BORDER).max(title_room + 2.0 * BORDER);
    let header = Header::new(&options.title, Vec::new(), width - 2.0 * BORDER);
    let top = header.height() + 4.0;
    let area = Rect { left: names.left, top, right: names.left + body.0, bottom: top + body.1 };
    let height = (area.bottom + names.below).max(ColorBar::bottom(area) + BORDER);
    picture(path.as_ref(), width, height, |canvas| {
        header.draw(canvas, BORDER);
        names.draw(canvas, area, options);
        for (r, line) in cells.chunks(columns.len()).enumerate() {
            for (c, cell) in line.iter().enumerate() {
                draw_cell(canvas, cell.as_ref(), (r, c), area, &bar, options);
            }
        }
        bar.draw(canvas, area);
    })
}

/// What stands in a cell and where it lies on the colour bar.
struct Cell {
    lines: Vec<String>,
    level: f64,
}

fn cells(values: &[f64], columns: usize, options: &MatrixOptions) -> std::result::Result<Vec<Option<Cell>>, String> {
    let mut cells = Vec::with_capacity(values.len());
    for row in values.chunks(columns) {
        let finite = row.iter().copied().filter(|&value| drawable(value));
        let sum: f64 = finite.clone().sum();
        if options.shade == Shade::RowShare && finite.into_iter().any(|value| value < 0.0) {
            return Err("shares of negative values mean nothing: choose Shade::Value".into());
        }
        cells.extend(row.iter().map(|&value| {
            let written = text::number(value, options.decimals);
            match options.shade {
                _ if !drawable(value) => None,
                Shade::Value => Some(Cell { lines: vec![written], level: value }),
                Shade::RowShare => {
                    let share = if sum > 0.0 { value / sum } else { 0.0 };
                    Some(Cell { lines: vec![written, format!("{:.0} %", share * 100.0)], level: share })
                }
            }
        }));
    }
    Ok(cells)
}

fn draw_cell(
    canvas: &mut Canvas<'_>,
    cell: Option<&Cell>,
    (row, column): (usize, usize),
    area: Rect,
    bar: &ColorBar,
    options: &MatrixOptions,
) {
    let size = options.cell;
    let (left, top) = (area.left + size * column as f64, area.top + size * row as f64);
    let square = Rect { left, top, right: left + size - 1.0, bottom: top + size - 1.0 };
    let Some(cell) = cell else {
        return canvas.fill(square, ABSENT);
    };
    let color = viridis(bar.level(cell.level));
    canvas.fill(square, color);
    // The number shrinks to its cell; where it would be too small to read, the colour alone speaks.
    let widest = text::widest(cell.lines.iter().map(String::as_str), 1.0);
    let room = ((size - 6.0) / widest).min((size - 4.0) / (1.25 * cell.lines.len() as f64));
    if room < 6.0 {
        return;
    }
    let font = Font::LABEL.centered().colored(text_on(color)).sized(room.min(LABEL_SIZE));
    let (x, y) = square.center();
    let first = y - (cell.lines.len() as f64 - 1.0) * font.size * 0.62;
    for (i, line) in cell.lines.iter().enumerate() {
        canvas.text(line, (x, first + i as f64 * font.size * 1.24), font);
    }
}

/// The names around the matrix.
struct Names {
    rows: Vec<String>,
    columns: Vec<String>,
    /// Column names stand upright where they do not fit across.
    upward: bool,
    row_room: f64,
    column_room: f64,
    left: f64,
    below: f64,
}

impl Names {
    fn new(rows: &[impl AsRef<str>], columns: &[impl AsRef<str>], options: &MatrixOptions) -> Self {
        let fit = |name: &str| text::fit(name, TICK_SIZE, NAME_ROOM);
        let rows: Vec<String> = rows.iter().map(|name| fit(name.as_ref())).collect();
        let columns: Vec<String> = columns.iter().map(|name| fit(name.as_ref())).collect();
        let row_room = text::widest(rows.iter().map(String::as_str), TICK_SIZE);
        let column_width = text::widest(columns.iter().map(String::as_str), TICK_SIZE);
        let upward = column_width > options.cell - 4.0;
        let column_room = if upward { column_width } else { TICK_SIZE };
        let title = |label: &str| if label.is_empty() { 0.0 } else { LABEL_SIZE + 8.0 };
        let left = BORDER + title(&options.row_label) + row_room + 8.0;
        let below = 6.0 + column_room + title(&options.column_label) + BORDER;
        Names { rows, columns, upward, row_room, column_room, left, below }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, area: Rect, options: &MatrixOptions) {
        canvas.fill(area, WHITE);
        let middle = |i: usize| options.cell * (i as f64 + 0.5);
        let every = (TICK_SIZE * 1.1 / options.cell).ceil().max(1.0) as usize;
        for (i, name) in self.rows.iter().enumerate().step_by(every) {
            canvas.text(name, (area.left - 7.0, area.top + middle(i)), Font::TICK.right());
        }
        for (i, name) in self.columns.iter().enumerate().step_by(if self.upward { every } else { 1 }) {
            let at = (area.left + middle(i), area.bottom + 6.0);
            let font = if self.upward { Font::TICK.right().upward() } else { Font::TICK.centered().below() };
            canvas.text(name, at, font);
        }
        let row_label = text::fit(&options.row_label, LABEL_SIZE, area.height());
        let column_label = text::fit(&options.column_label, LABEL_SIZE, area.width());
        let across = area.left - 8.0 - self.row_room - 6.0 - LABEL_SIZE / 2.0;
        canvas.text(&row_label, (across, area.center().1), Font::LABEL.centered().upward());
        let down = area.bottom + 6.0 + self.column_room + 6.0;
        canvas.text(&column_label, (area.center().0, down), Font::LABEL.centered().below());
    }
}
