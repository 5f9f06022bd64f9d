//! The masking laws of the whole model: what is padded is never read into a result, forward or backward.

use crate::model::{Outcome, Sample, TABLE, bits, config, finite, run, run_in, store, three};
use limbic::graph::Precision;
use limbic::models::msa::{Encoder, Fusion, Msa, MsaConfig, Pooling};

/// Real steps of text, audio and video of three clips; none fills its sequence in every modality.
const LENS: [&[usize]; 3] = [&[4, 9, 2], &[6, 1, 7], &[1, 12, 5]];
const SEQ_LENS: [usize; 3] = [6, 12, 7];

/// Both ways of pooling, fusion one way and both ways, norm before and after, gates, causal and not, every
/// encoder.
fn configs() -> Vec<MsaConfig> {
    let one_way = MsaConfig {
        bidirectional_fusion: false,
        pooling_method: Pooling::Mean,
        norm_first: false,
        causal: true,
        ..config(&[("text", 5), ("audio", 8), ("video", 3)])
    };
    let encoders = [Encoder::Lstm, Encoder::Gru, Encoder::Tcn];
    let others =
        encoders.map(|encoder| MsaConfig { encoder, causal: encoder == Encoder::Gru, n_layers_mod: 2, ..three() });
    let gated = MsaConfig { fusion: Fusion::Gated, encoder: Encoder::Multiscale, ..three() };
    [three(), one_way, gated].into_iter().chain(others).collect()
}

fn assert_same(what: &str, actual: &Outcome, expected: &Outcome) {
    for ((name, actual), (_, expected)) in actual.bits().iter().zip(expected.bits()) {
        assert_eq!(*actual, expected, "{what}: {name}");
    }
}

#[test]
fn what_padding_holds_changes_no_output_and_no_gradient_bit_for_bit() {
    for config in configs() {
        let model = Msa::new(&config).unwrap();
        let store = store(&model);
        let base = run(&model, &store, &Sample::new(&config, &SEQ_LENS, &LENS, 0.0), true);
        assert!(base.gradients.iter().any(|gradient| gradient.iter().any(|value| *value != 0.0)));
        for pad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -7.5] {
            let padded = run(&model, &store, &Sample::new(&config, &SEQ_LENS, &LENS, pad), true);
            assert_same(&format!("padding of {pad}"), &padded, &base);
            for gradient in padded.input_gradients.iter().chain(&padded.gradients) {
                assert!(finite(gradient));
            }
        }
    }
}

#[test]
fn nor_does_it_in_mixed_precision() {
    for config in configs() {
        let model = Msa::new(&config).unwrap();
        let store = store(&model);
        let outcome =
            |pad| run_in(Precision::Mixed, &model, &store, &Sample::new(&config, &SEQ_LENS, &LENS, pad), true);
        let base = outcome(0.0);
        assert!(base.gradients.iter().any(|gradient| gradient.iter().any(|value| *value != 0.0)));
        assert!(base.gradients.iter().chain(&base.input_gradients).all(|gradient| finite(gradient)));
        for pad in [f32::NAN, f32::INFINITY, 3e38] {
            assert_same(&format!("padding of {pad}"), &outcome(pad), &base);
        }
    }
}

#[test]
fn padding_gets_no_gradient() {
    let model = Msa::new(&three()).unwrap();
    let sample = Sample::new(&three(), &SEQ_LENS, &LENS, f32::NAN);
    let outcome = run(&model, &store(&model), &sample, true);
    for (index, gradient) in outcome.input_gradients.iter().enumerate() {
        let width = gradient.len() / sample.masks[index].len();
        for (row, valid) in gradient.chunks(width).zip(&sample.masks[index]) {
            assert_eq!(row.iter().any(|value| *value != 0.0), *valid == 1, "modality {index}: {row:?}");
        }
    }
}

#[test]
fn derived_masks_say_what_explicit_ones_do() {
    let model = Msa::new(&three()).unwrap();
    let (store, sample) = (store(&model), Sample::new(&three(), &SEQ_LENS, &LENS, 0.0));
    assert_same("derived", &run(&model, &store, &sample, false), &run(&model, &store, &sample, true));
}

