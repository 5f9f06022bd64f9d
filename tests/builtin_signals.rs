//! What is measured from sound and pictures is what is in them: known tones, known faces, and the corpus' own recordings.
#![cfg(feature = "data")]

use std::f64::consts::TAU;

use limbic::data::Split;
use limbic::data::builtin::*;

fn sound(seconds: f64, f: impl Fn(f64) -> f64) -> Vec<i16> {
    let n = (seconds * f64::from(SAMPLE_RATE)) as usize;
    (0..n).map(|i| (f(i as f64 / f64::from(SAMPLE_RATE)) * 20_000.0) as i16).collect()
}

fn as_float(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|&x| f32::from(x) / 32768.0).collect()
}

fn noise(seconds: f64) -> Vec<i16> {
    let mut state = 1u32;
    sound(seconds, |_| 0.0)
        .iter()
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 17) as i16 - 16_384
        })
        .collect()
}

#[test]
fn pitch_of_known_sounds() {
    for hz in [75.0, 110.0, 163.0, 220.0, 312.0] {
        let sine = sound(0.2, |t| (TAU * hz * t).sin());
        let pulses = sound(0.2, |t| if (t * hz).fract() < 0.1 { 1.0 } else { -0.1 });
        let weak_fundamental = sound(0.2, |t| (2..8).map(|k| (TAU * hz * f64::from(k) * t).cos()).sum::<f64>() / 8.0);
        for (name, samples) in [("sine", sine), ("pulses", pulses), ("harmonics", weak_fundamental)] {
            let pitch = pitch_at(&as_float(&samples), samples.len() / 2, SAMPLE_RATE as f32);
            assert!((f64::from(pitch.hz) / hz - 1.0).abs() < 0.02, "{name} of {hz} Hz: {pitch:?}");
            assert!(pitch.periodicity > 0.85, "{name} of {hz} Hz: {pitch:?}");
        }
    }
    let pitch = |samples: Vec<i16>| pitch_at(&as_float(&samples), samples.len() / 2, SAMPLE_RATE as f32);
    assert!(pitch(noise(0.2)).periodicity < 0.5);
    assert!(pitch(vec![0; 3200]).periodicity < 0.1);
    assert!(pitch(Vec::new()).hz.is_finite());
    assert!(pitch_at(&[0.5; 10], 1_000_000, 16_000.0).hz.is_finite());
}

#[test]
fn log_mel_peaks_where_the_tone_is() {
    let audio = AudioFeatures::new();
    for band in 2..MEL_BANDS {
        let hz = AudioFeatures::band_hz(band);
        let tone = sound(0.3, |t| (TAU * hz * t).sin());
        let mel = audio.log_mel(&tone, tone.len() / 2).unwrap();
        let peak = (0..MEL_BANDS).max_by(|a, b| mel[*a].total_cmp(&mel[*b])).unwrap();
        assert_eq!(peak, band, "{hz} Hz: {mel:?}");
        let far = mel.iter().enumerate().filter(|(i, _)| i.abs_diff(band) > 2).map(|(_, m)| *m).fold(-99.0, f32::max);
        assert!(mel[band] - far > 4.0, "{hz} Hz leaks: {mel:?}");
    }
}

