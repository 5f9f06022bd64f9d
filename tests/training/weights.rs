//! Weights in files: by the names of the layers, packed ones apart, whole or refused.

use crate::tiny::{config, model, store, weights};
use limbic::models::msa::{Msa, MsaConfig};
use limbic::train::checkpoint::{Checkpoint, load_weights};
use limbic::weights as files;

fn saved() -> (tempfile::TempDir, Checkpoint, Msa, Vec<Vec<f32>>) {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = Checkpoint::create(folder.path().join("a/b")).expect("a checkpoint, with the folders above it");
    let model = model(0.1);
    let values = model.parameters().initial_values(5);
    checkpoint.save_model(model.parameters(), &values).expect("saved");
    (folder, checkpoint, model, values)
}

#[test]
fn weights_come_back_bit_for_bit_through_the_gpu_and_the_file() {
    let (_folder, checkpoint, model, _) = saved();
    let store = store(&model, 6);
    checkpoint.save_model(model.parameters(), &store.download().unwrap()).unwrap();
    let other = crate::tiny::store(&model, 7);
    assert_ne!(weights(&other), weights(&store));
    other.upload(&checkpoint.load_model(model.parameters()).unwrap()).unwrap();
    assert_eq!(weights(&other), weights(&store));
}

#[test]
fn packed_projections_are_separate_tensors_in_the_file() {
    let (_folder, checkpoint, model, values) = saved();
    let tensors = files::read(checkpoint.model_path()).unwrap();
    assert!(tensors.iter().all(|(name, _)| !name.contains("query_key_value") && !name.contains("key_value")));
    let names: Vec<String> = model.parameters().named_shapes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(tensors.len(), names.len());
    let packed = "text_encoder.blocks.0.attention.query_key_value.weight";
    let index = model.parameters().specs().iter().position(|spec| spec.name == packed).expect("a packed weight");
    for (part, name) in ["query", "key", "value"].iter().enumerate() {
        let weight = tensors.f32(&format!("text_encoder.blocks.0.attention.{name}.weight"), &[16, 16]).unwrap();
        assert_eq!(*weight, values[index][part * 256..][..256], "{name}");
        tensors.f32(&format!("text_encoder.blocks.0.attention.{name}.bias"), &[16]).unwrap();
        tensors.f32(&format!("fusion.audio_from_text.0.attention.{name}.weight"), &[16, 16]).unwrap();
    }
    tensors.f32("text_encoder.position.embeddings", &[6, 16]).unwrap();
    tensors.f32("head.bias", &[1]).unwrap();
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let (_folder, checkpoint, _, _) = saved();
    let refused = |config: MsaConfig| {
        let other = Msa::new(&config).expect("a model");
        checkpoint.load_model(other.parameters()).expect_err("other weights").to_string()
    };
    let base = config(0.1);
    let more = refused(MsaConfig { n_layers_mod: 2, ..base.clone() });
    assert!(more.contains("missing: audio_encoder.blocks.1.attention.key.bias"), "{more}");
    let fewer = refused(MsaConfig { bidirectional_fusion: false, ..base.clone() });
    assert!(fewer.contains("unexpected: fusion.audio_from_text.0"), "{fewer}");
    let wider = refused(MsaConfig { ff_dim: 24, ..base.clone() });
    assert!(wider.contains("ffn1") && wider.contains("[16]") && wider.contains("[24]"), "{wider}");
    for message in [more, fewer, wider] {
        assert!(message.contains("model.safetensors"), "{message}");
    }
}

#[test]
fn broken_files_are_errors_and_leave_the_store_as_it_was() {
    let (_folder, checkpoint, model, _) = saved();
    let whole = std::fs::read(checkpoint.model_path()).unwrap();
    for length in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(checkpoint.model_path(), &whole[..length]).unwrap();
        assert!(checkpoint.load_model(model.parameters()).is_err(), "cut to {length} bytes");
    }
    let missing = load_weights(&checkpoint.directory().join("other.safetensors"), model.parameters());
    assert!(missing.unwrap_err().to_string().contains("other.safetensors"));
    let store = store(&model, 1);
    let before = weights(&store);
    assert!(store.upload(&[vec![0.0]]).is_err());
    let mut values = model.parameters().initial_values(2);
    values[3].pop();
    let error = store.upload(&values).unwrap_err().to_string();
    assert!(error.contains(&model.parameters().specs()[3].name), "{error}");
    assert_eq!(weights(&store), before);
}
