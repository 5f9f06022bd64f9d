//! Normalisation.

use super::Context;
use crate::graph::{Init, Parameter, Path, Var};
use crate::ops::batch_norm::{BatchNormOptions, Running};

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

/// Batch normalisation of `[batch, channels, ..]` (Ioffe and Szegedy 2015), with PyTorch's names. While training it normalises by the
/// batch and moves its running statistics, which a [`crate::train::Trainer`] keeps; else by those. A frozen one (its weight is not
/// trainable) always goes by them, and leaves them.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    name: String,
    pub(super) weight: Parameter,
    pub(super) bias: Parameter,
    pub(super) mean: Parameter,
    pub(super) variance: Parameter,
    pub(super) options: BatchNormOptions,
}

impl BatchNorm {
    pub fn new(path: &mut Path<'_>, name: &str, channels: usize, options: BatchNormOptions) -> Self {
        let mut path = path.at(name);
        BatchNorm {
            name: name.to_string(),
            weight: path.parameter("weight", [channels], Init::Ones),
            bias: path.parameter("bias", [channels], Init::Zeros),
            mean: path.buffer("running_mean", [channels], Init::Zeros),
            variance: path.buffer("running_var", [channels], Init::Ones),
            options,
        }
    }

    /// Same shape as `x`.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let [weight, bias, mean, variance] = [self.weight, self.bias, self.mean, self.variance]
            .map(|parameter| cx.graph.parameter(cx.parameters, parameter));
        let running = Running { mean, variance };
        if !cx.training || !cx.parameters.is_trainable(self.weight) {
            return x.batch_norm_by_running(Some(weight), Some(bias), running, self.options.epsilon);
        }
        let (y, next) = x.batch_norm(Some(weight), Some(bias), running, self.options);
        cx.graph.update(mean, next.mean);
        cx.graph.update(variance, next.variance);
        y
    }
}
