//! A small drawn face. The same face in every frame of a clip; what moves is its expression.

use super::canvas::{Canvas, FRAME_SIZE, Pose, ellipse_distance};
use super::random::Dice;
use super::rule::Causes;

/// Frames per second.
pub const FRAME_RATE: f64 = 10.0;

/// Who is seen, and in what light: drawn once per clip, says nothing about the label. Levels are 0..=255.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    skin: f64,
    background: f64,
    hair: f64,
    /// Brightness change from the left to the right edge.
    light: f64,
    /// Centre of the head and half its height, pixels.
    place: (f64, f64),
    scale: f64,
    /// Half the head's width over half its height.
    slim: f64,
    /// Thickness of the brows.
    brows: f64,
}

/// What the face does in one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expression {
    /// -1 frown .. 0 neutral .. 1 smile: mouth corners and brows.
    pub smile: f64,
    /// How far the mouth is open, 0..=1.
    pub mouth: f64,
    /// How wide the eyes are open, 0 shut .. 1 ordinary .. 1.5 wide.
    pub eyes: f64,
    /// Tilt of the head, radians, and its shift, pixels.
    pub tilt: f64,
    pub shift: (f64, f64),
    /// Whether a scarf covers the mouth.
    pub covered: bool,
    /// Where the eyes look, -1 left .. 0 ahead .. 1 right.
    pub gaze: f64,
    /// How far the brows are raised beyond what smile and eyes do, -1..=1.
    pub brows: f64,
}

impl Default for Expression {
    /// Neutral: eyes open, mouth shut, looking ahead.
    fn default() -> Self {
        let (tilt, shift, covered) = (0.0, (0.0, 0.0), false);
        Expression { smile: 0.0, mouth: 0.0, eyes: 1.0, tilt, shift, covered, gaze: 0.0, brows: 0.0 }
    }
}

impl Look {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        Look {
            skin: dice.uniform(150.0, 205.0),
            background: dice.uniform(75.0, 105.0),
            hair: dice.uniform(15.0, 50.0),
            light: dice.uniform(-20.0, 20.0),
            place: (31.5 + dice.uniform(-2.0, 2.0), 33.0 + dice.uniform(-1.5, 1.5)),
            scale: dice.uniform(24.0, 27.0),
            slim: dice.uniform(0.74, 0.84),
            brows: dice.uniform(0.03, 0.045),
        }
    }

    /// The look that `seed` draws.
    pub fn from_seed(seed: u64) -> Self {
        Look::draw(&mut Dice::new(seed, 0, super::random::Part::Face))
    }
}

/// The frames of a clip: [`FRAME_RATE`] per second over `samples` (16 kHz), the mouth opening with the voice. How far it
/// opens is relative to the clip's own loudest frame, so that loudness itself is not seen.
pub(super) fn film(causes: &Causes, samples: &[i16], dice: &mut Dice) -> Vec<Vec<u8>> {
    let look = Look::draw(dice);
    let loudness = envelope(samples);
    let lively = f64::from(causes.arousal) - 1.0;
    let covered = causes.face == 0 && dice.chance(0.5);
    let strength = f64::from(causes.face) * dice.uniform(0.75, 1.1);
    let rest = dice.uniform(-0.08, 0.08);
    let sway = 1.0 + 0.7 * lively;
    let phase: [f64; 3] = std::array::from_fn(|_| dice.uniform(0.0, std::f64::consts::TAU));
    let pace: [f64; 3] = std::array::from_fn(|_| dice.uniform(2.0, 4.0) * (1.0 + 0.3 * lively));
    let blink = dice.below(loudness.len().max(1) * 2);
    let mut frames = Vec::with_capacity(loudness.len());
    for (i, open) in loudness.iter().enumerate() {
        let seconds = i as f64 / FRAME_RATE;
        let swing = |k: usize| (phase[k] + pace[k] * seconds).sin();
        // An expression comes up over the first half second and then lives a little.
        let onset = (0.35 + 1.3 * seconds).min(1.0);
        let expression = Expression {
            smile: strength * onset * (1.0 + 0.1 * swing(2)) + rest,
            mouth: *open,
            eyes: if i == blink { 0.1 } else { 1.0 + 0.3 * lively + 0.05 * dice.normal() },
            tilt: 0.05 * sway * swing(0),
            shift: (1.2 * sway * swing(1), 0.8 * sway * swing(2)),
            covered,
            gaze: 0.0,
            brows: 0.0,
        };
        frames.push(render_noisy(&look, &expression, dice));
    }
    frames
}

/// RMS per video frame relative to the loudest, 0..=1.
fn envelope(samples: &[i16]) -> Vec<f64> {
    let span = (f64::from(super::voice::SAMPLE_RATE) / FRAME_RATE) as usize;
    let frames = (samples.len() / span).max(1);
    let rms = |frame: &[i16]| {
        let power: f64 = frame.iter().map(|&x| f64::from(x).powi(2)).sum();
        (power / frame.len().max(1) as f64).sqrt()
    };
    let loud: Vec<f64> = samples.chunks(span).take(frames).map(rms).collect();
    let peak = loud.iter().copied().fold(1e-9, f64::max);
    loud.iter().map(|l| l / peak).collect()
}

