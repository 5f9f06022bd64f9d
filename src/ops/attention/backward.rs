//! The gradients of queries, keys and values: two kernels that recompute the scores tile by tile (Dao 2023), no atomics; or
//! products on cooperative matrices.

use super::cooperative::CooperativeAttention;
use super::{Attention, dims, launch, mask_operand};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::ops::{Backward, Op};
use crate::plan::{Lower, Operand};

pub(super) fn backward<'g>(op: &Attention, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
    let mut gradients = vec![None; cx.inputs().len()];
    let Some(dout) = cx.grad(0) else { return gradients };
    let mut inputs: Vec<Var<'g>> = cx.inputs().to_vec();
    inputs.extend([cx.output(0), cx.output(1), dout]);
    let outputs = cx.graph().apply(AttentionBackward(*op), &inputs);
    for (gradient, output) in gradients.iter_mut().zip(outputs) {
        *gradient = Some(output);
    }
    gradients
}

/// Inputs: those of the forward op, then its outputs and the gradient of its result. Outputs: one gradient per projection tensor.
#[derive(Debug)]
struct AttentionBackward(Attention);

impl Op for AttentionBackward {
    fn name(&self) -> &'static str {
        "attention_backward"
    }

    fn output_count(&self) -> usize {
        self.0.projections
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(inputs[..self.0.projections].iter().map(|tensor| (tensor.shape, DType::F32)).collect())
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let op = &self.0;
        let places = [op.query, op.key, op.value];
        let [query, key, value] = places.map(|place| cx.input_shape(place.input));
        let problem = op.problem(query, key, value);
        let device = cx.capabilities();
        let (out, lse, dout) = (cx.input_count() - 3, cx.input_count() - 2, cx.input_count() - 1);
        let positions = query.axis(0) * op.heads * query.axis(1);
        let stats = cx.workspace(2 * positions);
        let gradients = [Some(query), Some(key), Some(value)];
        let delta = launch(&problem.delta())
            .bind("dout", cx.input(dout))
            .bind("out", cx.input(out))
            .bind("lse", cx.input(lse))
            .bind("stats", stats.clone());
        cx.emit(dims(op, cx, delta, gradients));
        if let Some(on) = CooperativeAttention::in_plan(&problem, cx) {
            on.backward(op, cx, stats, [lse, dout]);
            return Ok(());
        }
        let operands = |cx: &Lower<'_>, dispatch: crate::plan::Dispatch, stats: Operand| {
            dispatch
                .bind("q", cx.input(op.query.input))
                .bind("k", cx.input(op.key.input))
                .bind("v", cx.input(op.value.input))
                .bind("dout", cx.input(dout))
                .bind("mask", mask_operand(op, cx))
                .bind("stats", stats)
        };
        let of_queries = operands(cx, launch(&problem.backward_q(device)), stats.clone());
        let of_queries = of_queries.bind("dq", cx.output(op.query.input));
        cx.emit(dims(op, cx, of_queries, gradients));
        let of_keys = operands(cx, launch(&problem.backward_kv(device)), stats);
        let of_keys = of_keys.bind("dk", cx.output(op.key.input)).bind("dv", cx.output(op.value.input));
        cx.emit(dims(op, cx, of_keys, gradients));
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], outputs: &[Tensor]) -> u64 {
        self.0.flops(inputs, outputs) * 5 / 2
    }
}
