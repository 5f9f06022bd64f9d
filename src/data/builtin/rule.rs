//! The rule behind every label, and the least error that anyone can make about it.
//!
//! A clip has four causes: what the words literally say (-3..=3), the tone of the voice and of the face (cold -1, none 0,
//! warm +1) and arousal (0, 1, 2). Where voice AND face both contradict the words the speaker is ironic and the meaning of
//! the words flips. Then
//!
//! ```text
//! meaning = -words if ironic, else words
//! label   = clamp(gain[arousal] * (0.55 * meaning + 0.5 * (voice + face)) + noise, -3, 3)
//! gain    = 0.75, 1, 1.25          noise = normal with standard deviation `label_noise`
//! ```
//!
//! The emotion follows from the same causes: its valence is the label's before noise, its arousal the speaker's ([`EMOTIONS`]).
//!
//! The words alone do not know of the irony, voice and face alone know neither the strength of the words nor each other.

use super::random::{Dice, Part};

const WORD_WEIGHT: f64 = 0.55;
const TONE_WEIGHT: f64 = 0.5;
const GAIN: [f64; 3] = [0.75, 1.0, 1.25];
/// Share of sentences that say nothing good or bad.
const NEUTRAL: f64 = 0.1;
/// How often a sincere speaker's tone agrees with the words, is absent, contradicts them.
const TONE: [f64; 3] = [0.4, 0.35, 0.25];
/// Cells of the grid over [-3, 3] on which label distributions are integrated.
const CELLS: usize = 1200;

/// What [`Causes::emotion`] counts: quadrants of valence and arousal (Russell 1980), and what is neither good nor bad.
pub const EMOTIONS: [&str; 5] = ["neutral", "content", "happy", "sad", "angry"];
/// Labels nearer to 0 than this are neutral.
const NO_VALENCE: f64 = 0.3;

/// The latent causes of a clip. No feature is made from these: they steer the words, the voice and the face, and the
/// features are measured from those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Causes {
    /// What the words literally say, -3 (terrible) to 3 (wonderful).
    pub words: i8,
    /// The tone heard in the voice: -1 cold, 0 flat, 1 warm.
    pub voice: i8,
    /// The expression seen in the face: -1 frown, 0 neutral or covered, 1 smile.
    pub face: i8,
    /// 0 calm, 1 ordinary, 2 excited; heard as loudness and rate, seen as motion and wide eyes.
    pub arousal: u8,
}

impl Causes {
    /// Whether voice and face both contradict the words, so that the meaning flips.
    pub fn is_ironic(&self) -> bool {
        self.words != 0 && self.voice == -self.words.signum() && self.face == self.voice
    }

    /// The label before noise, not clamped.
    pub fn expected(&self) -> f64 {
        let words = f64::from(self.words);
        let meaning = if self.is_ironic() { -words } else { words };
        let gain = GAIN[usize::from(self.arousal.min(2))];
        gain * (WORD_WEIGHT * meaning + TONE_WEIGHT * f64::from(self.voice + self.face))
    }

    /// Which of [`EMOTIONS`] the clip shows: content or sad, of an excited speaker happy or angry, neutral between them.
    pub fn emotion(&self) -> u32 {
        let excited = u32::from(self.arousal >= 2);
        match self.expected() {
            valence if valence.abs() < NO_VALENCE => 0,
            valence if valence > 0.0 => 1 + excited,
            _ => 3 + excited,
        }
    }
}

/// The greatest share of emotions that anyone can name right, by what is known as in [`BestPossible`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmotionBound {
    /// 1: emotions have no noise.
    pub all: f64,
    pub text: f64,
    pub audio: f64,
    pub video: f64,
    /// The most frequent emotion.
    pub nothing: f64,
}

/// The least error possible for someone who knows certain causes exactly, and the rule. Each figure is that of the
/// predictor best for it: the conditional median for MAE, the conditional mean for r, the likelier sign for Acc-2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// Least mean absolute error.
    pub mae: f64,
    /// Greatest Pearson correlation.
    pub r: f64,
    /// Greatest two-class accuracy (negative or not); labels of exactly 0 have probability 0, so has0 and non0 agree.
    pub acc2: f64,
}

/// [`Bound`]s by what is known. A modality alone is credited with the causes that it carries: text with `words`, audio with
/// `voice` and `arousal`, video with `face` and `arousal`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestPossible {
    /// All causes known: what remains is the label's noise.
    pub all: Bound,
    pub text: Bound,
    pub audio: Bound,
    pub video: Bound,
    /// Nothing known: the best constant (its r is 0).
    pub nothing: Bound,
    /// The same for emotions.
    pub emotion: EmotionBound,
}

/// The rule with its two settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Probability that a speaker whose words are not neutral is ironic, in [0, 1].
    pub irony: f64,
    /// Standard deviation of the label's noise, not negative.
    pub label_noise: f64,
}

impl Rule {
    /// Every combination of causes with its probability; these sum to 1.
    pub fn states(&self) -> Vec<(Causes, f64)> {
        let mut states = Vec::with_capacity(189);
        for words in -3..=3i8 {
            for voice in -1..=1i8 {
                for face in -1..=1i8 {
                    for arousal in 0..3u8 {
                        let causes = Causes { words, voice, face, arousal };
                        let share = if words == 0 { NEUTRAL } else { (1.0 - NEUTRAL) / 6.0 };
                        states.push((causes, share * self.tones(&causes) / 3.0));
                    }
                }
            }
        }
        states
    }

