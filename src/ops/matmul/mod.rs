//! Matrix products with what follows them: bias, activation, dropout and residual in the kernel's epilogue.
//!
//! `out = dropout(activation(op(A) op(B) + bias)) + residual`. Model code writes the plain product and the ops around it; the
//! plan merges them ([`Op::absorb`]).

mod backward;
mod cooperative;
mod kernel;

use super::elementwise::{Activation, Binary, BinaryFunction, Unary};
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::ops::dropout::Dropout;
use crate::plan::{Dispatch, Lower, Operand};
pub(super) use backward::before_activation;
pub(super) use cooperative::{CooperativeProduct, LEAST_WORK};
pub(super) use kernel::Layout;
use kernel::Product;
use std::any::Any;
use std::sync::Arc;

/// What the epilogue does after the product.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Epilogue {
    bias: bool,
    activation: Activation,
    dropout: Option<Dropout>,
    residual: bool,
}

/// A product. Inputs: A, B, then bias and residual if there; outputs: the result and, where there is an activation, its input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Matmul {
    layout: Layout,
    epilogue: Epilogue,
}

/// A product's sizes: `batch` products of [m, k] by [k, n]; an operand with one matrix serves all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    a_batch: usize,
    b_batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

impl Matmul {
    fn plain(layout: Layout) -> Self {
        Matmul { layout, epilogue: Epilogue::default() }
    }

    /// Sizes and result shape. Where B is one matrix and A is not transposed, A's leading axes are all rows.
    fn sizes(&self, a: Shape, b: Shape) -> Result<(Sizes, Shape), String> {
        if a.rank() < 2 || b.rank() < 2 {
            return Err(format!("wants two matrices (or batches of them), got {a} and {b}"));
        }
        let (a_rows, a_columns) = (a.from_end(1), a.from_end(0));
        let (b_rows, b_columns) = (b.from_end(1), b.from_end(0));
        let (m, k) = if self.layout == Layout::TN { (a_columns, a_rows) } else { (a_rows, a_columns) };
        let (inner, n) = if self.layout == Layout::NT { (b_columns, b_rows) } else { (b_rows, b_columns) };
        if k != inner {
            return Err(format!("inner sizes differ: {a} gives {k}, {b} gives {inner}"));
        }
        let (a_lead, b_lead) = (&a.axes()[..a.rank() - 2], &b.axes()[..b.rank() - 2]);
        let (a_batch, b_batch) = (a_lead.iter().product::<usize>(), b_lead.iter().product::<usize>());
        let lead = match () {
            () if a_lead == b_lead || b_batch == 1 => a_lead,
            () if a_batch == 1 => b_lead,
            () => return Err(format!("batches differ: {a} and {b}")),
        };
        let shape = Shape::new(&[lead, &[m, n]].concat());
        if b_batch == 1 && self.layout != Layout::TN {
            return Ok((Sizes { batch: 1, a_batch: 1, b_batch: 1, m: m * a_batch, n, k }, shape));
        }
        Ok((Sizes { batch: a_batch.max(b_batch), a_batch, b_batch, m, n, k }, shape))
    }

    fn bias_input(&self) -> Option<usize> {
        self.epilogue.bias.then_some(2)
    }

    fn residual_input(&self) -> Option<usize> {
        self.epilogue.residual.then_some(2 + usize::from(self.epilogue.bias))
    }

