//! Masked multi-head attention (Vaswani et al. 2017) in one kernel: the score matrix is never stored, forward or backward. Only on
//! cooperative matrices it is, a part of it at a time.
//!
//! Projections come as `[batch, seq, heads * head_dim]`, or packed side by side in one tensor so that one matmul makes them.

mod backward;
mod cooperative;
mod kernel;
mod weights;

use super::dropout::Dropout;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};
use cooperative::CooperativeAttention;
use kernel::Problem;

/// Queries, keys and values, as the projections left them.
#[derive(Debug, Clone, Copy)]
pub enum Projections<'g> {
    /// Three tensors.
    Separate { query: Var<'g>, key: Var<'g>, value: Var<'g> },
    /// `[batch, seq, 3 * heads * head_dim]`: queries, keys and values side by side (self-attention).
    Packed(Var<'g>),
    /// Queries apart, keys and values side by side in `[batch, key_len, 2 * heads * head_dim]` (cross-attention).
    KeyValue { query: Var<'g>, key_value: Var<'g> },
}

/// What attention may not see. All are optional and combine.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttentionMasks<'g> {
    /// `[batch, key_len]`, 1 = valid: padded keys get no weight.
    pub key: Option<Var<'g>>,
    /// `[batch, query_len]`, 1 = valid: padded queries give zeros and no gradient.
    pub query: Option<Var<'g>>,
    /// `[query_len, key_len]` or `[batch, query_len, key_len]`, 1 = may be seen.
    pub pair: Option<Var<'g>>,
    /// A query sees only keys at or before its own position.
    pub causal: bool,
}

/// How many heads, and what is done to the weights.
#[derive(Debug, Clone, Copy)]
pub struct AttentionOptions {
    pub heads: usize,
    /// Scores are multiplied by this; default 1 / sqrt(head_dim).
    pub scale: Option<f32>,
    /// Probability that a weight is dropped (after the softmax), while training.
    pub dropout: f32,
}

/// Results of [`attention`].
#[derive(Debug, Clone, Copy)]
pub struct AttentionOutput<'g> {
    /// `[batch, query_len, heads * value_dim]`. A query with no valid key gets zeros.
    pub output: Var<'g>,
    attended: Attended<'g>,
}

#[derive(Debug, Clone, Copy)]
struct Attended<'g> {
    query: Var<'g>,
    key: Var<'g>,
    log_sum_exp: Var<'g>,
    key_mask: Option<Var<'g>>,
    bits: Option<Var<'g>>,
    op: Attention,
}

/// An operand's place: which input, and its first column there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    input: usize,
    column: usize,
}

/// Inputs: the projections (1 to 3), then key mask, query mask, packed mask bits where there are. Outputs: the result, log-sum-exp.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Attention {
    heads: usize,
    head_dim: usize,
    value_dim: usize,
    query: Place,
    key: Place,
    value: Place,
    /// Number of projection inputs.
    projections: usize,
    has_key_mask: bool,
    has_query_mask: bool,
    has_bits: bool,
    causal: bool,
    scale: f32,
    dropout: Option<Dropout>,
}

