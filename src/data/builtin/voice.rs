//! A small voice: a glottal source and noise through six resonators (after Klatt, 1980), babbling the letters of a sentence.
//! Tone moves the pitch contour and the colour of the voice, arousal its loudness, rate and liveliness.

use std::f64::consts::{PI, TAU};

use super::phones::{NEUTRAL, Phone, phones};
use super::random::Dice;
use super::rule::Causes;

/// Samples per second of every recording.
pub const SAMPLE_RATE: u32 = 16_000;
/// Longest recording, seconds; a longer sentence is spoken faster.
pub const MAX_SECONDS: f64 = 3.2;

const RATE: f64 = SAMPLE_RATE as f64;
/// Samples between changes of pitch, loudness and resonances: 5 ms.
const CONTROL: usize = 80;
/// Silence before and after, and between words, seconds.
const MARGIN: f64 = 0.06;
const PAUSE: f64 = 0.025;
/// The tract's fifth and sixth resonance, which no vowel moves, Hz.
const UPPER: [f64; 2] = [4400.0, 5400.0];

/// How a speaker speaks, drawn once per clip.
pub(super) struct Manner {
    /// Habitual pitch, Hz.
    pitch: f64,
    /// Factor on all resonances: below 1 for a long tract.
    tract: f64,
    /// Speed, 1 is ordinary.
    rate: f64,
    /// Loudness of the whole recording, dB below full scale (RMS).
    level: f64,
    /// Pitch moves in semitones: of the whole, of each accent, over the sentence, at its end.
    shift: f64,
    accent: f64,
    decline: f64,
    last: f64,
    /// Corner of the source's spectral fall, Hz.
    brightness: f64,
    /// Share of breath in the voice.
    breath: f64,
}

impl Manner {
    /// The speaker is drawn from `dice`, tone and arousal are the clip's.
    pub fn new(causes: &Causes, dice: &mut Dice) -> Self {
        let size = dice.unit();
        let lively = f64::from(causes.arousal) - 1.0;
        let [shift, accent, decline, last, colour, brightness, breath] = match causes.voice {
            1 => [2.0, 4.0, -0.5, 5.0, 1.06, 6000.0, 0.02],
            -1 => [-2.0, 1.5, -5.0, -4.0, 0.94, 900.0, 0.15],
            _ => [0.0, 0.3, -0.5, 0.0, 1.0, 2400.0, 0.05],
        };
        Manner {
            pitch: 95.0 * (2.2f64).powf(size + dice.uniform(-0.1, 0.1)),
            tract: (0.92 + 0.2 * size + dice.uniform(-0.02, 0.02)) * colour,
            rate: (1.0 + 0.18 * lively) * dice.uniform(0.95, 1.05),
            level: -25.0 + 5.0 * lively + dice.uniform(-1.5, 1.5),
            shift: shift + lively,
            accent: accent * (1.0 + 0.3 * lively),
            decline,
            last,
            brightness: brightness * (1.0 + 0.25 * lively) * dice.uniform(0.9, 1.1),
            breath,
        }
    }
}

/// When each sound starts and ends, in samples.
struct Timed {
    phone: Phone,
    start: usize,
    end: usize,
}

/// The recording of `text`: 16-bit samples at [`SAMPLE_RATE`].
pub(super) fn speak(text: &str, manner: &Manner, dice: &mut Dice) -> Vec<i16> {
    let (sounds, length) = schedule(text, manner.rate);
    let wave = synthesise(&sounds, length, manner, dice);
    let power = wave.iter().map(|x| x * x).sum::<f64>() / wave.len().max(1) as f64;
    let gain = 10f64.powf(manner.level / 20.0) / power.sqrt().max(1e-9);
    // A quiet room: triangular noise 72 dB below full scale.
    let quantise = |x: f64| ((x * gain + 6e-4 * (dice.unit() - dice.unit())).clamp(-1.0, 1.0) * 32767.0).round() as i16;
    wave.into_iter().map(quantise).collect()
}

/// Lays the sounds of `text` out in time. Returns them and the length of the whole in samples.
fn schedule(text: &str, rate: f64) -> (Vec<Timed>, usize) {
    let words: Vec<Vec<Phone>> = text.split_whitespace().map(phones).collect();
    let speech: f64 = words.iter().flatten().map(|p| p.seconds).sum::<f64>() + PAUSE * words.len() as f64;
    let stretch = (1.0 / rate).min((MAX_SECONDS - 2.0 * MARGIN) / speech.max(1e-3));
    let at = |seconds: f64| (seconds * RATE) as usize;
    let (mut now, mut sounds) = (MARGIN, Vec::new());
    for word in words {
        for phone in word {
            let end = now + phone.seconds * stretch;
            sounds.push(Timed { phone, start: at(now), end: at(end) });
            now = end;
        }
        now += PAUSE * stretch;
    }
    (sounds, at(now + MARGIN))
}

