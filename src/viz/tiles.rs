//! Images in a grid: feature maps, filters, heat maps beside what they were made of.

use std::path::Path;

use super::canvas::{Canvas, Font, Rect, picture};
use super::colorbar::ColorBar;
use super::image::{Image, range_of};
use super::legend::Header;
use super::style::{BORDER, INK, NOTE_SIZE, TICK_SIZE, TITLE_SIZE};
use super::{text, wheel};
use crate::{Error, Result};

/// An image with what is written below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tile {
    pub image: Image,
    /// May be empty.
    pub caption: String,
}

impl Tile {
    pub fn new(image: Image, caption: impl Into<String>) -> Self {
        Tile { image, caption: caption.into() }
    }
}

/// How [`tiles`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct TilesOptions {
    /// Above the tiles; may be empty.
    pub title: String,
    /// Tiles side by side; the others follow below.
    pub columns: usize,
    /// Width of a tile in pixels.
    pub tile: f64,
    /// What viridis' two ends stand for and what is coloured; drawn as a bar beside the tiles.
    pub colors: Option<(f64, f64, String)>,
    /// Above the columns, one each; empty: none.
    pub headings: Vec<String>,
    /// Beside the rows, one each; empty: none.
    pub rows: Vec<String>,
    /// The motion, in pixels, that has full colour in tiles made by [`Image::flow`]; its wheel is drawn beside the tiles.
    pub motion: Option<f64>,
}

impl Default for TilesOptions {
    fn default() -> Self {
        TilesOptions {
            title: String::new(),
            columns: 8,
            tile: 84.0,
            colors: None,
            headings: Vec::new(),
            rows: Vec::new(),
            motion: None,
        }
    }
}

const GAP: f64 = 8.0;
const CAPTION: f64 = NOTE_SIZE + 5.0;
/// Room for a line of a row's name.
const ROW_NAME: f64 = 120.0;
const WHEEL_GAP: f64 = 16.0;

/// Draws `tiles` row by row and writes the SVG file `path`. Small images show their pixels as squares.
///
/// # Errors
/// [`Error::Config`] where there is no tile, they differ in shape, or the sizes make no sense; [`Error::Io`] if the file cannot be written.
pub fn tiles(path: impl AsRef<Path>, tiles: &[Tile], options: &TilesOptions) -> Result<()> {
    let wrong = |message: String| Err(Error::Config(format!("tiles '{}': {message}", options.title)));
    let Some(first) = tiles.first() else { return wrong("there is no image to draw".to_string()) };
    let ratio = |image: &Image| image.height() as f64 / image.width() as f64;
    if let Some(other) = tiles.iter().find(|tile| (ratio(&tile.image) - ratio(&first.image)).abs() > 1e-6) {
        let (a, b) = (&first.image, &other.image);
        return wrong(format!("{} x {} and {} x {} differ in shape", a.width(), a.height(), b.width(), b.height()));
    }
    if options.columns == 0 || !(16.0..=2000.0).contains(&options.tile) {
        return wrong(format!(
            "{} columns of {} pixels: choose at least 1, of 16 to 2000",
            options.columns, options.tile
        ));
    }
    if let Some((low, high, _)) = &options.colors
        && !(super::drawable(*low) && super::drawable(*high) && low <= high)
    {
        return wrong(format!("no colours lie between {low} and {high}"));
    }
    if options.motion.is_some_and(|motion| !super::drawable(motion) || motion <= 0.0) {
        return wrong("the motion of full colour must be a positive number".to_string());
    }
    let columns = options.columns.min(tiles.len());
    let grid = Grid::new(tiles, columns, (options.tile, options.tile * ratio(&first.image)), options);
    let bar = options.colors.as_ref().map(|(low, high, label)| ColorBar::new(*low, *high, label));
    let wheel_room = if options.motion.is_some() { WHEEL_GAP + wheel::SIZE.0 } else { 0.0 };
    let right = grid.left + grid.body.0 + bar.as_ref().map_or(0.0, ColorBar::room).max(wheel_room) + BORDER;
    // the title may be wider than a few small tiles
    let width = right.max(text::width(&options.title, TITLE_SIZE * 1.05).min(640.0) + 2.0 * BORDER);
    let header = Header::new(&options.title, Vec::new(), width - 2.0 * BORDER);
    let top = header.height() + grid.heading;
    let area = Rect { left: grid.left, top, right: grid.left + grid.body.0, bottom: top + grid.body.1 };
    let below_wheel = top + if options.motion.is_some() { wheel::SIZE.1 + WHEEL_GAP } else { 0.0 };
    let beside = Rect { top: below_wheel, bottom: area.bottom.max(below_wheel), ..area };
    let bottom = if bar.is_some() { ColorBar::bottom(beside).max(area.bottom) } else { below_wheel.max(area.bottom) };
    picture(path.as_ref(), width, bottom + BORDER, |canvas| {
        header.draw(canvas, BORDER);
        grid.draw(canvas, tiles, area, options);
        if let Some(motion) = options.motion {
            wheel::draw(canvas, (area.right + WHEEL_GAP, top), &format!("rim: {motion:.1} pixels"));
        }
        if let Some(bar) = &bar {
            bar.draw(canvas, beside);
        }
    })
}

/// Where everything stands.
struct Grid {
    columns: usize,
    tile: (f64, f64),
    /// Below each tile.
    caption: f64,
    /// Above the tiles.
    heading: f64,
    left: f64,
    body: (f64, f64),
}