/// One frame, `FRAME_SIZE * FRAME_SIZE` gray levels row by row, without camera noise.
pub fn render(look: &Look, expression: &Expression) -> Vec<u8> {
    sketch(look, expression).finish(|| 0.0)
}

pub(super) fn render_noisy(look: &Look, expression: &Expression, dice: &mut Dice) -> Vec<u8> {
    // The sum of four bytes is near enough to normal: standard deviation 148; here 3 gray levels.
    let (mut bits, mut left) = (0u64, 0);
    sketch(look, expression).finish(|| {
        if left == 0 {
            (bits, left) = (dice.bits(), 2);
        }
        left -= 1;
        let sum: u32 = (bits as u32).to_le_bytes().iter().map(|&b| u32::from(b)).sum();
        bits >>= 32;
        (f64::from(sum) - 510.0) * (3.0 / 148.0)
    })
}

fn sketch(look: &Look, e: &Expression) -> Canvas {
    let pose = Pose { x: look.place.0 + e.shift.0, y: look.place.1 + e.shift.1, scale: look.scale, tilt: e.tilt };
    let half = FRAME_SIZE as f64 / 2.0;
    let mut canvas = Canvas::new(pose, |x, _| look.background + 0.5 * look.light * (x - half) / half);
    let (skin, dark) = (look.skin, look.hair);
    // Hair behind the head, ears, the head, and the hair line over the forehead.
    canvas.ellipse((0.0, -0.28), look.slim + 0.1, 0.82, dark);
    canvas.ellipse((-look.slim, 0.05), 0.1, 0.17, skin * 0.85);
    canvas.ellipse((look.slim, 0.05), 0.1, 0.17, skin * 0.85);
    canvas.ellipse((0.0, 0.0), look.slim, 1.0, skin);
    let fringe = |x: f64, y: f64| ellipse_distance(x, y, look.slim + 0.02, 1.02).max(y + 0.68 + 0.25 * x * x);
    canvas.paint((0.0, -0.8), 0.9, dark, fringe);
    for side in [-1.0, 1.0] {
        eye(&mut canvas, side, e, skin);
        brow(&mut canvas, side, e, look);
    }
    canvas.band((0.0, 0.12), 0.1, skin * 0.78, |t| 0.04 * (1.0 - t * t), |_| 0.018);
    mouth(&mut canvas, e, skin);
    if e.covered {
        let level = 40.0;
        let head = |x: f64, y: f64| ellipse_distance(x, y, look.slim, 1.0).max(0.24 + 0.12 * x * x - y);
        canvas.paint((0.0, 0.6), 1.0, level, head);
    }
    canvas
}

fn eye(canvas: &mut Canvas, side: f64, e: &Expression, skin: f64) {
    let centre = (0.34 * side, -0.12);
    // A smile lifts the cheeks and narrows the eyes a little.
    let open = (0.085 * e.eyes - 0.012 * e.smile.max(0.0)).max(0.012);
    let outline = |grow: f64| {
        move |x: f64, y: f64| (y - centre.1).abs() - (open + grow) * (1.0 - ((x - centre.0) / (0.17 + grow)).powi(2))
    };
    canvas.paint(centre, 0.24, 40.0, outline(0.03));
    canvas.paint(centre, 0.2, (skin * 1.25).min(245.0), outline(0.0));
    let (lids, pupil) = (outline(0.0), centre.0 + 0.1 * e.gaze);
    canvas.paint(centre, 0.2, 25.0, |x, y| ellipse_distance(x - pupil, y - centre.1, 0.075, 0.085).max(lids(x, y)));
}

fn brow(canvas: &mut Canvas, side: f64, e: &Expression, look: &Look) {
    // A frown lowers the brows and draws their inner ends down; a smile lifts and rounds them.
    let slope = 0.075 * e.smile.min(0.0) * side;
    let arch = 0.03 + 0.02 * e.smile.max(0.0);
    let centre = (0.35 * side, -0.42 - 0.04 * e.smile - 0.02 * (e.eyes - 1.0) - 0.08 * e.brows);
    canvas.band(centre, 0.2, look.hair, |t| slope * t + arch * (t * t - 0.4), |t| look.brows * (1.1 - 0.5 * t * t));
}

fn mouth(canvas: &mut Canvas, e: &Expression, skin: f64) {
    let centre = (0.0, 0.5);
    let width = 0.31 + 0.05 * e.smile;
    let corner = |t: f64| -0.15 * e.smile * (t * t - 0.35);
    let open = 0.11 * e.mouth;
    canvas.band(centre, width + 0.03, skin * 0.6, corner, |t| 0.035 + (open + 0.02) * (1.0 - t * t));
    canvas.band(centre, width, 30.0, corner, |t| 0.018 + open * (1.0 - t * t));
    if e.mouth > 0.35 {
        let top = |t: f64| corner(t) - (open - 0.02) * (1.0 - t * t) * 0.75;
        canvas.band(centre, 0.7 * width, 235.0, top, |t| 0.02 * (1.0 - t * t));
    }
}
