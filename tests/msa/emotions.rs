//! The second task: a head for emotions, its loss beside the score's, and what a scorer says of it.

use crate::model::{Sample, config, store};
use limbic::models::msa::{
    BatchShape, EmotionTask, Msa, MsaConfig, RegressionLoss, Scorer, SentimentModel, training_graph,
};
use limbic::plan::{Batch, Mode, Plan};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

const LENS: [&[usize]; 4] = [&[4, 9], &[6, 1], &[1, 7], &[5, 0]];
const SEQ_LENS: [usize; 2] = [6, 9];
const TARGETS: [f32; 4] = [1.5, -2.0, 0.5, -0.5];
/// The third clip has no label.
const EMOTIONS: [u32; 4] = [2, 0, u32::MAX, 1];
const CLASSES: usize = 3;
const WEIGHT: f32 = 0.7;

fn two_tasks() -> MsaConfig {
    let classes = ["calm", "happy", "angry"].map(String::from).to_vec();
    let emotions = Some(EmotionTask { classes, weight: WEIGHT });
    MsaConfig { emotions, ..config(&[("text", 5), ("audio", 3)]) }
}

fn shape() -> BatchShape {
    BatchShape { batch: LENS.len(), seq_lens: SEQ_LENS.to_vec() }
}

/// The clips with padding that is not a number, and labels where `labels`.
fn batch(config: &MsaConfig, labels: bool) -> Batch {
    let sample = Sample::new(config, &SEQ_LENS, &LENS, f32::NAN);
    let mut batch = Batch::new(LENS.len());
    for (index, modality) in config.modalities.iter().enumerate() {
        batch = batch.float(&modality.name, sample.features[index].clone());
        batch = batch.integer(&format!("{}_mask", modality.name), sample.masks[index].clone());
    }
    if !labels {
        return batch;
    }
    let weights = vec![1.0; LENS.len()];
    batch.float("target", TARGETS.to_vec()).float("sample_weight", weights).integer("emotion", EMOTIONS.to_vec())
}

fn labelled() -> impl Iterator<Item = (usize, usize)> {
    EMOTIONS.into_iter().enumerate().filter(|(_, label)| *label != u32::MAX).map(|(clip, label)| (clip, label as usize))
}

/// The loss by its definition, and the gradient of the emotion head's bias: the task's weight times mean(p - label).
#[test]
fn the_loss_is_the_scores_and_the_weighted_cross_entropy_of_labelled_clips() {
    let config = two_tasks();
    let model = Msa::new(&config).unwrap();
    let store = store(&model);
    let scored = Scorer::new(&store, &model as &dyn SentimentModel, &shape()).unwrap();
    let scored = scored.run(&batch(&config, false)).unwrap();
    for clip in &scored {
        assert!((clip.emotions.iter().sum::<f32>() - 1.0).abs() < 1e-6 && clip.emotions.len() == CLASSES);
        let likeliest = clip.emotions[clip.emotion().unwrap()];
        assert!(clip.emotions.iter().all(|p| *p <= likeliest));
    }
    let squares = scored.iter().zip(TARGETS).map(|(clip, target)| f64::from(clip.score - target).powi(2)).sum::<f64>();
    let entropy: f64 = labelled().map(|(clip, label)| -f64::from(scored[clip].emotions[label]).ln()).sum();
    let expected = squares / LENS.len() as f64 + f64::from(WEIGHT) * entropy / labelled().count() as f64;

    let plan = Plan::new(&store, Mode::Gradients, |graph| training_graph(&model, graph, &shape(), RegressionLoss::Mse));
    let plan = plan.unwrap();
    batch(&config, true).write_to(&plan).unwrap();
    plan.run().unwrap();
    let loss = f64::from(plan.read("loss").unwrap()[0]);
    assert!((loss - expected).abs() < 1e-5 * expected, "{loss}, expected {expected}");

    let gradients = store.download_gradients().unwrap();
    let bias = model.parameters().specs().iter().position(|spec| spec.name == "emotion_head.bias").unwrap();
    for (class, found) in gradients[bias].iter().enumerate() {
        let of_clip = |(clip, label): (usize, usize)| {
            f64::from(scored[clip].emotions[class]) - f64::from(u8::from(label == class))
        };
        let expected = f64::from(WEIGHT) * labelled().map(of_clip).sum::<f64>() / labelled().count() as f64;
        assert!((f64::from(*found) - expected).abs() < 1e-6, "class {class}: {found}, expected {expected}");
    }
}

#[test]
fn both_tasks_are_learnt_by_heart() {
    let config = two_tasks();
    let model = Msa::new(&config).unwrap();
    let store = store(&model);
    let build = |graph: &limbic::graph::Graph| training_graph(&model, graph, &shape(), RegressionLoss::Mse);
    let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.0), 1, build).unwrap();
    for _ in 0..60 {
        trainer.step(batch(&config, true), StepSettings { learning_rate: 1e-2, beta1: None }).unwrap();
    }
    trainer.finish().unwrap();
    let scorer = Scorer::new(&store, &model as &dyn SentimentModel, &shape()).unwrap();
    let scored = scorer.run(&batch(&config, false)).unwrap();
    for (clip, target) in scored.iter().zip(TARGETS) {
        assert!((clip.score - target).abs() < 0.3, "{} for {target}", clip.score);
    }
    for (clip, label) in labelled() {
        assert_eq!(scored[clip].emotion(), Some(label), "{:?}", scored[clip].emotions);
    }
}

#[test]
fn a_model_without_the_head_says_nothing_of_emotions() {
    let config = MsaConfig { emotions: None, ..two_tasks() };
    let model = Msa::new(&config).unwrap();
    let scorer = Scorer::new(&store(&model), &model as &dyn SentimentModel, &shape()).unwrap();
    let scored = scorer.run(&batch(&config, false)).unwrap();
    assert!(scored.iter().all(|clip| clip.emotions.is_empty() && clip.emotion().is_none()));
    let head = Msa::new(&two_tasks()).unwrap().parameters().count() - model.parameters().count();
    assert_eq!(head, 16 * CLASSES + CLASSES);
}
