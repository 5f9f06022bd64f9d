//! A small model in a graph with gradients, and everything that comes out of it.

use crate::support::{gpu, noise};
use limbic::graph::{Graph, LOSS_SCALE, Parameters, Precision};
use limbic::models::msa::{Encoder, Fusion, ModalityConfig, ModalityInput, Msa, MsaConfig, Pooling};
use limbic::nn::Context;
use limbic::plan::{Mode, ParameterStore, Plan};

/// Steps that the position tables have: more than any test's sequences.
pub const TABLE: usize = 80;

/// Bidirectional fusion and attention pooling, so that every path of the model is there.
pub fn config(modalities: &[(&str, usize)]) -> MsaConfig {
    let modality = |(name, dim): &(&str, usize)| ModalityConfig { name: name.to_string(), dim: *dim, seq_len: TABLE };
    MsaConfig {
        modalities: modalities.iter().map(modality).collect(),
        model_dim: 16,
        num_heads: 2,
        ff_dim: 24,
        encoder: Encoder::Transformer,
        causal: false,
        n_layers_mod: 1,
        n_layers_fuse: 1,
        bidirectional_fusion: true,
        pooling_method: Pooling::Attention,
        fusion: Fusion::Adaptive,
        emotions: None,
        dropout: 0.0,
        norm_first: true,
    }
}

pub fn three() -> MsaConfig {
    config(&[("text", 5), ("audio", 6), ("video", 3)])
}

/// Features and masks of a batch, per modality.
#[derive(Debug, Clone)]
pub struct Sample {
    pub batch: usize,
    /// Steps of each modality, padding included.
    pub seq_lens: Vec<usize>,
    /// `[batch, seq, dim]` each.
    pub features: Vec<Vec<f32>>,
    /// `[batch, seq]` each.
    pub masks: Vec<Vec<u32>>,
}

impl Sample {
    /// One clip per row of `lens`, which has the real steps of each modality; padding is `pad`. What a step holds depends on its
    /// clip and place alone, so that the same clips can be padded further.
    pub fn new(config: &MsaConfig, seq_lens: &[usize], lens: &[&[usize]], pad: f32) -> Self {
        let mut sample =
            Sample { batch: lens.len(), seq_lens: seq_lens.to_vec(), features: Vec::new(), masks: Vec::new() };
        for (index, (modality, seq_len)) in config.modalities.iter().zip(seq_lens).enumerate() {
            let (mut features, mut mask) = (Vec::new(), Vec::new());
            for (clip, lens) in lens.iter().enumerate() {
                let values = noise(TABLE * modality.dim, (10 * clip + index) as u64);
                features.extend_from_slice(&values[..lens[index] * modality.dim]);
                features.resize((clip + 1) * seq_len * modality.dim, pad);
                mask.extend((0..*seq_len).map(|step| u32::from(step < lens[index])));
            }
            sample.features.push(features);
            sample.masks.push(mask);
        }
        sample
    }

    /// Of `values` with a row per step of modality `index`, the rows of real steps.
    pub fn real<'a>(&self, index: usize, values: &'a [f32]) -> Vec<&'a [f32]> {
        let width = values.len() / self.masks[index].len();
        let rows = values.chunks(width).zip(&self.masks[index]);
        rows.filter(|(_, valid)| **valid == 1).map(|(row, _)| row).collect()
    }
}

/// What a model makes of a [`Sample`].
#[derive(Debug)]
pub struct Outcome {
    pub score: Vec<f32>,
    /// `[batch, modalities]`.
    pub fusion_weights: Vec<f32>,
    /// `[batch, modalities, model_dim]`.
    pub pooled: Vec<f32>,
    /// `[batch, heads, query_len, key_len]`, by the block's name.
    pub attentions: Vec<(String, Vec<f32>)>,
    /// Per modality `[batch, seq, dim]`.
    pub input_gradients: Vec<Vec<f32>>,
    /// One per parameter.
    pub gradients: Vec<Vec<f32>>,
}

