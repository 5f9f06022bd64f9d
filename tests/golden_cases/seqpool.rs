//! The golden cases of `ops_seqpool`.

use super::graph::{self, Inputs, Outputs};
use crate::golden_harness::{Case, Comparison, Outcome};
use limbic::graph::{Graph, Var};
use limbic::nn::sinusoidal_positions;
use limbic::ops::loss::constant;
use limbic::ops::masks::{combine_masks, look_ahead_mask};
use limbic::ops::pooling::Spread;
use serde_json::Value;

pub fn run(case: &Case<'_>) -> Outcome {
    match case.name {
        Some("sinusoidal") => sinusoidal(case),
        _ => graph::run(case, |name, settings, graph, inputs| {
            made_from_nothing(case, name, graph).or_else(|| build(name, settings, graph, inputs))
        }),
    }
}

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, _settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    let pooled = |(y, weights): (Var<'g>, Var<'g>)| Some(vec![("y".to_string(), y), ("weights".to_string(), weights)]);
    match case {
        "masked_mean" => Some(vec![("y".to_string(), get("x")?.masked_mean(get("mask")?))]),
        "masked_attention_pooling" => pooled(get("x")?.attention_pool(scores(inputs)?, get("mask"))),
        "attentive_stats_var" => pooled(get("x")?.attentive_statistics(scores(inputs)?, get("mask"), Spread::Variance)),
        "attentive_stats_std" => {
            pooled(get("x")?.attentive_statistics(scores(inputs)?, get("mask"), Spread::StandardDeviation))
        }
        "padding_mask" => Some(vec![("mask".to_string(), get("x")?.padding_mask(0.0))]),
        _ => None,
    }
}

/// Masks of cases without inputs: their size is that of the mask expected, the padding that of the file's padding case.
fn made_from_nothing<'g>(case: &Case<'_>, name: &str, graph: &'g Graph) -> Outputs<'g> {
    let look_ahead = || Some(look_ahead_mask(graph, *case.get("output/mask")?.shape().last()?));
    let mask = match name {
        "look_ahead_mask" => look_ahead()?,
        "combine_masks" => {
            let padding = case.file.get("padding_mask/output/mask")?;
            let [batch, keys] = *padding.shape() else { return None };
            let values: Vec<f32> = padding.as_u8()?.iter().map(|value| f32::from(*value)).collect();
            combine_masks(constant(graph, [batch, keys, 1], &values).padding_mask(0.0), look_ahead()?)
        }
        _ => return None,
    };
    Some(vec![("mask".to_string(), mask)])
}

fn sinusoidal(case: &Case<'_>) -> Outcome {
    let mut comparison = Comparison::new(case);
    match case.need("output/table").map(|table| table.shape()) {
        Ok([seq_len, model_dim]) => {
            let table = sinusoidal_positions(*seq_len, *model_dim);
            comparison.forward("output/table", &[*seq_len, *model_dim], &table);
        }
        Ok(shape) => comparison.problem(format!("a table of shape {shape:?}")),
        Err(message) => comparison.problem(message),
    }
    comparison.finish()
}

/// w2 tanh(w1 x + b1) + b2 of every step, `[batch, seq]`.
fn scores<'g>(inputs: &Inputs<'g>) -> Option<Var<'g>> {
    let get = |name: &str| inputs.get(name).copied();
    let (x, mask) = (get("x")?, get("mask")?);
    let hidden = (x.mask_rows(mask).matmul_nt(get("w1")?) + get("b1")?).tanh();
    Some((hidden.matmul_nt(get("w2")?) + get("b2")?).squeeze(2))
}
