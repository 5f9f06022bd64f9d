//! Weights of Keras: the model's variables by their paths, as safetensors.
//!
//! ```python
//! save_file({v.path: np.ascontiguousarray(v) for v in model.weights}, path)        # for `import`
//! for v in model.weights: v.assign(tensors[v.path.removeprefix("msa/")])           # what `export` wrote
//! ```
//!
//! (`.weights.h5` names variables after attributes of the Python objects, which nobody else can know.) Keras keeps weights the other way
//! round, and some otherwise:
//!
//! | here | there |
//! |---|---|
//! | `weight [out, in, taps..]` | `kernel [taps.., in, out]` |
//! | `attention.{query, key, value}`, `attention.output` | `MultiHeadAttention`: kernels `[dim, heads, key_dim]`, biases `[heads, key_dim]`; `attention_output/kernel [heads, key_dim, dim]` |
//! | a norm's `weight`, `bias`, `running_mean`, `running_var` | `gamma`, `beta`, `moving_mean`, `moving_variance` |
//! | `lstm.weight_ih_l0`, .. | `Bidirectional(LSTM)` called `lstm_0`: `lstm_0/forward_lstm_0/lstm_cell/kernel`, `recurrent_kernel`, one `bias`, the sum of ours |
//! | `gru.weight_ih_l0`, .. | likewise, gates z, r, h where ours are r, z, n; `reset_after=True`, `bias [2, 3 * units]` |
//!
//! `scripts/check_weights.py` loads what is exported here into Keras models and compares outputs.

use super::Tensors;
use super::foreign::{self, AttentionPart, Entry, Layout, Ours, Source};
pub use super::foreign::{from_kernel, to_kernel};
use crate::error::{Error, Result};
use crate::graph::{Parameters, Shape};

/// What a Keras model is called and has that our tensors do not say.
#[derive(Debug, Clone, Copy)]
pub struct KerasModel {
    /// Attention heads.
    pub heads: usize,
    /// The path of a layer there (`text_encoder/block_0/ffn1`) for its path here (`text_encoder.blocks.0.ffn1`).
    pub layer_path: fn(&str) -> String,
}

impl KerasModel {
    /// The variables of a Keras model of the same layers, by path, without the model's own name.
    ///
    /// # Errors
    /// [`Error::Tensor`] for an attention whose width is no multiple of the heads.
    pub fn export(&self, parameters: &Parameters, values: &[Vec<f32>]) -> Result<Tensors> {
        foreign::export(&self.entries(parameters)?, parameters, values)
    }

    /// One vector per parameter from a Keras model's variables. The model's own name before all paths does not count, nor do the
    /// states of random generators. An LSTM's one bias becomes `bias_ih`; `bias_hh` is 0.
    ///
    /// # Errors
    /// Lists what is missing and what is unexpected; or names the variable that is of another shape.
    pub fn import(&self, tensors: &Tensors, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
        let entries = self.entries(parameters)?;
        foreign::import(&entries, parameters, tensors, '/', |name| name.contains("seed_generator"))
    }

    fn entries(&self, parameters: &Parameters) -> Result<Vec<Entry>> {
        let ours = Ours::new(parameters);
        let mut entries = Vec::new();
        for (name, shape, source) in ours.iter() {
            let (layer, leaf) = name.rsplit_once('.').unwrap_or(("", name));
            if leaf.starts_with("weight_ih_l") {
                entries.extend(self.recurrent(&ours, layer, leaf)?);
            } else if !ours.has(&format!("{layer}.weight_ih_l0")) {
                entries.push(self.plain(&ours, layer, leaf, shape, source)?);
            }
        }
        Ok(entries)
    }

    /// A tensor of a layer that is not recurrent.
    fn plain(&self, ours: &Ours, layer: &str, leaf: &str, shape: Shape, source: Source) -> Result<Entry> {
        if let Some(attention) = ours.attention(layer) {
            return self.attention(&attention, leaf, shape, source);
        }
        let table = layer.rsplit('.').next().is_some_and(|last| last.contains("embed"));
        let kernel = leaf == "weight" && shape.axes().len() > 1 && !table;
        let norm = ours.get(&format!("{layer}.weight")).is_some_and(|(weight, _)| weight.axes().len() == 1);
        let theirs = match leaf {
            "weight" if table => "embeddings",
            "weight" if norm => "gamma",
            "weight" => "kernel",
            "bias" if norm => "beta",
            "running_mean" => "moving_mean",
            "running_var" => "moving_variance",
            other => other,
        };
        let name = format!("{}/{theirs}", (self.layer_path)(layer));
        if !kernel {
            return Ok(Entry { name, shape: shape.axes().to_vec(), sources: vec![source], layout: Layout::Rows });
        }
        let (outputs, inputs, taps) = (shape.axis(0), shape.axis(1), &shape.axes()[2..]);
        let theirs = [taps, &[inputs, outputs]].concat();
        Ok(Entry { name, shape: theirs, sources: vec![source], layout: Layout::Kernel { shape, swap: None } })
    }