#[test]
fn audio_features_follow_a_glide_and_survive_anything() {
    let audio = AudioFeatures::new();
    let steps = |samples: &[i16]| {
        let s = audio.extract(samples).unwrap();
        assert_eq!(s.values.len(), s.len * AUDIO_DIM);
        assert!(s.values.iter().all(|x| x.is_finite()));
        s.values.chunks(AUDIO_DIM).map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    // Phase of a tone that rises from 100 Hz by 100 Hz per second: one octave in a second.
    let glide = steps(&sound(1.0, |t| (TAU * (100.0 * t + 50.0 * t * t)).sin()));
    assert_eq!(glide.len(), 12);
    for pair in glide[1..11].windows(2) {
        let rise = pair[1][MEL_BANDS] - pair[0][MEL_BANDS];
        assert!((0.04..0.14).contains(&rise), "pitch rises by {rise} octaves in a step");
        assert!((pair[1][MEL_BANDS + 2] - rise).abs() < 1e-6);
    }
    let soft = steps(&sound(0.4, |t| 0.1 * (TAU * 200.0 * t).sin()));
    let loud = steps(&sound(0.4, |t| (TAU * 200.0 * t).sin()));
    assert!((loud[2][MEL_BANDS + 3] - soft[2][MEL_BANDS + 3] - 2.0).abs() < 0.01, "20 dB apart");
    for odd in [vec![], vec![0i16], vec![i16::MIN; 5000], noise(0.5), vec![0; 1279]] {
        assert!(!steps(&odd).is_empty());
    }
}

/// Mean of `feature` of modality `m` over a clip.
fn mean(clip: &limbic::data::Clip, m: usize, dim: usize, feature: usize) -> f64 {
    let values = clip.sequences[m].values.chunks(dim).map(|s| f64::from(s[feature]));
    values.sum::<f64>() / clip.sequences[m].len as f64
}

#[test]
fn recordings_carry_their_causes() {
    let made = generate(BuiltinConfig { train: 240, valid: 0, test: 0, seed: 5, ..Default::default() }).unwrap();
    let average = |m: usize, dim: usize, feature: usize, which: &dyn Fn(&Causes) -> bool| {
        let pairs = made.corpus.train.iter().zip(&made.causes[0]).filter(|(_, c)| which(c));
        let values: Vec<f64> = pairs.map(|(clip, _)| mean(clip, m, dim, feature)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let audio = |feature, which: &dyn Fn(&Causes) -> bool| average(1, AUDIO_DIM, feature, which);
    let video = |feature, which: &dyn Fn(&Causes) -> bool| average(2, VIDEO_DIM, feature, which);
    for (low, high) in [(0, 1), (1, 2)] {
        let (low, high) = (move |c: &Causes| c.arousal == low, move |c: &Causes| c.arousal == high);
        assert!(audio(MEL_BANDS + 3, &high) > audio(MEL_BANDS + 3, &low) + 0.3, "loudness");
        assert!(video(6, &high) > video(6, &low) + 0.3, "eye opening");
        assert!(video(9, &high) > video(9, &low) + 0.1, "motion");
    }
    let (cold, warm) = (|c: &Causes| c.voice < 0, |c: &Causes| c.voice > 0);
    assert!(audio(MEL_BANDS + 2, &warm) > audio(MEL_BANDS + 2, &cold) + 0.1, "pitch rises or falls");
    assert!(audio(MEL_BANDS + 5, &warm) > audio(MEL_BANDS + 5, &cold) + 0.2, "bright or dark");
    let (frown, smile) = (|c: &Causes| c.face < 0, |c: &Causes| c.face > 0);
    assert!(video(0, &smile) > video(0, &frown) + 1.0, "mouth");
    assert!(video(5, &smile) < video(5, &frown) - 1.0, "brows");
    // The voice says nothing of the face's tone beyond what the rule ties together, and loudness is not seen in the mouth.
    let opening = |a: u8| video(1, &move |c: &Causes| c.arousal == a && c.face == 1);
    assert!((opening(0) - opening(2)).abs() < 0.5, "{} {}", opening(0), opening(2));
}

#[test]
fn voices_sound_voiced() {
    let made = generate(BuiltinConfig { train: 20, valid: 0, test: 0, seed: 9, ..Default::default() }).unwrap();
    let (mut steady, mut all) = (0, 0);
    for i in 0..20 {
        let r = made.recording(Split::Train, i).unwrap();
        let seconds = r.samples.len() as f64 / f64::from(SAMPLE_RATE);
        assert!((0.8..=MAX_SECONDS).contains(&seconds), "{seconds} s for '{}'", r.text);
        let clipped = r.samples.iter().filter(|x| x.unsigned_abs() > 32_700).count();
        assert!(clipped * 500 < r.samples.len(), "{}: {clipped} samples clip", r.id);
        let float = as_float(&r.samples);
        let pitches: Vec<Pitch> =
            (1..r.samples.len() / 1600).map(|k| pitch_at(&float, k * 1600, SAMPLE_RATE as f32)).collect();
        let voiced: Vec<f32> = pitches.iter().filter(|p| p.periodicity > 0.6).map(|p| p.hz).collect();
        assert!(voiced.len() * 5 > pitches.len() * 2, "{}: {} of {} steps voiced", r.id, voiced.len(), pitches.len());
        let mut sorted = voiced.clone();
        sorted.sort_by(f32::total_cmp);
        let near = voiced.iter().filter(|hz| (*hz / sorted[sorted.len() / 2]).log2().abs() < 0.75).count();
        (steady, all) = (steady + near, all + voiced.len());
        // Most power lies low, as in a voice, and there is silence before the first word.
        let features = AudioFeatures::new().extract(&r.samples).unwrap();
        let band = |b: usize| {
            features.values.iter().skip(b).step_by(AUDIO_DIM).map(|m| 10f64.powf(f64::from(*m))).sum::<f64>()
        };
        let group = |bands: std::ops::Range<usize>| bands.map(band).sum::<f64>();
        let (low, middle, high) = (group(1..9), group(9..17), group(17..25));
        assert!(low > 3.0 * middle && low > 3.0 * high, "{}: {low:.1e} {middle:.1e} {high:.1e}", r.id);
        let power = |part: &[i16]| part.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / part.len() as f64;
        assert!(power(&r.samples[..640]) < 0.01 * power(&r.samples));
    }
    assert!(steady * 20 > all * 19, "only {steady} of {all} pitches are near the speaker's own");
}

fn plain() -> Expression {
    let (tilt, shift, covered) = (0.0, (0.0, 0.0), false);
    Expression { smile: 0.0, mouth: 0.2, eyes: 1.0, tilt, shift, covered, gaze: 0.0, brows: 0.0 }
}

#[test]
fn face_measures_follow_the_face() {
    for seed in 0..12 {
        let look = Look::from_seed(seed);
        let see = |e: Expression| measure_face(&render(&look, &e));
        let rising = |what: &str, values: Vec<f32>| {
            assert!(values.windows(2).all(|w| w[1] > w[0]), "seed {seed}, {what}: {values:?}");
        };
        for (tilt, shift) in [(0.0, (0.0, 0.0)), (0.08, (1.5, -1.0)), (-0.08, (-2.0, 1.0))] {
            let base = Expression { tilt, shift, ..plain() };
            let smiles = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|smile| see(Expression { smile, ..base }));
            rising("mouth curvature", smiles.iter().map(|m| m.mouth_curvature).collect());
            rising("brow height", smiles.iter().map(|m| m.brow_height).collect());
            rising("brow slope", smiles[..3].iter().rev().map(|m| m.brow_slope).collect());
            let mouths = [0.0, 0.3, 0.6, 1.0].map(|mouth| see(Expression { mouth, ..base }));
            rising("mouth opening", mouths.iter().map(|m| m.mouth_opening).collect());
            let eyes = [0.2, 0.6, 1.0, 1.4].map(|eyes| see(Expression { eyes, ..base }));
            rising("eye opening", eyes.iter().map(|m| m.eye_opening).collect());
            assert!((f64::from(smiles[2].tilt) - tilt).abs() < 0.03, "tilt {tilt}: {:?}", smiles[2]);
            assert_eq!(smiles[0].mouth_visible, 1.0);
            let covered = see(Expression { covered: true, smile: 1.0, ..base });
            assert_eq!((covered.mouth_visible, covered.mouth_curvature), (0.0, 0.0), "seed {seed}: {covered:?}");
        }
    }
}

#[test]
fn face_features_survive_anything() {
    let look = Look::from_seed(1);
    let still = render(&look, &plain());
    let moved = render(&look, &Expression { shift: (2.0, 0.0), ..plain() });
    let sequence = extract_face(&[still.clone(), still.clone(), moved]);
    let step = |i: usize| &sequence.values[i * VIDEO_DIM..(i + 1) * VIDEO_DIM];
    assert_eq!((step(1)[8], step(1)[9]), (0.0, 0.0), "a still picture moves");
    assert!(step(2)[8] > 0.04 && step(2)[9] > 0.01, "head speed and motion");
    for odd in
        [vec![], vec![vec![]], vec![vec![0; 4096]], vec![vec![255; 4096]], vec![vec![9; 10], still, vec![1; 9999]]]
    {
        let sequence = extract_face(&odd);
        assert!(sequence.len >= 1 && sequence.values.len() == sequence.len * VIDEO_DIM);
        assert!(sequence.values.iter().all(|x| x.is_finite()));
    }
}
