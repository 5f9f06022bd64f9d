//! Training in mixed precision: it learns as well as in full precision, and a scale that is too large costs steps, never weights.

use crate::tiny::{self, batch, mixed_trainer, model, rate, store, trainer, weights, with_value};
use limbic::Error;
use limbic::train::{Clipping, LossScaling, OptimizerConfig, OptimizerState, StepReport, Trainer};

/// Adam without decay: what an update moves depends on how many came before.
fn config() -> OptimizerConfig {
    OptimizerConfig { clipping: Clipping::GlobalNorm(1.0), ..OptimizerConfig::adamw(0.0) }
}

/// Lets `trainer`, which has made no step, scale its loss by `scale` after so many sound updates.
fn scaled(trainer: &mut Trainer, scale: f32, updates: f32) {
    let state = OptimizerState {
        scaling: Some(LossScaling { scale, updates, skipped: 0.0 }),
        ..trainer.state().expect("the state")
    };
    trainer.resume(0, 0, &state).expect("another scale");
}

fn scaling(trainer: &Trainer) -> LossScaling {
    trainer.state().expect("the state").scaling.expect("a scale")
}

/// So many steps over the first batch; all reports.
fn steps(trainer: &mut Trainer, count: usize) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for _ in 0..count {
        reports.extend(trainer.step(batch(0), rate(1e-2)).expect("a step"));
    }
    reports.extend(trainer.finish().expect("all steps"));
    reports
}

#[test]
fn an_overflow_skips_the_update_and_halves_the_scale() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = mixed_trainer(&model, &store, config(), 1);
    assert_eq!(scaling(&trainer), LossScaling::default());
    scaled(&mut trainer, 2f32.powi(60), 7.0);
    let before = weights(&store);
    let report = steps(&mut trainer, 1)[0];
    assert!(report.skipped && report.loss.is_finite(), "{report:?}");
    assert_eq!(weights(&store), before);
    assert_eq!(scaling(&trainer), LossScaling { scale: 2f32.powi(59), updates: 0.0, skipped: 1.0 });
    // it comes down to what the gradients bear, and from then on it learns
    let reports = steps(&mut trainer, 80);
    let skipped = reports.iter().filter(|report| report.skipped).count();
    assert!((30..58).contains(&skipped), "{skipped} were skipped");
    assert!(reports.iter().all(|report| report.skipped != report.gradient_norm.is_finite()));
    assert!(reports[80 - 1].loss < 0.9 * reports[0].loss);
    let end = scaling(&trainer);
    assert_eq!(end.scale, 2f32.powi(59 - skipped as i32));
    assert_eq!((end.updates, end.skipped), ((80 - skipped) as f32, (1 + skipped) as f32));
}

/// Neither Adam's bias corrections nor anything else counts what was skipped, whether or not its reports were in when the next
/// steps were prepared.
#[test]
fn skipped_updates_leave_no_trace() {
    let model = model(0.0);
    for accumulation in [1, 2] {
        let config = OptimizerConfig { accumulation, ..config() };
        let end = |scale: f32, one_by_one: bool, updates: usize| {
            let store = store(&model, 1);
            let mut trainer = mixed_trainer(&model, &store, config.clone(), 1);
            scaled(&mut trainer, scale, 0.0);
            let count = updates * accumulation as usize;
            let reports = match one_by_one {
                true => (0..count).flat_map(|_| steps(&mut trainer, 1)).collect(),
                false => steps(&mut trainer, count),
            };
            let skipped = reports.iter().filter(|report| report.skipped).count();
            (skipped, scaling(&trainer).scale, weights(&store))
        };
        let scale = 2f32.powi(36);
        let (skipped, reached, expected) = end(scale, false, 24);
        assert!((4..22).contains(&skipped), "{skipped} were skipped");
        assert_eq!(end(scale, true, 24), (skipped, reached, expected.clone()));
        assert_eq!(end(reached, false, 24 - skipped), (0, reached, expected));
    }
}

#[test]
fn the_scale_doubles_after_two_thousand_sound_updates() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = mixed_trainer(&model, &store, config(), 1);
    scaled(&mut trainer, 256.0, 1998.0);
    steps(&mut trainer, 1);
    assert_eq!(scaling(&trainer), LossScaling { scale: 256.0, updates: 1999.0, skipped: 0.0 });
    steps(&mut trainer, 1);
    assert_eq!(scaling(&trainer), LossScaling { scale: 512.0, updates: 0.0, skipped: 0.0 });
}

#[test]
fn a_scale_that_is_none_is_refused() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = mixed_trainer(&model, &store, config(), 1);
    for scale in [0.5, f32::NAN, f32::INFINITY, -2.0] {
        let scaling = Some(LossScaling { scale, ..LossScaling::default() });
        let state = OptimizerState { scaling, ..trainer.state().unwrap() };
        assert!(matches!(trainer.resume(0, 0, &state), Err(Error::Config(_))), "{scale}");
    }
}

