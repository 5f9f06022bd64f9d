//! How a fusion head weighs its modalities, over many clips.

use std::path::Path;

use plotters::style::RGBColor;

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, Font, Point, Rect, Stroke, picture};
use super::legend::Header;
use super::style::{BORDER, INK, LABEL_SIZE, NOTE_SIZE, QUIET, TICK_SIZE, WHITE, series_color, with_alpha};
use super::{check_room, text};
use crate::{Error, Result};

/// How [`fusion_weights`] draws.
#[derive(Debug, Clone, PartialEq)]
pub struct FusionOptions {
    /// Above the plot; may be empty.
    pub title: String,
    /// The horizontal axis.
    pub weight_label: String,
    /// What is counted: "clips".
    pub clips_label: String,
    /// Also draws every clip as a stacked bar, sorted by its strongest modality.
    pub stacked: bool,
    /// Pixels; the height follows from the modalities.
    pub width: f64,
}

impl Default for FusionOptions {
    fn default() -> Self {
        FusionOptions {
            title: String::new(),
            weight_label: "fusion weight".into(),
            clips_label: "clips".into(),
            stacked: true,
            width: 600.0,
        }
    }
}

const ROW: f64 = 58.0;
const NAME_ROOM: f64 = 120.0;
const STACK_HEIGHT: f64 = 110.0;

/// Draws the distribution of each modality's weight over all clips: its density, a box from the lower to the upper quartile with
/// the median, whiskers from 5 % to 95 %, a diamond at the mean. Writes the SVG file `path`.
///
/// `weights` is `[clips, modalities]`, row-major; each row sums to 1. Clips with a weight that is not finite are left out.
///
/// # Errors
/// [`Error::Config`] if a list is empty or they do not fit each other, a weight lies outside [0, 1], a row does not sum to 1,
/// or the width leaves no room; [`Error::Io`] if the file cannot be written.
pub fn fusion_weights(
    path: impl AsRef<Path>,
    modalities: &[impl AsRef<str>],
    weights: &[f32],
    options: &FusionOptions,
) -> Result<()> {
    let clips = clips(modalities.len(), weights)
        .map_err(|message| Error::Config(format!("fusion weights '{}': {message}", options.title)))?;
    let names: Vec<String> = modalities.iter().map(|name| text::fit(name.as_ref(), LABEL_SIZE, NAME_ROOM)).collect();
    let rows: Vec<Spread> = (0..names.len()).map(|m| Spread::new(&clips, m)).collect();

    let figures: Vec<String> = rows.iter().map(Spread::figures).collect();
    let figures_room = text::widest(figures.iter().map(String::as_str).chain([FIGURES]), TICK_SIZE);
    let left = BORDER + text::widest(names.iter().map(String::as_str), LABEL_SIZE).max(30.0) + 10.0;
    let header = Header::new(&options.title, Vec::new(), options.width - 2.0 * BORDER);
    let top = header.height() + TICK_SIZE + 6.0;
    let right = options.width - BORDER - figures_room - 14.0;
    let area = Rect { left, top, right, bottom: top + ROW * names.len() as f64 };
    check_room(area)?;
    let axis = Axis::new((0.0, 1.0), Scale::Linear, 0.0, (area.width() / 60.0) as usize).thinned(area.width());
    let stack_top = area.bottom + Axis::bottom_margin(&options.weight_label) + 6.0;
    let stack = Rect { left, top: stack_top, right, bottom: stack_top + STACK_HEIGHT };
    let height = if options.stacked { stack.bottom + TICK_SIZE + BORDER + 8.0 } else { stack_top - 6.0 };

    picture(path.as_ref(), options.width, height, |canvas| {
        header.draw(canvas, BORDER);
        axis.draw_bottom(canvas, area, &options.weight_label);
        canvas.text(FIGURES, (area.right + 14.0, area.top - TICK_SIZE / 2.0 - 4.0), Font::NOTE.sized(TICK_SIZE));
        for (i, spread) in rows.iter().enumerate() {
            let row = Rect { top: area.top + ROW * i as f64, bottom: area.top + ROW * (i as f64 + 1.0), ..area };
            spread.draw(canvas, row, series_color(i), |weight| axis.place(weight, area.left, area.right));
            let middle = row.center().1;
            canvas.text(&names[i], (area.left - 10.0, middle), Font::LABEL.right());
            canvas.text(&figures[i], (area.right + 14.0, middle), Font::TICK);
        }
        if options.stacked {
            draw_stack(canvas, stack, &clips, options);
        }
    })
}