/// Multi-head attention over `projections`.
pub fn attention<'g>(
    projections: Projections<'g>,
    masks: AttentionMasks<'g>,
    options: AttentionOptions,
) -> AttentionOutput<'g> {
    let heads = options.heads;
    let (inputs, query, key, value, width, value_width) = match projections {
        Projections::Separate { query, key, value } => {
            let place = |input| Place { input, column: 0 };
            let (width, value_width) = (query.shape().from_end(0), value.shape().from_end(0));
            (vec![query, key, value], place(0), place(1), place(2), width, value_width)
        }
        Projections::Packed(packed) => {
            let width = packed.shape().from_end(0) / 3;
            let place = |part| Place { input: 0, column: part * width };
            (vec![packed], place(0), place(1), place(2), width, width)
        }
        Projections::KeyValue { query, key_value } => {
            let width = key_value.shape().from_end(0) / 2;
            let (key, value) = (Place { input: 1, column: 0 }, Place { input: 1, column: width });
            (vec![query, key_value], Place { input: 0, column: 0 }, key, value, width, width)
        }
    };
    let graph = inputs[0].graph();
    if heads == 0 || !width.is_multiple_of(heads) || !value_width.is_multiple_of(heads) {
        graph.fail(
            "attention",
            format!("{width} query and {value_width} value columns do not divide into {heads} heads"),
        );
    }
    let heads = heads.max(1);
    let head_dim = (width / heads).max(1);
    let bits = (masks.causal || masks.pair.is_some()).then(|| {
        let (query_len, key_len) = (inputs[query.input].shape().axis(1), inputs[key.input].shape().axis(1));
        mask_bits(graph, &masks, query_len, key_len)
    });
    // a single key is attended to whatever is asked: with scale 0 its score is 0, and the gradients of query and key are
    // zero rather than rounding, which Adam would take for a direction
    let single = inputs[key.input].shape().axis(1) == 1;
    let scale = if single { 0.0 } else { options.scale.unwrap_or(1.0 / (head_dim as f32).sqrt()) };
    let op = Attention {
        heads,
        head_dim,
        value_dim: (value_width / heads).max(1),
        query,
        key,
        value,
        projections: inputs.len(),
        has_key_mask: masks.key.is_some() && bits.is_none(),
        has_query_mask: masks.query.is_some(),
        has_bits: bits.is_some(),
        causal: masks.causal,
        scale,
        dropout: Dropout::new(graph, options.dropout),
    };
    let key_mask = masks.key.filter(|_| op.has_key_mask);
    let (query, key) = (inputs[query.input], inputs[key.input]);
    let inputs: Vec<Var<'g>> = inputs.into_iter().chain(key_mask).chain(masks.query).chain(bits).collect();
    let outputs = graph.apply(op, &inputs);
    AttentionOutput {
        output: outputs[0],
        attended: Attended { query, key, log_sum_exp: outputs[1], key_mask, bits, op },
    }
}

impl Attention {
    fn key_mask_input(&self) -> Option<usize> {
        self.has_key_mask.then_some(self.projections)
    }

    fn query_mask_input(&self) -> Option<usize> {
        self.has_query_mask.then_some(self.projections + usize::from(self.has_key_mask))
    }

    fn bits_input(&self) -> Option<usize> {
        let before = self.projections + usize::from(self.has_key_mask) + usize::from(self.has_query_mask);
        self.has_bits.then_some(before)
    }

