//! Streams: what a causal model says chunk by chunk is what it says of the clip so far.

use crate::model::{Sample, bits, check_weight_gradients, config, store};
use crate::support::noise;
use limbic::graph::Graph;
use limbic::models::msa::{
    BatchShape, Encoder, Fusion, ModalityConfig, ModalityInput, Msa, MsaConfig, Scorer, SentimentModel, StreamScorer,
};
use limbic::nn::Context;
use limbic::plan::{Batch, Mode, ParameterStore, Plan};

const DIMS: [usize; 2] = [5, 3];
/// Steps of text and audio that come together: a chunk without words, one without sound, one without either.
const CHUNKS: [[usize; 2]; 6] = [[2, 3], [0, 4], [1, 0], [0, 0], [3, 4], [1, 1]];

fn causal(encoder: Encoder) -> MsaConfig {
    let config = config(&[("text", DIMS[0]), ("audio", DIMS[1])]);
    let modality = |modality: ModalityConfig| ModalityConfig { seq_len: 13, ..modality };
    let modalities = config.modalities.into_iter().map(modality).collect();
    MsaConfig { encoder, causal: true, n_layers_mod: 2, modalities, ..config }
}

/// All steps that come, by modality.
fn steps() -> [Vec<f32>; 2] {
    [0, 1].map(|index| noise(13 * DIMS[index], 7 + index as u64))
}

/// Scores whole clips.
fn scorer(model: &Msa, store: &ParameterStore) -> Scorer {
    Scorer::new(store, model as &dyn SentimentModel, &BatchShape { batch: 1, seq_lens: vec![13; 2] }).unwrap()
}

/// The score of the first `lens` steps as a whole clip, padded with what is not a number.
fn whole(scorer: &Scorer, lens: [usize; 2]) -> f32 {
    let mut batch = Batch::new(1);
    for (index, (values, name)) in steps().iter().zip(["text", "audio"]).enumerate() {
        let mut values = values[..lens[index] * DIMS[index]].to_vec();
        values.resize(13 * DIMS[index], f32::NAN);
        let mask = (0..13).map(|step| u32::from(step < lens[index])).collect();
        batch = batch.float(name, values).integer(&format!("{name}_mask"), mask);
    }
    scorer.run(&batch).unwrap()[0].score
}

/// Pushes all chunks and compares each score with that of the clip so far.
fn check(stream: &mut StreamScorer, scorer: &Scorer, what: &str) -> Vec<f32> {
    let all = steps();
    let mut lens = [0, 0];
    let mut scores = Vec::new();
    for chunk in CHUNKS {
        let next = [0, 1].map(|index| &all[index][lens[index] * DIMS[index]..][..chunk[index] * DIMS[index]]);
        let score = stream.push(&next).unwrap().score;
        lens = [lens[0] + chunk[0], lens[1] + chunk[1]];
        assert_eq!(stream.lens(), lens);
        let expected = whole(scorer, lens);
        let near = (score - expected).abs() <= 1e-6 * expected.abs().max(1.0);
        assert!(near, "{what} after {lens:?} steps: {score}, as a whole {expected}");
        scores.push(score);
    }
    scores
}

#[test]
fn chunk_by_chunk_is_the_same_as_the_clip_so_far() {
    let transformer = causal(Encoder::Transformer);
    let post = MsaConfig { norm_first: false, fusion: Fusion::Gated, ..transformer.clone() };
    for config in [transformer, post, causal(Encoder::Lstm), causal(Encoder::Gru)] {
        let model = Msa::new(&config).unwrap();
        let store = store(&model);
        let mut stream = StreamScorer::new(&store, &model, &[3, 4]).unwrap();
        let (scorer, what) = (scorer(&model, &store), format!("{:?}", config.encoder));
        let first = check(&mut stream, &scorer, &what);
        assert_eq!(first[2].to_bits(), first[3].to_bits(), "nothing came");
        assert_ne!(first[3], first[4]);
        stream.reset().unwrap();
        assert_eq!(bits(&check(&mut stream, &scorer, &what)), bits(&first), "a new stream");
    }
}

