//! Putting tensors together and taking them apart: concat, stack, split, pad, repeat.

use super::axis_exists;
use crate::error::Result;
use crate::graph::{DType, Graph, MAX_RANK, Shape, Tensor, Var};
use crate::ops::elementwise::{fill, groups};
use crate::ops::{Backward, Op};
use crate::plan::{Dispatch, Lower};

/// Tensors one after another along `axis`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Concat {
    axis: usize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let Some(first) = inputs.first() else { return Err("wants at least one tensor".to_string()) };
        let mut size = 0;
        for part in inputs {
            if part.dtype != first.dtype || part.dtype.size() != 4 {
                return Err(format!("wants 4-byte elements of one type, got {:?} and {:?}", first.dtype, part.dtype));
            }
            let alike = part.shape.rank() == first.shape.rank()
                && part.shape.with_axis(self.axis, 1) == first.shape.with_axis(self.axis, 1);
            if self.axis >= first.shape.rank() || !alike || part.shape.is_empty() {
                let message = format!("{} and {} do not fit along axis {}", first.shape, part.shape, self.axis);
                return Err(message + ": all other axes must be equal");
            }
            size += part.shape.axis(self.axis);
        }
        Ok(vec![(first.shape.with_axis(self.axis, size), first.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None; cx.inputs().len()] };
        let mut start = 0;
        let part = |(index, input): (usize, &Var<'g>)| {
            let end = start + input.shape().axis(self.axis);
            let slice = cx.needs(index).then(|| dy.slice(self.axis, start, end));
            start = end;
            slice
        };
        cx.inputs().iter().enumerate().map(part).collect()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let run = |shape: Shape| shape.around(self.axis)[1] * shape.around(self.axis)[2];
        let runs: Vec<usize> = (0..cx.input_count()).map(|index| run(cx.input_shape(index))).collect();
        let out_run = run(cx.output_shape(0));
        let vector = runs.iter().all(|run| run.is_multiple_of(4));
        let unit = if vector { 4 } else { 1 };
        let mut offset = 0;
        for (index, run) in runs.into_iter().enumerate() {
            let len = cx.input_shape(index).len() / unit;
            let dispatch = Dispatch::new("concat", &[("VECTOR", u32::from(vector))], groups(len))
                .bind("x", cx.input(index))
                .bind("out", cx.output(0))
                .set("len", len)
                .set("run", run / unit)
                .set("out_run", out_run / unit)
                .set("offset", offset / unit);
            cx.emit(dispatch);
            offset += run;
        }
        Ok(())
    }
}

/// The tensor in the middle of zeros: its index `r` of `axis` becomes `start + r step` of `size`. Undoes a slice, and pads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub axis: usize,
    pub start: usize,
    pub step: usize,
    pub size: usize,
}

