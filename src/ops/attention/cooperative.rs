//! Attention in mixed precision on cooperative matrices. Matrices are loaded from storage alone (`matmul_cooperative.wgsl` says why), so
//! that nothing can be fused around them: the scores are stored after all, and between the products run kernels of their own.
//!
//! Forward: heads packed as halves, S = Q Kᵀ, P = softmax(S), O = P V, O to its place. Backward: S and P once more, dP = dO Vᵀ, dS, then
//! dQ = dS K, dK = dSᵀ Q, dV = Pᵀ dO. All of it a slice of the samples' heads after the other, so that memory is bounded.
//!
//! What is masked is packed as zeros, since 0 times NaN is NaN. A key that any valid query sees is multiplied with the weights 0 of those
//! that do not see it: there it has to be finite, as the portable kernels do not ask.

use super::kernel::Problem;
use super::{Attention, Place, mask_operand, mask_stride, query_mask_operand};
use crate::gpu::{Capabilities, CooperativeMatrices};
use crate::graph::Shape;
use crate::ops::choices::Knob;
use crate::ops::elementwise::groups;
use crate::ops::matmul::{CooperativeProduct, Layout};
use crate::ops::team::Team;
use crate::plan::{Dispatch, Lower, Operand};

/// Multiplications of the forward pass below which the dispatches that are added cost more than is saved: some 30 us on a GPU of
/// 4 TFLOP/s. A guess, as are the next two, until such a device is measured. A software adapter, where nothing is saved, takes all that it
/// can: it is there for tests.
const LEAST_WORK: u64 = 1 << 26;

/// Narrower heads are bound by the traffic of the scores: some 16 bytes of each, beside two multiplications per column of a head.
const LEAST_WIDTH: u32 = 32;

/// Sums over the width of wider heads might be split, and the kernels of the scores want them whole.
const MOST_WIDTH: u32 = 256;

/// Attention on cooperative matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CooperativeAttention {
    problem: Problem,
    matrices: CooperativeMatrices,
    discrete: bool,
    /// Queries and keys, padded to whole matrices.
    queries: u32,
    keys: u32,
    /// Heads of a slice.
    at_once: u32,
}

/// The heads of a tensor `[batch, rows, columns]`, side by side from `column` on.
#[derive(Debug, Clone)]
struct Heads {
    tensor: Operand,
    shape: Shape,
    column: usize,
    width: usize,
    hidden: Hidden,
}

/// Which rows are taken for zeros, whatever they hold.
#[derive(Debug, Clone)]
enum Hidden {
    Nothing,
    /// `[batch, rows]`, where it is 0.
    ByMask(Operand),
    /// `[batch, heads, rows]`: queries without a valid key, or themselves invalid.
    ByLse(Operand),
}

/// A product of the backward pass, and the gradient that it is but for a factor.
struct Gradient<'a> {
    product: CooperativeProduct,
    operands: [&'a Operand; 2],
    to: Heads,
    factor: f32,
}

impl CooperativeAttention {
    /// How `problem` runs in the plan that is being made, if it does on cooperative matrices.
    pub(super) fn in_plan(problem: &Problem, cx: &Lower<'_>) -> Option<Self> {
        Self::new(problem, cx.cooperative_matrices()?, cx.capabilities())
    }

    fn new(problem: &Problem, matrices: &CooperativeMatrices, capabilities: &Capabilities) -> Option<Self> {
        let Problem { query_len, key_len, head_dim, value_dim, .. } = *problem;
        let all = problem.batch * problem.heads;
        let (widths, lens) = ([head_dim, value_dim], [query_len, key_len]);
        let fits = |width: &u32| width.is_multiple_of(matrices.tile) && *width <= MOST_WIDTH;
        let work = [query_len, key_len, head_dim + value_dim]
            .iter()
            .fold(u64::from(all), |work, size| work.saturating_mul(u64::from(*size)));
        // of shorter sequences most of a block would be padding
        let long = lens.iter().all(|len| *len >= matrices.block(2));
        let pays = long && work >= LEAST_WORK && widths.iter().all(|width| *width >= LEAST_WIDTH);
        if !problem.vector || !widths.iter().all(fits) || !(pays || capabilities.software) {
            return None;
        }
        let [queries, keys] = lens.map(|len| len.next_multiple_of(matrices.tile));
        let at_once = slice(all, u64::from(queries) * u64::from(keys), capabilities)?;
        let discrete = capabilities.discrete;
        Some(CooperativeAttention { problem: *problem, matrices: *matrices, discrete, queries, keys, at_once })
    }