    fn with(self, change: impl FnOnce(&mut Epilogue)) -> Option<Arc<dyn Op>> {
        let mut fused = self;
        change(&mut fused.epilogue);
        Some(Arc::new(fused))
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output_count(&self) -> usize {
        1 + usize::from(self.epilogue.activation != Activation::Identity)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [a, b, ..] = inputs else { return Err("wants two tensors".to_string()) };
        if inputs.iter().any(|tensor| tensor.dtype != DType::F32) {
            return Err("wants float tensors".to_string());
        }
        let (_, shape) = self.sizes(a.shape, b.shape)?;
        Ok(vec![(shape, DType::F32); self.output_count()])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        backward::backward(self, cx)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (sizes, _) = self.sizes(cx.input_shape(0), cx.input_shape(1)).map_err(|message| cx.error(message))?;
        let save_pre = self.output_count() > 1 && cx.output_used(1);
        let product = self.product(&sizes, save_pre);
        let matrices = cx.cooperative_matrices();
        if let Some(on) = matrices.and_then(|matrices| CooperativeProduct::new(&product, matrices, cx.capabilities())) {
            let partials = on.emit(cx, &sizes);
            let product = Product { vector: true, ..product };
            self.emit_reduction(cx, &product, &sizes, &on.choice, [partials, cx.output(0)]);
            return Ok(());
        }
        let operands = [cx.input(0), cx.input(1), cx.output(0)];
        self.emit(cx, &product, &sizes, operands);
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], _: &[Tensor]) -> u64 {
        let sizes = self.sizes(inputs[0].shape, inputs[1].shape);
        sizes.map_or(0, |(sizes, _)| 2 * (sizes.batch * sizes.m * sizes.n * sizes.k) as u64)
    }

    /// Takes in, in this order: a bias, an activation, a dropout, a residual.
    fn absorb(&self, next: &dyn Op, operand: usize, inputs: &[Tensor], others: &[Tensor]) -> Option<Arc<dyn Op>> {
        let epilogue = &self.epilogue;
        let (sizes, shape) = self.sizes(inputs[0].shape, inputs[1].shape).ok()?;
        if epilogue.residual {
            return None;
        }
        if let Some(Binary(BinaryFunction::Add)) = (next as &dyn Any).downcast_ref::<Binary>() {
            let other = others.first()?.shape;
            let is_bias = other.len() == sizes.n && other.from_end(0) == sizes.n && shape.len() > sizes.n;
            if is_bias && !epilogue.bias && epilogue.activation == Activation::Identity && epilogue.dropout.is_none() {
                return self.with(|epilogue| epilogue.bias = true);
            }
            return if other == shape { self.with(|epilogue| epilogue.residual = true) } else { None };
        }
        if let Some(unary) = (next as &dyn Any).downcast_ref::<Unary>() {
            let activation = unary.function.activation().filter(|_| unary.is_plain())?;
            let from_input = matches!(activation, Activation::Relu | Activation::GeluErf | Activation::GeluTanh);
            let free = epilogue.activation == Activation::Identity && epilogue.dropout.is_none();
            return if from_input && free { self.with(|epilogue| epilogue.activation = activation) } else { None };
        }
        let dropout = (next as &dyn Any).downcast_ref::<Dropout>().filter(|_| operand == 0)?;
        if epilogue.dropout.is_none() { self.with(|epilogue| epilogue.dropout = Some(*dropout)) } else { None }
    }
}

impl Matmul {
    fn product(&self, sizes: &Sizes, save_pre: bool) -> Product {
        let [m, n, k, batch] = [sizes.m, sizes.n, sizes.k, sizes.batch].map(|size| size as u32);
        let vector = Product::sizes_align(self.layout, m, n, k);
        Product { m, n, k, batch, layout: self.layout, vector, save_pre, activation: self.epilogue.activation as u32 }
    }

    /// Emits the product of A and B with its epilogue.
    fn emit(&self, cx: &mut Lower<'_>, product: &Product, sizes: &Sizes, [a, b, out]: [Operand; 3]) {
        let choice = kernel::choose(product, cx.capabilities());
        let dispatch = Dispatch::new(choice.shader, &choice.constants, choice.workgroups).bind("a", a).bind("b", b);
        if choice.splits == 1 {
            let dispatch = self.bind_epilogue(cx, dispatch, product.save_pre).bind("out", out);
            cx.emit(self.set_dims(dispatch, sizes, &choice, self.epilogue));
            return;
        }
        let partials = cx.workspace(choice.workspace as usize);
        let dispatch =
            dispatch.bind("bias", Operand::Unused).bind("residual", Operand::Unused).bind("out", partials.clone());
        cx.emit(self.set_dims(dispatch, sizes, &choice, Epilogue::default()));
        self.emit_reduction(cx, product, sizes, &choice, [partials, out]);
    }

