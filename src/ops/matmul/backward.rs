//! The gradients of a product and of its epilogue.

use super::kernel::Layout;
use super::{Epilogue, Matmul, Sizes};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::ops::elementwise::{Activation, groups, quads};
use crate::ops::{Backward, Op};
use crate::plan::{Dispatch, Lower, Operand};

/// With G the gradient before the epilogue: dA = G op(B)^T, dB = op(A)^T G, dbias = column sums of G, dresidual = the incoming
/// gradient.
pub(super) fn backward<'g>(op: &Matmul, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
    let mut gradients = vec![None; cx.inputs().len()];
    let Some(dy) = cx.grad(0) else { return gradients };
    if let Some(residual) = op.residual_input() {
        gradients[residual] = Some(dy);
    }
    let (a, b) = (cx.input(0), cx.input(1));
    let Ok((sizes, _)) = op.sizes(a.shape(), b.shape()) else { return gradients };
    let inner = (0..cx.inputs().len()).any(|input| Some(input) != op.residual_input() && cx.needs(input));
    if !inner {
        return gradients;
    }
    let g = before_epilogue(op, cx, dy);
    if let Some(bias) = op.bias_input().filter(|bias| cx.needs(*bias)) {
        let columns = g.reshape([g.shape().len() / sizes.n, sizes.n]).sum_axes(&[0]);
        gradients[bias] = Some(columns.reshape(cx.input(bias).shape()));
    }
    gradients[0] = cx.needs(0).then(|| gradient_of_a(op.layout, &sizes, g, a, b));
    gradients[1] = cx.needs(1).then(|| gradient_of_b(op.layout, &sizes, g, a, b));
    gradients
}

fn gradient_of_a<'g>(layout: Layout, sizes: &Sizes, g: Var<'g>, a: Var<'g>, b: Var<'g>) -> Var<'g> {
    let (g, b) = (matrices(g, sizes.batch), matrices(b, sizes.b_batch));
    let da = match layout {
        Layout::NN => g.matmul_nt(b),
        Layout::NT => g.matmul(b),
        Layout::TN => b.matmul_nt(g),
    };
    gather(da, sizes.a_batch).reshape(a.shape())
}

fn gradient_of_b<'g>(layout: Layout, sizes: &Sizes, g: Var<'g>, a: Var<'g>, b: Var<'g>) -> Var<'g> {
    let (g, a) = (matrices(g, sizes.batch), matrices(a, sizes.a_batch));
    let db = match layout {
        Layout::NN => a.matmul_tn(g),
        Layout::NT => g.matmul_tn(a),
        Layout::TN => a.matmul(g),
    };
    gather(db, sizes.b_batch).reshape(b.shape())
}

/// The tensor as `batch` matrices, leading axes folded into rows where the product took them so.
fn matrices(x: Var<'_>, batch: usize) -> Var<'_> {
    let columns = x.shape().from_end(0);
    let rows = x.shape().len() / (batch * columns);
    if batch == 1 { x.reshape([rows, columns]) } else { x.reshape([batch, rows, columns]) }
}

/// Where one matrix served the whole batch, its gradients are summed over it.
fn gather(gradient: Var<'_>, batch: usize) -> Var<'_> {
    if batch == 1 && gradient.shape().rank() == 3 { gradient.sum_axes(&[0]) } else { gradient }
}

/// The gradient that reaches the product itself.
fn before_epilogue<'g>(op: &Matmul, cx: &Backward<'g>, dy: Var<'g>) -> Var<'g> {
    let Epilogue { activation, dropout, .. } = op.epilogue;
    match (activation, dropout) {
        (Activation::Identity, None) => dy,
        (Activation::Identity, Some(_)) => dy.graph().apply_one(EpilogueBackward(op.epilogue), &[dy]),
        _ => dy.graph().apply_one(EpilogueBackward(op.epilogue), &[dy, cx.output(1)]),
    }
}

/// The gradient that reaches an activation's input `pre`.
pub(crate) fn before_activation<'g>(activation: Activation, dy: Var<'g>, pre: Var<'g>) -> Var<'g> {
    dy.graph().apply_one(EpilogueBackward(Epilogue { activation, ..Epilogue::default() }), &[dy, pre])
}

/// dpre = dy dropout activation'(pre). Inputs: dy and, where there is an activation, pre.
#[derive(Debug)]
struct EpilogueBackward(Epilogue);

impl Op for EpilogueBackward {
    fn name(&self) -> &'static str {
        "matmul_epilogue_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let dy = inputs.first().ok_or("wants the incoming gradient")?;
        Ok(vec![(dy.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let quads = quads(cx.output_shape(0));
        let pre = if cx.input_count() > 1 { cx.input(1) } else { Operand::Unused };
        let dispatch = Dispatch::new("matmul_epilogue_backward", &[], groups(quads))
            .bind("dy", cx.input(0))
            .bind("pre", pre)
            .bind("dpre", cx.output(0))
            .set("quads", quads)
            .set("activation", self.0.activation as usize)
            .set("node", self.0.dropout.map_or(0, |dropout| dropout.key as usize))
            .set_float("dropout", self.0.dropout.map_or(0.0, |dropout| dropout.probability));
        cx.emit(dispatch);
        Ok(())
    }
}
