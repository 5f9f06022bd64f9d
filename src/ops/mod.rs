//! The ops: one file each, with its shape rule, its forward, its backward, and which kernel it takes and why. `ops/x.rs` runs
//! `shaders/x*.wgsl`. Variants that depend on the device are chosen by the table in [`choices`].
//!
//! # The contract of every backward rule
//! 1. It gets the gradient of the loss with respect to each *output* ([`Backward::grad`]); `None` means that nothing
//!    downstream depends on that output, so its gradient is zero.
//! 2. It returns, for each *input*, the gradient of the loss with respect to it, in that input's shape: the incoming gradient
//!    is already multiplied in. `None` means zero. What [`Backward::needs`] does not ask for may be left out.
//! 3. It returns its own contribution only. Where a tensor feeds several ops the differentiator adds the contributions, in
//!    a fixed order.
//! 4. It never reads what the forward pass did not keep: the inputs and outputs of its node. An op whose backward needs more
//!    (statistics, log-sum-exps) declares that as a further output.
//! 5. Kernels overwrite their outputs; none adds to what was there.
//! 6. What is padded is selected away, never multiplied by zero: NaN times zero is NaN.

pub mod attention;
pub mod batch_norm;
pub mod choices;
pub mod conv;
pub mod dropout;
pub mod elementwise;
pub mod indexing;
pub mod layer_norm;
pub mod loss;
pub mod masks;
pub mod matmul;
pub mod optical_flow;
pub mod pooling;
pub mod recurrent;
pub mod reduce;
pub mod shape_ops;
pub mod softmax;
pub(crate) mod team;
pub mod window_pooling;

use crate::error::Result;
use crate::graph::{DType, Graph, Shape, Tensor, Var};
use crate::plan::Lower;
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// An operation on tensors: its shape rule, its derivative and its kernels.
pub trait Op: Debug + Send + Sync + Any {
    /// The op's name as errors and profiles print it.
    fn name(&self) -> &'static str;

    /// Shape and element type of each output, or a sentence that says what does not fit.
    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String>;

    /// The gradient of each input; see the contract above.
    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>>;

    /// Emits the dispatches that compute the outputs.
    fn lower(&self, cx: &mut Lower<'_>) -> Result<()>;

    fn output_count(&self) -> usize {
        1
    }

    /// False where no gradient passes (masks, comparisons, gradients of gradients).
    fn differentiable(&self) -> bool {
        true
    }

    /// True where output 0 is input 0 under another shape: no kernel runs and the storage is shared.
    fn is_view(&self) -> bool {
        false
    }

    /// Floating-point operations, for reports.
    fn flops(&self, _inputs: &[Tensor], _outputs: &[Tensor]) -> u64 {
        0
    }

    /// An op that does this one and then `next`, where one kernel can: `next` is the only reader of this op's output 0 and
    /// takes it as its input `operand`. The new op's inputs are this op's, then `next`'s others in order; its outputs are `next`'s,
    /// then this op's further ones, then, if it declares one more, this op's output 0.
    fn absorb(&self, _next: &dyn Op, _operand: usize, _inputs: &[Tensor], _others: &[Tensor]) -> Option<Arc<dyn Op>> {
        None
    }

    /// As [`Op::absorb`], once nothing is differentiated any more: the new op needs no backward rule.
    fn absorb_finally(
        &self,
        _next: &dyn Op,
        _operand: usize,
        _inputs: &[Tensor],
        _others: &[Tensor],
    ) -> Option<Arc<dyn Op>> {
        None
    }
}

/// What a backward rule sees.
pub struct Backward<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) inputs: Vec<Var<'g>>,
    pub(crate) outputs: Vec<Var<'g>>,
    pub(crate) grads: Vec<Option<Var<'g>>>,
}

impl<'g> Backward<'g> {
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    pub fn input(&self, index: usize) -> Var<'g> {
        self.inputs[index]
    }

    pub fn inputs(&self) -> &[Var<'g>] {
        &self.inputs
    }

    pub fn output(&self, index: usize) -> Var<'g> {
        self.outputs[index]
    }

    /// The gradient of the loss with respect to output `index`.
    pub fn grad(&self, index: usize) -> Option<Var<'g>> {
        self.grads[index]
    }

    /// Whether the gradient of input `index` is wanted.
    pub fn needs(&self, index: usize) -> bool {
        self.inputs[index].needs_grad()
    }
}
