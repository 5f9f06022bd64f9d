//! Parameter counts, exactly as the source's guide and its reference models have them.

use limbic::models::msa::{BaselineConfig, Encoder, Fusion, Msa, MsaBaseline, MsaConfig, Preset};

fn preset(preset: Preset) -> MsaConfig {
    MsaConfig::preset(preset, MsaConfig::source_modalities(64))
}

#[test]
fn presets_have_exactly_the_sources_parameters() {
    let counts = [("small", 209_028), ("medium", 1_147_268), ("default", 5_462_276), ("large", 9_201_543)];
    for (name, count) in counts {
        let model = Msa::new(&preset(Preset::parse(name).unwrap())).unwrap();
        assert_eq!(model.parameters().count(), count, "{name}");
        assert_eq!(model.parameters().trainable_count(), count, "{name}: all of them train");
    }
    assert!(Preset::parse("huge").unwrap_err().to_string().contains("small, medium, default or large"));
}

#[test]
fn the_baseline_has_too_and_adaptive_weights_are_one_linear_layer_more() {
    let count = |adaptive| {
        let model = MsaBaseline::new(&BaselineConfig::like(&preset(Preset::Default), adaptive)).unwrap();
        model.parameters().count()
    };
    assert_eq!(count(false), 4_325_633);
    assert_eq!(count(true), 4_325_633 + 256 * 3 + 3);
}

#[test]
fn a_modality_costs_its_encoder_its_fusion_blocks_and_its_weight() {
    let three = preset(Preset::Small);
    let mut four = three.clone();
    four.modalities.push(limbic::models::msa::ModalityConfig { name: "depth".into(), dim: 11, seq_len: 20 });
    let (d, ff) = (64, 128);
    let attention = 4 * (d * d + d);
    let block = attention + 2 * 2 * d + (d * ff + ff) + (ff * d + d);
    let encoder = (11 * d + d) + 20 * d + block;
    let count = |config: &MsaConfig| Msa::new(config).unwrap().parameters().count();
    assert_eq!(count(&four) - count(&three), encoder + block + (d / 2 + 1));
}

/// Per modality: a transformer's positions and blocks against what stands in their place.
#[test]
fn other_encoders_take_the_place_of_positions_and_blocks() {
    let small = preset(Preset::Small);
    let count = |config: &MsaConfig| Msa::new(config).unwrap().parameters().count();
    let (d, ff, layers) = (64, 128, 2);
    let block = 4 * (d * d + d) + 2 * 2 * d + (d * ff + ff) + (ff * d + d);
    let transformer = 64 * d + layers * block;
    let half = d / 2;
    let recurrent = |gates: usize| layers * 2 * (gates * half * (d + half) + 2 * gates * half);
    // a convolution of three taps with its bias; weight, bias and running statistics of its norm
    let convolutions = layers * (3 * d * d + d + 4 * d);
    let with = |encoder| MsaConfig { encoder, n_layers_mod: layers, ..small.clone() };
    let base = count(&with(Encoder::Transformer)) - 3 * transformer;
    for (encoder, own) in [(Encoder::Lstm, recurrent(4)), (Encoder::Gru, recurrent(3)), (Encoder::Tcn, convolutions)] {
        assert_eq!(count(&with(encoder)), base + 3 * own, "{encoder:?}");
    }
}

#[test]
fn gates_are_one_row_per_cross_attention_and_two_layers_of_the_head() {
    let small = preset(Preset::Small);
    let count = |config: &MsaConfig| Msa::new(config).unwrap().parameters().count();
    let (d, modalities) = (64, 3);
    let head = |inputs: usize| inputs * (d / 2) + d / 2 + (d / 2) * modalities + modalities;
    let gated = MsaConfig { fusion: Fusion::Gated, ..small.clone() };
    // text attends to audio and to video, once each
    let gates = 2 * (2 * d + 1);
    assert_eq!(count(&gated), count(&small) + gates + head(modalities * d) - head(d));
}

#[test]
fn time_scales_are_a_block_each_and_a_projection_between_them() {
    let small = preset(Preset::Small);
    let count = |config: &MsaConfig| Msa::new(config).unwrap().parameters().count();
    let (d, ff) = (64, 128);
    let block = 4 * (d * d + d) + 2 * 2 * d + (d * ff + ff) + (ff * d + d);
    let scales = MsaConfig { encoder: Encoder::Multiscale, ..small.clone() };
    assert_eq!(count(&scales), count(&small) + 3 * 2 * (block + d * d + d));
}

#[test]
fn a_causal_recurrent_encoder_has_one_direction_of_the_whole_width() {
    let config = MsaConfig { encoder: Encoder::Lstm, ..preset(Preset::Small) };
    let count = |config: &MsaConfig| Msa::new(config).unwrap().parameters().count();
    let direction = |hidden: usize| 4 * hidden * (64 + hidden) + 2 * 4 * hidden;
    let causal = MsaConfig { causal: true, ..config.clone() };
    assert_eq!(count(&causal) - count(&config), 3 * (direction(64) - 2 * direction(32)));
    let attending = MsaConfig { encoder: Encoder::Transformer, ..config };
    assert_eq!(count(&MsaConfig { causal: true, ..attending.clone() }), count(&attending));
}

#[test]
fn no_two_parameters_share_a_name() {
    let model = Msa::new(&preset(Preset::Large)).unwrap();
    let mut names: Vec<String> = model.parameters().named_shapes().into_iter().map(|(name, _)| name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}
