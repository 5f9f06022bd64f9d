//! A corpus made at run time from a seed: short clips in which someone says something, sounds some way and looks some way.
//!
//! It is made up, and says so. Each clip has a few causes ([`Causes`]); they steer a sentence, a 16 kHz recording of a small
//! synthetic voice babbling it, and frames of a drawn face. All features are then measured from those signals: word vectors,
//! mel spectrum, pitch and loudness, the shape of mouth, brows and eyes. The label follows a known [`Rule`] in which the
//! words alone, the voice alone and the face alone are ambiguous on purpose, so that the least possible error is known as
//! well ([`Rule::best_possible`]) and a model can be judged against it.
//!
//! Signals and labels are the same for the same seed everywhere, but for the last bits of `sin` and `exp`; every clip has
//! its own random stream, so that how many clips are made, and by how many threads, changes none of them.

mod audio_features;
mod canvas;
mod export;
mod face;
mod face_features;
mod phones;
mod random;
mod rule;
mod script;
mod standardise;
mod talking;
mod talking_rule;
mod voice;
mod words;

pub use audio_features::{AUDIO_DIM, AUDIO_HOP, AudioFeatures, MEL_BANDS, Pitch, pitch_at};
pub use canvas::FRAME_SIZE;
pub use export::read_export;
pub use face::{Expression, FRAME_RATE, Look, render};
pub use face_features::{FaceMeasure, VIDEO_DIM, extract_face, measure_face};
pub use rule::{BestPossible, Bound, Causes, EMOTIONS, EmotionBound, Rule};
pub use script::{MAX_WORDS, MIN_WORDS, literal_polarity};
pub use standardise::Standardiser;
pub use talking::{Talking, TalkingConfig, generate_talking};
pub use talking_rule::{Cues, Knows, TalkingRule};
pub use voice::{MAX_SECONDS, SAMPLE_RATE};
pub use words::{WORD_DIM, word_vector};

use super::threads::in_threads;
use super::{Clip, Corpus, Modality, Sequence, Split};
use crate::error::{Error, Result};
use random::{Dice, Part};

/// Most steps of text, audio and video that a clip can have; a model with these sequence lengths sees every clip whole.
pub const MAX_STEPS: [usize; 3] =
    [MAX_WORDS, (MAX_SECONDS * SAMPLE_RATE as f64) as usize / AUDIO_HOP, (MAX_SECONDS * FRAME_RATE) as usize];

/// What to make. The default takes a few seconds on two slow cores.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltinConfig {
    /// Everything random follows from it.
    pub seed: u64,
    /// Clips of each split.
    pub train: usize,
    pub valid: usize,
    pub test: usize,
    /// Probability that a speaker is ironic, in [0, 1].
    pub irony: f64,
    /// Standard deviation of the label's noise, in [0, 3].
    pub label_noise: f64,
    /// Threads that make the clips; 0 takes as many as the machine has. The clips do not depend on it.
    pub threads: usize,
}

impl Default for BuiltinConfig {
    fn default() -> Self {
        BuiltinConfig { seed: 7, train: 1200, valid: 200, test: 300, irony: 0.25, label_noise: 0.3, threads: 0 }
    }
}

/// The corpus with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Builtin {
    pub config: BuiltinConfig,
    /// Modalities text, audio, video; every feature standardised by [`Builtin::standardisers`].
    pub corpus: Corpus,
    /// The statistics of the training features, one per modality.
    pub standardisers: Vec<Standardiser>,
    /// The causes of every clip: train, valid, test, in the order of the corpus. No feature is made from them.
    pub causes: [Vec<Causes>; 3],
    /// The rule that made the labels.
    pub rule: Rule,
    /// The least error that anyone can make on labels of this rule.
    pub best_possible: BestPossible,
}

/// What can be heard and seen of one clip, before any feature is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// "test-0012".
    pub id: String,
    /// The words, in lower case without punctuation.
    pub text: String,
    /// 16-bit mono samples at [`SAMPLE_RATE`].
    pub samples: Vec<i16>,
    /// Gray frames of [`FRAME_SIZE`] squared at [`FRAME_RATE`], row by row.
    pub frames: Vec<Vec<u8>>,
    /// Sentiment in [-3, 3].
    pub label: f32,
    pub causes: Causes,
}