    /// Emits the result and its log-sum-exp.
    pub(super) fn forward(&self, op: &Attention, cx: &mut Lower<'_>) {
        let heads = self.projections(op, cx, Hidden::Nothing);
        let packed = [0, 1, 2].map(|index| self.room(cx, &heads[index]));
        let [q, k, v] = &packed;
        let scores_of = self.product(Layout::NT, [self.queries, self.keys, self.problem.head_dim]);
        let result_of = self.product(Layout::NN, [self.queries, self.problem.value_dim, self.keys]);
        // of the scores first, then of the result
        let sums = cx.workspace(scores_of.elements().max(result_of.elements()));
        let weights = cx.workspace(scores_of.elements() / 2);
        let out = Heads {
            tensor: cx.output(0),
            shape: cx.output_shape(0),
            column: 0,
            width: op.value_dim,
            hidden: Hidden::ByLse(cx.output(1)),
        };
        for first in self.slices() {
            for (heads, packed) in heads.iter().zip(&packed) {
                self.pack(cx, first, heads, packed);
            }
            self.multiply(cx, &scores_of, [q, k], &sums);
            self.probabilities(op, cx, first, [&sums, &weights]);
            self.multiply(cx, &result_of, [&weights, v], &sums);
            self.unpack(cx, first, &out, &sums, result_of.splits(), 1.0);
        }
    }

    /// Emits the gradients of queries, keys and values. `stats` are what `attention_delta.wgsl` made; `lse` and `dout` are inputs.
    pub(super) fn backward(&self, op: &Attention, cx: &mut Lower<'_>, stats: Operand, [lse, dout]: [usize; 2]) {
        let hidden = Hidden::ByLse(cx.input(lse));
        let [query, key, value] = self.projections(op, cx, hidden.clone());
        let shape = cx.input_shape(dout);
        let dout = Heads { tensor: cx.input(dout), shape, column: 0, width: op.value_dim, hidden };
        let heads = [query, key, value, dout];
        let packed = [0, 1, 2, 3].map(|index| self.room(cx, &heads[index]));
        let [q, k, v, dout] = &packed;
        let Problem { head_dim, value_dim, .. } = self.problem;
        let scores_of = self.product(Layout::NT, [self.queries, self.keys, head_dim]);
        let dweights_of = self.product(Layout::NT, [self.queries, self.keys, value_dim]);
        let scores = scores_of.elements();
        let [weights, dscores] = [0, 1].map(|_| cx.workspace(scores / 2));
        let dweights = cx.workspace(scores);
        let gradients = self.gradients(op, cx, &heads, [q, k, dout], [&weights, &dscores]);
        // of the scores first, then of the gradients
        let sums = gradients.iter().map(|gradient| gradient.product.elements()).fold(scores, usize::max);
        let sums = cx.workspace(sums);
        for first in self.slices() {
            for (heads, packed) in heads.iter().zip(&packed) {
                self.pack(cx, first, heads, packed);
            }
            self.multiply(cx, &scores_of, [q, k], &sums);
            self.multiply(cx, &dweights_of, [dout, v], &dweights);
            self.probabilities_backward(op, cx, first, [&sums, &dweights, &stats, &weights, &dscores]);
            for Gradient { product, operands, to, factor } in &gradients {
                self.multiply(cx, product, *operands, &sums);
                self.unpack(cx, first, to, &sums, product.splits(), *factor);
            }
        }
    }

