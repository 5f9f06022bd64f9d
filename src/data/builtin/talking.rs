//! Talking faces: a corpus of short clips for the five traits, drawn at run time from a seed.
//!
//! It is made up, and says so. A clip's six [`Cues`] steer a drawn face; who it is, the light, the tempo of its movements and the
//! camera's noise are drawn beside them and say nothing. The labels follow a known [`TalkingRule`], so that the least possible error is
//! known as well. Every clip has its own random streams: how many are made, and by how many threads, changes none of them.

use super::canvas::FRAME_SIZE;
use super::face::{Expression, FRAME_RATE, Look, render_noisy};
use super::random::{Dice, Part};
use super::talking_rule::{Cues, Knows, TalkingRule};
use crate::data::corpus::Split;
use crate::data::image::Image;
use crate::data::threads::in_threads;
use crate::data::video::{VideoClip, VideoCorpus, VideoShape};
use crate::error::{Error, Result};
use std::f64::consts::TAU;

/// What to make.
#[derive(Debug, Clone, PartialEq)]
pub struct TalkingConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Clips of each split.
    pub train: usize,
    pub valid: usize,
    pub test: usize,
    /// Standard deviation of the labels' noise, in [0, 1].
    pub label_noise: f64,
    /// Pictures of a clip. Frames are drawn at 64 x 64, ten a second, and brought to these sizes.
    pub shape: VideoShape,
    /// Threads that make the clips; 0 takes as many as the machine has. The clips do not depend on it.
    pub threads: usize,
}

impl Default for TalkingConfig {
    fn default() -> Self {
        let shape = VideoShape { faces: 2, face_size: 64, frames: 12, frame_size: 32 };
        TalkingConfig { seed: 7, train: 400, valid: 80, test: 160, label_noise: 0.04, shape, threads: 0 }
    }
}

/// The corpus with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Talking {
    pub config: TalkingConfig,
    pub corpus: VideoCorpus,
    /// The cues of every clip: train, valid, test, in the order of the corpus. No input is made from them.
    pub cues: [Vec<Cues>; 3],
    pub rule: TalkingRule,
}

impl Talking {
    /// For each trait the least mean absolute error and the greatest correlation that `knows` allows.
    pub fn best_possible(&self, knows: Knows) -> [(f64, f64); 5] {
        self.rule.best_possible(knows)
    }
}

/// Makes the corpus.
///
/// # Errors
/// Where the configuration does not make sense.
pub fn generate_talking(config: TalkingConfig) -> Result<Talking> {
    config.check()?;
    let rule = TalkingRule { label_noise: config.label_noise };
    let jobs: Vec<(Split, usize)> =
        Split::ALL.into_iter().flat_map(|split| (0..config.count(split)).map(move |index| (split, index))).collect();
    let made = in_threads(config.threads, &jobs, |&(split, index)| Ok((split, make(&config, &rule, split, index)?)))?;
    let mut clips: [Vec<VideoClip>; 3] = Default::default();
    let mut cues: [Vec<Cues>; 3] = Default::default();
    for (split, (clip, cue)) in made {
        clips[split as usize].push(clip);
        cues[split as usize].push(cue);
    }
    let [train, valid, test] = clips;
    let name = format!("built-in talking faces, seed {} (drawn; they say nothing about people)", config.seed);
    let corpus = VideoCorpus { name, shape: config.shape, train, valid, test, missing: 0 };
    Ok(Talking { corpus, cues, rule, config })
}

impl TalkingConfig {
    fn count(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Valid => self.valid,
            Split::Test => self.test,
        }
    }

    fn check(&self) -> Result<()> {
        self.shape.check()?;
        if Split::ALL.iter().any(|&split| self.count(split) > 1 << 20) {
            return Err(Error::Config("a split of more than 1048576 talking faces: ask for fewer".to_string()));
        }
        if !(0.0..=1.0).contains(&self.label_noise) {
            return Err(Error::Config(format!("label_noise is {}, but must be between 0 and 1", self.label_noise)));
        }
        Ok(())
    }
}

fn make(config: &TalkingConfig, rule: &TalkingRule, split: Split, index: usize) -> Result<(VideoClip, Cues)> {
    let dice = |part| Dice::new(config.seed, (split as u64) << 32 | index as u64, part);
    let (cues, traits) = rule.draw(&mut dice(Part::Cues));
    let frames = film(&cues, config.shape.frames, &mut dice(Part::Film));
    let pictures =
        frames.iter().map(|levels| Image::gray(FRAME_SIZE, FRAME_SIZE, levels)).collect::<Result<Vec<_>>>()?;
    let clip = VideoClip::from_images(format!("{}-{index:04}", split.name()), &pictures, &pictures, &config.shape)?;
    Ok((VideoClip { traits, ..clip }, cues))
}

/// A sine of amplitude 1 whose tempo, `hertz`, and beginning are drawn: what a frame of it shows says nothing about its amplitude.
struct Swing {
    hertz: f64,
    phase: f64,
}

impl Swing {
    fn draw(hertz: (f64, f64), dice: &mut Dice) -> Self {
        Swing { hertz: dice.uniform(hertz.0, hertz.1), phase: dice.unit() }
    }

    fn at(&self, seconds: f64) -> f64 {
        (TAU * (self.phase + self.hertz * seconds)).sin()
    }
}

/// Frames of [`FRAME_SIZE`] squared, [`FRAME_RATE`] a second.
fn film(cues: &Cues, frames: usize, dice: &mut Dice) -> Vec<Vec<u8>> {
    let look = Look::draw(dice);
    let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
    let (sway, nod) = (Swing::draw((0.7, 1.1), dice), Swing::draw((1.3, 1.8), dice));
    let talk = 0.6 + 3.0 * cues.talking;
    let talk = Swing::draw((talk, talk), dice);
    let rest = dice.uniform(-0.1, 0.1);
    let open = dice.uniform(0.65, 0.75);
    let mut made = Vec::with_capacity(frames);
    for index in 0..frames {
        let seconds = index as f64 / FRAME_RATE;
        let (across, down) = ((0.2 + 1.6 * cues.energy) * sway.at(seconds), 1.5 * cues.nodding * nod.at(seconds));
        let expression = Expression {
            smile: 1.2 * cues.smile - 0.4,
            mouth: open * (1.0 + talk.at(seconds)),
            // lids follow the eyes: who looks away lowers them a little
            eyes: 0.8 + 0.5 * cues.gaze + 0.05 * dice.normal(),
            tilt: 0.05 * across,
            shift: (across, down),
            covered: false,
            gaze: side * (1.0 - cues.gaze) + 0.3 * rest,
            brows: 2.0 * cues.brows - 1.0 + rest,
        };
        made.push(render_noisy(&look, &expression, dice));
    }
    made
}
