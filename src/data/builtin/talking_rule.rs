//! The rule behind the five traits of the talking faces, and the least error that anyone can make about them.
//!
//! A clip has six cues, each uniform in [0, 1] and independent of the others. Three are seen in any single frame (smile, gaze, brows),
//! three only in motion (energy, nodding, talking). With cues less 1/2,
//!
//! ```text
//! openness          = 1/2 + 0.6 brows   + 0.2 smile                 + noise      a matter of the face
//! conscientiousness = 1/2 + 0.5 gaze    - 0.3 energy                + noise
//! extraversion      = 1/2 + 0.4 smile   + 0.4 energy                + noise      face and motion
//! agreeableness     = 1/2 + 0.35 smile  + 0.45 nodding              + noise
//! neuroticism       = 1/2 + 0.6 talking - 0.2 nodding               + noise      a matter of motion
//! ```
//!
//! each limited to [0, 1], which noise of the default size all but never reaches. The mapping is made up; it says nothing about people.

use super::random::Dice;
use std::f64::consts::PI;

/// The weight of each cue in each trait: rows openness, conscientiousness, extraversion, agreeableness, neuroticism; columns in the
/// order of [`Cues::values`].
const WEIGHTS: [[f64; 6]; 5] = [
    [0.2, 0.0, 0.6, 0.0, 0.0, 0.0],
    [0.0, 0.5, 0.0, -0.3, 0.0, 0.0],
    [0.4, 0.0, 0.0, 0.4, 0.0, 0.0],
    [0.35, 0.0, 0.0, 0.0, 0.45, 0.0],
    [0.0, 0.0, 0.0, 0.0, -0.2, 0.6],
];
/// How many of the cues a single frame shows; the others take motion.
const STATIC: usize = 3;

/// The causes of a clip, each in [0, 1]. No input of a model is made from these: they steer the drawn face.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cues {
    /// From none to broad.
    pub smile: f64,
    /// From averted to straight into the camera.
    pub gaze: f64,
    /// From lowered to raised.
    pub brows: f64,
    /// How far the head sways.
    pub energy: f64,
    /// How deep it nods.
    pub nodding: f64,
    /// How fast the mouth moves.
    pub talking: f64,
}

impl Cues {
    /// All six, in the order of the fields.
    pub fn values(&self) -> [f64; 6] {
        [self.smile, self.gaze, self.brows, self.energy, self.nodding, self.talking]
    }

    /// The traits before noise.
    pub fn expected(&self) -> [f64; 5] {
        let values = self.values();
        WEIGHTS.map(|weights| 0.5 + weights.iter().zip(values).map(|(weight, cue)| weight * (cue - 0.5)).sum::<f64>())
    }
}

/// Whose error is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knows {
    /// All cues: what remains is the labels' noise.
    All,
    /// What one frame shows.
    Face,
    /// What motion shows.
    Motion,
    /// Nothing: the best constant.
    Nothing,
}

/// The rule with its setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TalkingRule {
    /// Standard deviation of each label's noise, in [0, 1].
    pub label_noise: f64,
}

impl TalkingRule {
    /// One clip's cues and labels.
    pub(super) fn draw(&self, dice: &mut Dice) -> (Cues, [f32; 5]) {
        let [smile, gaze, brows, energy, nodding, talking] = std::array::from_fn(|_| dice.unit());
        let cues = Cues { smile, gaze, brows, energy, nodding, talking };
        let label = |expected: f64| (expected + self.label_noise * dice.normal()).clamp(0.0, 1.0) as f32;
        (cues, cues.expected().map(label))
    }

    /// The least mean absolute error and the greatest correlation of each trait for someone who knows those cues exactly, and the
    /// rule. A predictor may be rescaled, so the greatest concordance is the greatest correlation. That labels are limited to [0, 1] is
    /// left out of account.
    pub fn best_possible(&self, knows: Knows) -> [(f64, f64); 5] {
        WEIGHTS.map(|weights| {
            let known = |cue: usize| match knows {
                Knows::All => true,
                Knows::Face => cue < STATIC,
                Knows::Motion => cue >= STATIC,
                Knows::Nothing => false,
            };
            let variance = |wanted: bool| {
                let weights = weights.iter().enumerate().filter(|(cue, _)| known(*cue) == wanted);
                weights.map(|(_, weight)| weight * weight / 12.0).sum::<f64>()
            };
            let unknown: Vec<f64> =
                weights.iter().enumerate().filter(|(cue, _)| !known(*cue)).map(|(_, weight)| *weight).collect();
            let total = variance(true) + variance(false) + self.label_noise.powi(2);
            (mean_magnitude(&unknown, self.label_noise), (variance(true) / total.max(1e-12)).sqrt())
        })
    }
}

/// E|x| of x = sum of `weights` times uniforms in [-1/2, 1/2], plus normal noise: symmetric, so that 0 is its median and this the least
/// mean absolute error. By the characteristic function phi of x, E|x| = 2/pi times the integral of (1 - phi(t)) / t^2 over t > 0.
fn mean_magnitude(weights: &[f64], noise: f64) -> f64 {
    let spread = (weights.iter().map(|weight| weight * weight / 12.0).sum::<f64>() + noise * noise).sqrt();
    if spread < 1e-9 {
        return 0.0;
    }
    let phi = |t: f64| {
        let uniform = |weight: f64| {
            let x = 0.5 * weight * t;
            if x.abs() < 1e-6 { 1.0 } else { x.sin() / x }
        };
        (-0.5 * (noise * t).powi(2)).exp() * weights.iter().map(|weight| uniform(*weight)).product::<f64>()
    };
    // midpoints up to 400 spreads; beyond, phi is nothing beside 1, whose integral is 1 / t
    let (end, steps) = (400.0 / spread, 40_000);
    let step = end / f64::from(steps);
    let integrand = |index: i32| {
        let t = (f64::from(index) + 0.5) * step;
        (1.0 - phi(t)) / (t * t)
    };
    2.0 / PI * ((0..steps).map(integrand).sum::<f64>() * step + 1.0 / end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_of_known_distributions() {
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-5, "{value} {expected}");
        close(mean_magnitude(&[], 0.05), 0.05 * (2.0 / PI).sqrt());
        close(mean_magnitude(&[0.6], 0.0), 0.6 / 4.0);
        // the difference of two uniforms: a triangle over [-w, w]
        close(mean_magnitude(&[0.4, -0.4], 0.0), 0.4 / 3.0);
        close(mean_magnitude(&[], 0.0), 0.0);
    }
}