impl Outcome {
    /// The bits of everything, by name.
    pub fn bits(&self) -> Vec<(String, Vec<u32>)> {
        let fixed = [("score", &self.score), ("fusion weights", &self.fusion_weights), ("pooled", &self.pooled)];
        let fixed = fixed.into_iter().map(|(name, values)| (name.to_string(), values));
        let numbered = |what: &'static str, all: &'_ [Vec<f32>]| {
            (0..all.len()).map(move |index| format!("{what} {index}")).collect::<Vec<_>>()
        };
        let inputs = numbered("input gradient", &self.input_gradients).into_iter().zip(&self.input_gradients);
        let gradients = numbered("gradient", &self.gradients).into_iter().zip(&self.gradients);
        let attentions = self.attentions.iter().map(|(name, values)| (name.clone(), values));
        let all = fixed.chain(inputs).chain(gradients).chain(attentions);
        all.map(|(name, values)| (name, bits(values))).collect()
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

pub fn finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

/// A model with its weights on the test adapter. Every weight is drawn, also those that start as zeros: a bias of 0 hides mistakes.
pub fn store(model: &Msa) -> ParameterStore {
    store_of(model.parameters())
}

/// [`store`] of any parameters.
pub fn store_of(parameters: &Parameters) -> ParameterStore {
    let specs = parameters.specs().iter().enumerate();
    let values: Vec<Vec<f32>> = specs
        .map(|(index, spec)| {
            let values = noise(spec.shape.len(), 500 + index as u64).into_iter().map(|value| 0.4 * value);
            // a variance is positive
            let least = if spec.name.ends_with("running_var") { 1.0 } else { 0.0 };
            values.map(|value| value + least).collect()
        })
        .collect();
    ParameterStore::new(&gpu(), parameters, &values).expect("a store")
}

/// Inputs `text`, `text_mask` (where `explicit`), ...; the loss weighs the score and the fusion weights. Returns the attentions' names.
fn graph(model: &Msa, graph: &Graph, batch: usize, seq_lens: &[usize], explicit: bool) -> Vec<String> {
    let modalities = &model.config().modalities;
    let input = |(modality, seq_len): (&ModalityConfig, &usize)| ModalityInput {
        features: graph.input_with_grad(&modality.name, [batch, *seq_len, modality.dim]),
        mask: explicit.then(|| graph.mask_input(&format!("{}_mask", modality.name), [batch, *seq_len])),
    };
    let inputs: Vec<_> = modalities.iter().zip(seq_lens).map(input).collect();
    let output = model.forward(Context { graph, parameters: model.parameters(), training: false }, &inputs);
    output.score.named("score");
    output.fused.weights.named("fusion_weights");
    output.fused.pooled.named("pooled");
    for (name, attention) in &output.attentions {
        attention.weights().named(name);
    }
    let cotangent = graph.input("cotangent", [batch, modalities.len()]);
    (output.score.scale(1.5).sum() + (output.fused.weights * cotangent).sum()).as_loss();
    output.attentions.into_iter().map(|(name, _)| name).collect()
}

/// Runs `sample` through `model`, with the masks given or derived.
pub fn run(model: &Msa, store: &ParameterStore, sample: &Sample, explicit: bool) -> Outcome {
    run_in(Precision::F32, model, store, sample, explicit)
}

/// [`run`] in a given precision. In mixed precision the gradients are a power of two too large.
pub fn run_in(precision: Precision, model: &Msa, store: &ParameterStore, sample: &Sample, explicit: bool) -> Outcome {
    let mut names = Vec::new();
    let plan = Plan::new(store, Mode::Gradients, |g| {
        g.set_precision(precision);
        names = graph(model, g, sample.batch, &sample.seq_lens, explicit);
        Ok(())
    })
    .expect("a plan");
    let modalities = &model.config().modalities;
    for (index, modality) in modalities.iter().enumerate() {
        plan.write(&modality.name, &sample.features[index]).expect("features");
        if explicit {
            plan.write_u32(&format!("{}_mask", modality.name), &sample.masks[index]).expect("a mask");
        }
    }
    plan.write("cotangent", &noise(sample.batch * modalities.len(), 99)).expect("the cotangent");
    if plan.has_input(LOSS_SCALE) {
        plan.write(LOSS_SCALE, &[256.0]).expect("the loss scale");
    }
    plan.run().expect("a run");
    let read = |name: &str| plan.read(name).unwrap_or_else(|error| panic!("{error}"));
    Outcome {
        score: read("score"),
        fusion_weights: read("fusion_weights"),
        pooled: read("pooled"),
        attentions: names.iter().map(|name| (name.clone(), read(name))).collect(),
        input_gradients: modalities.iter().map(|modality| read(&format!("grad/{}", modality.name))).collect(),
        gradients: store.download_gradients().expect("gradients"),
    }
}

/// Compares the gradients of all weights with central differences of the loss along random directions, one part of the model after the
/// other. The loss is recomputed in f64 from the outputs.
pub fn check_weight_gradients(config: &MsaConfig, lens: &[&[usize]], seq_lens: &[usize]) {
    let model = Msa::new(config).unwrap();
    let store = store(&model);
    let sample = Sample::new(config, seq_lens, lens, f32::NAN);
    let weights = store.download().unwrap();
    let cotangent = noise(sample.batch * config.modalities.len(), 99);
    let loss = |outcome: &Outcome| {
        let scores = outcome.score.iter().map(|score| 1.5 * f64::from(*score)).sum::<f64>();
        let fusion = outcome.fusion_weights.iter().zip(&cotangent).map(|(w, c)| f64::from(*w) * f64::from(*c));
        scores + fusion.sum::<f64>()
    };
    let gradients = run(&model, &store, &sample, true).gradients;
    let parts: std::collections::BTreeSet<&str> =
        model.parameters().specs().iter().map(|spec| spec.name.split('.').next().unwrap()).collect();
    for part in parts {
        let step = 2e-3;
        let ours = |index: usize| model.parameters().specs()[index].name.starts_with(&format!("{part}."));
        let along: Vec<Vec<f32>> = weights
            .iter()
            .enumerate()
            .map(|(index, values)| match ours(index) {
                true => noise(values.len(), 40 + index as u64),
                false => vec![0.0; values.len()],
            })
            .collect();
        let moved = |sign: f32| {
            let move_one = |(values, along): (&Vec<f32>, &Vec<f32>)| {
                values.iter().zip(along).map(|(value, d)| value + sign * step * d).collect()
            };
            store.upload(&weights.iter().zip(&along).map(move_one).collect::<Vec<_>>()).unwrap();
            loss(&run(&model, &store, &sample, true))
        };
        let measured = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
        let terms = gradients.iter().flatten().zip(along.iter().flatten()).map(|(g, d)| f64::from(*g) * f64::from(*d));
        let terms: Vec<f64> = terms.collect();
        let (expected, scale) = (terms.iter().sum::<f64>(), terms.iter().map(|t| t * t).sum::<f64>().sqrt());
        assert!(scale > 0.0, "{part}: no gradient");
        let tolerance = 2e-2 * scale.max(expected.abs()) + 1e-3;
        assert!((measured - expected).abs() <= tolerance, "{part}: {expected} expected, {measured} measured");
    }
}
