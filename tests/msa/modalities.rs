//! Any number of modalities, under any names: four, and one alone.

use crate::model::{Sample, config, finite, run, store, three};
use crate::support::{gpu, noise};
use limbic::models::msa::{
    BaselineConfig, BatchShape, Msa, MsaBaseline, RegressionLoss, Scorer, SentimentModel, training_graph,
};
use limbic::plan::{Batch, Mode, ParameterStore, Plan};

fn four() -> limbic::models::msa::MsaConfig {
    config(&[("text", 5), ("audio", 6), ("video", 3), ("depth", 4)])
}

#[test]
fn a_fourth_modality_is_encoded_fused_weighed_and_trained() {
    let model = Msa::new(&four()).unwrap();
    let lens: [&[usize]; 2] = [&[4, 9, 2, 5], &[6, 3, 7, 8]];
    let sample = Sample::new(&four(), &[6, 12, 7, 9], &lens, 0.0);
    let outcome = run(&model, &store(&model), &sample, true);
    for weights in outcome.fusion_weights.chunks(4) {
        assert!(weights.iter().all(|weight| *weight > 0.0));
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{weights:?}");
    }
    let names: Vec<&str> = outcome.attentions.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["depth_encoder.blocks.0", "fusion.text_from_depth.0", "fusion.depth_from_text.0"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert!(outcome.input_gradients[3].iter().any(|value| *value != 0.0));
    // every weight of every layer learns something
    for (spec, gradient) in model.parameters().specs().iter().zip(&outcome.gradients) {
        assert!(finite(gradient), "{}", spec.name);
        assert!(gradient.iter().any(|value| *value != 0.0), "no gradient reaches {}", spec.name);
    }
    let named = model.parameters().named_shapes();
    let depth = named.iter().filter(|(name, _)| name.starts_with("depth_encoder.")).count();
    let text = named.iter().filter(|(name, _)| name.starts_with("text_encoder.")).count();
    assert_eq!(depth, text);
}

#[test]
fn what_the_fourth_modality_says_reaches_the_score() {
    let model = Msa::new(&four()).unwrap();
    let store = store(&model);
    let lens: [&[usize]; 1] = [&[4, 9, 2, 5]];
    let sample = Sample::new(&four(), &[6, 12, 7, 9], &lens, 0.0);
    let mut other = sample.clone();
    other.features[3][0] += 1.0;
    let (one, two) = (run(&model, &store, &sample, true), run(&model, &store, &other, true));
    assert_ne!(one.score, two.score);
}

#[test]
fn one_modality_alone_is_a_model_too() {
    for name in ["text", "audio", "video"] {
        let config = three().only(name);
        let model = Msa::new(&config).unwrap();
        assert!(model.parameters().specs().iter().all(|spec| !spec.name.starts_with("fusion.")), "{name}");
        let lens: [&[usize]; 2] = [&[4], &[6]];
        let outcome = run(&model, &store(&model), &Sample::new(&config, &[6], &lens, f32::NAN), true);
        assert_eq!(outcome.fusion_weights, [1.0, 1.0], "{name}: all the weight there is");
        assert!(finite(&outcome.score) && outcome.score[0] != outcome.score[1]);
        assert_eq!(outcome.attentions.len(), 1);
        assert!(outcome.input_gradients[0].iter().any(|value| *value != 0.0));
    }
}

/// Inputs and outputs of the training and scoring graphs are named after the modalities.
#[test]
fn inputs_and_outputs_have_the_documented_names() {
    let model = Msa::new(&four()).unwrap();
    let shape = BatchShape { batch: 2, seq_lens: vec![6, 12, 7, 9] };
    let store = ParameterStore::new(&gpu(), model.parameters(), &model.parameters().initial_values(1)).unwrap();
    let plan = Plan::new(&store, Mode::Gradients, |graph| training_graph(&model, graph, &shape, RegressionLoss::Mae));
    let plan = plan.unwrap();
    let mut inputs: Vec<&str> = plan.input_names().map(|(name, _, _)| name).collect();
    inputs.sort_unstable();
    let expected = [
        "audio",
        "audio_mask",
        "depth",
        "depth_mask",
        "sample_weight",
        "target",
        "text",
        "text_mask",
        "video",
        "video_mask",
    ];
    assert_eq!(inputs, expected);
    assert_eq!(plan.output_shape("score").unwrap().axes(), [2, 1]);
    assert_eq!(plan.output_shape("loss").unwrap().len(), 1);
    let error = plan.read("scores").unwrap_err().to_string();
    assert!(error.contains("'scores'") && error.contains("loss, score"), "{error}");

    let scorer = Scorer::new(&store, &model, &shape).unwrap();
    assert_eq!(scorer.plan().output_shape("fusion_weights").unwrap().axes(), [2, 4]);
    let mut batch = Batch::new(1);
    for (modality, seq_len) in model.config().modalities.iter().zip(&shape.seq_lens) {
        batch = batch.float(&modality.name, noise(2 * seq_len * modality.dim, 3));
        let mask = (0..2 * seq_len).map(|step| u32::from(step < *seq_len)).collect();
        batch = batch.integer(&format!("{}_mask", modality.name), mask);
    }
    let scores = scorer.run(&batch).unwrap();
    assert_eq!((scores.len(), scores[0].fusion_weights.len()), (1, 4), "only real clips are scored");
}

/// The early-pooling baseline, with and without its adaptive weights, over four modalities and over one.
#[test]
fn the_baseline_takes_any_number_of_modalities() {
    for config in [four(), three().only("audio")] {
        for adaptive in [false, true] {
            let model = MsaBaseline::new(&BaselineConfig::like(&config, adaptive)).unwrap();
            let shape = BatchShape { batch: 2, seq_lens: vec![6; config.modalities.len()] };
            let store = ParameterStore::new(&gpu(), model.parameters(), &model.parameters().initial_values(1)).unwrap();
            let scorer = Scorer::new(&store, &model, &shape).unwrap();
            let mut batch = Batch::new(2);
            for modality in SentimentModel::modalities(&model) {
                // what the mask hides is not looked at here either
                let mut values = noise(2 * 6 * modality.dim, 4);
                values[..modality.dim].fill(f32::NAN);
                let mask = (0..12).map(|step| u32::from(step > 0)).collect();
                batch = batch.float(&modality.name, values).integer(&format!("{}_mask", modality.name), mask);
            }
            let scores = scorer.run(&batch).unwrap();
            let weights = if adaptive { config.modalities.len() } else { 0 };
            assert!(scores.iter().all(|clip| clip.fusion_weights.len() == weights && clip.score.is_finite()));
        }
    }
}