    /// The sum of the pieces that `choice` left in `partials`, and the epilogue.
    fn emit_reduction(
        &self,
        cx: &mut Lower<'_>,
        product: &Product,
        sizes: &Sizes,
        choice: &kernel::Choice,
        [partials, out]: [Operand; 2],
    ) {
        let reduce = kernel::reduction(product);
        let dispatch = Dispatch::new(reduce.shader, &reduce.constants, reduce.workgroups).bind("partials", partials);
        let dispatch = self.bind_epilogue(cx, dispatch, product.save_pre).bind("out", out);
        cx.emit(self.set_dims(dispatch, sizes, choice, self.epilogue));
    }

    fn bind_epilogue(&self, cx: &Lower<'_>, dispatch: Dispatch, save_pre: bool) -> Dispatch {
        let or_unused = |input: Option<usize>| input.map_or(Operand::Unused, |input| cx.input(input));
        let dispatch =
            dispatch.bind("bias", or_unused(self.bias_input())).bind("residual", or_unused(self.residual_input()));
        if save_pre { dispatch.bind("pre", cx.output(1)) } else { dispatch }
    }

    fn set_dims(&self, dispatch: Dispatch, sizes: &Sizes, choice: &kernel::Choice, epilogue: Epilogue) -> Dispatch {
        let (lda, ldb) = match self.layout {
            Layout::NN => (sizes.k, sizes.n),
            Layout::NT => (sizes.k, sizes.k),
            Layout::TN => (sizes.m, sizes.n),
        };
        let stride = |batch: usize, len: usize| if batch == 1 { 0 } else { len };
        let split_stride = choice.workspace as usize / choice.splits as usize;
        let dispatch = dispatch
            .set("m", sizes.m)
            .set("n", sizes.n)
            .set("k", sizes.k)
            .set("batch", sizes.batch)
            .set("batch_inner", 1)
            .set("lda", lda)
            .set("ldb", ldb)
            .set("ldo", sizes.n);
        let dispatch = dispatch
            .set("a_outer", stride(sizes.a_batch, sizes.m * sizes.k))
            .set("b_outer", stride(sizes.b_batch, sizes.k * sizes.n))
            .set("out_outer", sizes.m * sizes.n)
            .set("splits", choice.splits as usize)
            .set("k_per_split", choice.k_per_split as usize)
            .set("split_stride", split_stride)
            .set("has_bias", usize::from(epilogue.bias))
            .set("has_residual", usize::from(epilogue.residual))
            .set("node", epilogue.dropout.map_or(0, |dropout| dropout.key as usize))
            .set_float("dropout", epilogue.dropout.map_or(0.0, |dropout| dropout.probability))
            .set_float("alpha", 1.0);
        const ZERO: [&str; 9] = [
            "a_offset",
            "a_inner",
            "b_offset",
            "b_inner",
            "out_offset",
            "out_inner",
            "residual_offset",
            "pre_offset",
            "bias_offset",
        ];
        ZERO.iter().fold(dispatch, |dispatch, name| dispatch.set(name, 0))
    }
}

/// Emits `batch` products of `[m, k]` by `[k, n]`, the matrices of each operand one after the other.
pub(super) fn multiply(cx: &mut Lower<'_>, batch: usize, [m, n, k]: [usize; 3], operands: [Operand; 3]) {
    let sizes = Sizes { batch, a_batch: batch, b_batch: batch, m, n, k };
    let product = Matmul::plain(Layout::NN);
    product.emit(cx, &product.product(&sizes, false), &sizes, operands);
}

impl<'g> Var<'g> {
    /// The matrix product of the last two axes, `[.., m, k] x [.., k, n] -> [.., m, n]`. Leading axes must be equal, or absent (or
    /// all 1) on one side.
    pub fn matmul(self, other: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Matmul::plain(Layout::NN), &[self, other])
    }

    /// The product with the second operand transposed, `[.., m, k] x [.., n, k] -> [.., m, n]`: what a linear layer with PyTorch's
    /// `[out, in]` weight computes.
    pub fn matmul_nt(self, other: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Matmul::plain(Layout::NT), &[self, other])
    }

    /// The product with the first operand transposed, `[.., k, m] x [.., k, n] -> [.., m, n]`.
    pub fn matmul_tn(self, other: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Matmul::plain(Layout::TN), &[self, other])
    }
}
