//! Training in two halves: features made once, and a head on them.

use crate::network::{BATCH, batch, tiny};
use crate::{message, support};
use limbic::data::features::{FeatureBatches, FeatureCorpus, FeatureSplit};
use limbic::models::RegressionLoss;
use limbic::models::personality::{
    FeatureExtractor, Personality, PersonalityNetwork, TraitScorer, head_training_graph,
};
use limbic::plan::ParameterStore;
use limbic::train::{OptimizerConfig, StepSettings, Trainer};
use limbic::weights::{self, Metadata, Tensor};

fn split(clips: usize, widths: [usize; 2], seed: u64) -> FeatureSplit {
    let [faces, motion] = widths.map(|width| support::noise(clips * width, seed + width as u64));
    FeatureSplit { faces, motion, traits: (0..clips).map(|clip| [0.1 * (clip % 10) as f32; 5]).collect() }
}

#[test]
fn a_head_on_features_is_the_network_in_two_halves() {
    let network = PersonalityNetwork::new(&tiny()).unwrap();
    let values = network.parameters().initial_values(3);
    let gpu = support::gpu();
    let store = ParameterStore::new(&gpu, network.parameters(), &values).unwrap();
    let whole = TraitScorer::new(&store, &network, BATCH).unwrap().run_all([batch()]).unwrap();
    // one batch and a part of another
    let part = {
        let mut part = batch();
        part.samples = 3;
        part
    };
    let [faces, motion] = FeatureExtractor::new(&store, &network, BATCH).unwrap().run_all([batch(), part]).unwrap();
    let head = Personality::new(&tiny().head).unwrap();
    let of = |name: &str| network.parameters().specs().iter().position(|spec| spec.name == format!("head.{name}"));
    let own: Vec<Vec<f32>> =
        head.parameters().specs().iter().map(|spec| values[of(&spec.name).unwrap()].clone()).collect();
    let store = ParameterStore::new(&gpu, head.parameters(), &own).unwrap();
    let widths = [tiny().head.static_dim, tiny().head.dynamic_dim];
    let features = FeatureSplit { faces, motion, traits: vec![[0.5; 5]; BATCH + 3] };
    let batches = FeatureBatches::new(&features, widths, 4).unwrap();
    let halves = TraitScorer::of_features(&store, &head, 4).unwrap().run_all(batches.in_order()).unwrap();
    assert_eq!(halves.len(), BATCH + 3);
    for (clip, (half, whole)) in halves.iter().zip(whole.iter().cycle()).enumerate() {
        for (a, b) in half.iter().zip(whole) {
            assert!((a - b).abs() < 1e-5, "clip {clip}: {half:?} {whole:?}");
        }
    }

    // a head learns what features say
    let traits: Vec<[f32; 5]> =
        (0..BATCH).map(|clip| [(clip % 4) as f32 / 4.0, 0.5, 0.5, 0.5, (clip / 4) as f32]).collect();
    let said = |width: usize, trait_: usize| {
        let grain = support::noise(BATCH * width, trait_ as u64);
        grain
            .iter()
            .enumerate()
            .map(|(i, grain)| traits[i / width][trait_] * (i % width) as f32 + 0.1 * grain)
            .collect()
    };
    let features = FeatureSplit { faces: said(widths[0], 0), motion: said(widths[1], 4), traits: traits.clone() };
    let batches = FeatureBatches::new(&features, widths, BATCH).unwrap();
    let build = |graph: &_| head_training_graph(&head, graph, BATCH, RegressionLoss::Mse);
    let mut trainer = Trainer::new(&store, OptimizerConfig::adam(), 1, build).unwrap();
    for epoch in 0..200 {
        for batch in batches.shuffled(1, epoch) {
            trainer.step(batch, StepSettings { learning_rate: 0.01, beta1: None }).unwrap();
        }
    }
    trainer.finish().unwrap();
    let scored = TraitScorer::of_features(&store, &head, BATCH).unwrap().run_all(batches.in_order()).unwrap();
    for (scored, wanted) in scored.iter().zip(&features.traits) {
        assert!((scored[0] - wanted[0]).abs() < 0.2 && (scored[4] - wanted[4]).abs() < 0.2, "{scored:?} {wanted:?}");
    }
}

#[test]
fn files_of_features_are_read_and_hostile_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features.safetensors");
    let widths = [3, 2];
    let [train, valid] = [7, 2].map(|clips| split(clips, widths, clips as u64));
    let corpus = FeatureCorpus { widths, train, valid, test: FeatureSplit::default() };
    corpus.write(&path).unwrap();
    assert_eq!(FeatureCorpus::read(&path).unwrap(), corpus);
    let harmed = |name: &str, tensor: Option<Tensor>| {
        let mut tensors = weights::read(&path).unwrap();
        match tensor {
            Some(tensor) => drop(tensors.insert(name, tensor)),
            None => drop(tensors.remove(name)),
        }
        let other = folder.path().join("harmed.safetensors");
        weights::write(&other, &tensors, &Metadata::new()).unwrap();
        message(FeatureCorpus::read(&other))
    };
    let tensor = |shape: &[usize], value: f32| Tensor::f32(shape, vec![value; shape.iter().product()]).unwrap();
    assert!(harmed("train.faces", None).contains("train.faces: is missing"));
    assert!(harmed("valid.traits", None).contains("valid.traits"));
    assert!(harmed("train.motion", Some(tensor(&[7], 0.0))).contains("not [clips, width]"));
    assert!(harmed("valid.faces", Some(tensor(&[2, 4], 0.0))).contains("valid.faces"));
    assert!(harmed("train.motion", Some(tensor(&[7, 2], f32::NAN))).contains("clip 0 is not finite"));
    assert!(harmed("train.traits", Some(tensor(&[7, 5], 1.5))).contains("[0, 1]"));
    assert!(message(FeatureBatches::new(&corpus.test, widths, 2)).contains("nothing to batch"));
    assert!(message(FeatureBatches::new(&corpus.train, [3, 3], 2)).contains("features"));
}

#[test]
fn batches_are_full_in_training_and_complete_in_scoring() {
    let features = split(11, [1, 2], 5);
    let batches = FeatureBatches::new(&features, [1, 2], 4).unwrap();
    assert_eq!(batches.len(), 2);
    assert_eq!(batches.in_order().map(|batch| batch.samples).collect::<Vec<_>>(), [4, 4, 3]);
    let epoch = |epoch| batches.shuffled(3, epoch).collect::<Vec<_>>();
    assert_eq!(epoch(0), epoch(0));
    assert_ne!(epoch(0), epoch(1));
    assert!(epoch(0).iter().all(|batch| batch.samples == 4));
}