    /// dQ = dS K, dK = dSᵀ Q and dV = Pᵀ dO, of [`Self::boost`]ed dS.
    fn gradients<'a>(
        &self,
        op: &Attention,
        cx: &Lower<'_>,
        [query, key, value, _]: &[Heads; 4],
        [q, k, dout]: [&'a Operand; 3],
        [weights, dscores]: [&'a Operand; 2],
    ) -> [Gradient<'a>; 3] {
        let Problem { head_dim, value_dim, .. } = self.problem;
        let (queries, keys) = (self.queries, self.keys);
        let to =
            |heads: &Heads, place: Place, hidden| Heads { tensor: cx.output(place.input), hidden, ..heads.clone() };
        let factor = op.scale / self.boost();
        [
            Gradient {
                product: self.product(Layout::NN, [queries, head_dim, keys]),
                operands: [dscores, k],
                to: to(query, op.query, query.hidden.clone()),
                factor,
            },
            Gradient {
                product: self.product(Layout::TN, [keys, head_dim, queries]),
                operands: [dscores, q],
                to: to(key, op.key, Hidden::Nothing),
                factor,
            },
            Gradient {
                product: self.product(Layout::TN, [keys, value_dim, queries]),
                operands: [weights, dout],
                to: to(value, op.value, Hidden::Nothing),
                factor: 1.0,
            },
        ]
    }

    /// What dS is multiplied by before it is rounded to halves, a power of two. The loss is scaled so that gradients between layers fit
    /// halves, dO among them, and dP is about as large. dS = P (dP - delta) may be so, too, or smaller by the number of keys where all are
    /// seen alike; this lies between the two. What overflows all the same becomes infinite, and the loss scale shrinks.
    fn boost(&self) -> f32 {
        (1u32 << (self.problem.key_len.ilog2() / 2)) as f32
    }

    /// The first heads of the slices, which are all of one size: the last one begins early enough, and what two make comes out the same.
    fn slices(&self) -> impl Iterator<Item = usize> + use<> {
        let (all, at_once) = (self.problem.batch * self.problem.heads, self.at_once);
        (0..all).step_by(at_once as usize).map(move |first| first.min(all - at_once) as usize)
    }

    /// Rows of a slice's scores.
    fn rows(&self) -> usize {
        self.at_once as usize * self.queries as usize
    }

    fn padded(&self, heads: &Heads) -> usize {
        heads.shape.axis(1).next_multiple_of(self.matrices.tile as usize)
    }

    /// Fours of elements of a slice of `heads`.
    fn quads(&self, heads: &Heads) -> usize {
        self.at_once as usize * self.padded(heads) * heads.width / 4
    }

    /// Queries, keys and values, those keys hidden that no query sees.
    fn projections(&self, op: &Attention, cx: &mut Lower<'_>, queries: Hidden) -> [Heads; 3] {
        let keys = match op.key_mask_input() {
            _ if op.has_bits => Hidden::ByMask(self.seen(op, cx)),
            Some(input) => Hidden::ByMask(cx.input(input)),
            None => Hidden::Nothing,
        };
        let heads = |Place { input, column }, width, hidden| {
            let (tensor, shape) = (cx.input(input), cx.input_shape(input));
            Heads { tensor, shape, column, width, hidden }
        };
        [
            heads(op.query, op.head_dim, queries),
            heads(op.key, op.head_dim, keys.clone()),
            heads(op.value, op.value_dim, keys),
        ]
    }

    /// Emits which keys any query sees, `[batch, key_len]`, where the mask is bits.
    fn seen(&self, op: &Attention, cx: &mut Lower<'_>) -> Operand {
        let Problem { batch, query_len, key_len, .. } = self.problem;
        let seen = cx.workspace((batch * key_len) as usize);
        let dispatch = Dispatch::new("attention_seen", &[], batch * key_len.div_ceil(32))
            .bind("mask", mask_operand(op, cx))
            .bind("query_mask", query_mask_operand(op, cx))
            .bind("seen", seen.clone())
            .set("batch", batch as usize)
            .set("query_len", query_len as usize)
            .set("key_len", key_len as usize)
            .set("mask_batch_stride", mask_stride(op, cx))
            .set("has_query_mask", usize::from(op.has_query_mask));
        cx.emit(dispatch);
        seen
    }

    /// A workspace for a slice of `heads`, packed.
    fn room(&self, cx: &mut Lower<'_>, heads: &Heads) -> Operand {
        cx.workspace(2 * self.quads(heads))
    }

    fn pack(&self, cx: &mut Lower<'_>, first: usize, heads: &Heads, packed: &Operand) {
        let dispatch = self.copy("attention_pack", first, heads);
        let mut dispatch = dispatch.bind("x", heads.tensor.clone()).bind("packed", packed.clone());
        dispatch = dispatch.set("splits", 1).set_float("factor", 1.0);
        dispatch.kernel.halves = vec!["packed".to_string()];
        cx.emit(dispatch);
    }

    fn unpack(&self, cx: &mut Lower<'_>, first: usize, heads: &Heads, partials: &Operand, splits: usize, factor: f32) {
        let dispatch = self.copy("attention_unpack", first, heads);
        let dispatch = dispatch.bind("partials", partials.clone()).bind("out", heads.tensor.clone());
        cx.emit(dispatch.set("splits", splits).set_float("factor", factor));
    }

    /// A copy of a slice of `heads`, from their place or to it.
    fn copy(&self, shader: &'static str, first: usize, heads: &Heads) -> Dispatch {
        let (rows, columns) = (heads.shape.axis(1), heads.shape.axis(2));
        let (hidden_by, mask, lse) = match &heads.hidden {
            Hidden::Nothing => (0, Operand::Unused, Operand::Unused),
            Hidden::ByMask(mask) => (1, mask.clone(), Operand::Unused),
            Hidden::ByLse(lse) => (2, Operand::Unused, lse.clone()),
        };
        Dispatch::new(shader, &[], groups(self.quads(heads)))
            .bind("mask", mask)
            .bind("lse", lse)
            .set("first", first)
            .set("quads", self.quads(heads))
            .set("heads", self.problem.heads as usize)
            .set("rows", rows)
            .set("padded_rows", self.padded(heads))
            .set("width", heads.width)
            .set("offset", heads.column)
            .set("row_stride", columns)
            .set("batch_stride", rows * columns)
            .set("hidden_by", hidden_by)
    }

    fn product(&self, layout: Layout, sizes: [u32; 3]) -> CooperativeProduct {
        CooperativeProduct::of_whole(layout, self.at_once, sizes, &self.matrices, self.discrete)
    }

    fn multiply(&self, cx: &mut Lower<'_>, product: &CooperativeProduct, operands: [&Operand; 2], sums: &Operand) {
        product.multiply(cx, operands.map(|operand| (operand.clone(), self.at_once as usize)), sums.clone());
    }

    fn probabilities(&self, op: &Attention, cx: &mut Lower<'_>, first: usize, [scores, weights]: [&Operand; 2]) {
        let team = Team::of_any_length(cx.capabilities(), self.keys as usize);
        let kernel = ("attention_probabilities", &team.constants()[..], team.groups(self.rows(), 1));
        let mut dispatch = self
            .between(op, cx, first, kernel)
            .bind("scores", scores.clone())
            .bind("query_mask", query_mask_operand(op, cx))
            .bind("weights", weights.clone())
            .bind("lse", cx.output(1));
        dispatch.kernel.halves = vec!["weights".to_string()];
        cx.emit(dispatch);
    }

    fn probabilities_backward(&self, op: &Attention, cx: &mut Lower<'_>, first: usize, operands: [&Operand; 5]) {
        const NAMES: [&str; 5] = ["scores", "dweights", "stats", "weights", "dscores"];
        let kernel = ("attention_probabilities_backward", &[][..], groups(self.rows() * self.keys as usize / 4));
        let dispatch = self.between(op, cx, first, kernel);
        let bound = NAMES.into_iter().zip(operands);
        let mut dispatch = bound.fold(dispatch, |dispatch, (name, operand)| dispatch.bind(name, operand.clone()));
        dispatch.kernel.halves = ["dscores", "weights"].map(str::to_string).to_vec();
        cx.emit(dispatch);
    }

    /// A kernel over a slice's scores: its name, constants and workgroups.
    fn between(
        &self,
        op: &Attention,
        cx: &Lower<'_>,
        first: usize,
        (shader, constants, groups): (&'static str, &[(&'static str, u32)], u32),
    ) -> Dispatch {
        let Problem { heads, query_len, key_len, pair, dropout, .. } = self.problem;
        let flags = [("PAIR", u32::from(pair)), ("DROPOUT", u32::from(dropout))];
        Dispatch::new(shader, &[&flags[..], constants].concat(), groups)
            .bind("mask", mask_operand(op, cx))
            .set("first", first)
            .set("rows", self.rows())
            .set("heads", heads as usize)
            .set("query_len", query_len as usize)
            .set("key_len", key_len as usize)
            .set("padded_queries", self.queries as usize)
            .set("padded_keys", self.keys as usize)
            .set("has_mask", usize::from(op.has_key_mask || op.has_bits))
            .set("mask_batch_stride", mask_stride(op, cx))
            .set("has_query_mask", usize::from(op.has_query_mask))
            .set("causal", usize::from(op.causal))
            .set("node", op.dropout.map_or(0, |dropout| dropout.key as usize))
            .set_float("scale", op.scale)
            .set_float("dropout", op.dropout.map_or(0.0, |dropout| dropout.probability))
            .set_float("boost", self.boost())
    }
}