/// Makes the corpus.
///
/// ```
/// use limbic::data::builtin::{BuiltinConfig, generate};
/// let made = generate(BuiltinConfig { train: 8, valid: 2, test: 2, ..Default::default() })?;
/// assert_eq!(made.corpus.modalities[1].name, "audio");
/// println!("nobody can have a mean absolute error below {:.2}", made.best_possible.all.mae);
/// # Ok::<(), limbic::Error>(())
/// ```
pub fn generate(config: BuiltinConfig) -> Result<Builtin> {
    let rule = config.check()?;
    let jobs: Vec<(Split, usize)> =
        Split::ALL.into_iter().flat_map(|s| (0..config.count(s)).map(move |i| (s, i))).collect();
    let mut clips: [Vec<Clip>; 3] = Default::default();
    let mut causes: [Vec<Causes>; 3] = Default::default();
    for (clip, cause, split) in make_all(&config, &rule, &jobs)? {
        clips[split as usize].push(clip);
        causes[split as usize].push(cause);
    }
    let [train, valid, test] = clips;
    let name = format!("built-in corpus, seed {} (made up: synthetic voices and drawn faces)", config.seed);
    let emotions = EMOTIONS.map(String::from).to_vec();
    let mut corpus = Corpus { name, modalities: modalities(), emotions, train, valid, test, ..Corpus::default() };
    let fit = |(i, m): (usize, &Modality)| Standardiser::fit(&corpus.train, i, m.dim);
    let standardisers: Vec<_> = corpus.modalities.iter().enumerate().map(fit).collect();
    standardise(&mut corpus, &standardisers)?;
    Ok(Builtin { corpus, standardisers, causes, rule, best_possible: rule.best_possible(), config })
}

/// The features of one clip as measured, not standardised: text, audio, video.
pub fn measure(audio: &AudioFeatures, text: &str, samples: &[i16], frames: &[Vec<u8>]) -> Result<Vec<Sequence>> {
    let words: Vec<f32> = text.split_whitespace().flat_map(word_vector).collect();
    let text = Sequence { len: words.len() / WORD_DIM, values: words };
    Ok(vec![text, audio.extract(samples)?, extract_face(frames)])
}

impl Builtin {
    /// The words, sound and picture of clip `index` of `split`, made anew from the seed.
    pub fn recording(&self, split: Split, index: usize) -> Result<Recording> {
        if index >= self.config.count(split) {
            let (count, name) = (self.config.count(split), split.name());
            return Err(Error::Config(format!("clip {index} was asked for, but split {name} has {count} clips")));
        }
        Ok(record(&self.config, &self.rule, &self.rule.states(), split, index))
    }
}

impl BuiltinConfig {
    fn count(&self, split: Split) -> usize {
        match split {
            Split::Train => self.train,
            Split::Valid => self.valid,
            Split::Test => self.test,
        }
    }

    /// The rule of this configuration, if it makes sense.
    fn check(&self) -> Result<Rule> {
        let fail = |message: String| Err(Error::Config(format!("built-in corpus: {message}")));
        if self.train == 0 {
            return fail(
                "train is 0 clips, but features are standardised by the training clips: ask for 1 or more".into(),
            );
        }
        if Split::ALL.iter().any(|&s| self.count(s) > 1 << 20) {
            return fail("a split of more than 1048576 clips was asked for: ask for fewer".into());
        }
        if !(0.0..=1.0).contains(&self.irony) {
            return fail(format!("irony is {}, but a probability is between 0 and 1", self.irony));
        }
        if !(0.0..=3.0).contains(&self.label_noise) {
            return fail(format!("label_noise is {}, but must be between 0 and 3", self.label_noise));
        }
        Ok(Rule { irony: self.irony, label_noise: self.label_noise })
    }
}

fn modalities() -> Vec<Modality> {
    let modality = |(name, dim): (&str, usize)| Modality { name: name.into(), dim };
    [("text", WORD_DIM), ("audio", AUDIO_DIM), ("video", VIDEO_DIM)].into_iter().map(modality).collect()
}

/// Standardises every clip of the corpus.
fn standardise(corpus: &mut Corpus, standardisers: &[Standardiser]) -> Result<()> {
    let clips = corpus.train.iter_mut().chain(&mut corpus.valid).chain(&mut corpus.test);
    for clip in clips {
        for (sequence, standardiser) in clip.sequences.iter_mut().zip(standardisers) {
            standardiser.apply(sequence)?;
        }
    }
    Ok(())
}

/// A finished clip, not yet standardised.
type Made = (Clip, Causes, Split);

/// Makes the clips of `jobs`, in that order, on several threads.
fn make_all(config: &BuiltinConfig, rule: &Rule, jobs: &[(Split, usize)]) -> Result<Vec<Made>> {
    let (states, audio) = (rule.states(), AudioFeatures::new());
    in_threads(config.threads, jobs, |&(split, index)| {
        let r = record(config, rule, &states, split, index);
        let sequences = measure(&audio, &r.text, &r.samples, &r.frames)?;
        Ok((
            Clip { id: r.id, text: r.text, sequences, label: r.label, emotion: Some(r.causes.emotion()) },
            r.causes,
            split,
        ))
    })
}

/// Makes one clip from its own random streams.
fn record(config: &BuiltinConfig, rule: &Rule, states: &[(Causes, f64)], split: Split, index: usize) -> Recording {
    let dice = |part| Dice::new(config.seed, (split as u64) << 32 | index as u64, part);
    let (causes, label) = rule.draw(states, &mut dice(Part::Causes));
    let text = script::write_sentence(causes.words, &mut dice(Part::Script));
    let mut voice = dice(Part::Voice);
    let manner = voice::Manner::new(&causes, &mut voice);
    let samples = voice::speak(&text, &manner, &mut voice);
    let frames = face::film(&causes, &samples, &mut dice(Part::Face));
    Recording { id: format!("{}-{index:04}", split.name()), text, samples, frames, label, causes }
}
