//! Colours and sizes that all pictures share.

use plotters::style::{RGBAColor, RGBColor};

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x26, 0x26, 0x26);
/// Secondary text: counts, notes.
pub const QUIET: RGBColor = RGBColor(0x6a, 0x6a, 0x6a);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(0xe6, 0xe6, 0xe6);
/// A cell that has no value.
pub const ABSENT: RGBColor = RGBColor(0xee, 0xee, 0xee);
pub const WHITE: RGBColor = RGBColor(0xff, 0xff, 0xff);

pub const TITLE_SIZE: f64 = 15.0;
pub const LABEL_SIZE: f64 = 13.0;
pub const TICK_SIZE: f64 = 12.0;
pub const NOTE_SIZE: f64 = 11.0;
/// The empty border around every picture, in pixels.
pub const BORDER: f64 = 12.0;

/// M. Okabe and K. Ito, "Color Universal Design" (2008), without the yellow that is lost on white.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x59, 0x59, 0x59),
];

/// Viridis (S. van der Walt and N. Smith, public domain) at eleven equally spaced points.
const VIRIDIS: [RGBColor; 11] = [
    RGBColor(0x44, 0x01, 0x54),
    RGBColor(0x48, 0x25, 0x76),
    RGBColor(0x41, 0x44, 0x87),
    RGBColor(0x35, 0x60, 0x8d),
    RGBColor(0x2a, 0x78, 0x8e),
    RGBColor(0x21, 0x90, 0x8c),
    RGBColor(0x22, 0xa8, 0x84),
    RGBColor(0x43, 0xbf, 0x71),
    RGBColor(0x7a, 0xd1, 0x51),
    RGBColor(0xbb, 0xdf, 0x27),
    RGBColor(0xfd, 0xe7, 0x25),
];

/// The colour of series `index`; beyond the palette the colours come again, lighter each time.
pub fn series_color(index: usize) -> RGBColor {
    let base = PALETTE[index % PALETTE.len()];
    let round = (index / PALETTE.len()) as f64;
    mix(base, WHITE, 1.0 - 0.6f64.powf(round))
}

/// Viridis at `level` in [0, 1]; outside it the nearest end.
pub fn viridis(level: f64) -> RGBColor {
    let level = if level.is_nan() { 0.0 } else { level.clamp(0.0, 1.0) };
    let last = VIRIDIS.len() - 1;
    let place = level * last as f64;
    let below = (place as usize).min(last);
    mix(VIRIDIS[below], VIRIDIS[(below + 1).min(last)], place - below as f64)
}

/// Black or white, whichever reads better on `ground`.
pub fn text_on(ground: RGBColor) -> RGBColor {
    if contrast(ground, INK) > contrast(ground, WHITE) { INK } else { WHITE }
}

/// Contrast ratio (WCAG 2.1), from 1 to 21.
fn contrast(a: RGBColor, b: RGBColor) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance (WCAG 2.1), 0 for black and 1 for white.
fn luminance(color: RGBColor) -> f64 {
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2)
}

/// `share` of `b` in `a`, channel by channel.
pub fn mix(a: RGBColor, b: RGBColor, share: f64) -> RGBColor {
    let channel = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u8;
    RGBColor(channel(a.0, b.0), channel(a.1, b.1), channel(a.2, b.2))
}

/// `color`, `alpha` of it covering what lies beneath.
pub fn with_alpha(color: RGBColor, alpha: f64) -> RGBAColor {
    RGBAColor(color.0, color.1, color.2, alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_grows_lighter_all_the_way() {
        let levels: Vec<f64> = (0..=200).map(|i| luminance(viridis(f64::from(i) / 200.0))).collect();
        assert!(levels.windows(2).all(|pair| pair[1] >= pair[0]), "{levels:?}");
        assert_eq!(viridis(0.0), VIRIDIS[0]);
        assert_eq!(viridis(2.0), VIRIDIS[10]);
        assert_eq!(viridis(f64::NAN), VIRIDIS[0]);
        assert_eq!(viridis(0.45), mix(VIRIDIS[4], VIRIDIS[5], 0.5));
    }

    #[test]
    fn text_keeps_its_contrast_on_every_level() {
        for i in 0..=100 {
            let ground = viridis(f64::from(i) / 100.0);
            let contrast = contrast(ground, text_on(ground));
            assert!(contrast > 3.8, "level {i}: {contrast}");
        }
    }

    #[test]
    fn fourteen_series_have_fourteen_colors() {
        let colors: std::collections::HashSet<_> = (0..14).map(series_color).map(|c| (c.0, c.1, c.2)).collect();
        assert_eq!(colors.len(), 14);
    }
}
