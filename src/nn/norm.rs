//! Normalisation.

use super::Context;
use crate::graph::{Init, Parameter, Path, Var};

/// Layer normalisation over the last axis (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    name: String,
    weight: Parameter,
    bias: Parameter,
    epsilon: f32,
}

impl LayerNorm {
    pub fn new(path: &mut Path<'_>, name: &str, dim: usize, epsilon: f32) -> Self {
        let mut path = path.at(name);
        let weight = path.parameter("weight", [dim], Init::Ones);
        let bias = path.parameter("bias", [dim], Init::Zeros);
        LayerNorm { name: name.to_string(), weight, bias, epsilon }
    }

    /// Same shape as `x`.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let weight = cx.graph.parameter(cx.parameters, self.weight);
        let bias = cx.graph.parameter(cx.parameters, self.bias);
        x.layer_norm(Some(weight), Some(bias), self.epsilon)
    }
}