/// Longer sequences of padding, across the kernels' tile sizes, and position tables that are longer still.
#[test]
fn padding_further_changes_nothing() {
    for config in configs() {
        let model = Msa::new(&config).unwrap();
        let store = store(&model);
        let near = Sample::new(&config, &SEQ_LENS, &LENS, 0.0);
        let base = run(&model, &store, &near, true);
        let longer = [[7, 13, 8], [33, 64, 40], [8, 16, 8], [TABLE, TABLE, TABLE]];
        // the other encoders' kernels know no tiles along the sequence
        let attends = matches!(config.encoder, Encoder::Transformer | Encoder::Multiscale);
        let count = if attends { longer.len() } else { 2 };
        for seq_lens in &longer[..count] {
            let far = Sample::new(&config, seq_lens, &LENS, f32::NAN);
            let outcome = run(&model, &store, &far, true);
            assert_eq!(bits(&outcome.score), bits(&base.score), "score at {seq_lens:?}");
            assert_eq!(bits(&outcome.fusion_weights), bits(&base.fusion_weights), "fusion weights at {seq_lens:?}");
            assert_eq!(bits(&outcome.pooled), bits(&base.pooled), "pooled at {seq_lens:?}");
            for index in 0..3 {
                let here = far.real(index, &outcome.input_gradients[index]);
                let there = near.real(index, &base.input_gradients[index]);
                for (step, (here, there)) in here.iter().zip(there).enumerate() {
                    assert_eq!(bits(here), bits(there), "gradient of input {index}, step {step}, at {seq_lens:?}");
                }
            }
            assert_gradients_close(&model, &outcome, &base);
        }
    }
}

/// A weight's gradient is a sum over all rows of the batch, in an order that depends on how many rows there are: the terms of
/// padded rows are exact zeros, but where they stand decides which real terms are added first. So these agree to rounding, which
/// is relative to the model's largest gradient: that of the pooling scores' bias is a sum of terms that cancel.
fn assert_gradients_close(model: &Msa, actual: &Outcome, expected: &Outcome) {
    let largest = expected.gradients.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs()));
    for ((actual, expected), spec) in actual.gradients.iter().zip(&expected.gradients).zip(model.parameters().specs()) {
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= 4e-7 * largest, "gradient of {}: {a} instead of {e}, of {largest}", spec.name);
        }
    }
}

#[test]
fn a_clip_without_a_modality_and_one_without_any_are_finite() {
    let model = Msa::new(&three()).unwrap();
    let store = store(&model);
    let lens: [&[usize]; 5] = [&[4, 9, 2], &[0, 3, 3], &[5, 0, 2], &[3, 4, 0], &[0, 0, 0]];
    let outcome = run(&model, &store, &Sample::new(&three(), &SEQ_LENS, &lens, f32::NAN), true);
    for (name, values) in outcome.bits() {
        assert!(values.iter().all(|value| f32::from_bits(*value).is_finite()), "{name}");
    }
    // what is not there pools to zeros
    for (clip, lens) in lens.iter().enumerate() {
        for (index, len) in lens.iter().enumerate() {
            let pooled = &outcome.pooled[(clip * 3 + index) * 16..][..16];
            assert_eq!(pooled.iter().all(|value| *value == 0.0), *len == 0, "clip {clip}, modality {index}");
        }
    }
}

#[test]
fn clips_of_a_batch_do_not_see_each_other() {
    let model = Msa::new(&three()).unwrap();
    let store = store(&model);
    let sample = Sample::new(&three(), &SEQ_LENS, &LENS, 0.0);
    let base = run(&model, &store, &sample, true);
    let mut other = sample.clone();
    let [_, rest @ ..] = LENS;
    for (index, dim) in [5, 6, 3].into_iter().enumerate() {
        for (clip, lens) in rest.iter().enumerate() {
            let start = (clip + 1) * SEQ_LENS[index] * dim;
            other.features[index][start..start + lens[index] * dim].fill(1e3);
        }
    }
    let outcome = run(&model, &store, &other, true);
    assert_eq!(outcome.score[0].to_bits(), base.score[0].to_bits());
    assert_ne!(outcome.score[1].to_bits(), base.score[1].to_bits());
    assert_eq!(bits(&outcome.fusion_weights[..3]), bits(&base.fusion_weights[..3]));
}

#[test]
fn attention_weights_sum_to_one_or_are_all_zero_and_never_fall_on_padding() {
    let model = Msa::new(&three()).unwrap();
    let lens: [&[usize]; 3] = [&[4, 9, 2], &[6, 0, 7], &[1, 12, 0]];
    let sample = Sample::new(&three(), &SEQ_LENS, &lens, f32::NAN);
    let outcome = run(&model, &store(&model), &sample, true);
    assert_eq!(outcome.attentions.len(), 3 + 4);
    for (name, weights) in &outcome.attentions {
        let keys = match name.as_str() {
            "text_encoder.blocks.0" | "fusion.audio_from_text.0" | "fusion.video_from_text.0" => 0,
            "audio_encoder.blocks.0" | "fusion.text_from_audio.0" => 1,
            _ => 2,
        };
        let key_len = SEQ_LENS[keys];
        let rows_per_clip = weights.len() / key_len / sample.batch;
        for (row, weights) in weights.chunks(key_len).enumerate() {
            let clip = row / rows_per_clip;
            let (real, padding) = weights.split_at(lens[clip][keys]);
            assert!(padding.iter().all(|weight| *weight == 0.0), "{name}, row {row}");
            let sum: f64 = real.iter().map(|weight| f64::from(*weight)).sum();
            let expected = if real.is_empty() { 0.0 } else { 1.0 };
            assert!((sum - expected).abs() < 1e-6, "{name}, row {row}: sums to {sum}");
        }
    }
}