const FIGURES: &str = "mean [quartiles]";

/// The clips whose weights are all finite, checked.
fn clips(modalities: usize, weights: &[f32]) -> std::result::Result<Vec<&[f32]>, String> {
    if modalities == 0 || weights.is_empty() || !weights.len().is_multiple_of(modalities) {
        return Err(format!("{} weights for {modalities} modalities; give [clips, modalities]", weights.len()));
    }
    let clips: Vec<&[f32]> =
        weights.chunks(modalities).filter(|clip| clip.iter().all(|weight| weight.is_finite())).collect();
    for clip in &clips {
        let sum: f32 = clip.iter().sum();
        if clip.iter().any(|weight| !(-1e-3..=1.001).contains(weight)) || (sum - 1.0).abs() > 1e-2 {
            return Err(format!(
                "the weights {clip:?} of a clip are not in [0, 1] with sum 1: give them after softmax"
            ));
        }
    }
    if clips.is_empty() { Err("no clip has finite weights".into()) } else { Ok(clips) }
}

/// One modality's weights, in order, with what is drawn of them.
struct Spread {
    sorted: Vec<f64>,
    mean: f64,
}

impl Spread {
    fn new(clips: &[&[f32]], modality: usize) -> Self {
        let weights = clips.iter().filter_map(|clip| clip.get(modality));
        let mut sorted: Vec<f64> = weights.map(|&weight| f64::from(weight).clamp(0.0, 1.0)).collect();
        sorted.sort_by(f64::total_cmp);
        let mean = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64;
        Spread { sorted, mean }
    }

    /// Linear between the two nearest, as numpy does.
    fn quantile(&self, share: f64) -> f64 {
        let place = share * self.sorted.len().saturating_sub(1) as f64;
        let at = |place: f64| self.sorted.get(place as usize).copied().unwrap_or(0.0);
        at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
    }

    fn figures(&self) -> String {
        format!("{:.2} [{:.2}, {:.2}]", self.mean, self.quantile(0.25), self.quantile(0.75))
    }

    /// The density at equal steps over [0, 1], 1 at its peak: a histogram under Gaussians as wide as Silverman's rule has it.
    fn density(&self) -> Vec<f64> {
        const BINS: usize = 200;
        let mut histogram = [0.0; BINS + 1];
        for &weight in &self.sorted {
            if let Some(bin) = histogram.get_mut((weight * BINS as f64).round() as usize) {
                *bin += 1.0;
            }
        }
        let count = self.sorted.len() as f64;
        let variance = self.sorted.iter().map(|weight| (weight - self.mean).powi(2)).sum::<f64>() / count;
        let width = (0.9 * variance.sqrt() * count.powf(-0.2)).clamp(0.006, 0.08) * BINS as f64;
        let at = |x: usize| -> f64 {
            let bell = |(bin, &mass): (usize, &f64)| mass * (-0.5 * ((bin as f64 - x as f64) / width).powi(2)).exp();
            histogram.iter().enumerate().map(bell).sum()
        };
        let density: Vec<f64> = (0..=BINS).map(at).collect();
        let peak = density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        density.into_iter().map(|value| value / peak).collect()
    }

    fn draw(&self, canvas: &mut Canvas<'_>, row: Rect, color: RGBColor, at: impl Fn(f64) -> f64) {
        let ground = row.bottom - 20.0;
        let density = self.density();
        let step = 1.0 / (density.len() - 1) as f64;
        let hill = density.iter().enumerate().filter(|(_, height)| **height > 0.002);
        let hill: Vec<Point> =
            hill.map(|(i, height)| (at(i as f64 * step), ground - height * (ground - row.top - 5.0))).collect();
        if let (Some(first), Some(last)) = (hill.first().copied(), hill.last().copied()) {
            let mut area = hill.clone();
            area.extend([(last.0, ground), (first.0, ground)]);
            canvas.polygon(&area, with_alpha(color, 0.3));
            canvas.path(&hill, Stroke::new(color, 1.4));
        }
        let middle = ground + 9.0;
        let quartiles = Rect {
            left: at(self.quantile(0.25)),
            right: at(self.quantile(0.75)),
            top: middle - 5.0,
            bottom: middle + 5.0,
        };
        canvas.line((at(self.quantile(0.05)), middle), (at(self.quantile(0.95)), middle), Stroke::new(color, 1.6));
        canvas.fill(quartiles, color);
        let median = at(self.quantile(0.5));
        canvas.line((median, quartiles.top), (median, quartiles.bottom), Stroke::new(WHITE, 2.0));
        let mean = at(self.mean);
        let diamond = [(mean - 4.5, middle), (mean, middle - 4.5), (mean + 4.5, middle), (mean, middle + 4.5)];
        canvas.polygon(&diamond, WHITE);
        canvas.path(&[diamond[0], diamond[1], diamond[2], diamond[3], diamond[0]], Stroke::new(INK, 1.2));
    }
}

