//! The gradients of a convolution.

use super::Conv;
use super::kernel::{self, Finish};
use super::product::{Geometry, Pass};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::ops::elementwise::Activation;
use crate::ops::matmul::before_activation;
use crate::ops::{Backward, Op};
use crate::plan::Lower;

/// With G the gradient before the epilogue: dx gathers G under every window that covers an element, dweight correlates G with x,
/// dbias sums G, dresidual is the incoming gradient.
pub(super) fn backward<'g>(op: &Conv, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
    let mut gradients = vec![None; cx.inputs().len()];
    let Some(dy) = cx.grad(0) else { return gradients };
    if let Some(residual) = op.residual_input() {
        gradients[residual] = Some(dy);
    }
    let (x, weight) = (cx.input(0), cx.input(1));
    let Ok(geometry) = op.options.geometry(x.shape(), weight.shape()) else { return gradients };
    let inner = (0..cx.inputs().len()).any(|input| Some(input) != op.residual_input() && cx.needs(input));
    if !inner {
        return gradients;
    }
    let g = match op.activation {
        Activation::Identity => dy,
        activation => before_activation(activation, dy, cx.output(1)),
    };
    let filters = geometry.groups * geometry.filters;
    gradients[0] = cx.needs(0).then(|| {
        // [group, filter, channel, tap] to [group, channel, tap, filter]: a row per channel, as the product reads it
        let sizes = [geometry.groups, geometry.filters, geometry.channels, geometry.taps()];
        let transposed = weight.reshape(sizes).permute(&[0, 2, 3, 1]);
        x.graph().apply_one(Gradient { pass: Pass::ToInput, geometry, of: x.shape() }, &[transposed, g])
    });
    gradients[1] = cx
        .needs(1)
        .then(|| x.graph().apply_one(Gradient { pass: Pass::ToWeight, geometry, of: weight.shape() }, &[g, x]));
    if let Some(bias) = op.bias_input().filter(|bias| cx.needs(*bias)) {
        let sums = g.reshape([geometry.batch, filters, geometry.outputs()]).sum_axes(&[0, 2]);
        gradients[bias] = Some(sums.reshape([filters]));
    }
    gradients
}

/// The gradient of a convolution's input (inputs: its weight with channels first, and dy) or weight (inputs: dy and x).
#[derive(Debug)]
struct Gradient {
    pass: Pass,
    geometry: Geometry,
    /// The shape of what it is the gradient of.
    of: Shape,
}

impl Op for Gradient {
    fn name(&self) -> &'static str {
        if self.pass == Pass::ToInput { "conv_to_input" } else { "conv_to_weight" }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(self.of, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let operands = [cx.input(0), cx.input(1), cx.output(0)];
        kernel::emit(cx, self.pass, &self.geometry, operands, Finish::default())
    }

    fn flops(&self, _: &[Tensor], _: &[Tensor]) -> u64 {
        self.geometry.flops()
    }
}
