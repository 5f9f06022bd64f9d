//! What does not fit is an error that names the value or the layer; nothing panics.

use crate::model::{store, three};
use limbic::graph::Graph;
use limbic::models::msa::{
    BaselineConfig, BatchShape, EmotionTask, Encoder, ModalityConfig, ModalityInput, Msa, MsaBaseline, MsaConfig,
    RegressionLoss, training_graph,
};
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::{Error, Result};

fn modality(name: &str, dim: usize, seq_len: usize) -> ModalityConfig {
    ModalityConfig { name: name.to_string(), dim, seq_len }
}

/// A configuration that cannot be, and what its error must say.
fn wrong_configs() -> Vec<(MsaConfig, &'static str)> {
    let with = |modalities: Vec<ModalityConfig>| MsaConfig { modalities, ..three() };
    let text = || modality("text", 5, 6);
    vec![
        (MsaConfig { model_dim: 65, num_heads: 2, ..three() }, "model_dim 65 must be a multiple of num_heads 2"),
        (MsaConfig { num_heads: 0, ..three() }, "num_heads 0"),
        (MsaConfig { model_dim: 0, ..three() }, "model_dim 0"),
        (MsaConfig { model_dim: 2, num_heads: 1, ..three() }, "at least 4"),
        (MsaConfig { ff_dim: 0, ..three() }, "ff_dim"),
        (MsaConfig { dropout: 1.0, ..three() }, "dropout must be in [0, 1), not 1"),
        (MsaConfig { dropout: -0.1, ..three() }, "not -0.1"),
        (MsaConfig { dropout: f32::NAN, ..three() }, "NaN"),
        (MsaConfig { n_layers_mod: usize::MAX, ..three() }, "n_layers_mod"),
        (MsaConfig { n_layers_fuse: 1_000_000, ..three() }, "n_layers_fuse"),
        (MsaConfig { model_dim: usize::MAX - 1, num_heads: 1, ..three() }, "buffer"),
        (MsaConfig { model_dim: 1 << 13, ..three() }, "queries, keys and values"),
        (MsaConfig { ff_dim: usize::MAX, ..three() }, "feed-forward"),
        (with(vec![]), "at least one modality"),
        (with(vec![modality("text", 0, 6)]), "'text' needs at least one feature"),
        (with(vec![modality("text", 5, 0)]), "one step"),
        (with(vec![modality("text", usize::MAX, 6)]), "the weight of text"),
        (with(vec![modality("text", 5, usize::MAX)]), "positions"),
        (with(vec![text(), modality("audio", 2, 3), text()]), "two modalities are called 'text'"),
        (with(vec![modality("", 5, 6)]), "'' is no modality name"),
        (with(vec![modality("te.xt", 5, 6)]), "'te.xt' is no modality name"),
        (with(vec![modality("emotion", 5, 6)]), "'emotion'"),
        (with(vec![text(), modality("text_mask", 5, 6)]), "'text_mask'"),
        (with(vec![modality("target", 5, 6)]), "'target'"),
        (with(vec![modality("sample_weight", 5, 6)]), "'sample_weight'"),
    ]
}

#[test]
fn every_wrong_configuration_is_an_error_that_names_it() {
    for (config, says) in wrong_configs() {
        let models: [Result<()>; 2] =
            [Msa::new(&config).map(drop), MsaBaseline::new(&BaselineConfig::like(&config, true)).map(drop)];
        for result in models {
            match result {
                Err(Error::Config(message)) => assert!(message.contains(says), "'{message}' does not say '{says}'"),
                other => panic!("{says}: {other:?}"),
            }
        }
    }
}

/// The baseline has one kind of encoder and one task.
#[test]
fn what_an_encoder_or_a_second_task_cannot_have_is_an_error() {
    let emotions = |classes: &[&str], weight| {
        let classes = classes.iter().map(|name| name.to_string()).collect();
        MsaConfig { emotions: Some(EmotionTask { classes, weight }), ..three() }
    };
    let wrong = [
        (emotions(&["sad"], 1.0), "1 emotions are nothing to tell apart"),
        (emotions(&["sad", "glad", "sad"], 1.0), "two emotions are called 'sad'"),
        (emotions(&["sad", "glad"], -1.0), "at least 0, not -1"),
        (emotions(&["sad", "glad"], f32::NAN), "not NaN"),
        (MsaConfig { model_dim: 15, num_heads: 1, encoder: Encoder::Lstm, ..three() }, "model_dim 15 must be even"),
        (MsaConfig { model_dim: 4096, encoder: Encoder::Gru, ..three() }, "at most 2048"),
        (MsaConfig { causal: true, encoder: Encoder::Tcn, ..three() }, "the others look ahead"),
        (MsaConfig { causal: true, encoder: Encoder::Multiscale, ..three() }, "the others look ahead"),
        (MsaConfig { model_dim: 2048, causal: true, encoder: Encoder::Gru, ..three() }, "at most 1024"),
        (MsaConfig { n_layers_mod: 0, causal: true, encoder: Encoder::Lstm, ..three() }, "at least one layer"),
        (MsaConfig { n_layers_mod: 17, encoder: Encoder::Tcn, ..three() }, "at most 16"),
    ];
    for (config, says) in wrong {
        let message = Msa::new(&config).map(drop).expect_err("an error").to_string();
        assert!(message.contains(says), "'{message}' does not say '{says}'");
    }
}

