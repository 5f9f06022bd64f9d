//! Pictures as SVG: loss curves, attention maps, bars, fusion weights, scatter plots, matrices.
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

mod attention;
mod axis;
mod bars;
mod canvas;
mod colorbar;
mod curves;
mod fusion;
mod legend;
mod matrix;
mod scatter;
mod style;
mod text;

pub use attention::{AttentionMap, AttentionOptions, Strip, attention};
pub use axis::Scale;
pub use bars::{BarSeries, BarsOptions, Reference, bars};
pub use curves::{CurvesOptions, Goal, Series, curves};
pub use fusion::{FusionOptions, fusion_weights};
pub use matrix::{MatrixOptions, Shade, matrix};
pub use scatter::{ScatterOptions, scatter};

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
