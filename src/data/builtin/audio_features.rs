//! What is measured from sound, one step per 80 ms: a log-mel spectrum, pitch, loudness, voicing and change.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};

use super::voice::SAMPLE_RATE;
use crate::data::Sequence;
use crate::error::{Error, Result};

/// Samples from one step to the next: 80 ms.
pub const AUDIO_HOP: usize = 1280;
/// Bands of the mel spectrum.
pub const MEL_BANDS: usize = 25;
/// Features per step: the mel bands, then log2 pitch over 100 Hz, pitch over the clip's median (octaves), its change since
/// the step before, loudness (dB / 10), periodicity (0..=1), spectral centroid (log2 over 1 kHz), onset (rise of the
/// spectrum since the step before).
pub const AUDIO_DIM: usize = MEL_BANDS + 7;

/// Samples of one spectrum: 128 ms under a Hann window, centred on its step.
const WINDOW: usize = 2048;
const MEL_RANGE: (f64, f64) = (60.0, 7600.0);
/// Power added before logarithms: well under 16-bit rounding of a voice, so that silence is finite.
const FLOOR: f32 = 1e-9;

/// A pitch estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pitch {
    /// Fundamental frequency, Hz; that of the best period even where the sound is not periodic.
    pub hz: f32,
    /// 1 for a perfectly periodic sound, near 0 for noise and silence.
    pub periodicity: f32,
}

/// The measuring device: window, transform and mel filters, made once and shared by threads.
#[derive(Clone)]
pub struct AudioFeatures {
    transform: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// Per band: the first bin and the weights from there.
    filters: Vec<(usize, Vec<f32>)>,
}

impl Default for AudioFeatures {
    fn default() -> Self {
        Self::new()
    }
}

impl AudioFeatures {
    pub fn new() -> Self {
        let hann = |i: usize| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / WINDOW as f64).cos();
        AudioFeatures {
            transform: RealFftPlanner::new().plan_fft_forward(WINDOW),
            window: (0..WINDOW).map(|i| hann(i) as f32).collect(),
            filters: mel_filters(),
        }
    }

    /// Measures 16-bit mono samples at [`SAMPLE_RATE`]. `[steps, AUDIO_DIM]`, a step per [`AUDIO_HOP`] samples, at least one.
    pub fn extract(&self, samples: &[i16]) -> Result<Sequence> {
        let sound: Vec<f32> = samples.iter().map(|&x| f32::from(x) / 32768.0).collect();
        let half_rate = decimate(&sound);
        let steps = (samples.len() / AUDIO_HOP).max(1);
        let (mut values, mut pitches) = (Vec::with_capacity(steps * AUDIO_DIM), Vec::with_capacity(steps));
        let mut before: Option<Vec<f32>> = None;
        for step in 0..steps {
            let centre = step * AUDIO_HOP + AUDIO_HOP / 2;
            let power = self.power(&sound, centre)?;
            let mel = self.mel(&power);
            let pitch = pitch_at(&half_rate, centre / 2, SAMPLE_RATE as f32 / 2.0);
            let hop = sound.get(step * AUDIO_HOP..).unwrap_or_default();
            let onset = before.map_or(0.0, |b| b.iter().zip(&mel).map(|(b, m)| (m - b).max(0.0)).sum::<f32>());
            values.extend(&mel);
            values.extend([0.0, 0.0, 0.0, loudness(&hop[..AUDIO_HOP.min(hop.len())]), pitch.periodicity]);
            values.extend([centroid(&power), onset / MEL_BANDS as f32]);
            pitches.push(pitch);
            before = Some(mel);
        }
        write_pitch(&pitches, &mut values);
        Ok(Sequence { len: steps, values })
    }

    /// The log10 mel spectrum of the window around sample `centre`, as [`AudioFeatures::extract`] uses it.
    pub fn log_mel(&self, samples: &[i16], centre: usize) -> Result<Vec<f32>> {
        let sound: Vec<f32> = samples.iter().map(|&x| f32::from(x) / 32768.0).collect();
        Ok(self.mel(&self.power(&sound, centre)?))
    }

    /// The middle of mel band `band`, Hz.
    pub fn band_hz(band: usize) -> f64 {
        mel_to_hz(mel_edge(band + 1))
    }

    fn power(&self, sound: &[f32], centre: usize) -> Result<Vec<f32>> {
        let at = |i: usize| (centre + i).checked_sub(WINDOW / 2).and_then(|j| sound.get(j)).copied().unwrap_or(0.0);
        let mut frame: Vec<f32> = self.window.iter().enumerate().map(|(i, w)| w * at(i)).collect();
        let mut spectrum = self.transform.make_output_vec();
        let done = self.transform.process(&mut frame, &mut spectrum);
        done.map_err(|e| Error::Config(format!("the spectrum of a sound could not be computed: {e}")))?;
        let scale = (2.0 / WINDOW as f32).powi(2);
        Ok(spectrum.iter().map(|c| c.norm_sqr() * scale).collect())
    }

    fn mel(&self, power: &[f32]) -> Vec<f32> {
        let band = |(first, weights): &(usize, Vec<f32>)| {
            let bins = power.iter().skip(*first);
            (weights.iter().zip(bins).map(|(w, p)| w * p).sum::<f32>() + FLOOR).log10()
        };
        self.filters.iter().map(band).collect()
    }
}