/// The scale does not matter to the gradients' norm, nor to what clipping by it does.
#[test]
fn the_norm_is_that_of_the_gradients_without_the_scale() {
    let model = model(0.0);
    let norm = |trainer: &mut Trainer| steps(trainer, 1)[0].gradient_norm;
    let full = norm(&mut trainer(&model, &store(&model, 1), config(), 1));
    for scale in [1.0, 64.0, 1024.0] {
        let mut mixed = mixed_trainer(&model, &store(&model, 1), config(), 1);
        scaled(&mut mixed, scale, 0.0);
        let mixed = norm(&mut mixed);
        // a norm of many gradients, each of them off by some units of 2^-11
        assert!((mixed / full - 1.0).abs() < 4e-3, "{mixed} at {scale}, {full} in full precision");
    }
}

#[test]
fn a_loss_that_is_not_finite_is_an_error_all_the_same() {
    let model = model(0.0);
    for accumulation in [1, 2] {
        let store = store(&model, 1);
        let mut trainer = mixed_trainer(&model, &store, OptimizerConfig { accumulation, ..config() }, 1);
        // one that these gradients bear
        scaled(&mut trainer, 256.0, 0.0);
        let before = (weights(&store), scaling(&trainer));
        let bad = with_value(batch(0), "target", 0, f32::NAN);
        let outcome = trainer.step(bad, rate(1e-2)).and_then(|_| trainer.step(batch(1), rate(1e-2)));
        let error = outcome.and_then(|_| trainer.finish()).expect_err("a loss of NaN");
        assert!(matches!(error, Error::NonFinite { step: 0, .. }), "{error}");
        assert_eq!((weights(&store), scaling(&trainer)), before);
        assert!(!steps(&mut trainer, accumulation as usize)[0].skipped, "it goes on");
    }
}

/// Where no scale is small enough the run ends with an error, not in skipping for ever.
#[test]
fn gradients_that_overflow_unscaled_are_an_error() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = mixed_trainer(&model, &store, config(), 1);
    scaled(&mut trainer, 2.0, 0.0);
    let before = weights(&store);
    let far = || (0..tiny::BATCH).fold(batch(0), |batch, clip| with_value(batch, "target", clip, 1e8));
    let mut reports = trainer.step(far(), rate(1e-2)).unwrap();
    reports.extend(trainer.finish().unwrap());
    assert!(reports[0].skipped, "{reports:?}");
    let error = trainer.step(far(), rate(1e-2)).and_then(|_| trainer.finish()).expect_err("an overflow");
    assert!(matches!(error, Error::NonFinite { step: 1, .. }), "{error}");
    assert_eq!(weights(&store), before);
}

#[test]
fn the_same_start_gives_the_same_bits() {
    let model = model(0.2);
    let run = || tiny::train(&mut mixed_trainer(&model, &store(&model, 3), config(), 5), 0..12);
    assert_eq!(run(), run());
}

/// The mean loss at the end of a run, in both precisions and from several initial weights: precision matters less than those do.
#[test]
fn it_learns_as_well_as_in_full_precision() {
    let model = model(0.0);
    const STEPS: u64 = 60;
    let end = |make: fn(&_, &_, OptimizerConfig, u32) -> Trainer, seed: u64| {
        let store = store(&model, seed);
        let mut trainer = make(&model, &store, config(), 1);
        if trainer.state().expect("the state").scaling.is_some() {
            // one that the first gradients bear: no step is lost to finding it
            scaled(&mut trainer, 256.0, 0.0);
        }
        let mut reports = Vec::new();
        for step in 0..STEPS {
            reports.extend(trainer.step(batch(step % 4), rate(1e-2)).expect("a step"));
        }
        reports.extend(trainer.finish().expect("all steps"));
        let mean =
            |part: &[StepReport]| part.iter().map(|report| f64::from(report.loss)).sum::<f64>() / part.len() as f64;
        (mean(&reports[..4]), mean(&reports[STEPS as usize - 4..]))
    };
    let seeds = 1..=6;
    let full: Vec<(f64, f64)> = seeds.clone().map(|seed| end(trainer, seed)).collect();
    let mixed: Vec<(f64, f64)> = seeds.map(|seed| end(mixed_trainer, seed)).collect();
    let mean = |ends: &[(f64, f64)]| ends.iter().map(|(_, last)| last).sum::<f64>() / ends.len() as f64;
    let spread = full.iter().map(|(_, last)| (last - mean(&full)).abs()).fold(0.0, f64::max);
    println!("full {full:?}\nmixed {mixed:?}, spread {spread}");
    assert!(mixed.iter().all(|(first, last)| *last < 0.5 * first), "{mixed:?}");
    assert!((mean(&mixed) - mean(&full)).abs() <= spread, "{mixed:?}, {full:?}");
}