    /// A projection of an attention: heads and their width are two axes.
    fn attention(&self, attention: &AttentionPart<'_>, leaf: &str, shape: Shape, source: Source) -> Result<Entry> {
        let output = attention.part == "output";
        let width = if output && leaf == "weight" { shape.axis(1) } else { shape.axis(0) };
        if !output && (self.heads == 0 || !width.is_multiple_of(self.heads)) {
            let message = format!("is {width} wide, no multiple of {} heads", self.heads);
            return Err(Error::Tensor { name: format!("{}.{}", attention.place, attention.part), message });
        }
        let heads = [self.heads, width / self.heads.max(1)];
        let layer = if output { "attention_output" } else { attention.part };
        let place = (self.layer_path)(attention.place);
        let (name, theirs, layout) = match (leaf, output) {
            ("weight", true) => {
                ("kernel", vec![heads[0], heads[1], shape.axis(0)], Layout::Kernel { shape, swap: None })
            }
            ("weight", false) => {
                ("kernel", vec![shape.axis(1), heads[0], heads[1]], Layout::Kernel { shape, swap: None })
            }
            (other, true) => (other, shape.axes().to_vec(), Layout::Rows),
            (other, false) => (other, heads.to_vec(), Layout::Rows),
        };
        Ok(Entry { name: format!("{place}/{layer}/{name}"), shape: theirs, sources: vec![source], layout })
    }

    /// The three tensors of one direction of a recurrent layer, whose first weight is called `leaf`.
    fn recurrent(&self, ours: &Ours, layer: &str, leaf: &str) -> Result<[Entry; 3]> {
        let ending = leaf.trim_start_matches("weight_ih_l");
        let (depth, direction) = match ending.strip_suffix("_reverse") {
            Some(depth) => (depth, "backward"),
            None => (ending, "forward"),
        };
        let tensor = |name: &str| {
            let name = format!("{layer}.{name}_l{ending}");
            ours.get(&name).ok_or_else(|| Error::Tensor { name, message: "is missing beside the others".to_string() })
        };
        let [input, hidden] = [tensor("weight_ih")?, tensor("weight_hh")?];
        let biases = vec![tensor("bias_ih")?.1, tensor("bias_hh")?.1];
        let (rows, units) = (hidden.0.axis(0), hidden.0.axis(1));
        let gru = rows == 3 * units;
        let cell = if gru { "gru" } else { "lstm" };
        let place = (self.layer_path)(layer);
        let front = format!("{place}_{depth}/{direction}_{cell}_{depth}/{cell}_cell");
        let kernel = |name: &str, (shape, source): (Shape, Source)| Entry {
            name: format!("{front}/{name}"),
            shape: vec![shape.axis(1), rows],
            sources: vec![source],
            layout: Layout::Kernel { shape, swap: gru.then_some(units * shape.axis(1)) },
        };
        let (shape, layout) = match gru {
            true => (vec![2, rows], Layout::GruBias(units)),
            false => (vec![rows], Layout::LstmBias),
        };
        let bias = Entry { name: format!("{front}/bias"), shape, sources: biases, layout };
        Ok([kernel("kernel", input), kernel("recurrent_kernel", hidden), bias])
    }
}

/// Paths as the sequence-level sentiment model's: `text_encoder.blocks.0.norm1` is `text_encoder/block_0/ln1`,
/// `fusion.text_from_audio.0` is `fusion/text_from_audio_0`, `adaptive.pools.0.hidden` is `adaptive/pool0_hidden`.
pub fn layer_path(ours: &str) -> String {
    let mut path: Vec<String> = Vec::new();
    let mut segments = ours.split('.').peekable();
    while let Some(segment) = segments.next() {
        let number = segments.next_if(|next| !next.is_empty() && next.bytes().all(|b| b.is_ascii_digit()));
        path.push(match (segment, number) {
            ("pools", Some(number)) => {
                let part = segments.next().map_or(String::new(), |part| format!("_{part}"));
                format!("pool{number}{part}")
            }
            ("blocks", Some(number)) => format!("block_{number}"),
            (list, Some(number)) => format!("{list}_{number}"),
            ("norm1", None) => "ln1".to_string(),
            ("norm2", None) => "ln2".to_string(),
            (other, None) => other.to_string(),
        });
    }
    path.join("/")
}

/// Paths as the early-pooling sentiment model's: `text_encoder.projection` is `text_proj`, `text_encoder.blocks.0` is `text_enc_0`,
/// `fusion.blocks.0` is `fuse_enc_0`.
pub fn baseline_layer_path(ours: &str) -> String {
    let path = layer_path(ours);
    let Some((front, rest)) = path.split_once('/') else { return path };
    let stem = if front == "fusion" { "fuse" } else { front.strip_suffix("_encoder").unwrap_or(front) };
    match rest.strip_prefix("block_") {
        Some(block) => format!("{stem}_enc_{block}"),
        None if rest == "projection" => format!("{stem}_proj"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_source() {
        for (ours, theirs) in [
            ("text_encoder.blocks.12.attention", "text_encoder/block_12/attention"),
            ("text_encoder.blocks.0.norm2", "text_encoder/block_0/ln2"),
            ("fusion.text_from_audio.1.ffn1", "fusion/text_from_audio_1/ffn1"),
            ("adaptive.pools.2.score", "adaptive/pool2_score"),
            ("head", "head"),
        ] {
            assert_eq!(layer_path(ours), theirs);
        }
        for (ours, theirs) in [
            ("audio_encoder.projection", "audio_proj"),
            ("audio_encoder.blocks.1.norm1", "audio_enc_1/ln1"),
            ("fusion.blocks.0.ffn2", "fuse_enc_0/ffn2"),
            ("fusion_weights", "fusion_weights"),
        ] {
            assert_eq!(baseline_layer_path(ours), theirs);
        }
    }

    #[test]
    fn kernels_go_there_and_back() {
        // [out 2, in 3, taps 2]
        let values: Vec<f32> = (0..12u8).map(f32::from).collect();
        let shape = Shape::new(&[2, 3, 2]);
        let kernel = to_kernel(&values, shape);
        // tap 0: rows are inputs
        assert_eq!(kernel, [0., 6., 2., 8., 4., 10., 1., 7., 3., 9., 5., 11.]);
        assert_eq!(from_kernel(&kernel, shape), values);
    }
}