/// The encoded steps of a clip, with those after `len` of text changed.
#[test]
fn no_step_is_encoded_with_what_comes_after_it() {
    for encoder in [Encoder::Transformer, Encoder::Lstm, Encoder::Gru] {
        for causal_too in [true, false] {
            let config = MsaConfig { causal: causal_too, ..causal(encoder) };
            let model = Msa::new(&config).unwrap();
            let plan = Plan::new(&store(&model), Mode::Forward, |graph: &Graph| {
                let input = |name: &str, dim| ModalityInput {
                    features: graph.input(name, [1, 13, dim]),
                    mask: Some(graph.mask_input(&format!("{name}_mask"), [1, 13])),
                };
                let inputs = [input("text", DIMS[0]), input("audio", DIMS[1])];
                let cx = Context { graph, parameters: model.parameters(), training: false };
                model.forward(cx, &inputs).encoded[0].x.named("encoded");
                Ok(())
            })
            .unwrap();
            let sample = Sample::new(&config, &[13, 13], &[&[13, 13]], 0.0);
            for (index, name) in ["text", "audio"].iter().enumerate() {
                plan.write(name, &sample.features[index]).unwrap();
                plan.write_u32(&format!("{name}_mask"), &sample.masks[index]).unwrap();
            }
            let encoded = |from: usize| {
                let mut text = sample.features[0].clone();
                text[from * DIMS[0]..].iter_mut().for_each(|value| *value = 0.3 - *value);
                plan.write("text", &text).unwrap();
                plan.run().unwrap();
                plan.read("encoded").unwrap()
            };
            let (one, other) = (encoded(13), encoded(6));
            let same = bits(&one[..6 * 16]) == bits(&other[..6 * 16]);
            assert_eq!(same, causal_too, "{encoder:?}, causal: {causal_too}");
            assert_ne!(bits(&one[6 * 16..7 * 16]), bits(&other[6 * 16..7 * 16]));
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_the_stream_as_it_is() {
    let model = Msa::new(&causal(Encoder::Transformer)).unwrap();
    let store = store(&model);
    let mut stream = StreamScorer::new(&store, &model, &[3, 4]).unwrap();
    let first = stream.push(&[&[0.5; 15], &[0.5; 12]]).unwrap().score;
    let said = |result: limbic::Result<()>| result.expect_err("an error").to_string();
    for (steps, says) in [
        (vec![&[0.5; 15][..]], "2 modalities, got 1"),
        (vec![&[0.5; 14][..], &[]], "14 values of text are no whole steps of 5"),
        (vec![&[0.5; 20][..], &[]], "4 steps of text are more than the 3"),
    ] {
        let message = said(stream.push(&steps).map(drop));
        assert!(message.contains(says), "'{message}' does not say '{says}'");
    }
    assert_eq!(stream.push(&[&[], &[]]).unwrap().score.to_bits(), first.to_bits());
    for _ in 0..2 {
        stream.push(&[&[], &[0.5; 12]]).unwrap();
    }
    let message = said(stream.push(&[&[], &[0.5; 12]]).map(drop));
    assert!(message.contains("13 steps of audio, and 12 have come"), "{message}");
    let message = said(StreamScorer::new(&store, &model, &[3]).map(drop));
    assert!(message.contains("2 modalities"), "{message}");
    let ahead = Msa::new(&MsaConfig { causal: false, ..causal(Encoder::Transformer) }).unwrap();
    let message = said(StreamScorer::new(&crate::model::store(&ahead), &ahead, &[3, 4]).map(drop));
    assert!(message.contains("only a causal model"), "{message}");
}

#[test]
fn gradients_are_those_that_differences_measure() {
    check_weight_gradients(&causal(Encoder::Transformer), &[&[4, 9], &[6, 0]], &[6, 12]);
}
