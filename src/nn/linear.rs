//! Affine maps and tables.

use super::Context;
use crate::graph::{Init, Parameter, Path, Var};

/// y = x W^T + b over the last axis; `weight` is `[out, in]` as PyTorch stores it. Glorot-uniform start, zero bias.
#[derive(Debug, Clone)]
pub struct Linear {
    name: String,
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Linear {
    pub fn new(path: &mut Path<'_>, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::build(path, name, inputs, outputs, true)
    }

    pub fn without_bias(path: &mut Path<'_>, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::build(path, name, inputs, outputs, false)
    }

    fn build(path: &mut Path<'_>, name: &str, inputs: usize, outputs: usize, bias: bool) -> Self {
        let mut path = path.at(name);
        let weight = path.parameter("weight", [outputs, inputs], Init::Glorot { fan_in: inputs, fan_out: outputs });
        let bias = bias.then(|| path.parameter("bias", [outputs], Init::Zeros));
        Linear { name: name.to_string(), weight, bias }
    }

    /// Several maps of the same input as one: rows of the weight are stacked, files see the parts `<part>.weight` and
    /// `<part>.bias`.
    pub fn packed(path: &mut Path<'_>, name: &str, parts: &[(&str, usize)], inputs: usize, bias: bool) -> Self {
        let weights: Vec<(String, usize)> =
            parts.iter().map(|(part, rows)| (format!("{part}.weight"), *rows)).collect();
        let biases: Vec<(String, usize)> = parts.iter().map(|(part, rows)| (format!("{part}.bias"), *rows)).collect();
        let named =
            |parts: &'_ [(String, usize)]| parts.iter().map(|(part, rows)| (part.clone(), *rows)).collect::<Vec<_>>();
        let rows = parts.first().map_or(0, |(_, rows)| *rows);
        let init = Init::Glorot { fan_in: inputs, fan_out: rows };
        let weights = named(&weights);
        let weights: Vec<(&str, usize)> = weights.iter().map(|(part, rows)| (part.as_str(), *rows)).collect();
        let weight = path.packed(&format!("{name}.weight"), &weights, &[inputs], init);
        let bias = bias.then(|| {
            let biases: Vec<(&str, usize)> = biases.iter().map(|(part, rows)| (part.as_str(), *rows)).collect();
            path.packed(&format!("{name}.bias"), &biases, &[], Init::Zeros)
        });
        Linear { name: name.to_string(), weight, bias }
    }

    /// `[.., in] -> [.., out]`.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let product = x.matmul_nt(cx.graph.parameter(cx.parameters, self.weight));
        match self.bias {
            Some(bias) => product + cx.graph.parameter(cx.parameters, bias),
            None => product,
        }
    }
}

/// A learnable table of `rows` vectors.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Parameter,
}

impl Embedding {
    pub fn new(path: &mut Path<'_>, name: &str, rows: usize, dim: usize) -> Self {
        let table = path.at(name).parameter("weight", [rows, dim], Init::Normal { std: 1.0 });
        Embedding { table }
    }

    /// `ids [..]` (integers) -> `[.., dim]`.
    pub fn forward<'g>(&self, cx: Context<'g>, ids: Var<'g>) -> Var<'g> {
        cx.graph.parameter(cx.parameters, self.table).embedding(ids)
    }
}