/// The error of a graph of the three modalities with the given shapes.
fn graph_error(shapes: &[[usize; 3]]) -> (String, String) {
    let model = Msa::new(&three()).unwrap();
    let result = Plan::new(&store(&model), Mode::Forward, |graph: &Graph| {
        let names = ["text", "audio", "video", "depth"];
        let input =
            |(name, shape): (&&str, &[usize; 3])| ModalityInput { features: graph.input(name, *shape), mask: None };
        let inputs: Vec<_> = names.iter().zip(shapes).map(input).collect();
        model.forward(Context { graph, parameters: model.parameters(), training: false }, &inputs).score.named("score");
        Ok(())
    });
    match result {
        Err(Error::Shape { layer, message, .. }) => (layer, message),
        other => panic!("{shapes:?}: {other:?}"),
    }
}

#[test]
fn a_sequence_longer_than_the_position_table_names_the_layer_and_both_lengths() {
    let (layer, message) = graph_error(&[[2, 6, 5], [2, 81, 6], [2, 7, 3]]);
    assert_eq!(layer, "audio_encoder");
    assert!(message.contains("81") && message.contains("80") && message.contains("seq_len"), "{message}");
}

#[test]
fn features_of_another_size_name_the_layer() {
    let (layer, message) = graph_error(&[[2, 6, 5], [2, 9, 6], [2, 7, 4]]);
    assert_eq!(layer, "video_encoder.projection");
    assert!(message.contains('4') && message.contains('3'), "{message}");
}

#[test]
fn modalities_of_different_batches_name_the_layer_where_they_meet() {
    let (layer, _) = graph_error(&[[2, 6, 5], [3, 9, 6], [2, 7, 3]]);
    assert!(layer.starts_with("fusion.text_from_audio.0"), "{layer}");
}

#[test]
fn too_few_and_too_many_inputs_are_errors() {
    for count in [0, 1, 2, 4] {
        let shapes = [[2, 6, 5], [2, 9, 6], [2, 7, 3], [2, 7, 3]];
        let (_, message) = graph_error(&shapes[..count]);
        assert!(message.contains("text, audio, video") && message.contains(&format!("got {count}")), "{message}");
    }
}

#[test]
fn a_batch_shape_of_other_modalities_is_an_error_for_both_models() {
    let config = three();
    let (msa, baseline) = (Msa::new(&config).unwrap(), MsaBaseline::new(&BaselineConfig::like(&config, true)).unwrap());
    for seq_lens in [vec![], vec![6, 12]] {
        let shape = BatchShape { batch: 2, seq_lens };
        for model in [&msa as &dyn limbic::models::msa::SentimentModel, &baseline] {
            let graph = Graph::new();
            training_graph(model, &graph, &shape, RegressionLoss::Mse).unwrap();
            assert!(matches!(graph.finish(), Err(Error::Shape { .. })));
        }
    }
}

#[test]
fn an_empty_batch_or_sequence_is_an_error() {
    let model = Msa::new(&three()).unwrap();
    for shape in [BatchShape { batch: 0, seq_lens: vec![6, 12, 7] }, BatchShape { batch: 2, seq_lens: vec![6, 0, 7] }] {
        let result = Plan::new(&store(&model), Mode::Gradients, |graph| {
            training_graph(&model, graph, &shape, RegressionLoss::Mse)
        });
        assert!(matches!(result, Err(Error::Shape { .. })), "{result:?}");
    }
}

/// Sizes that no device has are refused before anything is allocated.
#[test]
fn a_batch_beyond_all_memory_is_an_error() {
    let model = Msa::new(&three()).unwrap();
    for batch in [1 << 24, 100_000_000, 1 << 33, 1 << 40, usize::MAX] {
        let shape = BatchShape { batch, seq_lens: vec![6, 12, 7] };
        let result = Plan::new(&store(&model), Mode::Gradients, |graph| {
            training_graph(&model, graph, &shape, RegressionLoss::Mse)
        });
        assert!(matches!(result, Err(Error::OutOfMemory { .. } | Error::Shape { .. })), "{batch}: {result:?}");
    }
}