/// Fills the three pitch features once the whole clip's pitches are known. Steps without a pitch take the clip's median,
/// with no change.
fn write_pitch(pitches: &[Pitch], values: &mut [f32]) {
    let voiced = |p: &Pitch| p.periodicity > 0.6;
    let octaves = |p: &Pitch| (p.hz / 100.0).log2();
    let mut known: Vec<f32> = pitches.iter().filter(|p| voiced(p)).map(octaves).collect();
    known.sort_by(f32::total_cmp);
    let median = known.get(known.len() / 2).copied().unwrap_or(0.0);
    let mut last: Option<f32> = None;
    for (pitch, step) in pitches.iter().zip(values.chunks_exact_mut(AUDIO_DIM)) {
        let height = if voiced(pitch) { octaves(pitch) } else { median };
        let change = if voiced(pitch) { last.replace(height).map_or(0.0, |l| height - l) } else { 0.0 };
        step[MEL_BANDS..MEL_BANDS + 3].copy_from_slice(&[height, height - median, change]);
    }
}

/// Mean power in dB / 10.
fn loudness(hop: &[f32]) -> f32 {
    (hop.iter().map(|x| x * x).sum::<f32>() / hop.len().max(1) as f32 + FLOOR).log10()
}

/// The spectrum's centre of gravity, log2 over 1 kHz.
fn centroid(power: &[f32]) -> f32 {
    let bin_khz = SAMPLE_RATE as f32 / WINDOW as f32 / 1000.0;
    let total: f32 = power.iter().sum::<f32>() + FLOOR;
    let first: f32 = power.iter().enumerate().map(|(i, p)| i as f32 * bin_khz * p).sum::<f32>() + FLOOR;
    (first / total).log2()
}

/// Half the sampling rate, after a short low-pass.
fn decimate(sound: &[f32]) -> Vec<f32> {
    let at = |i: usize| sound.get(i).copied().unwrap_or(0.0);
    (0..sound.len() / 2)
        .map(|i| {
            let (j, before) = (2 * i, (2 * i).checked_sub(1).map_or(0.0, at));
            0.125 * (before + 3.0 * at(j) + 3.0 * at(j + 1) + at(j + 2))
        })
        .collect()
}

/// The pitch around sample `centre` by YIN (de Cheveigné and Kawahara, 2002), between 60 and 400 Hz. Needs about 0.08 s
/// of sound; beyond the ends it is taken as silent.
pub fn pitch_at(sound: &[f32], centre: usize, rate: f32) -> Pitch {
    let (shortest, longest) = (((rate / 400.0) as usize).max(1), (rate / 60.0) as usize + 1);
    let span = (rate * 0.045) as usize;
    let start = centre.saturating_sub((span + longest) / 2);
    let at = |i: usize| sound.get(start + i).copied().unwrap_or(0.0);
    let frame: Vec<f32> = (0..span + longest + 1).map(at).collect();
    // The cumulative mean normalised difference, d'(lag) = d(lag) * lag / sum of d up to lag.
    let (mut sum, mut ratio) = (1e-6f32, vec![1.0f32; longest + 1]);
    for lag in 1..=longest {
        let d = squared_distance(&frame[..span], &frame[lag..lag + span]);
        sum += d;
        // Silence is not periodic: d and the sum are both nearly 0 there.
        ratio[lag] = (d + 1e-6) * lag as f32 / sum;
    }
    let bottom = |lag: usize| ratio[lag] <= ratio[lag - 1] && ratio[lag] <= ratio[lag + 1];
    let dip = |lag: &usize| ratio[*lag] < 0.15 && bottom(*lag);
    let lowest = || (shortest..longest).min_by(|a, b| ratio[*a].total_cmp(&ratio[*b]));
    let lag = (shortest..longest).find(dip).or_else(lowest).unwrap_or(shortest);
    // The dip's bottom between samples: a parabola through three points.
    let (a, b, c) = (ratio[lag - 1], ratio[lag], ratio[(lag + 1).min(longest)]);
    let bend = a - 2.0 * b + c;
    let offset = if bend > 1e-9 { (0.5 * (a - c) / bend).clamp(-0.5, 0.5) } else { 0.0 };
    Pitch { hz: rate / (lag as f32 + offset), periodicity: (1.0 - b).clamp(0.0, 1.0) }
}

/// The sum of squared differences, in eight running sums so that it vectorises.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

/// Edge `i` of the triangular filters, mel: band b rises from edge b, peaks at b + 1, ends at b + 2.
fn mel_edge(i: usize) -> f64 {
    let (low, high) = (hz_to_mel(MEL_RANGE.0), hz_to_mel(MEL_RANGE.1));
    low + (high - low) * i as f64 / (MEL_BANDS + 1) as f64
}

/// The mel scale of O'Shaughnessy (1987).
fn hz_to_mel(hz: f64) -> f64 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

fn mel_to_hz(mel: f64) -> f64 {
    700.0 * (10f64.powf(mel / 2595.0) - 1.0)
}

fn mel_filters() -> Vec<(usize, Vec<f32>)> {
    let bin_hz = f64::from(SAMPLE_RATE) / WINDOW as f64;
    let filter = |band: usize| {
        let [left, peak, right] = [0, 1, 2].map(|i| mel_to_hz(mel_edge(band + i)));
        let (first, last) = ((left / bin_hz).ceil() as usize, (right / bin_hz).floor() as usize);
        let weight = |bin: usize| {
            let hz = bin as f64 * bin_hz;
            ((hz - left) / (peak - left)).min((right - hz) / (right - peak)).max(0.0) as f32
        };
        (first, (first..=last).map(weight).collect())
    };
    (0..MEL_BANDS).map(filter).collect()
}
