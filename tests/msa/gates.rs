//! Gated fusion: what the gates are, what they let through, and that a modality that is not there has none.

use crate::model::{Sample, bits, check_weight_gradients, run, store, three};
use limbic::models::msa::{Fusion, Msa, MsaConfig, Pooling};

const SEQ_LENS: [usize; 3] = [6, 12, 7];
const LENS: [&[usize]; 3] = [&[4, 9, 2], &[6, 1, 7], &[1, 12, 5]];
const WIDTH: usize = 16;

fn gated() -> MsaConfig {
    MsaConfig { fusion: Fusion::Gated, ..three() }
}

/// Output of a linear layer `name` in f64, with the weights as the store has them.
fn linear(model: &Msa, weights: &[Vec<f32>], name: &str, x: &[f64]) -> Vec<f64> {
    let of = |part: &str| {
        let name = format!("{name}.{part}");
        let index = model.parameters().specs().iter().position(|spec| spec.name == name).expect("the parameter");
        &weights[index]
    };
    let dot = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
    of("weight").chunks(x.len()).zip(of("bias")).map(|(row, bias)| dot(row) + f64::from(*bias)).collect()
}

/// Gates and score from what was pooled, written out.
#[test]
fn gates_are_a_sigmoid_over_all_modalities_and_weigh_the_sum() {
    for pooling_method in [Pooling::Mean, Pooling::Attention] {
        let model = Msa::new(&MsaConfig { pooling_method, ..gated() }).unwrap();
        let store = store(&model);
        let weights = store.download().unwrap();
        let lens: [&[usize]; 3] = [&[4, 9, 2], &[6, 0, 7], &[1, 12, 0]];
        let outcome = run(&model, &store, &Sample::new(model.config(), &SEQ_LENS, &lens, f32::NAN), true);
        for (clip, lens) in lens.iter().enumerate() {
            let pooled: Vec<f64> =
                outcome.pooled[3 * WIDTH * clip..][..3 * WIDTH].iter().map(|value| f64::from(*value)).collect();
            let hidden: Vec<f64> =
                linear(&model, &weights, "gated.gate1", &pooled).iter().map(|value| value.max(0.0)).collect();
            let logits = linear(&model, &weights, "gated.gate2", &hidden);
            let gates: Vec<f64> = logits
                .iter()
                .zip(*lens)
                .map(|(logit, len)| if *len == 0 { 0.0 } else { 1.0 / (1.0 + (-logit).exp()) })
                .collect();
            let mut fused = vec![0.0; WIDTH];
            for (vector, gate) in pooled.chunks(WIDTH).zip(&gates) {
                fused.iter_mut().zip(vector).for_each(|(sum, value)| *sum += gate * value);
            }
            let score = linear(&model, &weights, "head", &fused)[0];
            for (found, expected) in outcome.fusion_weights[3 * clip..][..3].iter().zip(&gates) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "clip {clip}: gate {found}, expected {expected}");
            }
            let found = f64::from(outcome.score[clip]);
            assert!(
                (found - score).abs() < 1e-5 * score.abs().max(1.0),
                "clip {clip}: score {found}, expected {score}"
            );
        }
    }
}

/// Text attends to video alone, which is missing in the second clip: then its sequence, and with that its mean, is that of a model whose
/// text attends to nothing.
#[test]
fn nothing_is_taken_over_from_a_modality_that_is_not_there() {
    let config = MsaConfig { bidirectional_fusion: false, pooling_method: Pooling::Mean, ..gated() };
    let config = MsaConfig { modalities: vec![config.modalities[0].clone(), config.modalities[2].clone()], ..config };
    let model = Msa::new(&config).unwrap();
    let sample = Sample::new(&config, &[6, 7], &[&[4, 2], &[6, 0]], f32::NAN);
    let outcome = run(&model, &store(&model), &sample, true);
    let alone = Msa::new(&MsaConfig { n_layers_fuse: 0, ..config }).unwrap();
    let base = run(&alone, &same_encoders(&model, &alone), &sample, true);
    assert_eq!(bits(&outcome.pooled[2 * WIDTH..3 * WIDTH]), bits(&base.pooled[2 * WIDTH..3 * WIDTH]));
    assert_ne!(bits(&outcome.pooled[..WIDTH]), bits(&base.pooled[..WIDTH]), "video that is there is taken over");
}

/// A store for `to` with the weights that it shares with `from`.
fn same_encoders(from: &Msa, to: &Msa) -> limbic::plan::ParameterStore {
    let values = store(from).download().unwrap();
    let made = store(to);
    let mut shared = made.download().unwrap();
    for (spec, value) in to.parameters().specs().iter().zip(&mut shared) {
        if let Some(index) = from.parameters().specs().iter().position(|other| other.name == spec.name) {
            value.clone_from(&values[index]);
        }
    }
    made.upload(&shared).unwrap();
    made
}

/// With closed gates on cross attention a sequence stays as its encoder left it, with open ones it is as without gates.
#[test]
fn gates_of_steps_close_and_open() {
    let config = MsaConfig { n_layers_fuse: 1, pooling_method: Pooling::Mean, ..gated() };
    let model = Msa::new(&config).unwrap();
    let sample = Sample::new(&config, &SEQ_LENS, &LENS, f32::NAN);
    let biased = |bias: f32| {
        let store = store(&model);
        let mut values = store.download().unwrap();
        for (spec, value) in model.parameters().specs().iter().zip(&mut values) {
            if spec.name.starts_with("fusion.gates.") {
                value.fill(if spec.name.ends_with("bias") { bias } else { 0.0 });
            }
        }
        store.upload(&values).unwrap();
        run(&model, &store, &sample, true).pooled
    };
    let without = Msa::new(&MsaConfig { n_layers_fuse: 0, ..config.clone() }).unwrap();
    let ungated = Msa::new(&MsaConfig { fusion: Fusion::Adaptive, ..config.clone() }).unwrap();
    let of = |other: &Msa| run(other, &same_encoders(&model, other), &sample, true).pooled;
    for (what, bias, expected) in [("closed", -200.0, of(&without)), ("open", 200.0, of(&ungated))] {
        for (found, expected) in biased(bias).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{what}: {found}, expected {expected}");
        }
    }
}

#[test]
fn gradients_are_those_that_differences_measure() {
    let lens: [&[usize]; 3] = [&[4, 9, 2], &[6, 0, 7], &[1, 12, 5]];
    check_weight_gradients(&gated(), &lens, &SEQ_LENS);
}