    /// The kernels' problem, and the dims that all of them share.
    fn problem(&self, query: Shape, key: Shape, value: Shape) -> Problem {
        let columns = [
            self.query.column,
            self.key.column,
            self.value.column,
            self.head_dim,
            self.value_dim,
            query.from_end(0),
            key.from_end(0),
            value.from_end(0),
        ];
        Problem {
            batch: query.axis(0) as u32,
            heads: self.heads as u32,
            query_len: query.axis(1) as u32,
            key_len: key.axis(1) as u32,
            head_dim: self.head_dim as u32,
            value_dim: self.value_dim as u32,
            vector: columns.iter().all(|column| column % 4 == 0),
            pair: self.has_bits,
            dropout: self.dropout.is_some(),
        }
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn output_count(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let (query, key, value) =
            (inputs[self.query.input].shape, inputs[self.key.input].shape, inputs[self.value.input].shape);
        if [query, key, value].iter().any(|shape| shape.rank() != 3) {
            return Err(format!("wants [batch, seq, dim] tensors, got {query}, {key} and {value}"));
        }
        let (batch, query_len, key_len) = (query.axis(0), query.axis(1), key.axis(1));
        if key.axis(0) != batch || value.axis(0) != batch || value.axis(1) != key_len {
            return Err(format!("queries {query}, keys {key} and values {value} differ in batch or key length"));
        }
        let needs = |place: Place, width: usize| place.column + width * self.heads;
        let wide = needs(self.query, self.head_dim) <= query.axis(2)
            && needs(self.key, self.head_dim) <= key.axis(2)
            && needs(self.value, self.value_dim) <= value.axis(2);
        if !wide || (self.projections == 3 && key.axis(2) != query.axis(2)) {
            return Err(format!("queries {query} and keys {key} differ in width, or do not hold {} heads", self.heads));
        }
        let expect = |input: Option<usize>, len: usize, what: &str| match input.map(|input| &inputs[input]) {
            Some(mask) if mask.dtype != DType::U32 || mask.shape != Shape::from([batch, len]) => Err(format!(
                "the {what} mask must be an integer tensor [{batch}, {len}], got {:?} {}",
                mask.dtype, mask.shape
            )),
            _ => Ok(()),
        };
        expect(self.key_mask_input(), key_len, "key")?;
        expect(self.query_mask_input(), query_len, "query")?;
        let out = Shape::from([batch, query_len, self.heads * self.value_dim]);
        Ok(vec![(out, DType::F32), (Shape::from([batch, self.heads, query_len]), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        backward::backward(self, cx)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let problem = self.problem(
            cx.input_shape(self.query.input),
            cx.input_shape(self.key.input),
            cx.input_shape(self.value.input),
        );
        if let Some(on) = CooperativeAttention::in_plan(&problem, cx) {
            on.forward(self, cx);
            return Ok(());
        }
        let chosen = problem.forward(cx.capabilities());
        let dispatch = launch(&chosen)
            .bind("q", cx.input(self.query.input))
            .bind("k", cx.input(self.key.input))
            .bind("v", cx.input(self.value.input))
            .bind("mask", mask_operand(self, cx))
            .bind("query_mask", query_mask_operand(self, cx))
            .bind("out", cx.output(0))
            .bind("lse", cx.output(1));
        let dispatch = dims(self, cx, dispatch, [None; 3]);
        cx.emit(dispatch);
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], _: &[Tensor]) -> u64 {
        let (query, key) = (inputs[self.query.input].shape, inputs[self.key.input].shape);
        let pairs = query.axis(0) * self.heads * query.axis(1) * key.axis(1);
        2 * (pairs * (self.head_dim + self.value_dim)) as u64
    }
}

fn launch(kernel: &kernel::Kernel) -> Dispatch {
    Dispatch::new(kernel.shader, &kernel.consts, kernel.workgroups)
}

/// The mask that the kernels read: packed bits where pairs are masked, else the key mask.
fn mask_operand(op: &Attention, cx: &Lower<'_>) -> Operand {
    op.bits_input().or(op.key_mask_input()).map_or(Operand::Unused, |input| cx.input(input))
}

fn query_mask_operand(op: &Attention, cx: &Lower<'_>) -> Operand {
    op.query_mask_input().map_or(Operand::Unused, |input| cx.input(input))
}

/// Words from one sample's packed bits to the next's, 0 where all share them.
fn mask_stride(op: &Attention, cx: &Lower<'_>) -> usize {
    let bits = op.bits_input().map(|input| cx.input_shape(input));
    bits.filter(|shape| shape.axis(0) > 1).map_or(0, |shape| shape.axis(1) * shape.axis(2))
}

/// Sets the dims block that all attention kernels share. `gradients` are the outputs that receive dq, dk and dv.
fn dims(op: &Attention, cx: &Lower<'_>, dispatch: Dispatch, gradients: [Option<Shape>; 3]) -> Dispatch {
    const NAMES: [[&str; 3]; 8] = [
        ["q_offset", "q_row_stride", "q_batch_stride"],
        ["k_offset", "k_row_stride", "k_batch_stride"],
        ["v_offset", "v_row_stride", "v_batch_stride"],
        ["out_offset", "out_row_stride", "out_batch_stride"],
        ["dout_offset", "dout_row_stride", "dout_batch_stride"],
        ["dq_offset", "dq_row_stride", "dq_batch_stride"],
        ["dk_offset", "dk_row_stride", "dk_batch_stride"],
        ["dv_offset", "dv_row_stride", "dv_batch_stride"],
    ];
    let place = |place: Place| (place.column, cx.input_shape(place.input));
    let (q, k, v) = (place(op.query), place(op.key), place(op.value));
    let out = (0, Shape::from([q.1.axis(0), q.1.axis(1), op.heads * op.value_dim]));
    let columns = [op.query.column, op.key.column, op.value.column];
    let gradient = |index: usize| (columns[index], gradients[index].unwrap_or_default());
    let views = [q, k, v, out, out, gradient(0), gradient(1), gradient(2)];
    let dispatch = NAMES.iter().zip(views).fold(dispatch, |dispatch, (names, (offset, shape))| {
        let row = if shape.rank() == 3 { shape.axis(2) } else { 0 };
        dispatch.set(names[0], offset).set(names[1], row).set(names[2], row * shape.axis(1))
    });
    dispatch
        .set("batch", q.1.axis(0))
        .set("heads", op.heads)
        .set("query_len", q.1.axis(1))
        .set("key_len", k.1.axis(1))
        .set("has_mask", usize::from(op.has_key_mask || op.has_bits))
        .set("mask_batch_stride", mask_stride(op, cx))
        .set("has_query_mask", usize::from(op.has_query_mask))
        .set("causal", usize::from(op.causal))
        .set("has_pair_mask", 0)
        .set("pair_batch_stride", 0)
        .set("node", op.dropout.map_or(0, |dropout| dropout.key as usize))
        .set_float("scale", op.scale)
        .set_float("dropout", op.dropout.map_or(0.0, |dropout| dropout.probability))
}

/// Which keys each query sees, 32 to a word: `[batch or 1, query_len, words]`. Inputs: key mask and pair mask where there are.
#[derive(Debug, Clone, Copy)]
struct MaskBits {
    batch: usize,
    query_len: usize,
    key_len: usize,
    has_key_mask: bool,
    has_pair_mask: bool,
    causal: bool,
}

fn mask_bits<'g>(
    graph: &'g crate::graph::Graph,
    masks: &AttentionMasks<'g>,
    query_len: usize,
    key_len: usize,
) -> Var<'g> {
    let pair_batch = masks.pair.map_or(1, |pair| if pair.shape().rank() == 3 { pair.shape().axis(0) } else { 1 });
    let batch = masks.key.map_or(pair_batch, |key| key.shape().axis(0));
    let op = MaskBits {
        batch,
        query_len,
        key_len,
        has_key_mask: masks.key.is_some(),
        has_pair_mask: masks.pair.is_some(),
        causal: masks.causal,
    };
    let inputs: Vec<Var<'g>> = masks.key.into_iter().chain(masks.pair).collect();
    graph.apply_one(op, &inputs)
}

impl Op for MaskBits {
    fn name(&self) -> &'static str {
        "attention_mask"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        if let Some(mask) = inputs.iter().find(|mask| mask.dtype != DType::U32) {
            return Err(format!("masks must be integer tensors, got {:?} {}", mask.dtype, mask.shape));
        }
        let pair = if self.has_pair_mask { inputs.last() } else { None };
        if let Some(pair) = pair {
            let fits = pair.shape.from_end(0) == self.key_len
                && pair.shape.from_end(1) == self.query_len
                && (pair.shape.rank() == 2 || pair.shape.rank() == 3 && [1, self.batch].contains(&pair.shape.axis(0)));
            if !fits {
                let (batch, query_len, key_len) = (self.batch, self.query_len, self.key_len);
                let message =
                    format!("the pair mask must be [{query_len}, {key_len}] or [{batch}, {query_len}, {key_len}]");
                return Err(format!("{message}, got {}", pair.shape));
            }
        }
        if self.has_key_mask && inputs[0].shape != Shape::from([self.batch, self.key_len]) {
            return Err(format!("the key mask must be [{}, {}], got {}", self.batch, self.key_len, inputs[0].shape));
        }
        Ok(vec![(Shape::from([self.batch, self.query_len, self.key_len.div_ceil(32)]), DType::U32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let words = self.key_len.div_ceil(32);
        let pair_input = self.has_pair_mask.then(|| cx.input_count() - 1);
        let pair_batch_stride = pair_input.map(|input| cx.input_shape(input));
        let pair_batch_stride = pair_batch_stride
            .filter(|shape| shape.rank() == 3 && shape.axis(0) > 1)
            .map_or(0, |_| self.query_len * self.key_len);
        let groups = (self.batch * self.query_len * words).div_ceil(64);
        let dispatch = Dispatch::new("attention_mask", &[], groups as u32)
            .bind("key_mask", if self.has_key_mask { cx.input(0) } else { Operand::Unused })
            .bind("pair_mask", pair_input.map_or(Operand::Unused, |input| cx.input(input)))
            .bind("bits", cx.output(0))
            .set("samples", self.batch)
            .set("query_len", self.query_len)
            .set("key_len", self.key_len)
            .set("has_key_mask", usize::from(self.has_key_mask))
            .set("has_pair_mask", usize::from(self.has_pair_mask))
            .set("causal", usize::from(self.causal))
            .set("pair_batch_stride", pair_batch_stride);
        cx.emit(dispatch);
        Ok(())
    }
}