impl Grid {
    fn new(tiles: &[Tile], columns: usize, tile: (f64, f64), options: &TilesOptions) -> Self {
        let caption = if tiles.iter().any(|tile| !tile.caption.is_empty()) { CAPTION } else { 0.0 };
        let heading = if options.headings.is_empty() { 0.0 } else { CAPTION };
        let names = text::widest(options.rows.iter().map(String::as_str), TICK_SIZE).min(ROW_NAME);
        let left = BORDER + if options.rows.is_empty() { 0.0 } else { names + GAP };
        let rows = tiles.len().div_ceil(columns) as f64;
        let body = (columns as f64 * (tile.0 + GAP) - GAP, rows * (tile.1 + caption + GAP) - GAP);
        Grid { columns, tile, caption, heading, left, body }
    }

    fn draw(&self, canvas: &mut Canvas<'_>, tiles: &[Tile], area: Rect, options: &TilesOptions) {
        let (width, height) = self.tile;
        for (index, heading) in options.headings.iter().take(self.columns).enumerate() {
            let middle = area.left + index as f64 * (width + GAP) + width / 2.0;
            let heading = text::fit(heading, NOTE_SIZE, width);
            canvas.text(&heading, (middle, area.top - self.heading), Font::NOTE.colored(INK).centered().below());
        }
        for (index, tile) in tiles.iter().enumerate() {
            let left = area.left + (index % self.columns) as f64 * (width + GAP);
            let top = area.top + (index / self.columns) as f64 * (height + self.caption + GAP);
            let place = Rect { left, top, right: left + width, bottom: top + height };
            canvas.image(place, &tile.image);
            let caption = text::fit(&tile.caption, NOTE_SIZE, width);
            canvas.text(&caption, (place.center().0, place.bottom + 3.0), Font::NOTE.centered().below());
            if let Some(name) = options.rows.get(index / self.columns).filter(|_| index % self.columns == 0) {
                let lines = text::fit_two_lines(name, TICK_SIZE, ROW_NAME);
                let first = place.center().1 - 0.6 * TICK_SIZE * (lines.len() as f64 - 1.0);
                for (line, text) in lines.iter().enumerate() {
                    let at = (area.left - GAP, first + 1.2 * TICK_SIZE * line as f64);
                    canvas.text(text, at, Font::TICK.right());
                }
            }
        }
    }
}

/// How [`feature_maps`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMapsOptions {
    /// Above the maps; may be empty.
    pub title: String,
    /// At most so many channels: those whose values vary most, by number.
    pub most: usize,
    /// Maps side by side.
    pub columns: usize,
    /// One range of colours for all maps, with a bar; else each map has its own, from its smallest value to its largest.
    pub shared_range: bool,
}

impl Default for FeatureMapsOptions {
    fn default() -> Self {
        FeatureMapsOptions { title: String::new(), most: 32, columns: 8, shared_range: true }
    }
}

/// Draws the activations of a layer for one example, `[channels, height, width]`, a tile per channel, and writes the SVG file `path`.
///
/// # Errors
/// As [`tiles`], and where the values do not fit.
pub fn feature_maps(
    path: impl AsRef<Path>,
    values: &[f32],
    [channels, height, width]: [usize; 3],
    options: &FeatureMapsOptions,
) -> Result<()> {
    let places = height * width;
    if channels * places == 0 || values.len() != channels * places {
        let message = format!("{} values do not fit [{channels}, {height}, {width}]", values.len());
        return Err(Error::Config(format!("feature maps '{}': {message}", options.title)));
    }
    let channel = |index: usize| &values[index * places..][..places];
    let chosen = most_varied(values, places, options.most);
    let all = range_of(values);
    let tile = |index: &usize| {
        let range = if options.shared_range { all } else { range_of(channel(*index)) };
        Ok(Tile::new(Image::heat(channel(*index), [height, width], range)?, format!("channel {index}")))
    };
    let drawn = chosen.iter().map(tile).collect::<Result<Vec<_>>>()?;
    let colors = (f64::from(all.0), f64::from(all.1), "activation".to_string());
    let colors = options.shared_range.then_some(colors);
    let grid = TilesOptions { title: options.title.clone(), columns: options.columns, colors, ..Default::default() };
    tiles(path, &drawn, &grid)
}

/// The `most` channels of the largest variance, in their own order.
fn most_varied(values: &[f32], places: usize, most: usize) -> Vec<usize> {
    let variance = |channel: &[f32]| {
        let finite = || channel.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
        let count = finite().count().max(1) as f64;
        let mean = finite().sum::<f64>() / count;
        finite().map(|value| (value - mean).powi(2)).sum::<f64>() / count
    };
    let variances: Vec<f64> = values.chunks(places).map(variance).collect();
    let mut order: Vec<usize> = (0..variances.len()).collect();
    order.sort_by(|a, b| variances[*b].total_cmp(&variances[*a]).then(a.cmp(b)));
    order.truncate(most.max(1));
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_that_vary_are_shown_in_order() {
        let values = [0.0, 0.0, 0.0, 9.0, f32::NAN, 1.0, -4.0, 4.0];
        assert_eq!(most_varied(&values, 2, 2), [1, 3]);
        assert_eq!(most_varied(&values, 2, 99), [0, 1, 2, 3]);
    }
}
