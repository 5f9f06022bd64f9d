//! The attention weights themselves, for pictures and for losses on them.

use super::{Attended, Attention, AttentionOutput, dims, launch};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::ops::{Backward, Op};
use crate::plan::{Lower, Operand};

impl<'g> AttentionOutput<'g> {
    /// The weights, `[batch, heads, query_len, key_len]`: softmax of the scaled, masked scores, without dropout; all zeros for
    /// a query with no valid key. Computed only where asked for.
    pub fn weights(&self) -> Var<'g> {
        let Attended { query, key, log_sum_exp, key_mask, bits, op } = self.attended;
        let masks: Vec<Var<'g>> = bits.or(key_mask).into_iter().collect();
        let same = op.query.input == op.key.input;
        let mut inputs = if same { vec![query] } else { vec![query, key] };
        inputs.push(log_sum_exp);
        inputs.extend(masks);
        query.graph().apply_one(AttentionWeights { attention: op, same }, &inputs)
    }
}

/// Inputs: query tensor, key tensor where it is another one, log-sum-exp, mask (bits or keys) where there is one.
#[derive(Debug)]
struct AttentionWeights {
    attention: Attention,
    same: bool,
}

impl AttentionWeights {
    fn key_input(&self) -> usize {
        usize::from(!self.same)
    }
}

impl Op for AttentionWeights {
    fn name(&self) -> &'static str {
        "attention_weights"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let (query, key) = (inputs[0].shape, inputs[self.key_input()].shape);
        Ok(vec![(Shape::from([query.axis(0), self.attention.heads, query.axis(1), key.axis(1)]), DType::F32)])
    }

    /// With w the weights and dw their gradient, ds = w (dw - sum(dw w)); dq = scale ds k, dk = scale ds^T q.
    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dw) = cx.grad(0) else { return gradients };
        let (op, w) = (&self.attention, cx.output(0));
        let sums = (dw * w).sum_axes(&[3]);
        let [batch, heads, query_len, key_len] = [0, 1, 2, 3].map(|axis| w.shape().axis(axis));
        let ds = (w * (dw - sums.reshape([batch, heads, query_len, 1]))).scale(op.scale);
        let width = heads * op.head_dim;
        let split = |x: Var<'g>, column: usize, len: usize| {
            let part = x.slice(2, column, column + width);
            part.reshape([batch, len, heads, op.head_dim]).permute(&[0, 2, 1, 3])
        };
        let merge = |x: Var<'g>, len: usize| x.permute(&[0, 2, 1, 3]).reshape([batch, len, width]);
        let (query, key) = (cx.input(0), cx.input(self.key_input()));
        let dq = merge(ds.matmul(split(key, op.key.column, key_len)), query_len);
        let dk = merge(ds.matmul_tn(split(query, op.query.column, query_len)), key_len);
        let dq = dq.pad(2, op.query.column, query.shape().axis(2) - op.query.column - width);
        let dk = dk.pad(2, op.key.column, key.shape().axis(2) - op.key.column - width);
        if self.same {
            gradients[0] = Some(dq + dk);
        } else {
            gradients[0] = Some(dq);
            gradients[1] = Some(dk);
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let key_input = self.key_input();
        // the kernels' dims speak of q, k and v by input; here only q and k are bound
        let mut op = self.attention;
        op.query.input = 0;
        op.key.input = key_input;
        op.value = op.key;
        op.projections = key_input + 2;
        (op.has_query_mask, op.has_key_mask, op.has_bits) = (false, op.has_key_mask, op.has_bits);
        let (query, key) = (cx.input_shape(0), cx.input_shape(key_input));
        let problem = op.problem(query, key, key);
        let mask = (cx.input_count() > key_input + 2).then(|| cx.input(key_input + 2));
        let dispatch = launch(&problem.weights(cx.capabilities()))
            .bind("q", cx.input(0))
            .bind("k", cx.input(key_input))
            .bind("lse", cx.input(key_input + 1))
            .bind("mask", mask.unwrap_or(Operand::Unused))
            .bind("weights", cx.output(0));
        cx.emit(dims(&op, cx, dispatch, [None; 3]));
        Ok(())
    }
}
