//! Sums, means, extremes and norms over axes.
//!
//! A reduction sees its tensor as `[outer, n, inner]` and reduces `n`. Where `inner` is 1 it is a sum of rows
//! (`reduce_rows.wgsl`: neighbouring invocations read neighbouring elements of a row), else a sum of columns
//! (`reduce_columns.wgsl`: they read neighbouring columns). Where there are few results and `n` is large, as for the gradient of
//! a bias, workgroups share a result and a second dispatch of the same kernel adds their parts: every order is fixed. No sum is
//! one long chain, so the f32 error stays near 1e-6 for a million terms.

use super::choices::Knob;
use super::elementwise::{Binary, BinaryFunction, fill};
use super::shape_ops::axis_exists;
use super::{Backward, Op};
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// What becomes of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduction {
    Sum,
    Maximum,
    Minimum,
    SumOfSquares,
    /// The square root of the sum of squares.
    Norm,
}

impl Reduction {
    /// The number of the first stage's function in `shaders/shared/reduction.wgsl`.
    fn function(self) -> u32 {
        match self {
            Reduction::Sum => 0,
            Reduction::Maximum => 1,
            Reduction::Minimum => 2,
            Reduction::SumOfSquares | Reduction::Norm => 3,
        }
    }

    /// That of the stages after it, which add up what is squared already.
    fn next_function(self) -> u32 {
        match self.function() {
            3 => 0,
            function => function,
        }
    }
}

/// Reduces the axes `first..first + count`, which stay as axes of size 1, and multiplies by `scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reduce {
    reduction: Reduction,
    first: usize,
    count: usize,
    scale: f32,
}

/// Stands in for -infinity where a difference must stay finite.
const LOWEST: f32 = -3.0e38;
/// A norm below this is zero: f32 squares of anything smaller vanish.
const NO_NORM: f32 = 1e-25;

impl Op for Reduce {
    fn name(&self) -> &'static str {
        match self.reduction {
            Reduction::Sum => "sum",
            Reduction::Maximum => "max",
            Reduction::Minimum => "min",
            Reduction::SumOfSquares => "sum_of_squares",
            Reduction::Norm => "l2_norm",
        }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype != DType::F32 {
            return Err(format!("wants a float tensor, got {:?}", x.dtype));
        }
        if x.shape.is_empty() {
            return Err(format!("{} has no elements", x.shape));
        }
        let run = self.first..self.first + self.count;
        Ok(vec![(run.fold(x.shape, |shape, axis| shape.with_axis(axis, 1)), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None] };
        let (x, y) = (cx.input(0), cx.output(0));
        vec![Some(match self.reduction {
            Reduction::Sum => dy.scaled(self.scale).broadcast_to(x.shape()),
            Reduction::SumOfSquares => x * dy.scale(2.0 * self.scale),
            // at a norm of zero x is zero too, and so is the gradient
            Reduction::Norm => x * (dy / y.maximum(fill(cx.graph(), Shape::default(), NO_NORM))),
            Reduction::Maximum | Reduction::Minimum => {
                // ties share the gradient evenly
                let equal = cx.graph().apply_one(Binary(BinaryFunction::Equal), &[x, y]);
                let ties = cx.graph().apply_one(Reduce { reduction: Reduction::Sum, ..*self }, &[equal]);
                equal * (dy / ties)
            }
        })]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let [outer, n, inner] = self.view(cx.input_shape(0));
        let (function, capabilities) = (self.reduction.function(), cx.capabilities());
        let stage = Stage { function, outer, n, inner, splits: 1, capabilities, last: None };
        let (from, to) = (cx.input(0), cx.output(0));
        let splits = stage.best_splits();
        let last = Some(*self);
        if splits == 1 {
            cx.emit(Stage { last, ..stage }.dispatch(from, to));
            return Ok(());
        }
        let parts = cx.workspace(outer * splits * inner);
        cx.emit(Stage { splits, ..stage }.dispatch(from, parts.clone()));
        let function = self.reduction.next_function();
        cx.emit(Stage { function, n: splits, last, ..stage }.dispatch(parts, to));
        Ok(())
    }
}

