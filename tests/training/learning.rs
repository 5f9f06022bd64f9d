//! It learns, and the same start gives the same bits.

use crate::tiny::{batch, model, rate, shape, store, train, trainer};
use crate::{calls, tiny};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::msa::Scorer;
use limbic::train::{Clipping, OptimizerConfig};

#[test]
fn one_batch_is_learnt_by_heart() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.0), 1);
    let mut losses = Vec::new();
    for _ in 0..150 {
        losses.extend(trainer.step(batch(0), rate(1e-2)).unwrap());
    }
    losses.extend(trainer.finish().unwrap());
    let (first, last) = (losses[0].loss, losses[149].loss);
    assert!(last < 0.01 * first, "the loss fell from {first} to {last} only");
    // the scoring plan over the same store sees what was learnt
    let scorer = Scorer::new(&store, &model, &shape()).unwrap();
    let (inputs, targets) = tiny::without_labels(batch(0));
    for (clip, target) in scorer.run(&inputs).unwrap().iter().zip(targets) {
        assert!((clip.score - target).abs() < 0.3, "{} for {target}", clip.score);
    }
}

#[test]
fn the_same_seeds_give_the_same_bits_and_others_do_not() {
    let config = OptimizerConfig { clipping: Clipping::GlobalNorm(1.0), ..OptimizerConfig::adamw(0.01) };
    let model = model(0.2);
    let run = |weights_seed, dropout_seed| {
        let store = store(&model, weights_seed);
        train(&mut trainer(&model, &store, config.clone(), dropout_seed), 0..12)
    };
    let (losses, weights) = run(3, 5);
    assert_eq!((losses.clone(), weights.clone()), run(3, 5));
    let other_dropout = run(3, 6);
    assert_ne!(losses[0], other_dropout.0[0], "dropout's seed changes the first loss");
    assert_ne!(weights, other_dropout.1);
    assert_ne!(losses[0], run(4, 5).0[0], "other weights, another loss");
}

/// Dropout draws anew in every step: the same batch and weights give another loss.
#[test]
fn dropout_draws_anew_in_every_step() {
    let model = model(0.5);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.0), 1);
    let mut losses = Vec::new();
    for _ in 0..3 {
        losses.extend(trainer.step(batch(0), rate(0.0)).unwrap());
    }
    losses.extend(trainer.finish().unwrap());
    assert!(losses[0].loss != losses[1].loss && losses[1].loss != losses[2].loss, "{losses:?}");
}

#[test]
fn a_step_creates_nothing_and_its_buffers_stay_where_they_are() {
    let model = model(0.1);
    // a device of its own: a poll by another test's thread may cost a staging buffer (see `Readback::wait`)
    let gpu = Gpu::new().unwrap();
    let store = tiny::store_on(&gpu, &model, 1);
    let config = OptimizerConfig { accumulation: 2, ..OptimizerConfig::adamw(0.01) };
    let mut trainer = trainer(&model, &store, config, 1);
    let place = |trainer: &limbic::train::Trainer| trainer.plan().output_location("loss").unwrap().0.buffer;
    let loss = place(&trainer);
    for step in 0..24 {
        let (_, created) = calls::created_by(|| trainer.step(tiny::batch(step), rate(1e-2)).unwrap());
        assert_eq!(created, ["command_encoder"], "in step {step}");
    }
    trainer.finish().unwrap();
    assert_eq!(place(&trainer), loss);
    let (memory, _) = trainer.memory();
    assert!(memory.activations >= memory.activations_lower_bound && memory.activations_lower_bound > 0);
    gpu.check("training").unwrap();
}

/// A texture holds a copy of the very bits, and what is stale in it is never read.
#[test]
fn reading_through_textures_changes_no_bit() {
    let model = model(0.2);
    let run = |texture_reads| {
        let gpu =
            Gpu::with_options(&GpuOptions { texture_reads: Some(texture_reads), ..GpuOptions::default() }).unwrap();
        assert_eq!(gpu.capabilities().texture_reads.is_some(), texture_reads);
        let config = OptimizerConfig { accumulation: 2, ..OptimizerConfig::adamw(0.01) };
        let store = tiny::store_on(&gpu, &model, 3);
        let mut trainer = trainer(&model, &store, config, 5);
        assert_eq!(trainer.memory().0.textures > 0, texture_reads);
        train(&mut trainer, 0..8)
    };
    assert_eq!(run(true), run(false));
}