/// Every clip as a column of its weights; where clips are more than pixels, a column is the mean of its clips.
fn draw_stack(canvas: &mut Canvas<'_>, area: Rect, clips: &[&[f32]], options: &FusionOptions) {
    let strongest = |clip: &[f32]| {
        let by_weight = |a: &(usize, &f32), b: &(usize, &f32)| a.1.total_cmp(b.1).then(b.0.cmp(&a.0));
        clip.iter().enumerate().max_by(by_weight).map_or((0, 0.0), |(modality, weight)| (modality, *weight))
    };
    let mut sorted = clips.to_vec();
    sorted.sort_by(|a, b| {
        let (a, b) = (strongest(a), strongest(b));
        a.0.cmp(&b.0).then(b.1.total_cmp(&a.1))
    });
    let columns = sorted.len().min(area.width() as usize).max(1);
    let gap = if area.width() / columns as f64 > 6.0 { 1.0 } else { 0.0 };
    for column in 0..columns {
        let (from, to) = (column * sorted.len() / columns, (column + 1) * sorted.len() / columns);
        let members = sorted.get(from..to).unwrap_or_default();
        let left = area.left + area.width() * column as f64 / columns as f64;
        // A column reaches under the next one, or hairlines would show between them.
        let right = area.left + area.width() * (column + 1) as f64 / columns as f64;
        let right = if gap > 0.0 { right - gap } else { (right + 0.7).min(area.right) };
        let mut top = area.top;
        for modality in 0..members.first().map_or(0, |clip| clip.len()) {
            let mean =
                members.iter().filter_map(|clip| clip.get(modality)).map(|&weight| f64::from(weight)).sum::<f64>()
                    / members.len() as f64;
            let bottom = (top + mean.max(0.0) * area.height()).min(area.bottom);
            canvas.fill(Rect { left, top, right, bottom }, with_alpha(series_color(modality), 1.0));
            top = bottom;
        }
    }
    canvas.frame(area, Stroke::new(INK, 0.8));
    for (share, label) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
        let at = area.bottom - area.height() * share;
        canvas.line((area.left - 3.0, at), (area.left, at), Stroke::new(INK, 0.8));
        canvas.text(label, (area.left - 6.0, at), Font::TICK.right());
    }
    let count = text::number(sorted.len() as f64, 0);
    let label = format!("{count} {}, sorted by their strongest modality", options.clips_label);
    let label = text::fit(&label, NOTE_SIZE + 1.0, area.width() + 40.0);
    canvas.text(
        &label,
        (area.center().0, area.bottom + 7.0),
        Font::NOTE.colored(QUIET).sized(NOTE_SIZE + 1.0).centered().below(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_numpy() {
        let clips: Vec<[f32; 2]> = [0.1f32, 0.4, 0.2, 0.8].iter().map(|&a| [a, 1.0 - a]).collect();
        let clips: Vec<&[f32]> = clips.iter().map(|clip| clip.as_slice()).collect();
        let spread = Spread::new(&clips, 0);
        // numpy.quantile([.1, .4, .2, .8], [.25, .5, .75]) = [0.175, 0.3, 0.5]
        for (share, want) in [(0.25, 0.175), (0.5, 0.3), (0.75, 0.5), (0.0, 0.1), (1.0, 0.8)] {
            assert!((spread.quantile(share) - want).abs() < 1e-6, "{share}: {}", spread.quantile(share));
        }
        assert_eq!(spread.figures(), "0.38 [0.18, 0.50]");
    }

    #[test]
    fn the_density_peaks_where_the_weights_are() {
        let clips = [[0.25f32, 0.75]; 20];
        let clips: Vec<&[f32]> = clips.iter().map(|clip| clip.as_slice()).collect();
        let density = Spread::new(&clips, 1).density();
        assert_eq!(density[150], 1.0);
        assert!(density[100] < 1e-3);
    }
}
