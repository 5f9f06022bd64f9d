//! Convolution in one to three dimensions, with what follows it: bias, activation and residual in the kernel's epilogue.
//!
//! One kernel family, an implicit matrix product, computes the convolution and both gradients; missing axes are axes of size 1. Sizes are
//! uniforms, so that a network's layers share a few pipelines: each takes a driver a good part of a second. On software adapters
//! depthwise convolutions have kernels of their own, and large ones of 3 x 3 windows go by Winograd's tiles; in mixed precision large ones
//! run on cooperative matrices, where the device was opened with them. As with a matmul, model code writes the convolution and the ops
//! after it, and the plan merges them ([`Op::absorb`]); where nothing is differentiated also a batch norm by running statistics
//! ([`Op::absorb_finally`]).

mod backward;
pub(crate) mod geometry;
mod kernel;
mod product;
mod unfolded;
mod winograd;

use super::batch_norm::BatchNorm;
use super::elementwise::{Activation, Binary, BinaryFunction, Unary};
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::Lower;
pub use geometry::{Padding, Windows};
use kernel::Finish;
use product::{Geometry, MOST_DIVIDED, Pass};
use std::any::Any;
use std::sync::Arc;

/// What a convolution is besides its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvOptions {
    /// Stride, padding and dilation.
    pub windows: Windows,
    /// Input and output channels are cut into so many groups that do not see each other.
    pub groups: usize,
}

impl Default for ConvOptions {
    /// Stride 1, no padding, no dilation, one group.
    fn default() -> Self {
        ConvOptions { windows: Windows::default(), groups: 1 }
    }
}

impl ConvOptions {
    /// One number for all spatial axes, or one per axis, outermost first.
    pub fn stride(mut self, stride: &[usize]) -> Self {
        self.windows.stride = stride.to_vec();
        self
    }

    /// As many zeros before as after; one number for all spatial axes, or one per axis.
    pub fn padding(mut self, padding: &[usize]) -> Self {
        self.windows.padding = Padding::Each(padding.to_vec());
        self
    }

    /// TensorFlow's `"same"` padding.
    pub fn same(mut self) -> Self {
        self.windows.padding = Padding::Same;
        self
    }

    /// One number for all spatial axes, or one per axis.
    pub fn dilation(mut self, dilation: &[usize]) -> Self {
        self.windows.dilation = dilation.to_vec();
        self
    }

    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    fn geometry(&self, x: Shape, weight: Shape) -> Result<Geometry, String> {
        let [batch, all_channels, input @ ..] = x.axes() else {
            return Err(format!("wants [batch, channels, spatial sizes], got {x}"));
        };
        let [all_filters, channels, kernel @ ..] = weight.axes() else {
            return Err(format!("wants a weight [filters, channels / groups, kernel sizes], got {weight}"));
        };
        if kernel.len() != input.len() {
            return Err(format!("the weight {weight} has other spatial axes than {x}"));
        }
        let groups = self.groups;
        if groups == 0 || all_channels % groups != 0 || all_filters % groups != 0 {
            return Err(format!("{groups} groups do not divide {all_channels} channels and {all_filters} filters"));
        }
        if all_channels / groups != *channels {
            let wanted = all_channels / groups;
            return Err(format!("{x} in {groups} groups wants {wanted} channels in the weight, got {weight}"));
        }
        if x.is_empty() || weight.is_empty() {
            return Err(format!("{x} or {weight} has no elements"));
        }
        let axes = self.windows.over(input, kernel, false)?;
        let (rank, filters) = (input.len(), all_filters / groups);
        let geometry = Geometry { batch: *batch, groups, channels: *channels, filters, rank, axes };
        if geometry.most_divided() > MOST_DIVIDED {
            let most = MOST_DIVIDED;
            return Err(format!(
                "{x} by {weight}: batch, channels, filters, taps and rows must be at most {most} each"
            ));
        }
        Ok(geometry)
    }
}

/// Inputs x, weight, then bias, what a batch norm has besides x, and residual if there; outputs the result and, where there is an
/// activation before the residual, its input.
#[derive(Debug, Clone, PartialEq)]
struct Conv {
    options: ConvOptions,
    bias: bool,
    /// By running statistics, in what is not differentiated.
    norm: Option<BatchNorm>,
    activation: Activation,
    residual: bool,
    /// Of the sum with the residual, in what is not differentiated.
    last: Activation,
}

impl Conv {
    fn bias_input(&self) -> Option<usize> {
        self.bias.then_some(2)
    }

    fn residual_input(&self) -> Option<usize> {
        self.residual.then(|| 2 + usize::from(self.bias) + self.norm.map_or(0, |norm| norm.parameters().len()))
    }

    /// The batch norm's inputs, by the shader's names.
    fn norm_inputs(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let names = self.norm.map(|norm| norm.parameters()).unwrap_or_default();
        names.into_iter().zip(2 + usize::from(self.bias)..)
    }

