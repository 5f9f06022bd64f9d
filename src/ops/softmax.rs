//! Softmax and log-softmax along any axis, masked or not.

use super::choices::Knob;
use super::elementwise::groups;
use super::team::Team;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// Inputs x and, with `masked`, a mask; over axis `axis`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Softmax {
    axis: usize,
    log: bool,
    masked: bool,
}

/// How a mask's rows repeat over the rows of what it masks: `shaders/shared/row_mask.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MaskRows {
    divide: usize,
    modulo: usize,
}

impl MaskRows {
    /// `mask` against `x`, both with the masked axis last. The mask's first axis is x's first (or 1), its other leading axes are
    /// x's last ones (or 1 from the left); so `[batch, keys]`, `[batch, queries, keys]`, `[1, queries, keys]` and the whole
    /// shape fit scores `[batch, heads, queries, keys]`.
    fn of(x: Shape, mask: Shape) -> Result<Self, String> {
        let wrong = || {
            format!(
                "a mask of {mask} does not fit {x}: it wants the same shape, [batch, n] or [batch or 1, .., rows, n]"
            )
        };
        if mask.rank() == 0 || mask.rank() > x.rank() || mask.from_end(0) != x.from_end(0) {
            return Err(wrong());
        }
        let rows = x.len() / x.from_end(0);
        if mask.rank() == 1 {
            return Ok(MaskRows { divide: rows, modulo: 1 });
        }
        // axes between the first and the last, counted from the last: equal for a while, then repeated
        let between = mask.rank() - 2;
        let own = (1..=between).take_while(|back| mask.from_end(*back) == x.from_end(*back)).count();
        let modulo: usize = (1..=own).map(|back| x.from_end(back)).product();
        let rest_is_one = (own + 1..=between).all(|back| mask.from_end(back) == 1);
        let divide = match mask.axis(0) {
            first if first == x.axis(0) => rows / first,
            1 => rows,
            _ => return Err(wrong()),
        };
        if rest_is_one { Ok(MaskRows { divide, modulo }) } else { Err(wrong()) }
    }
}

impl Softmax {
    /// Whether the axis is the last: rows are contiguous.
    fn contiguous(&self, x: Shape) -> bool {
        self.axis + 1 == x.rank()
    }

    fn check(&self, inputs: &[Tensor]) -> Result<Shape, String> {
        let x = inputs.first().ok_or("wants a tensor")?;
        if x.dtype != DType::F32 {
            return Err(format!("wants a float tensor, got {:?}", x.dtype));
        }
        if self.axis >= x.shape.rank() {
            return Err(format!("{} has no axis {}", x.shape, self.axis));
        }
        let Some(mask) = inputs.get(1).filter(|_| self.masked) else { return Ok(x.shape) };
        if mask.dtype != DType::U32 {
            return Err(format!("wants a mask of U32 (1 = valid), got {:?}", mask.dtype));
        }
        if self.contiguous(x.shape) {
            MaskRows::of(x.shape, mask.shape)?;
        } else if mask.shape != x.shape {
            let (x, mask, axis) = (x.shape, mask.shape, self.axis);
            return Err(format!("over axis {axis} of {x} the mask must have the same shape, got {mask}"));
        }
        Ok(x.shape)
    }

    /// The dispatch of `shader` (over the last axis) or `shader_axis`, without its tensors.
    fn dispatch(&self, cx: &Lower<'_>, shaders: [&'static str; 2], mask: Option<(Operand, Shape)>) -> Result<Dispatch> {
        let x = cx.input_shape(0);
        let flags = [("LOG", u32::from(self.log)), ("MASK", u32::from(self.masked))];
        let [outer, size, inner] = x.around(self.axis);
        if !self.contiguous(x) {
            let columns = outer * inner;
            let dispatch = Dispatch::new(shaders[1], &flags, groups(columns))
                .set("columns", columns)
                .set("size", size)
                .set("inner", inner);
            return Ok(match mask {
                Some((mask, _)) => dispatch.bind("mask", mask),
                None => dispatch,
            });
        }
        let team = Team::of_any_length(cx.capabilities(), size);
        let rounds = Knob::SoftmaxRounds.value(cx.capabilities(), outer);
        let dispatch = Dispatch::new(shaders[0], &team.defines(&flags), team.groups(outer, rounds))
            .set("rows", outer)
            .set("columns", size)
            .set("parts", team.parts)
            .set("rounds", rounds);
        let Some((mask, shape)) = mask else { return Ok(dispatch.set("divide", 1).set("modulo", 1)) };
        let rows = MaskRows::of(x, shape).map_err(|message| cx.error(message))?;
        Ok(dispatch.bind("mask", mask).set("divide", rows.divide).set("modulo", rows.modulo))
    }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(self.check(inputs)?, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dy) = cx.grad(0) else { return gradients };
        let mut inputs = vec![cx.output(0), dy];
        inputs.extend(self.masked.then(|| cx.input(1)));
        gradients[0] = Some(cx.graph().apply_one(SoftmaxBackward(*self), &inputs));
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let mask = self.masked.then(|| (cx.input(1), cx.input_shape(1)));
        let dispatch = self.dispatch(cx, ["softmax", "softmax_axis"], mask)?;
        cx.emit(dispatch.bind("x", cx.input(0)).bind("y", cx.output(0)));
        Ok(())
    }
}