/// Semitones above the speaker's habitual pitch, `place` (0..=1) into the sentence; `stress` is 1 inside a vowel.
fn contour(manner: &Manner, place: f64, stress: f64) -> f64 {
    let ending = ((place - 0.65) / 0.35).clamp(0.0, 1.0);
    manner.shift + manner.decline * place + manner.last * ending + manner.accent * stress
}

fn synthesise(sounds: &[Timed], length: usize, manner: &Manner, dice: &mut Dice) -> Vec<f64> {
    let mut wave = Vec::with_capacity(length);
    let mut tract = [Resonator::default(); 6];
    let mut hiss_band = Resonator::default();
    let mut source = Glottis::default();
    let mut formants = NEUTRAL;
    let (mut voicing, mut hiss, mut hiss_hz, mut stress) = (0.0, 0.0, 3000.0, 0.0);
    let mut current = 0;
    for start in (0..length).step_by(CONTROL) {
        while sounds.get(current).is_some_and(|s| s.end <= start) {
            current += 1;
        }
        let sound = sounds.get(current).filter(|s| s.start <= start).map(|s| s.phone);
        // The tract glides: half-way to a new sound's place in about 10 ms, loudness faster.
        let aim = sound.map_or(formants, |s| s.formants);
        formants.iter_mut().zip(aim).for_each(|(f, aim)| *f += 0.3 * (aim - *f));
        voicing += 0.5 * (sound.map_or(0.0, |s| s.voicing) - voicing);
        hiss += 0.6 * (sound.map_or(0.0, |s| s.hiss) - hiss);
        hiss_hz = sound.filter(|s| s.hiss > 0.0).map_or(hiss_hz, |s| s.hiss_hz);
        stress += 0.25 * (f64::from(u8::from(sound.is_some_and(|s| s.is_vowel))) - stress);

        let semitones = contour(manner, start as f64 / length as f64, stress) + 0.15 * dice.normal();
        let pitch = (manner.pitch * (semitones / 12.0).exp2()).clamp(60.0, 380.0);
        let resonances = formants.into_iter().chain(UPPER);
        for (i, (resonator, f)) in tract.iter_mut().zip(resonances).enumerate() {
            resonator.tune(f * manner.tract, 60.0 + 40.0 * i as f64);
        }
        hiss_band.tune(hiss_hz, 900.0);
        source.set(pitch, manner.brightness);
        for _ in 0..CONTROL.min(length - start) {
            let noise = dice.uniform(-1.0, 1.0);
            let excitation = voicing * source.next(manner.breath * noise);
            let voiced = tract.iter_mut().fold(excitation, |x, resonator| resonator.next(x));
            wave.push(voiced + 0.2 * hiss_band.next(hiss * noise));
        }
    }
    wave
}

/// A two-pole resonator with gain 1 at 0 Hz.
#[derive(Clone, Copy, Default)]
struct Resonator {
    gain: f64,
    back1: f64,
    back2: f64,
    last: [f64; 2],
}

impl Resonator {
    fn tune(&mut self, hz: f64, bandwidth: f64) {
        let radius = (-PI * bandwidth / RATE).exp();
        self.back1 = 2.0 * radius * (TAU * hz.min(0.47 * RATE) / RATE).cos();
        self.back2 = -radius * radius;
        self.gain = 1.0 - self.back1 - self.back2;
    }

    fn next(&mut self, x: f64) -> f64 {
        let y = self.gain * x + self.back1 * self.last[0] + self.back2 * self.last[1];
        self.last = [y, self.last[0]];
        y
    }
}

/// The voice source: the derivative of a glottal flow that opens as x^2 - x^3 over 60 % of the period and then is shut
/// (Klatt and Klatt, 1990), its spectral fall set by a one-pole low-pass.
#[derive(Default)]
struct Glottis {
    phase: f64,
    step: f64,
    smoothing: f64,
    smooth: f64,
}

impl Glottis {
    fn set(&mut self, pitch: f64, corner: f64) {
        self.step = pitch / RATE;
        self.smoothing = 1.0 - (-TAU * corner / RATE).exp();
    }

    /// The next sample; `breath` is noise that passes while the glottis is open.
    fn next(&mut self, breath: f64) -> f64 {
        self.phase = (self.phase + self.step).fract();
        let x = self.phase / 0.6;
        let flow = if x < 1.0 { 2.0 * x - 3.0 * x * x + breath } else { 0.2 * breath };
        self.smooth += self.smoothing * (flow - self.smooth);
        self.smooth
    }
}
