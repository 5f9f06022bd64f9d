//! Weights of PyTorch: a state dict as safetensors, as `safetensors.torch.save_file(model.state_dict(), path)` writes it.
//!
//! limbic's layers keep their weights as PyTorch does, most under the same names: `Linear` and convolutions `[out, in, ..]`, layer and batch
//! norms, LSTM and GRU (`weight_ih_l0`, .., `_reverse`). What differs:
//!
//! | here | there |
//! |---|---|
//! | `attention.{query, key, value}.{weight, bias}` | `nn.MultiheadAttention`: rows of `attention.in_proj_weight`, `in_proj_bias` (`q_proj_weight`, .. where the context has another width) |
//! | `attention.output` | `attention.out_proj` |
//! | a transformer block's `attention`, `ffn1`, `ffn2` | `nn.TransformerEncoderLayer`: `self_attn`, `linear1`, `linear2` |
//! | `attention` of a block that attends to another sequence | `multihead_attn`, as `nn.TransformerDecoderLayer` calls it |
//!
//! `scripts/check_weights.py` holds the sentiment models in PyTorch, loads what is exported here and compares outputs.

use super::foreign::{self, Entry, Layout, Ours};
use super::{Tensor, TensorData, Tensors};
use crate::error::{Error, Result};
use crate::graph::{Parameters, Shape};
use std::collections::BTreeMap;

/// The state dict of a PyTorch model of the same layers: `model.load_state_dict(safetensors.torch.load_file(path))`, strict, takes it.
///
/// # Errors
/// [`Error::Tensor`] for an attention whose heads together are not as wide as the model, which PyTorch does not have.
pub fn export(parameters: &Parameters, values: &[Vec<f32>]) -> Result<Tensors> {
    let mut tensors = foreign::export(&entries(parameters)?, parameters, values)?;
    for spec in parameters.specs() {
        if let Some(norm) = spec.name.strip_suffix("running_mean") {
            let none = Tensor::new(Vec::new(), TensorData::I64(vec![0]))?;
            tensors.insert(format!("{norm}{COUNTER}"), none);
        }
    }
    Ok(tensors)
}

/// One vector per parameter from a PyTorch model's state dict. A wrapper's name before all others (`module.`) does not count.
///
/// # Errors
/// Lists what is missing and what is unexpected; or names the tensor that is of another shape.
pub fn import(tensors: &Tensors, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
    foreign::import(&entries(parameters)?, parameters, tensors, '.', |name| name.ends_with(COUNTER))
}

/// A batch norm's counter, of which limbic has none.
const COUNTER: &str = "num_batches_tracked";

/// PyTorch's tensors.
fn entries(parameters: &Parameters) -> Result<Vec<Entry>> {
    let ours = Ours::new(parameters);
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for part in ["query", "key", "value", ""] {
        for (name, shape, source) in ours.iter() {
            let (layer, leaf) = name.rsplit_once('.').unwrap_or(("", name));
            let attention = ours.attention(layer).filter(|attention| attention.part != "output");
            // packed rows come in this order
            if attention.as_ref().map_or("", |attention| attention.part) != part {
                continue;
            }
            let theirs = match attention {
                Some(attention) => packed_name(&ours, attention.place, part, leaf, shape)?,
                None => plain_name(&ours, name, layer, leaf),
            };
            let new = || Entry { name: theirs.clone(), shape: Vec::new(), sources: Vec::new(), layout: Layout::Rows };
            let entry = entries.entry(theirs.clone()).or_insert_with(new);
            entry.sources.push(source);
            match entry.shape.first_mut() {
                Some(rows) => *rows += shape.axis(0),
                None => entry.shape = shape.axes().to_vec(),
            }
        }
    }
    let renamed = |entry: Entry| Entry { name: in_block(parameters, &ours, &entry.name), ..entry };
    Ok(entries.into_values().map(renamed).collect())
}

/// The name of a projection to queries, keys or values; those of one name are packed.
fn packed_name(ours: &Ours, place: &str, part: &str, leaf: &str, shape: Shape) -> Result<String> {
    if leaf == "bias" {
        return Ok(format!("{place}.in_proj_bias"));
    }
    let weight = |part: &str| ours.get(&format!("{place}.{part}.weight")).map(|(shape, _)| shape);
    let width = weight("output").map_or(0, |output| output.axis(0));
    if shape.axis(0) != width {
        let message = format!(
            "the heads are {} wide together, the model {width}: PyTorch's MultiheadAttention has no such heads",
            shape.axis(0)
        );
        return Err(Error::Tensor { name: format!("{place}.{part}.weight"), message });
    }
    let alike = ["query", "key", "value"].iter().all(|other| weight(other) == Some(shape));
    let initial = &part[..1];
    Ok(if alike { format!("{place}.in_proj_weight") } else { format!("{place}.{initial}_proj_weight") })
}

fn plain_name(ours: &Ours, name: &str, layer: &str, leaf: &str) -> String {
    match ours.attention(layer) {
        Some(attention) => format!("{}.out_proj.{leaf}", attention.place),
        None => name.to_string(),
    }
}

/// `name` with the parts of transformer blocks called as PyTorch's layers call them.
fn in_block(parameters: &Parameters, ours: &Ours, name: &str) -> String {
    for (ours_part, theirs) in [("attention", ""), ("ffn1", "linear1"), ("ffn2", "linear2")] {
        let Some((block, rest)) = name.split_once(&format!(".{ours_part}.")) else { continue };
        if !ours.has(&format!("{block}.ffn1.weight")) || !ours.has(&format!("{block}.attention.query.weight")) {
            continue;
        }
        let itself = parameters.find(&format!("{block}.attention.query_key_value.weight")).is_some();
        let attention = if itself { "self_attn" } else { "multihead_attn" };
        return format!("{block}.{}.{rest}", if theirs.is_empty() { attention } else { theirs });
    }
    name.to_string()
}
