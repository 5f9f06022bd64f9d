//! Copies whose source moves by a fixed step along each axis: permute, slice, flip, expand. One kernel does all of them,
//! `strided_copy.wgsl`, on as few axes as describe the copy.

use super::join::Place;
use super::{WalkAxis, axis_exists, axis_slots, in_fours, merge_axes};
use crate::error::Result;
use crate::graph::{DType, MAX_RANK, Shape, Tensor, Var};
use crate::ops::elementwise::groups;
use crate::ops::{Backward, Op};
use crate::plan::{Dispatch, Lower};

/// Where each element comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rearrange {
    /// Axis `k` of the output is axis `order[k]` of the input.
    Permute(Vec<usize>),
    /// Every `step`-th of the indices `start..end` of `axis`.
    Slice { axis: usize, start: usize, end: usize, step: usize },
    /// `axis` from its end to its start.
    Flip { axis: usize },
    /// Repeated as broadcasting to this shape does.
    Expand(Shape),
}

impl Op for Rearrange {
    fn name(&self) -> &'static str {
        match self {
            Rearrange::Permute(_) => "permute",
            Rearrange::Slice { .. } => "slice",
            Rearrange::Flip { .. } => "flip",
            Rearrange::Expand(_) => "broadcast_to",
        }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype.size() != 4 {
            return Err(format!("moves 4-byte elements, not {:?}", x.dtype));
        }
        if x.shape.is_empty() {
            return Err(format!("{} has no elements", x.shape));
        }
        Ok(vec![(self.shape(x.shape)?, x.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None] };
        let shape = cx.input(0).shape();
        vec![Some(match self {
            Rearrange::Permute(order) => dy.permute(&inverse(order)),
            Rearrange::Slice { axis, start, step, .. } => {
                let place = Place { axis: *axis, start: *start, step: *step, size: shape.axis(*axis) };
                cx.graph().apply_one(place, &[dy])
            }
            Rearrange::Flip { axis } => dy.flip(*axis),
            Rearrange::Expand(_) => dy.sum_to(shape),
        })]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let walk = self.walk(cx.input_shape(0), cx.output_shape(0));
        cx.emit(walk.dispatch().bind("x", cx.input(0)).bind("out", cx.output(0)));
        Ok(())
    }
}

/// The order that undoes `order`.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    for (to, from) in order.iter().enumerate() {
        inverse[*from] = to;
    }
    inverse
}

impl Rearrange {
    fn shape(&self, x: Shape) -> Result<Shape, String> {
        let missing = |axis: usize| format!("there is no axis {axis} in {x}: axes count from 0, outermost first");
        match self {
            Rearrange::Permute(order) => {
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if !sorted.iter().copied().eq(0..x.rank()) {
                    return Err(format!("{order:?} does not name each axis of {x} once"));
                }
                let axes: Vec<usize> = order.iter().map(|axis| x.axis(*axis)).collect();
                Ok(Shape::new(&axes))
            }
            Rearrange::Slice { axis, start, end, step } => {
                if *axis >= x.rank() {
                    return Err(missing(*axis));
                }
                if start >= end || *end > x.axis(*axis) || *step == 0 {
                    let message = format!(
                        "{start}..{end} in steps of {step} is no slice of axis {axis} of {x}: at least one \
                                 element, none beyond the end, a step of at least 1"
                    );
                    return Err(message);
                }
                Ok(x.with_axis(*axis, (end - start).div_ceil(*step)))
            }
            Rearrange::Flip { axis } if *axis >= x.rank() => Err(missing(*axis)),
            Rearrange::Flip { .. } => Ok(x),
            Rearrange::Expand(shape) if x.broadcast(shape) == Some(*shape) => Ok(*shape),
            Rearrange::Expand(shape) => {
                Err(format!("{x} does not broadcast to {shape}: axes must be equal or 1, counted from the last"))
            }
        }
    }

