//! Weights of PyTorch and Keras: what those frameworks saved (scripts/check_weights.py) gives the scores that they gave, and goes back
//! bit for bit.

mod support;

use limbic::graph::Parameters;
use limbic::models::msa::{BatchShape, Encoder, ModalityConfig, Msa, MsaConfig, Pooling, Preset, Scorer};
use limbic::nn::{Linear, MultiHeadAttention, MultiHeadAttentionConfig};
use limbic::plan::{Batch, ParameterStore};
use limbic::weights::keras::{KerasModel, layer_path};
use limbic::weights::{self, Tensor, TensorData, Tensors, pytorch};
use std::path::Path;

const SIZES: [(&str, usize, usize); 3] = [("text", 7, 5), ("audio", 5, 6), ("video", 4, 4)];
const BATCH: usize = 3;
const KERAS: KerasModel = KerasModel { heads: 2, layer_path };

/// The script's model.
fn model(encoder: Encoder) -> Msa {
    let modality = |(name, dim, seq_len): (&str, usize, usize)| ModalityConfig { name: name.to_string(), dim, seq_len };
    Msa::new(&MsaConfig {
        modalities: SIZES.map(modality).to_vec(),
        model_dim: 8,
        num_heads: 2,
        ff_dim: 12,
        encoder,
        n_layers_mod: 2,
        n_layers_fuse: 1,
        bidirectional_fusion: true,
        pooling_method: Pooling::Attention,
        dropout: 0.0,
        norm_first: encoder != Encoder::Lstm,
        ..MsaConfig::preset(Preset::Small, Vec::new())
    })
    .unwrap()
}

fn file(framework: &str, encoder: &str) -> Tensors {
    let name = format!("tests/files/weights_{framework}_{encoder}.safetensors");
    weights::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The file's weights.
fn weights_of(file: &Tensors) -> Tensors {
    file.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("weight ")?.to_string(), tensor.clone()))).collect()
}

/// The weights give the file's scores.
fn check_scores(name: &str, model: &Msa, values: &[Vec<f32>], file: &Tensors) {
    let store = ParameterStore::new(&support::gpu(), model.parameters(), values).unwrap();
    let shape = BatchShape::full(BATCH, &model.config().modalities);
    let mut batch = Batch::new(BATCH);
    for (modality, dim, steps) in SIZES {
        let mask = file.u8(&format!("input {modality}_mask"), &[BATCH, steps]).unwrap();
        batch = batch
            .float(modality, file.f32(&format!("input {modality}"), &[BATCH, steps, dim]).unwrap().to_vec())
            .integer(&format!("{modality}_mask"), mask.iter().map(|m| u32::from(*m)).collect());
    }
    let scores = Scorer::new(&store, model, &shape).unwrap().run(&batch).unwrap();
    for (ours, theirs) in scores.iter().zip(file.f32("score", &[BATCH]).unwrap()) {
        assert!((ours.score - theirs).abs() < 2e-5, "{name}: {} against {theirs}", ours.score);
    }
}

/// Every float tensor of `theirs`, by its name after `prefix`, comes out again.
fn check_back(name: &str, exported: &Tensors, theirs: &Tensors, prefix: &str) {
    let mut count = 0;
    for (key, tensor) in theirs.iter() {
        let key = key.strip_prefix(prefix).unwrap();
        assert_eq!(exported.get(key).unwrap_or_else(|| panic!("{name}: no {key}")), tensor, "{name} {key}");
        count += 1;
    }
    assert_eq!(exported.len(), count, "{name}");
}

#[test]
fn pytorch_models() {
    for (name, encoder) in
        [("transformer", Encoder::Transformer), ("lstm", Encoder::Lstm), ("gru", Encoder::Gru), ("tcn", Encoder::Tcn)]
    {
        let (file, model) = (file("pytorch", name), model(encoder));
        let theirs = weights_of(&file);
        let values = pytorch::import(&theirs, model.parameters()).unwrap();
        check_scores(name, &model, &values, &file);
        check_back(name, &pytorch::export(model.parameters(), &values).unwrap(), &theirs, "");
        // as nn.DataParallel saves it
        let wrapped: Tensors = theirs.iter().map(|(name, tensor)| (format!("module.{name}"), tensor.clone())).collect();
        assert_eq!(pytorch::import(&wrapped, model.parameters()).unwrap(), values);
    }
}