impl Reduce {
    /// `shape` as `[outer, n, inner]`, `n` being reduced.
    fn view(&self, shape: Shape) -> [usize; 3] {
        let (outer, rest) = shape.axes().split_at(self.first);
        let (reduced, inner) = rest.split_at(self.count);
        [outer, reduced, inner].map(|axes| axes.iter().product())
    }
}

/// One dispatch of a reduction: `[outer, n, inner]` to `[outer, splits, inner]`.
#[derive(Debug, Clone, Copy)]
struct Stage<'a> {
    function: u32,
    outer: usize,
    n: usize,
    inner: usize,
    splits: usize,
    capabilities: &'a Capabilities,
    /// Whose scale and root to apply, in the last stage.
    last: Option<Reduce>,
}

/// Loads that an invocation should have at least before another one shares its work, and at most, for accuracy.
const FEWEST: usize = 8;
const LONGEST: usize = 4096;

impl Stage<'_> {
    fn by_rows(&self) -> bool {
        self.inner == 1
    }

    /// Whether loads take four elements.
    fn vector(&self) -> bool {
        match self.by_rows() {
            true => self.n >= 4 && (self.n.is_multiple_of(4) || self.outer == 1),
            false => self.inner.is_multiple_of(4),
        }
    }

    /// Whether each result, or each part of one, has an invocation to itself. Those that meet cost more than they bring without cores to fill,
    /// and software adapters keep what is in registers before a barrier in memory.
    fn alone(&self) -> bool {
        Knob::ReduceAlone.value(self.capabilities, self.units() * self.splits) == 1
    }

    /// Invocations that share a row, or items side by side in a workgroup.
    fn width(&self) -> usize {
        match (self.by_rows(), self.n) {
            (true, _) if self.alone() => 1,
            (false, _) if self.alone() || self.side() > 1 => 64,
            (true, n) => Knob::ReduceLanes.value(self.capabilities, n),
            (false, ..=16) => 64,
            (false, _) => match self.items() {
                items @ ..=7 => items.next_power_of_two(),
                8..=4095 => 8,
                _ => 64,
            },
        }
    }

    /// Results of a column sum in units of loads.
    fn items(&self) -> usize {
        self.outer * self.inner / if self.vector() { 4 } else { 1 }
    }

    /// Of those, how many an invocation has: the largest power of two that divides a row between eight neighbours, but 2 would read fewer
    /// streams at once than 1.
    fn side(&self) -> usize {
        const LEAST: usize = 4;
        let columns = self.items() / self.outer;
        if self.by_rows() || !columns.is_multiple_of(8) {
            return 1;
        }
        let most = Knob::ReduceSide.value(self.capabilities, self.items() * self.n);
        let side = 1 << (columns / 8).trailing_zeros().min(most.max(1).ilog2());
        if side < LEAST { 1 } else { side }
    }

    /// What invocations have or share, without splitting.
    fn units(&self) -> usize {
        if self.by_rows() { self.outer } else { self.items() / self.side() }
    }

    /// Loads of one of those.
    fn loads(&self) -> usize {
        if self.by_rows() && self.vector() { self.n / 4 } else { self.n }
    }

    /// Workgroups.
    fn groups(&self) -> usize {
        let lanes = if self.by_rows() { 64 / self.width() } else { self.width() };
        (self.units() * self.splits).div_ceil(lanes)
    }

    /// Invocations that go through a piece of a row side by side: on software adapters a subgroup is through with it before the next begins.
    fn step(&self) -> usize {
        if self.capabilities.software { self.width().min(8) } else { self.width() }
    }

    /// Into how many parts results go so that the device is busy and no chain of sums too long.
    fn best_splits(&self) -> usize {
        const MOST: usize = 1 << 14;
        // where parts have an invocation each, another pass over them should be little beside them
        const WORTH_IT: usize = 32;
        let wanted = Knob::ReduceWorkgroups.value(self.capabilities, self.groups());
        let longest = self.loads() / LONGEST;
        let splits = (wanted * 64 / self.units()).max(longest).min(self.loads() / WORTH_IT).clamp(1, MOST);
        if (Stage { splits, ..*self }).alone() {
            return splits;
        }
        let sharing = if self.by_rows() { self.width() } else { 64 / self.width() };
        (wanted / self.groups()).max(longest / sharing).min(self.loads() / (sharing * FEWEST)).clamp(1, MOST)
    }

    /// The sums of an invocation of `reduce_columns`.
    fn sums(&self) -> [(&'static str, u32); 2] {
        let side = self.side() as u32;
        [("SIDE", side), ("STREAMS", if side == 1 { 4 } else { 1 })]
    }

    fn dispatch(&self, from: Operand, to: Operand) -> Dispatch {
        let defines = [
            ("FUNCTION", self.function),
            ("VECTOR", u32::from(self.vector())),
            ("WIDTH", self.width() as u32),
            ("SPLIT", u32::from(self.splits > 1)),
        ];
        let groups = self.groups() as u32;
        let part = if self.vector() { 4 } else { 1 };
        let dispatch = match self.by_rows() {
            true => Dispatch::new("reduce_rows", &[&defines[..], &[("STEP", self.step() as u32)]].concat(), groups)
                .set("rows", self.outer)
                .set("columns", self.n / part)
                .set("tail", self.n % part),
            false => Dispatch::new("reduce_columns", &[&defines[..], &self.sums()].concat(), groups)
                .set("items", self.items())
                .set("columns", self.inner / part)
                .set("rows", self.n),
        };
        let root = self.last.is_some_and(|reduce| reduce.reduction == Reduction::Norm);
        dispatch
            .bind("x", from)
            .bind("out", to)
            .set("splits", self.splits)
            .set("root", usize::from(root))
            .set_float("scale", self.last.map_or(1.0, |reduce| reduce.scale))
    }
}