impl Op for Place {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype.size() != 4 || x.shape.is_empty() {
            return Err(format!("wants some 4-byte elements, got {:?} {}", x.dtype, x.shape));
        }
        let last = self.start + (x.shape.axis(self.axis) - 1) * self.step;
        if self.axis >= x.shape.rank() || last >= self.size {
            return Err(format!("{} does not fit into {} places of axis {}", x.shape, self.size, self.axis));
        }
        Ok(vec![(x.shape.with_axis(self.axis, self.size), x.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let n = cx.input(0).shape().axis(self.axis);
        let end = self.start + (n - 1) * self.step + 1;
        vec![cx.grad(0).map(|dy| dy.slice_step(self.axis, self.start, end, self.step))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let [_, n, inner] = cx.input_shape(0).around(self.axis);
        let len = cx.output_shape(0).len();
        // Without a step the axis and those within are one run, which four-element loads fit more often.
        let (start, step, size, n, inner) = match self.step {
            1 => (self.start * inner, 1, self.size * inner, n * inner, 1),
            step => (self.start, step, self.size, n, inner),
        };
        let all = |values: &[usize]| values.iter().all(|value| value.is_multiple_of(4));
        let (run, rows) = (self.step == 1 && all(&[start, size, n]), inner.is_multiple_of(4));
        let unit = if run || rows { 4 } else { 1 };
        let along = if run { 4 } else { 1 };
        let dispatch = Dispatch::new("place", &[("VECTOR", u32::from(unit == 4))], groups(len / unit))
            .bind("x", cx.input(0))
            .bind("out", cx.output(0))
            .set("len", len / unit)
            .set("size", size / along)
            .set("inner", if rows { inner / 4 } else { inner })
            .set("n", n / along)
            .set("start", start / along)
            .set("step", step);
        cx.emit(dispatch);
        Ok(())
    }
}

impl Graph {
    /// `parts` one after another along `axis`; all other axes must be equal. Floats or integers, not both.
    pub fn concat<'g>(&'g self, parts: &[Var<'g>], axis: usize) -> Var<'g> {
        match parts {
            [only] if axis_exists(*only, "concat", axis) => *only,
            _ => self.apply_one(Concat { axis }, parts),
        }
    }

    /// `parts`, all of one shape, along a new axis at `axis`.
    pub fn stack<'g>(&'g self, parts: &[Var<'g>], axis: usize) -> Var<'g> {
        let Some(first) = parts.first() else {
            self.fail("stack", "wants at least one tensor");
            return fill(self, Shape::default(), 0.0);
        };
        if parts.iter().any(|part| part.shape() != first.shape()) {
            self.fail("stack", "wants tensors of one shape");
            return *first;
        }
        let parts: Vec<Var<'g>> = parts.iter().map(|part| part.unsqueeze(axis)).collect();
        self.concat(&parts, axis)
    }
}

impl<'g> Var<'g> {
    /// A new axis of size 1 at `axis`.
    pub fn unsqueeze(self, axis: usize) -> Var<'g> {
        let mut axes = self.shape().axes().to_vec();
        if axis > axes.len() || axes.len() == MAX_RANK {
            let message =
                format!("{} takes no new axis at {axis}: at most {MAX_RANK} axes, without gaps", self.shape());
            self.graph().fail("unsqueeze", message);
            return self;
        }
        axes.insert(axis, 1);
        self.reshape(axes.as_slice())
    }

    /// Without `axis`, whose size must be 1.
    pub fn squeeze(self, axis: usize) -> Var<'g> {
        if axis_exists(self, "squeeze", axis) && self.shape().axis(axis) != 1 {
            self.graph().fail("squeeze", format!("axis {axis} of {} is not 1", self.shape()));
        }
        self.reshape(self.shape().without_axis(axis))
    }

    /// Pieces of the given sizes along `axis`; the sizes must add up.
    pub fn split(self, axis: usize, sizes: &[usize]) -> Vec<Var<'g>> {
        let total: usize = sizes.iter().fold(0, |sum, size| sum.saturating_add(*size));
        if !axis_exists(self, "split", axis) || total != self.shape().axis(axis) {
            self.graph().fail("split", format!("sizes {sizes:?} do not add up to axis {axis} of {}", self.shape()));
            return vec![self; sizes.len()];
        }
        let mut start = 0;
        let piece = |size: &usize| {
            start += size;
            self.slice(axis, start - size, start)
        };
        sizes.iter().map(piece).collect()
    }

    /// `before` zeros in front of `axis` and `after` behind.
    pub fn pad(self, axis: usize, before: usize, after: usize) -> Var<'g> {
        if !axis_exists(self, "pad", axis) || (before == 0 && after == 0) {
            return self;
        }
        let size = self.shape().axis(axis).saturating_add(before).saturating_add(after);
        self.graph().apply_one(Place { axis, start: before, step: 1, size }, &[self])
    }

    /// The whole of `axis`, `times` times over, as numpy's `tile`.
    pub fn repeat(self, axis: usize, times: usize) -> Var<'g> {
        if !axis_exists(self, "repeat", axis) || times == 1 {
            return self;
        }
        if times == 0 {
            self.graph().fail("repeat", "wants at least one time");
            return self;
        }
        let [outer, n, inner] = self.shape().around(axis);
        let repeated = self.reshape([outer, 1, n * inner]).broadcast_to([outer, times, n * inner]);
        repeated.reshape(self.shape().with_axis(axis, times * n))
    }
}