#[test]
fn keras_models() {
    for (name, encoder) in [("transformer", Encoder::Transformer), ("lstm", Encoder::Lstm), ("gru", Encoder::Gru)] {
        let (file, model) = (file("keras", name), model(encoder));
        let theirs = weights_of(&file);
        let values = KERAS.import(&theirs, model.parameters()).unwrap();
        check_scores(name, &model, &values, &file);
        check_back(name, &KERAS.export(model.parameters(), &values).unwrap(), &theirs, "msa/");
    }
}

#[test]
fn two_biases_become_one() {
    let model = model(Encoder::Lstm);
    let values = model.parameters().initial_values(3);
    let exported = KERAS.export(model.parameters(), &values).unwrap();
    let value = |name: &str| &values[model.parameters().specs().iter().position(|spec| spec.name == name).unwrap()];
    let (input, hidden) =
        (value("text_encoder.lstm.bias_ih_l1_reverse"), value("text_encoder.lstm.bias_hh_l1_reverse"));
    let sum: Vec<f32> = input.iter().zip(hidden).map(|(a, b)| a + b).collect();
    let name = "text_encoder/lstm_1/backward_lstm_1/lstm_cell/bias";
    assert_eq!(exported.f32(name, &[16]).unwrap(), sum);
}

#[test]
fn what_does_not_fit_is_named() {
    let model = model(Encoder::Transformer);
    let theirs = weights_of(&file("pytorch", "transformer"));
    let message = |tensors: &Tensors| pytorch::import(tensors, model.parameters()).unwrap_err().to_string();
    let packed = "text_encoder.blocks.0.self_attn.in_proj_weight";
    let mut missing = theirs.clone();
    missing.remove(packed);
    missing.insert("classifier.weight", Tensor::f32([1], vec![0.0]).unwrap());
    let text = message(&missing);
    assert!(
        text.contains(&format!("1 missing: {packed}")) && text.contains("1 unexpected: classifier.weight"),
        "{text}"
    );
    let mut narrow = theirs.clone();
    narrow.insert(packed, Tensor::f32([16, 8], vec![0.0; 128]).unwrap());
    let text = message(&narrow);
    assert!(text.contains(packed) && text.contains("[16, 8]") && text.contains("[24, 8]"), "{text}");
    let mut integers = theirs;
    integers.insert("head.bias", Tensor::new([1], TensorData::I64(vec![1])).unwrap());
    assert!(message(&integers).contains("head.bias"));
    let heads = KerasModel { heads: 3, ..KERAS };
    let values = model.parameters().initial_values(1);
    let text = heads.export(model.parameters(), &values).unwrap_err().to_string();
    assert!(text.contains("8 wide, no multiple of 3 heads"), "{text}");
}

/// Attention outside of a block, to a context of another width, with heads that only Keras has.
#[test]
fn attention_alone() {
    let mut parameters = Parameters::new();
    let mut root = parameters.root();
    let config = MultiHeadAttentionConfig { context_dim: 6, ..MultiHeadAttentionConfig::new(8, 2) };
    MultiHeadAttention::to_context(&mut root, "cross", config);
    Linear::new(&mut root, "attention", 3, 2);
    let values = parameters.initial_values(1);
    let exported = pytorch::export(&parameters, &values).unwrap();
    let names: Vec<(&str, &[usize])> = exported.iter().map(|(name, tensor)| (name, tensor.shape())).collect();
    let expected: [(&str, &[usize]); 8] = [
        ("attention.bias", &[2]),
        ("attention.weight", &[2, 3]),
        ("cross.in_proj_bias", &[24]),
        ("cross.k_proj_weight", &[8, 6]),
        ("cross.out_proj.bias", &[8]),
        ("cross.out_proj.weight", &[8, 8]),
        ("cross.q_proj_weight", &[8, 8]),
        ("cross.v_proj_weight", &[8, 6]),
    ];
    assert_eq!(names, expected);
    assert_eq!(pytorch::import(&exported, &parameters).unwrap(), values);

    let mut parameters = Parameters::new();
    let wide = MultiHeadAttentionConfig { head_dim: 8, ..MultiHeadAttentionConfig::new(8, 2) };
    MultiHeadAttention::to_itself(&mut parameters.root(), "wide", wide);
    let values = parameters.initial_values(1);
    let text = pytorch::export(&parameters, &values).unwrap_err().to_string();
    assert!(text.contains("16 wide together") && text.contains("the model 8"), "{text}");
    let exported = KERAS.export(&parameters, &values).unwrap();
    assert_eq!(exported.get("wide/query/kernel").unwrap().shape(), [8, 2, 8]);
    assert_eq!(exported.get("wide/attention_output/kernel").unwrap().shape(), [2, 8, 8]);
    assert_eq!(KERAS.import(&exported, &parameters).unwrap(), values);
}