    /// How the source moves when the output of shape `out` is written in order.
    fn walk(&self, x: Shape, out: Shape) -> Walk {
        let steps = x.strides().map(|stride| stride as i64);
        let mut axes: Vec<(usize, i64)> = (0..x.rank()).map(|axis| (out.axis(axis), steps[axis])).collect();
        let mut offset = 0;
        match self {
            Rearrange::Permute(order) => axes = order.iter().map(|axis| (x.axis(*axis), steps[*axis])).collect(),
            Rearrange::Slice { axis, start, step, .. } => {
                offset = *start as i64 * steps[*axis];
                axes[*axis].1 *= *step as i64;
            }
            Rearrange::Flip { axis } => {
                offset = (x.axis(*axis) as i64 - 1) * steps[*axis];
                axes[*axis].1 *= -1;
            }
            Rearrange::Expand(_) => {
                let step = |back: usize| if x.from_end(back) == 1 { 0 } else { steps[x.rank() - 1 - back] };
                axes = (0..out.rank()).rev().map(|back| (out.from_end(back), step(back))).collect();
            }
        }
        Walk::new(offset, &axes)
    }
}

/// A strided read in the order of the output.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Walk {
    offset: i64,
    axes: Vec<WalkAxis<1>>,
}

impl Walk {
    fn new(offset: i64, axes: &[(usize, i64)]) -> Self {
        Walk { offset, axes: merge_axes(axes.iter().map(|(size, step)| (*size, [*step]))) }
    }

    fn dispatch(&self) -> Dispatch {
        const SIZES: [&str; MAX_RANK] = ["", "size1", "size2", "size3", "size4", "size5"];
        const STEPS: [&str; MAX_RANK] = ["outer", "step1", "step2", "step3", "step4", "step5"];
        let (mut axes, [element], width) = in_fours(self.axes.clone());
        let wide = width == 4;
        let vector = wide && element == 1 && self.offset % 4 == 0 && axes.iter().all(|(_, [step])| step % 4 == 0);
        let unit = if vector { 4 } else { 1 };
        axes.iter_mut().for_each(|(_, [step])| *step /= unit);
        let len: usize = axes.iter().map(|(size, _)| size).product();
        let defines = [("RANK", axes.len() as u32), ("VECTOR", u32::from(vector)), ("WIDE", u32::from(wide))];
        let mut dispatch = Dispatch::new("strided_copy", &defines, groups(len))
            .set("len", len)
            .set_signed("offset", self.offset / unit)
            .set_signed("element", element);
        for (slot, (size, [step])) in axis_slots(&axes).into_iter().enumerate() {
            if slot > 0 {
                dispatch = dispatch.set(SIZES[slot], size);
            }
            dispatch = dispatch.set_signed(STEPS[slot], step);
        }
        dispatch
    }
}

impl<'g> Var<'g> {
    /// The axes in another order: axis `k` of the result is axis `order[k]` of this.
    pub fn permute(self, order: &[usize]) -> Var<'g> {
        if order.len() == self.shape().rank() && order.iter().copied().eq(0..order.len()) {
            return self;
        }
        self.graph().apply_one(Rearrange::Permute(order.to_vec()), &[self])
    }

    /// Axes `a` and `b` swapped.
    pub fn transpose(self, a: usize, b: usize) -> Var<'g> {
        if !axis_exists(self, "transpose", a) || !axis_exists(self, "transpose", b) {
            return self;
        }
        let mut order: Vec<usize> = (0..self.shape().rank()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// The indices `start..end` of `axis`.
    pub fn slice(self, axis: usize, start: usize, end: usize) -> Var<'g> {
        self.slice_step(axis, start, end, 1)
    }

    /// Every `step`-th of the indices `start..end` of `axis`.
    pub fn slice_step(self, axis: usize, start: usize, end: usize, step: usize) -> Var<'g> {
        if (start, end, step) == (0, self.shape().axis(axis), 1) && axis < self.shape().rank() {
            return self;
        }
        self.graph().apply_one(Rearrange::Slice { axis, start, end, step }, &[self])
    }

    /// `axis` from its end to its start.
    pub fn flip(self, axis: usize) -> Var<'g> {
        self.graph().apply_one(Rearrange::Flip { axis }, &[self])
    }

    /// Repeated along axes that are 1 or missing here, by numpy's broadcasting rule; itself where the shapes are equal.
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Var<'g> {
        let shape = shape.into();
        if shape == self.shape() {
            return self;
        }
        if shape.len() == self.shape().len() && self.shape().broadcast(&shape) == Some(shape) {
            return self.reshape(shape);
        }
        self.graph().apply_one(Rearrange::Expand(shape), &[self])
    }
}
