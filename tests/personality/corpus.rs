//! The drawn talking faces.

use crate::message;
use limbic::data::builtin::{Cues, Knows, Talking, TalkingConfig, generate_talking};
use limbic::data::video::{VideoBatches, VideoClip, VideoShape};
use limbic::plan::{Batch, Values};

fn make(config: TalkingConfig) -> Talking {
    generate_talking(config).unwrap()
}

fn small() -> TalkingConfig {
    let shape = VideoShape { faces: 1, face_size: 64, frames: 16, frame_size: 64 };
    TalkingConfig { train: 6, valid: 2, test: 3, shape, ..TalkingConfig::default() }
}

#[test]
fn the_same_seed_makes_the_same_clips_whatever_else_is_made() {
    let made = make(small());
    assert_eq!(made.corpus, make(TalkingConfig { threads: 1, ..small() }).corpus);
    let more = make(TalkingConfig { train: 9, valid: 0, threads: 3, ..small() });
    assert_eq!(more.corpus.train[..6], made.corpus.train);
    assert_eq!(more.corpus.test, made.corpus.test);
    let other = make(TalkingConfig { seed: 8, ..small() });
    assert!(
        other.corpus.train.iter().zip(&made.corpus.train).all(|(a, b)| a.frames != b.frames && a.traits != b.traits)
    );
    let ids: Vec<&str> = made.corpus.test.iter().map(|clip| clip.id.as_str()).collect();
    assert_eq!(ids, ["test-0000", "test-0001", "test-0002"]);
}

#[test]
fn labels_follow_the_rule() {
    let sizes = VideoShape { faces: 1, face_size: 8, frames: 2, frame_size: 8 };
    let made = make(TalkingConfig { train: 400, valid: 0, test: 0, shape: sizes, ..small() });
    let clips = || made.corpus.train.iter().zip(&made.cues[0]);
    for index in 0..5 {
        let errors = clips().map(|(clip, cues)| f64::from(clip.traits[index]) - cues.expected()[index]);
        let errors: Vec<f64> = errors.collect();
        let mae = errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64;
        let best = made.best_possible(Knows::All)[index].0;
        assert!((mae / best - 1.0).abs() < 0.15, "trait {index}: {mae} {best}");
        let mean = clips().map(|(clip, _)| f64::from(clip.traits[index])).sum::<f64>() / 400.0;
        let constant = clips().map(|(clip, _)| (f64::from(clip.traits[index]) - mean).abs()).sum::<f64>() / 400.0;
        let nothing = made.best_possible(Knows::Nothing)[index].0;
        assert!((constant / nothing - 1.0).abs() < 0.15, "trait {index}: {constant} {nothing}");
    }
    assert!(made.corpus.train.iter().flat_map(|clip| clip.traits).all(|label| (0.0..=1.0).contains(&label)));
}

#[test]
fn some_traits_take_the_face_and_some_the_motion() {
    let made = make(TalkingConfig { train: 1, valid: 0, test: 0, ..small() });
    let [all, face, motion, nothing] =
        [Knows::All, Knows::Face, Knows::Motion, Knows::Nothing].map(|knows| made.best_possible(knows));
    for index in 0..5 {
        assert!(all[index].0 < 0.5 * nothing[index].0 && all[index].1 > 0.9 && nothing[index].1 == 0.0);
        for alone in [face[index], motion[index]] {
            assert!(alone.0 >= all[index].0 && alone.0 <= nothing[index].0 && alone.1 <= all[index].1);
        }
    }
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
    assert!(close(face[0].0, all[0].0) && close(motion[0].0, nothing[0].0), "openness is seen in the face");
    assert!(close(motion[4].0, all[4].0) && close(face[4].0, nothing[4].0), "neuroticism in the motion");
    assert!(face[2].0 > 1.5 * all[2].0 && motion[2].0 > 1.5 * all[2].0, "extraversion takes both");
}

/// Correlation of a measure of the pictures with a cue.
fn correlation(made: &Talking, measure: impl Fn(&VideoClip) -> f64, cue: impl Fn(&Cues) -> f64) -> f64 {
    let pairs: Vec<(f64, f64)> =
        made.corpus.train.iter().zip(&made.cues[0]).map(|(clip, cues)| (measure(clip), cue(cues))).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
    let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    sum(&|pair| (pair.0 - a) * (pair.1 - b))
        / (sum(&|pair| (pair.0 - a).powi(2)) * sum(&|pair| (pair.1 - b).powi(2))).sqrt()
}

