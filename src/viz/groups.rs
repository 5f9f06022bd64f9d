//! Points in the plane, coloured by the group that they belong to.

use std::path::Path;

use super::axis::{Axis, Scale, extent};
use super::canvas::{Rect, picture};
use super::legend::{Entry, Header, Mark};
use super::style::{BORDER, series_color, with_alpha};
use super::{check_room, drawable};
use crate::{Error, Result};

/// The points of one colour.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// What the legend calls it.
    pub name: String,
    /// Across and up.
    pub points: Vec<(f64, f64)>,
}

/// How [`scatter_groups`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupsOptions {
    /// Above the plot; may be empty.
    pub title: String,
    /// The horizontal axis.
    pub x_label: String,
    /// The vertical axis.
    pub y_label: String,
    /// Pixels; the plot is about square.
    pub width: f64,
}

impl Default for GroupsOptions {
    fn default() -> Self {
        GroupsOptions { title: String::new(), x_label: "x".into(), y_label: "y".into(), width: 480.0 }
    }
}

/// Draws a disc per point and writes the SVG file `path`. Points with a value that is not finite are left out.
///
/// # Errors
/// [`Error::Config`] where no point can be drawn or the width leaves no room; [`Error::Io`] if the file cannot be written.
pub fn scatter_groups(path: impl AsRef<Path>, groups: &[Group], options: &GroupsOptions) -> Result<()> {
    let shown = |group: &Group| -> Vec<(f64, f64)> {
        group.points.iter().copied().filter(|&(x, y)| drawable(x) && drawable(y)).collect()
    };
    let points: Vec<Vec<(f64, f64)>> = groups.iter().map(shown).collect();
    let all = || points.iter().flatten();
    let ranges = (extent(all().map(|point| point.0), Scale::Linear), extent(all().map(|point| point.1), Scale::Linear));
    let (Some(x_range), Some(y_range)) = ranges else {
        return Err(Error::Config(format!("groups '{}': no point can be drawn", options.title)));
    };
    let ticks = (options.width / 75.0) as usize;
    let (x, y) = (Axis::new(x_range, Scale::Linear, 0.05, ticks), Axis::new(y_range, Scale::Linear, 0.05, ticks));
    let left = y.left_margin(&options.y_label);
    let right = options.width - x.right_margin();
    let entries = groups.iter().enumerate().map(|(index, group)| Entry {
        label: group.name.clone(),
        color: series_color(index),
        mark: Mark::Swatch,
    });
    let header = Header::new(&options.title, entries.collect(), options.width - left - BORDER);
    let top = header.height() + 4.0;
    let area = Rect { left, top, right, bottom: top + 0.9 * (right - left) };
    check_room(area)?;
    let x = x.thinned(area.width());
    picture(path.as_ref(), options.width, area.bottom + Axis::bottom_margin(&options.x_label), |canvas| {
        header.draw(canvas, area.left);
        x.draw_bottom(canvas, area, &options.x_label);
        y.draw_left(canvas, area, &options.y_label);
        let count = all().count() as f64;
        let radius = (5.4 - count.log10()).clamp(1.6, 4.2);
        // in turn, so that no group lies over all others
        let longest = points.iter().map(Vec::len).max().unwrap_or(0);
        for index in 0..longest {
            for (group, points) in points.iter().enumerate() {
                let Some((across, up)) = points.get(index) else { continue };
                let center = (x.place(*across, area.left, area.right), y.place(*up, area.bottom, area.top));
                canvas.disc(center, radius, with_alpha(series_color(group), 0.75));
            }
        }
    })
}
