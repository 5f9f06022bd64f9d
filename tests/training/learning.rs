//! It learns, and the same start gives the same bits.

use crate::tiny::{batch, model, rate, shape, store, train, trainer, trainer_with};
use crate::{calls, tiny};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::models::msa::{Objective, Scorer};
use limbic::plan::{Batch, Values};
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

/// Whether a label is positive.
fn yes_or_no(batch: Batch) -> Batch {
    batch.tensors().iter().fold(Batch::new(batch.samples), |changed, (name, values)| match values {
        Values::F32(values) if name == "target" => {
            changed.float(name, values.iter().map(|v| f32::from(u8::from(*v > 0.0))).collect())
        }
        Values::F32(values) => changed.float(name, values.clone()),
        Values::U32(values) => changed.integer(name, values.clone()),
    })
}

#[test]
fn a_yes_or_no_is_learnt_as_a_logit() {
    let model = model(0.0);
    let store = store(&model, 1);
    let batch = || yes_or_no(batch(0));
    let (inputs, truth) = tiny::without_labels(batch());
    assert!(truth.contains(&0.0) && truth.contains(&1.0), "{truth:?}");
    let scorer = Scorer::new(&store, &model, &shape()).unwrap();
    let value = |(score, label): (f32, &f32)| Objective::Binary.value(f64::from(score), f64::from(*label));
    let scores = || scorer.run(&inputs).unwrap().into_iter().map(|clip| clip.score);
    let expected = scores().zip(&truth).map(value).sum::<f64>() / truth.len() as f64;
    // - ln of the logistic function by its definition
    let defined = |(score, label): (f32, &f32)| {
        let p = 1.0 / (1.0 + (-f64::from(score)).exp());
        -(f64::from(*label) * p.ln() + (1.0 - f64::from(*label)) * (1.0 - p).ln())
    };
    let by_definition = scores().zip(&truth).map(defined).sum::<f64>() / truth.len() as f64;
    assert!((expected - by_definition).abs() < 1e-9);

    let mut trainer = trainer_with(&model, &store, OptimizerConfig::adamw(0.0), 1, Objective::Binary);
    let mut losses = Vec::new();
    for _ in 0..60 {
        losses.extend(trainer.step(batch(), rate(1e-2)).unwrap());
    }
    losses.extend(trainer.finish().unwrap());
    assert!((f64::from(losses[0].loss) - expected).abs() < 1e-5, "{} against {expected}", losses[0].loss);
    assert!(losses[59].loss < 0.1 * losses[0].loss, "{} to {}", losses[0].loss, losses[59].loss);
    assert!(scores().zip(&truth).all(|(score, label)| (score > 0.0) == (*label > 0.5)));
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