    /// Whether a kernel that reads so many tensors more stays within the portable number of buffers. (With a batch norm the activation's
    /// input is never kept, without one there is room for it.)
    fn has_room(&self, more: usize) -> bool {
        const PORTABLE: usize = 8;
        let norm = self.norm.map_or(0, |norm| norm.parameters().len());
        3 + usize::from(self.bias) + norm + usize::from(self.residual) + more <= PORTABLE
    }

    fn with(&self, change: impl FnOnce(&mut Conv)) -> Option<Arc<dyn Op>> {
        let mut fused = self.clone();
        change(&mut fused);
        Some(Arc::new(fused))
    }
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn output_count(&self) -> usize {
        1 + usize::from(self.activation != Activation::Identity)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x, weight, ..] = inputs else { return Err("wants a tensor and a weight".to_string()) };
        if inputs.iter().any(|tensor| tensor.dtype != DType::F32) {
            return Err("wants float tensors".to_string());
        }
        let geometry = self.options.geometry(x.shape, weight.shape)?;
        let filters = geometry.groups * geometry.filters;
        if let Some(bias) = self.bias_input().map(|index| inputs[index].shape)
            && bias != Shape::new(&[filters])
        {
            return Err(format!("the weight is {}, so the bias must be [{filters}], got {bias}", weight.shape));
        }
        let shape = geometry::output_shape(&[geometry.batch, filters], &geometry.axes, geometry.rank);
        Ok(vec![(shape, DType::F32); self.output_count()])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        backward::backward(self, cx)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let geometry = self.options.geometry(cx.input_shape(0), cx.input_shape(1)).map_err(|fault| cx.error(fault))?;
        let save_pre = self.output_count() > 1 && cx.output_used(1);
        let finish = Finish {
            bias: self.bias_input().map(|index| cx.input(index)),
            norm: self.norm_inputs().map(|(name, index)| (name, cx.input(index))).collect(),
            epsilon: self.norm.map_or(0.0, |norm| norm.options.epsilon),
            residual: self.residual_input().map(|index| cx.input(index)),
            activation: self.activation,
            last: self.last,
            pre: save_pre.then(|| cx.output(1)),
        };
        let operands = [cx.input(1), cx.input(0), cx.output(0)];
        kernel::emit(cx, Pass::Forward, &geometry, operands, finish)
    }

    fn flops(&self, inputs: &[Tensor], _: &[Tensor]) -> u64 {
        self.options.geometry(inputs[0].shape, inputs[1].shape).map_or(0, |geometry| geometry.flops())
    }

    /// Takes in an activation, then a residual.
    fn absorb(&self, next: &dyn Op, _: usize, inputs: &[Tensor], others: &[Tensor]) -> Option<Arc<dyn Op>> {
        if self.residual {
            return None;
        }
        if let Some(Binary(BinaryFunction::Add)) = (next as &dyn Any).downcast_ref::<Binary>() {
            let shape = self.infer(inputs).ok()?.first()?.0;
            let fits = others.first()?.shape == shape && self.has_room(1);
            return if fits { self.with(|conv| conv.residual = true) } else { None };
        }
        let activation = absorbable(next).filter(|_| self.activation == Activation::Identity)?;
        self.with(|conv| conv.activation = activation)
    }

    /// Also takes in a batch norm before these, and an activation behind the residual.
    fn absorb_finally(&self, next: &dyn Op, operand: usize, _: &[Tensor], _: &[Tensor]) -> Option<Arc<dyn Op>> {
        if self.residual {
            let activation = absorbable(next).filter(|_| self.last == Activation::Identity)?;
            return self.with(|conv| conv.last = activation);
        }
        let norm = *(next as &dyn Any).downcast_ref::<BatchNorm>().filter(|norm| !norm.training && operand == 0)?;
        let first = self.norm.is_none() && self.activation == Activation::Identity;
        let fits = self.has_room(norm.parameters().len());
        if first && fits { self.with(|conv| conv.norm = Some(norm)) } else { None }
    }
}

/// The activation that `next` is, if its derivative needs no more than its input.
fn absorbable(next: &dyn Op) -> Option<Activation> {
    let unary = (next as &dyn Any).downcast_ref::<Unary>()?;
    let activation = unary.function.activation().filter(|_| unary.is_plain())?;
    matches!(activation, Activation::Relu | Activation::GeluErf | Activation::GeluTanh).then_some(activation)
}

impl<'g> Var<'g> {
    /// Convolution (in truth cross-correlation, as everywhere in the field) of `[batch, channels, ..]` with `weight [filters, channels /
    /// groups, ..]` and `bias [filters]`, in as many dimensions as there are axes after the second, one to three.
    pub fn conv(self, weight: Var<'g>, bias: Option<Var<'g>>, options: &ConvOptions) -> Var<'g> {
        let op = Conv {
            options: options.clone(),
            bias: bias.is_some(),
            norm: None,
            activation: Activation::Identity,
            residual: false,
            last: Activation::Identity,
        };
        let inputs: Vec<Var<'g>> = [self, weight].into_iter().chain(bias).collect();
        self.graph().apply_one(op, &inputs)
    }
}
