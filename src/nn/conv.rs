//! Convolution layers.

use super::Context;
use crate::graph::{Init, Parameter, Path, Var};
use crate::ops::conv::ConvOptions;

/// Convolution of `[batch, channels, ..]` in as many dimensions as its kernel has; PyTorch's weight `[filters, channels / groups, ..]`.
/// Normal start with variance 2 / (kernel volume * filters / groups) (He et al. 2015, by fan-out, as torchvision's ResNets), zero bias.
#[derive(Debug, Clone)]
pub struct Conv {
    name: String,
    pub(super) weight: Parameter,
    pub(super) bias: Option<Parameter>,
    options: ConvOptions,
}

impl Conv {
    pub fn new(
        path: &mut Path<'_>,
        name: &str,
        [channels, filters]: [usize; 2],
        kernel: &[usize],
        options: ConvOptions,
    ) -> Self {
        Self::build(path, name, [channels, filters], kernel, options, true)
    }

    pub fn without_bias(
        path: &mut Path<'_>,
        name: &str,
        [channels, filters]: [usize; 2],
        kernel: &[usize],
        options: ConvOptions,
    ) -> Self {
        Self::build(path, name, [channels, filters], kernel, options, false)
    }

    fn build(
        path: &mut Path<'_>,
        name: &str,
        [channels, filters]: [usize; 2],
        kernel: &[usize],
        options: ConvOptions,
        bias: bool,
    ) -> Self {
        let mut path = path.at(name);
        let groups = options.groups.max(1);
        let shape = [&[filters, channels / groups], kernel].concat();
        let fan_out = kernel.iter().product::<usize>() * filters / groups;
        let init = Init::Normal { std: (2.0 / fan_out.max(1) as f32).sqrt() };
        let weight = path.parameter("weight", shape.as_slice(), init);
        let bias = bias.then(|| path.parameter("bias", [filters], Init::Zeros));
        Conv { name: name.to_string(), weight, bias, options }
    }

    /// `[batch, channels, ..] -> [batch, filters, ..]`.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let weight = cx.graph.parameter(cx.parameters, self.weight);
        let bias = self.bias.map(|bias| cx.graph.parameter(cx.parameters, bias));
        x.conv(weight, bias, &self.options)
    }
}
