//! Moving elements without changing them. Here reshape and copy; `strided.rs` has permute, slice, flip and expand (one kernel),
//! `join` concat, stack, split and pad. The kernels copy 4-byte elements whatever they are, so masks and ids move too; gradients
//! are those of floats.

mod join;
mod strided;

use super::elementwise::{groups, quads};
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, MAX_RANK, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// The same tensor in memory of its own.
#[derive(Debug)]
pub(crate) struct Copy;

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        Ok(vec![(x.shape, x.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![cx.grad(0)]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let quads = quads(cx.output_shape(0));
        let dispatch = Dispatch::new("copy", &[], groups(quads)).set("quads", quads);
        cx.emit(dispatch.bind("x", cx.input(0)).bind("out", cx.output(0)));
        Ok(())
    }
}

/// The same elements under another shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reshape(pub Shape);

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn is_view(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.shape.len() != self.0.len() {
            return Err(format!("{} has {} elements, {} has {}", x.shape, x.shape.len(), self.0, self.0.len()));
        }
        Ok(vec![(self.0, x.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![cx.grad(0).map(|dy| dy.reshape(cx.input(0).shape()))]
    }

    fn lower(&self, _: &mut Lower<'_>) -> Result<()> {
        Ok(())
    }
}

/// The same tensor, of which no gradient is asked.
#[derive(Debug)]
struct Detach;

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn is_view(&self) -> bool {
        true
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Copy.infer(inputs)
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None]
    }

    fn lower(&self, _: &mut Lower<'_>) -> Result<()> {
        Ok(())
    }
}

impl<'g> Var<'g> {
    /// The same values as a constant: no gradient passes.
    pub fn detach(self) -> Var<'g> {
        self.graph().apply_one(Detach, &[self])
    }

    /// The same elements, row-major, under another shape of as many.
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'g> {
        let shape = shape.into();
        if shape == self.shape() {
            return self;
        }
        self.graph().apply_one(Reshape(shape), &[self])
    }
}

/// Whether `x` has the axis `axis`; records an error about the method `op` where not.
pub(crate) fn axis_exists(x: Var<'_>, op: &'static str, axis: usize) -> bool {
    let exists = axis < x.shape().rank();
    if !exists {
        let message = format!("there is no axis {axis} in {}: axes count from 0, outermost first", x.shape());
        x.graph().fail(op, message);
    }
    exists
}

/// An axis of a strided walk: its size, and the step along it in each of `N` tensors.
pub(crate) type WalkAxis<const N: usize> = (usize, [i64; N]);

/// Drops axes of size 1 and merges those that one step describes, outermost first; at least one axis is left.
pub(crate) fn merge_axes<const N: usize>(axes: impl Iterator<Item = WalkAxis<N>>) -> Vec<WalkAxis<N>> {
    let mut merged: Vec<WalkAxis<N>> = Vec::new();
    for (size, steps) in axes.filter(|(size, _)| *size > 1) {
        match merged.last_mut() {
            Some((last, from)) if *from == steps.map(|step| step * size as i64) => {
                (*last, *from) = (*last * size, steps)
            }
            _ => merged.push((size, steps)),
        }
    }
    if merged.is_empty() {
        merged.push((1, [0; N]));
    }
    merged
}

/// How tensors of the given shapes are read when broadcast to `out`: a step of 0 repeats.
pub(crate) fn broadcast_axes<const N: usize>(out: Shape, shapes: [Shape; N]) -> Vec<WalkAxis<N>> {
    let step = |shape: Shape, back: usize| match shape.from_end(back) {
        1 => 0,
        _ => shape.strides()[shape.rank() - 1 - back] as i64,
    };
    let axis = |back: usize| (out.from_end(back), shapes.map(|shape| step(shape, back)));
    merge_axes((0..out.rank()).rev().map(axis))
}

/// `axes` where the shaders look for them: the outermost in slot 0, the others in the last slots.
pub(crate) fn axis_slots<const N: usize>(axes: &[WalkAxis<N>]) -> [WalkAxis<N>; MAX_RANK] {
    let mut slots = [(1, [0; N]); MAX_RANK];
    for (index, axis) in axes.iter().enumerate() {
        slots[if index == 0 { 0 } else { MAX_RANK - axes.len() + index }] = *axis;
    }
    slots
}

/// `axes` with the innermost counted in fours where that goes: the axes, the steps from element to element along the innermost,
/// and how many elements an invocation then takes.
pub(crate) fn in_fours<const N: usize>(mut axes: Vec<WalkAxis<N>>) -> (Vec<WalkAxis<N>>, [i64; N], usize) {
    let mut element = [0; N];
    let mut unit = 1;
    if let Some((size, steps)) = axes.last_mut() {
        element = *steps;
        if size.is_multiple_of(4) {
            unit = 4;
            (*size, *steps) = (*size / 4, steps.map(|step| step * 4));
        }
    }
    (axes, element, unit)
}
