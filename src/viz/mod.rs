//! Pictures: loss curves, attention and activation maps, bars, fusion weights, scatter plots, matrices, surfaces as SVG; images as PNG;
//! animations as GIF.
//!
//! Each function takes a path, plain numbers and an options struct with defaults, and writes one file, whole or not at all.
//! Colours are told apart by colour-blind readers (Okabe and Ito's palette; viridis for magnitudes). Values that are not
//! finite are left out; a picture with nothing to show is an [`Error::Config`]. Labels of any length and script fit: long
//! ones end in "…".
//!
//! ```
//! use limbic::viz::{CurvesOptions, Goal, Series, curves};
//! # let path = std::env::temp_dir().join(format!("limbic-curves-{}.svg", std::process::id()));
//! let train = Series::new("training", &[1.2, 0.9, 0.7, 0.6]);
//! let valid = Series { best: Some(Goal::Lowest), ..Series::new("validation", &[1.3, 1.0, 0.9, 0.95]) };
//! let options = CurvesOptions { x_label: "epoch".into(), y_label: "loss".into(), ..Default::default() };
//! curves(&path, &[train, valid], &options)?;
//! # std::fs::remove_file(&path).unwrap();
//! # Ok::<(), limbic::Error>(())
//! ```

mod animation;
mod attention;
mod axis;
mod bars;
mod cam;
mod canvas;
mod colorbar;
mod curves;
mod flow;
mod fusion;
mod groups;
mod image;
mod legend;
mod matrix;
mod maximise;
mod scatter;
mod style;
mod surface;
mod text;
mod tiles;
mod wheel;

pub use animation::animation;
pub use attention::{AttentionMap, AttentionOptions, Strip, attention};
pub use axis::Scale;
pub use bars::{BarSeries, BarsOptions, Reference, bars};
pub use cam::{grad_cam, resize_bilinear, to_unit};
pub use curves::{CurvesOptions, Goal, Series, curves};
pub use flow::{FlowPictureOptions, FlowRow, flow};
pub use fusion::{FusionOptions, fusion_weights};
pub use groups::{Group, GroupsOptions, scatter_groups};
pub use image::Image;
pub use matrix::{MatrixOptions, Shade, matrix};
pub use maximise::{MaximiseOptions, maximise};
pub use scatter::{ScatterOptions, scatter};
pub use surface::{SurfaceOptions, surface};
pub use tiles::{FeatureMapsOptions, Tile, TilesOptions, feature_maps, tiles};

use crate::{Error, Result};

/// Checks that the plot itself has room, after the labels took theirs.
fn check_room(area: canvas::Rect) -> Result<()> {
    if area.width() >= 40.0 && area.height() >= 20.0 {
        return Ok(());
    }
    let (width, height) = (area.width().max(0.0), area.height().max(0.0));
    Err(Error::Config(format!(
        "the picture leaves {width:.0} x {height:.0} pixels for the plot itself: choose a larger size or shorter labels"
    )))
}

/// What a number must be to be drawn; the bound keeps differences and squares of drawn values finite.
fn drawable(value: f64) -> bool {
    value.is_finite() && value.abs() < 1e100
}