#[test]
fn the_cues_are_seen_in_the_pictures() {
    use limbic::data::builtin::measure_face;
    let made = make(TalkingConfig { train: 150, valid: 0, test: 0, ..small() });
    let size = 64 * 64;
    let frame = |clip: &VideoClip, index: usize| clip.frames[index * size..(index + 1) * size].to_vec();
    let smile = correlation(&made, |clip| measure_face(&frame(clip, 8)).mouth_curvature.into(), |cues| cues.smile);
    let brows = correlation(&made, |clip| measure_face(&frame(clip, 8)).brow_height.into(), |cues| cues.brows);
    assert!(smile > 0.8 && brows > 0.8, "smile {smile}, brows {brows}");
    // where the dark of the upper half lies, over time: how far it travels across and down
    let travel = |clip: &VideoClip, across: bool| {
        let centre = |index: usize| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for (place, level) in frame(clip, index).iter().enumerate().take(size * 6 / 10) {
                let dark = f64::from(60u8.saturating_sub(*level));
                let position = if across { place % 64 } else { place / 64 };
                (sum, weight) = (sum + dark * position as f64, weight + dark);
            }
            sum / weight
        };
        let places: Vec<f64> = (0..16).map(centre).collect();
        let mean = places.iter().sum::<f64>() / 16.0;
        (places.iter().map(|place| (place - mean).powi(2)).sum::<f64>() / 16.0).sqrt()
    };
    let energy = correlation(&made, |clip| travel(clip, true), |cues| cues.energy);
    let nodding = correlation(&made, |clip| travel(clip, false), |cues| cues.nodding);
    assert!(energy > 0.8 && nodding > 0.6, "energy {energy}, nodding {nodding}");
    // a single frame says nothing of them
    let still = correlation(&made, |clip| measure_face(&frame(clip, 8)).mouth_curvature.into(), |cues| cues.energy);
    assert!(still.abs() < 0.3, "{still}");
}

#[test]
fn what_cannot_be_made_is_an_error() {
    let noisy = TalkingConfig { label_noise: f64::NAN, ..small() };
    assert!(message(generate_talking(noisy)).contains("label_noise is NaN"));
    let still = VideoShape { frames: 1, ..small().shape };
    assert!(message(generate_talking(TalkingConfig { shape: still, ..small() })).contains("2 frames"));
    assert!(message(generate_talking(TalkingConfig { train: usize::MAX, ..small() })).contains("ask for fewer"));
}

fn floats<'a>(batch: &'a Batch, name: &str) -> &'a [f32] {
    match batch.tensors().iter().find(|(other, _)| other == name) {
        Some((_, Values::F32(values))) => values,
        _ => panic!("{name} is not there"),
    }
}

#[test]
fn batches_are_full_and_half_of_the_clips_are_seen_in_a_mirror() {
    let shape = VideoShape { faces: 1, face_size: 8, frames: 2, frame_size: 8 };
    let clip = |index: usize| VideoClip {
        faces: (0..192).map(|place| (place % 8) as u8).collect(),
        flow: (0..128).map(|place| half::f16::from_f32((place % 8) as f32)).collect(),
        traits: [index as f32; 5],
        ..VideoClip::default()
    };
    let clips: Vec<VideoClip> = (0..11).map(clip).collect();
    let batches = VideoBatches::new(&clips, shape, 4).unwrap();
    assert_eq!(batches.len(), 2);
    let epoch = |epoch: u64, mirror: bool| batches.shuffled(3, epoch, mirror).collect::<Vec<_>>();
    assert_eq!(epoch(0, true), epoch(0, true));
    assert_ne!(epoch(0, false), epoch(1, false));
    let mut seen: Vec<f32> =
        epoch(0, false).iter().flat_map(|batch| floats(batch, "target").to_vec()).step_by(5).collect();
    seen.sort_by(f32::total_cmp);
    seen.dedup();
    assert_eq!(seen.len(), 8, "no clip comes twice");
    let (mut mirrored, mut straight) = (0, 0);
    for batch in (0..8).flat_map(|index| epoch(index, true)) {
        for (faces, flow) in floats(&batch, "faces").chunks(192).zip(floats(&batch, "flow").chunks(128)) {
            let (row, across, down) = (&faces[..8], &flow[..8], &flow[64..72]);
            if row[0] < row[7] {
                assert_eq!((across, down), (&[0., 1., 2., 3., 4., 5., 6., 7.][..], across));
                straight += 1;
            } else {
                assert_eq!(across, [-7., -6., -5., -4., -3., -2., -1., -0.]);
                assert_eq!(down, [7., 6., 5., 4., 3., 2., 1., 0.]);
                mirrored += 1;
            }
        }
    }
    assert!(mirrored > 16 && straight > 16, "{mirrored} of 64");
    let scoring: Vec<Batch> = batches.in_order().collect();
    assert_eq!(scoring.iter().map(|batch| batch.samples).collect::<Vec<_>>(), [4, 4, 3]);
    assert!(floats(&scoring[2], "flow")[3 * 128..].iter().all(|value| *value == 0.0));
    // ImageNet's mean and deviation of red
    assert_eq!(floats(&scoring[0], "faces")[7], (7.0 / 255.0 - 0.485) / 0.229);
    let without = vec![VideoClip { flow: Vec::new(), ..clip(0) }];
    assert!(message(VideoBatches::new(&without, shape, 1)).contains("compute the flow"));
}