/// How many of `all` heads, of `scores` each, are taken at once: as few slices as their memory allows, of about equal size; none if a
/// single head is too large. In 32 bits scores take at most 64 MiB, half of what any device can bind, and the backward pass, which holds
/// them three times, 192 MiB.
fn slice(all: u32, scores: u64, capabilities: &Capabilities) -> Option<u32> {
    let bindable = capabilities.limits.max_storage_buffer_binding_size / 4;
    let most = bindable.min(Knob::AttentionScores.value(capabilities, scores as usize) as u64);
    let fitting = (most / scores).min(u64::from(all)) as u32;
    (fitting > 0).then(|| all.div_ceil(all.div_ceil(fitting)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::choices::{Class, capabilities};

    const MATRICES: [CooperativeMatrices; 2] =
        [CooperativeMatrices { tile: 8, lanes: 8 }, CooperativeMatrices { tile: 16, lanes: 32 }];

    fn problem(batch: u32, [query_len, key_len]: [u32; 2], [head_dim, value_dim]: [u32; 2]) -> Problem {
        let (vector, pair, dropout) = (true, false, false);
        Problem { batch, heads: 8, query_len, key_len, head_dim, value_dim, vector, pair, dropout }
    }

    fn on(class: Class, problem: Problem) -> [Option<CooperativeAttention>; 2] {
        MATRICES.map(|matrices| CooperativeAttention::new(&problem, &matrices, &capabilities(class, None)))
    }

    #[test]
    fn what_is_short_narrow_or_small_stays_where_it_is() {
        let taken = |problem| on(Class::Discrete, problem).map(|on| on.is_some());
        assert_eq!(taken(problem(8, [512, 500], [64, 64])), [true, true]);
        assert_eq!(taken(problem(8, [500, 512], [64, 32])), [true, true]);
        // the least block is of 32 rows and columns, or of 64
        assert_eq!(taken(problem(800, [512, 40], [64, 64])), [true, false]);
        assert_eq!(taken(problem(800, [20, 512], [64, 64])), [false, false]);
        assert_eq!(taken(problem(8, [512, 512], [16, 16])), [false, false]);
        assert_eq!(taken(problem(1, [64, 64], [64, 64])), [false, false]);
    }

    #[test]
    fn widths_are_whole_matrices_and_their_sums_are_not_split() {
        for (width, taken) in [(8, [true, false]), (12, [false, false]), (256, [true, true]), (512, [false, false])] {
            let both = on(Class::Software, problem(1, [3, 5], [width, 16]));
            assert_eq!(both.map(|on| on.is_some()), taken, "{width}");
            assert_eq!(on(Class::Software, problem(1, [3, 5], [16, width])).map(|on| on.is_some()), taken, "{width}");
            for on in both.into_iter().flatten() {
                assert_eq!(on.product(Layout::NT, [on.queries, on.keys, width]).splits(), 1);
            }
        }
        let unaligned = Problem { vector: false, ..problem(1, [3, 5], [16, 16]) };
        assert_eq!(on(Class::Software, unaligned), [None, None]);
    }

    #[test]
    fn slices_cover_every_head_and_stay_within_their_memory() {
        for (batch, len) in [(1, 700), (3, 900), (5, 1025), (64, 513), (1, 4096)] {
            for on in on(Class::Discrete, problem(batch, [len, len - 64], [64, 64])).into_iter().flatten() {
                let scores = on.product(Layout::NT, [on.queries, on.keys, 64]).elements();
                assert!(scores <= 1 << 24, "{on:?}");
                let mut seen = vec![false; 8 * batch as usize];
                on.slices().for_each(|first| seen[first..first + on.at_once as usize].fill(true));
                assert!(seen.iter().all(|seen| *seen), "{on:?}");
            }
        }
        assert_eq!(on(Class::Discrete, problem(1, [4096, 4160], [64, 64])), [None, None]);
    }

    #[test]
    fn slices_are_as_few_as_may_be_and_of_about_equal_size() {
        let device = capabilities(Class::Discrete, None);
        let sizes = |all, scores| slice(all, scores, &device);
        assert_eq!(sizes(8, 1 << 20), Some(8));
        assert_eq!(sizes(17, 1 << 20), Some(9));
        assert_eq!(sizes(33, 1 << 20), Some(11));
        assert_eq!(sizes(5, 1 << 24), Some(1));
        assert_eq!(sizes(5, (1 << 24) + 1), None);
        let mut small = device.clone();
        small.limits.max_storage_buffer_binding_size = 1 << 23;
        assert_eq!(slice(17, 1 << 20, &small), Some(2));
    }
}
