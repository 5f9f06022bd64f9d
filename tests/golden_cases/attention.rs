//! Multi-head attention against PyTorch's `nn.MultiheadAttention` and Keras' `MultiHeadAttention`, projections included.

use super::graph::{Inputs, Outputs};
use limbic::graph::{Graph, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, AttentionOutput, Projections, attention};
use serde_json::Value;

pub fn build<'g>(case: &str, settings: &Value, graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let heads = settings.get("heads").and_then(Value::as_u64).unwrap_or(1) as usize;
    match case {
        "softmax_masked" => {
            let (scores, mask) = (inputs.get("scores")?, inputs.get("mask")?);
            Some(vec![("y".to_string(), scores.masked_softmax(3, *mask))])
        }
        "sdpa" => scaled_dot_product(inputs),
        _ if case.starts_with("keras_mha") => keras(heads, inputs),
        _ if case.starts_with("mha") => torch(case, heads, graph, inputs),
        _ => None,
    }
}

/// `[batch, heads, seq, dim]` tensors, no projections.
fn scaled_dot_product<'g>(inputs: &Inputs<'g>) -> Outputs<'g> {
    let heads = inputs.get("q")?.shape().axis(1);
    let merge = |name: &str| {
        let x = inputs.get(name)?;
        let [batch, heads, seq, dim] = [0, 1, 2, 3].map(|axis| x.shape().axis(axis));
        Some(x.permute(&[0, 2, 1, 3]).reshape([batch, seq, heads * dim]))
    };
    let projections = Projections::Separate { query: merge("q")?, key: merge("k")?, value: merge("v")? };
    let out =
        attention(projections, AttentionMasks::default(), AttentionOptions { heads, scale: None, dropout: 0.0 }).output;
    let [batch, seq, width] = [0, 1, 2].map(|axis| out.shape().axis(axis));
    let y = out.reshape([batch, seq, heads, width / heads]).permute(&[0, 2, 1, 3]);
    Some(vec![("y".to_string(), y)])
}

fn torch<'g>(case: &str, heads: usize, _: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    let query = get("q")?;
    let key = get("k").unwrap_or(query);
    let value = get("v").unwrap_or(key);
    let dim = query.shape().from_end(0);
    // rows of the packed projection: queries, keys, values
    let rows = |name: &str, part: usize| get(name).map(|packed| packed.slice(0, part * dim, (part + 1) * dim));
    let weight = |name: &str, part: usize| get(name).or_else(|| rows("in_proj_weight", part));
    let project = |x: Var<'g>, name: &str, part: usize| {
        let product = x.matmul_nt(weight(name, part)?);
        Some(rows("in_proj_bias", part).map_or(product, |bias| product + bias))
    };
    let projections = Projections::Separate {
        query: project(query, "q_proj_weight", 0)?,
        key: project(key, "k_proj_weight", 1)?,
        value: project(value, "v_proj_weight", 2)?,
    };
    let masks = AttentionMasks { key: get("key_mask"), causal: case.contains("causal"), ..AttentionMasks::default() };
    let attended = attention(projections, masks, AttentionOptions { heads, scale: None, dropout: 0.0 });
    let product = attended.output.matmul_nt(get("out_proj.weight")?);
    let y = get("out_proj.bias").map_or(product, |bias| product + bias);
    Some(with_weights(y, &attended))
}

fn keras<'g>(heads: usize, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    // kernels [dim, heads, key_dim] and biases [heads, key_dim], flattened
    let project = |x: Var<'g>, name: &str| {
        let kernel = get(&format!("{name}.kernel"))?;
        let [dim, heads, key_dim] = [0, 1, 2].map(|axis| kernel.shape().axis(axis));
        let bias = get(&format!("{name}.bias"))?.reshape([heads * key_dim]);
        Some(x.matmul(kernel.reshape([dim, heads * key_dim])) + bias)
    };
    let (query, key) = (get("q")?, get("k")?);
    let projections = Projections::Separate {
        query: project(query, "query")?,
        key: project(key, "key")?,
        value: project(key, "value")?,
    };
    let masks = AttentionMasks { key: get("key_mask"), ..AttentionMasks::default() };
    let attended = attention(projections, masks, AttentionOptions { heads, scale: None, dropout: 0.0 });
    let kernel = get("attention_output.kernel")?;
    let [heads, key_dim, dim] = [0, 1, 2].map(|axis| kernel.shape().axis(axis));
    let y = attended.output.matmul(kernel.reshape([heads * key_dim, dim])) + get("attention_output.bias")?;
    Some(with_weights(y, &attended))
}

/// The result with the attention weights, per head and averaged: the files hold one or the other.
fn with_weights<'g>(y: Var<'g>, attended: &AttentionOutput<'g>) -> Vec<(String, Var<'g>)> {
    let weights = attended.weights();
    vec![("y".to_string(), y), ("weights".to_string(), weights), ("weights_mean".to_string(), weights.mean_axes(&[1]))]
}