/// Emits the sum of `pieces` arrays of `elements` each that lie one behind the other, in their order.
pub(super) fn add_pieces(cx: &mut Lower<'_>, pieces: usize, elements: usize, from: Operand, to: Operand) {
    let (function, capabilities) = (Reduction::Sum.function(), cx.capabilities());
    let stage = Stage { function, outer: 1, n: pieces, inner: elements, splits: 1, capabilities, last: None };
    cx.emit(stage.dispatch(from, to));
}

/// How a reduction of several axes is called.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// The method's name, for errors.
    op: &'static str,
    reduction: Reduction,
    scale: f32,
    keep: bool,
}

impl<'g> Var<'g> {
    /// [`Var::scale`], nothing where the factor is 1.
    fn scaled(self, factor: f32) -> Var<'g> {
        if factor == 1.0 { self } else { self.scale(factor) }
    }

    fn reduce(self, call: Call, axes: &[usize]) -> Var<'g> {
        if !self.are_axes(call.op, axes) {
            return self;
        }
        let shape = self.shape();
        let kept = axes.iter().fold(shape, |shape, axis| shape.with_axis(*axis, 1));
        let elementwise = matches!(call.reduction, Reduction::Sum | Reduction::Maximum | Reduction::Minimum);
        let chains = matches!(call.reduction, Reduction::Sum | Reduction::SumOfSquares);
        let runs = runs(axes, shape.rank());
        let reduced = match () {
            () if elementwise && kept == shape => self.scaled(call.scale),
            () if chains || runs.len() == 1 => self.reduce_runs(call, &runs),
            // a maximum shares its gradient among the ties of all axes at once
            () => {
                let others = (0..shape.rank()).filter(|axis| !axes.contains(axis));
                let order: Vec<usize> = others.chain((0..shape.rank()).filter(|axis| axes.contains(axis))).collect();
                self.permute(&order).reduce_runs(call, &[(shape.rank() - axes.len(), axes.len())])
            }
        };
        if call.keep {
            return reduced.reshape(kept);
        }
        let left: Vec<usize> = (0..shape.rank()).filter(|axis| !axes.contains(axis)).map(|a| shape.axis(a)).collect();
        reduced.reshape(left.as_slice())
    }

    /// One op per run of neighbouring axes, the innermost first; the last applies the scale.
    fn reduce_runs(self, call: Call, runs: &[(usize, usize)]) -> Var<'g> {
        let mut result = self;
        for (index, (first, count)) in runs.iter().rev().copied().enumerate() {
            let reduction = match call.reduction {
                Reduction::SumOfSquares if index > 0 => Reduction::Sum,
                other => other,
            };
            let scale = if index + 1 == runs.len() { call.scale } else { 1.0 };
            result = result.graph().apply_one(Reduce { reduction, first, count, scale }, &[result]);
        }
        result
    }

    /// Whether `axes` are axes of this tensor, each named once; records an error where not.
    fn are_axes(self, op: &'static str, axes: &[usize]) -> bool {
        let twice = (1..axes.len()).find(|index| axes[..*index].contains(&axes[*index]));
        let message = match twice {
            Some(index) => format!("axis {} is given twice", axes[index]),
            None if axes.is_empty() => "no axis is given; name one, or reduce over everything".to_string(),
            None => return axes.iter().all(|axis| axis_exists(self, op, *axis)),
        };
        self.graph().fail(op, message);
        false
    }

    /// The sum over `axes`, which are dropped.
    pub fn sum_axes(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "sum_axes", reduction: Reduction::Sum, scale: 1.0, keep: false }, axes)
    }

    /// [`Var::sum_axes`] that leaves axes of size 1.
    pub fn sum_axes_keep(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "sum_axes_keep", reduction: Reduction::Sum, scale: 1.0, keep: true }, axes)
    }

    /// Number of elements along `axes`.
    fn count(self, axes: &[usize]) -> usize {
        axes.iter().map(|axis| self.shape().axis(*axis)).product()
    }

    /// The mean over `axes`, which are dropped.
    pub fn mean_axes(self, axes: &[usize]) -> Var<'g> {
        let scale = 1.0 / self.count(axes) as f32;
        self.reduce(Call { op: "mean_axes", reduction: Reduction::Sum, scale, keep: false }, axes)
    }

    /// [`Var::mean_axes`] that leaves axes of size 1.
    pub fn mean_axes_keep(self, axes: &[usize]) -> Var<'g> {
        let scale = 1.0 / self.count(axes) as f32;
        self.reduce(Call { op: "mean_axes_keep", reduction: Reduction::Sum, scale, keep: true }, axes)
    }

    /// The largest element over `axes`, which are dropped. Ties share the gradient evenly, as torch's `amax`.
    pub fn max_axes(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "max_axes", reduction: Reduction::Maximum, scale: 1.0, keep: false }, axes)
    }

    /// [`Var::max_axes`] that leaves axes of size 1.
    pub fn max_axes_keep(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "max_axes_keep", reduction: Reduction::Maximum, scale: 1.0, keep: true }, axes)
    }

    /// The largest element along `axis`, which is dropped; see [`Var::max_axes`].
    pub fn max_axis(self, axis: usize) -> Var<'g> {
        self.max_axes(&[axis])
    }

    /// The smallest element over `axes`, which are dropped. Ties share the gradient evenly.
    pub fn min_axes(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "min_axes", reduction: Reduction::Minimum, scale: 1.0, keep: false }, axes)
    }

    /// [`Var::min_axes`] that leaves axes of size 1.
    pub fn min_axes_keep(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "min_axes_keep", reduction: Reduction::Minimum, scale: 1.0, keep: true }, axes)
    }

    /// The sum of squares over `axes`, which are dropped.
    pub fn square_sum_axes(self, axes: &[usize]) -> Var<'g> {
        self.reduce(Call { op: "square_sum_axes", reduction: Reduction::SumOfSquares, scale: 1.0, keep: false }, axes)
    }

    /// The variance over `axes`, which are dropped: the mean of squared deviations from the mean, or, `unbiased`, their sum
    /// over one less than their number.
    pub fn var_axes(self, axes: &[usize], unbiased: bool) -> Var<'g> {
        self.variance("var_axes", axes, unbiased, false)
    }

    /// [`Var::var_axes`] that leaves axes of size 1.
    pub fn var_axes_keep(self, axes: &[usize], unbiased: bool) -> Var<'g> {
        self.variance("var_axes_keep", axes, unbiased, true)
    }

    fn variance(self, op: &'static str, axes: &[usize], unbiased: bool, keep: bool) -> Var<'g> {
        if !self.are_axes(op, axes) {
            return self;
        }
        let count = self.count(axes);
        if unbiased && count < 2 {
            self.graph().fail(op, format!("an unbiased variance of {count} element does not exist"));
            return self;
        }
        let scale = 1.0 / (count - usize::from(unbiased)) as f32;
        // The deviations sum to zero, so no gradient passes through the mean.
        let deviation = self - self.mean_axes_keep(axes).detach();
        deviation.reduce(Call { op, reduction: Reduction::SumOfSquares, scale, keep }, axes)
    }

    /// log(sum(exp(x))) along `axis`, which is dropped; without overflow.
    pub fn logsumexp(self, axis: usize) -> Var<'g> {
        if !axis_exists(self, "logsumexp", axis) {
            return self;
        }
        // The shift changes no value, so no gradient passes through it; it stays finite where a whole row is -infinity.
        let lowest = fill(self.graph(), Shape::default(), LOWEST);
        let shift = self.max_axes_keep(&[axis]).detach().maximum(lowest);
        let sum = (self - shift).exp().sum_axes_keep(&[axis]);
        (sum.log() + shift).reshape(self.shape().without_axis(axis))
    }

    /// The Euclidean norm along `axis`, which is dropped. Its gradient where all elements are zero is zero. Squares are not
    /// scaled: elements must stay below 1e19.
    pub fn l2_norm(self, axis: usize) -> Var<'g> {
        self.reduce(Call { op: "l2_norm", reduction: Reduction::Norm, scale: 1.0, keep: false }, &[axis])
    }

    /// x / max(norm, `eps`), with the Euclidean norm along `axis`.
    pub fn normalize(self, axis: usize, eps: f32) -> Var<'g> {
        let call = Call { op: "normalize", reduction: Reduction::Norm, scale: 1.0, keep: true };
        self / self.reduce(call, &[axis]).maximum(fill(self.graph(), Shape::default(), eps))
    }

    /// The sum of all elements, a scalar.
    pub fn sum(self) -> Var<'g> {
        self.reshape([self.shape().len()]).sum_axes(&[0])
    }

    /// The mean of all elements, a scalar.
    pub fn mean(self) -> Var<'g> {
        self.reshape([self.shape().len()]).mean_axes(&[0])
    }

    /// Sums over the axes that broadcasting from `shape` would have repeated; itself where the shapes are equal.
    pub fn sum_to(self, shape: Shape) -> Var<'g> {
        let own = self.shape();
        if own == shape {
            return self;
        }
        if shape.broadcast(&own) != Some(own) {
            self.graph().fail("sum_to", format!("{shape} does not broadcast to {own}"));
            return self;
        }
        let repeated = |axis: &usize| own.axis(*axis) != shape.from_end(own.rank() - 1 - *axis);
        let axes: Vec<usize> = (0..own.rank()).filter(repeated).collect();
        let sum = if axes.is_empty() { self } else { self.sum_axes_keep(&axes) };
        sum.reshape(shape)
    }
}

/// `axes` in order as runs `(first, count)` of neighbours.
fn runs(axes: &[usize], rank: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for axis in (0..rank).filter(|axis| axes.contains(axis)) {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == axis => *count += 1,
            _ => runs.push((axis, 1)),
        }
    }
    runs
}