/// Inputs y, dy and, where masked, the mask.
#[derive(Debug)]
struct SoftmaxBackward(Softmax);

impl Op for SoftmaxBackward {
    fn name(&self) -> &'static str {
        if self.0.log { "log_softmax_backward" } else { "softmax_backward" }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let y = inputs.first().ok_or("wants a tensor")?;
        Ok(vec![(y.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let mask = self.0.masked.then(|| (cx.input(2), cx.input_shape(2)));
        let dispatch = self.0.dispatch(cx, ["softmax_backward", "softmax_axis_backward"], mask)?;
        cx.emit(dispatch.bind("y", cx.input(0)).bind("dy", cx.input(1)).bind("dx", cx.output(0)));
        Ok(())
    }
}

impl<'g> Var<'g> {
    fn softmax_with(self, axis: usize, log: bool, mask: Option<Var<'g>>) -> Var<'g> {
        let op = Softmax { axis, log, masked: mask.is_some() };
        let inputs: Vec<Var<'g>> = [Some(self), mask].into_iter().flatten().collect();
        self.graph().apply_one(op, &inputs)
    }

    /// exp(x) / sum(exp(x)) along `axis`.
    pub fn softmax(self, axis: usize) -> Var<'g> {
        self.softmax_with(axis, false, None)
    }

    /// log(softmax(x)) along `axis`, without overflow.
    pub fn log_softmax(self, axis: usize) -> Var<'g> {
        self.softmax_with(axis, true, None)
    }

    /// [`Var::softmax`] over the elements where `mask` (U32) is not 0; the others get 0, and so does all of a row with nothing valid.
    /// Along the last axis the mask is of the same shape, `[batch, n]` (keys or time steps of a whole sample) or
    /// `[batch or 1, .., rows, n]`; along another it is of the same shape.
    pub fn masked_softmax(self, axis: usize, mask: Var<'g>) -> Var<'g> {
        self.softmax_with(axis, false, Some(mask))
    }

    /// The logarithm of [`Var::masked_softmax`], and 0 where that is masked.
    pub fn masked_log_softmax(self, axis: usize, mask: Var<'g>) -> Var<'g> {
        self.softmax_with(axis, true, Some(mask))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(x: &[usize], mask: &[usize]) -> Option<Vec<usize>> {
        let (x, mask) = (Shape::new(x), Shape::new(mask));
        let map = MaskRows::of(x, mask).ok()?;
        let count = x.len() / x.from_end(0);
        Some((0..count).map(|row| row / map.divide * map.modulo + row % map.modulo).collect())
    }

    #[test]
    fn mask_rows_follow_the_batch_the_queries_both_or_neither() {
        assert_eq!(rows(&[2, 3, 2, 5], &[2, 5]), Some(vec![0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]));
        assert_eq!(rows(&[2, 2, 2, 5], &[2, 2, 5]), Some(vec![0, 1, 0, 1, 2, 3, 2, 3]));
        assert_eq!(rows(&[2, 2, 2, 5], &[1, 2, 5]), Some(vec![0, 1, 0, 1, 0, 1, 0, 1]));
        assert_eq!(rows(&[2, 2, 2, 5], &[2, 2, 2, 5]), Some((0..8).collect()));
        assert_eq!(rows(&[2, 2, 2, 5], &[2, 1, 1, 5]), Some(vec![0, 0, 0, 0, 1, 1, 1, 1]));
        assert_eq!(rows(&[3, 4], &[3, 4]), Some(vec![0, 1, 2]));
        assert_eq!(rows(&[3, 4], &[4]), Some(vec![0, 0, 0]));
        assert_eq!(rows(&[3, 4], &[2, 4]), None);
        assert_eq!(rows(&[2, 3, 4, 5], &[2, 3, 5]), None);
    }
}