    /// The probability of these tones given the words.
    fn tones(&self, causes: &Causes) -> f64 {
        let [agree, flat, contradict] = TONE;
        let sign = causes.words.signum();
        if sign == 0 {
            let p = |tone: i8| if tone == 0 { flat } else { (agree + contradict) / 2.0 };
            return p(causes.voice) * p(causes.face);
        }
        if causes.is_ironic() {
            return self.irony;
        }
        let p = |tone: i8| match tone * sign {
            1 => agree,
            0 => flat,
            _ => contradict,
        };
        (1.0 - self.irony) * p(causes.voice) * p(causes.face) / (1.0 - contradict * contradict)
    }

    /// The causes and labels of `n` imagined clips, without making the clips.
    pub fn sample(&self, seed: u64, n: usize) -> Vec<(Causes, f32)> {
        let states = self.states();
        let mut dice = Dice::new(seed, (1 << 61) - 1, Part::Causes);
        (0..n).map(|_| self.draw(&states, &mut dice)).collect()
    }

    /// One clip's causes and label.
    pub(super) fn draw(&self, states: &[(Causes, f64)], dice: &mut Dice) -> (Causes, f32) {
        let mut rest = dice.unit();
        let hit = states.iter().find(|(_, p)| {
            rest -= p;
            rest < 0.0
        });
        let causes = hit.or(states.last()).map(|s| s.0).unwrap_or_default();
        let label = causes.expected() + self.label_noise * dice.normal();
        (causes, label.clamp(-3.0, 3.0) as f32)
    }

    /// The least errors possible, by integrating the label's distribution over every combination of causes.
    pub fn best_possible(&self) -> BestPossible {
        let weighted: Vec<_> = self.states().into_iter().map(|(c, p)| (c, p, self.distribution(&c))).collect();
        let code = |parts: [i8; 3]| parts.iter().fold(0usize, |code, &p| code * 7 + (p + 3) as usize);
        let all = |c: &Causes| code([c.words, c.voice, c.face]) * 3 + usize::from(c.arousal);
        let text = |c: &Causes| code([c.words, 0, 0]);
        let audio = |c: &Causes| code([c.voice, c.arousal as i8, 0]);
        let video = |c: &Causes| code([c.face, c.arousal as i8, 0]);
        let emotion = |key: &dyn Fn(&Causes) -> usize| emotion_bound(&weighted, key);
        BestPossible {
            all: bound(&weighted, &all),
            text: bound(&weighted, &text),
            audio: bound(&weighted, &audio),
            video: bound(&weighted, &video),
            nothing: bound(&weighted, &|_| 0),
            emotion: EmotionBound {
                all: emotion(&all),
                text: emotion(&text),
                audio: emotion(&audio),
                video: emotion(&video),
                nothing: emotion(&|_| 0),
            },
        }
    }

    /// P(label < t) given all causes, at the middle of each grid cell.
    fn distribution(&self, causes: &Causes) -> Vec<f64> {
        let (mean, noise) = (causes.expected(), self.label_noise.max(1e-9));
        (0..CELLS).map(|i| normal_cdf((middle(i) - mean) / noise)).collect()
    }
}

/// The middle of grid cell `i`.
fn middle(i: usize) -> f64 {
    -3.0 + (i as f64 + 0.5) * STEP
}

const STEP: f64 = 6.0 / CELLS as f64;

/// The bound where only `key` of the causes is known. `states` holds causes, probability and label distribution.
fn bound(states: &[(Causes, f64, Vec<f64>)], key: &dyn Fn(&Causes) -> usize) -> Bound {
    let mut groups = std::collections::BTreeMap::<usize, (f64, Vec<f64>)>::new();
    for (causes, p, cdf) in states {
        let group = groups.entry(key(causes)).or_insert_with(|| (0.0, vec![0.0; CELLS]));
        group.0 += p;
        group.1.iter_mut().zip(cdf).for_each(|(sum, f)| *sum += p * f);
    }
    let (mut mae, mut acc2, mut mean, mut square, mut explained) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (p, mass) in groups.values().filter(|group| group.0 > 0.0) {
        // With F = mass / p on [-3, 3]: E|y - m| = int_{-3}^m F + int_m^3 (1 - F), least at the median, where F passes 1/2;
        // E y = 3 - int F; E y^2 = 9 - int 2 t F.
        mae += mass.iter().map(|f| f.min(p - f) * STEP).sum::<f64>();
        let below_zero = (mass[CELLS / 2 - 1] + mass[CELLS / 2]) / 2.0;
        acc2 += below_zero.max(p - below_zero);
        let group_mean = 3.0 - mass.iter().sum::<f64>() * STEP / p;
        mean += p * group_mean;
        explained += p * group_mean * group_mean;
        square += p * 9.0 - mass.iter().enumerate().map(|(i, f)| 2.0 * middle(i) * f * STEP).sum::<f64>();
    }
    let variance = (square - mean * mean).max(1e-12);
    Bound { mae, r: ((explained - mean * mean).max(0.0) / variance).sqrt(), acc2 }
}

/// The share of right emotions where only `key` of the causes is known and the likeliest is named.
fn emotion_bound(states: &[(Causes, f64, Vec<f64>)], key: &dyn Fn(&Causes) -> usize) -> f64 {
    let mut groups = std::collections::BTreeMap::<usize, [f64; EMOTIONS.len()]>::new();
    for (causes, p, _) in states {
        groups.entry(key(causes)).or_default()[causes.emotion() as usize] += p;
    }
    groups.values().map(|shares| shares.iter().copied().fold(0.0, f64::max)).sum()
}

/// The standard normal distribution function, to 1e-7 (Abramowitz and Stegun 7.1.26).
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let poly = series.iter().fold(0.0, |sum, c| (sum + c) * t);
    let upper = 0.5 * poly * (-x * x).exp();
    if z < 0.0 { upper } else { 1.0 - upper }
}
