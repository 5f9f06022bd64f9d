//! Pooling over time: masked mean, weighted sums, attention and attentive statistics from scores.

use super::choices::Knob;
use super::team::Team;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// Inputs x `[batch, seq, dim]`, then weights `[batch, seq]` unless `mean`, then a mask `[batch, seq]` if `masked`. Outputs
/// `[batch, dim]` and, with `mean`, 1 / (number of valid steps) `[batch]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pooling {
    mean: bool,
    masked: bool,
}

impl Pooling {
    fn mask_index(&self) -> usize {
        if self.mean { 1 } else { 2 }
    }
}

impl Op for Pooling {
    fn name(&self) -> &'static str {
        if self.mean { "mean_pool" } else { "weighted_pool" }
    }

    fn output_count(&self) -> usize {
        if self.mean { 2 } else { 1 }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.first().ok_or("wants a tensor")?;
        let [batch, seq, dim] = *x.shape.axes() else {
            return Err(format!("wants [batch, seq, dim], got {}", x.shape));
        };
        if x.dtype != DType::F32 {
            return Err(format!("wants a float tensor, got {:?}", x.dtype));
        }
        let of_steps = Shape::new(&[batch, seq]);
        for (index, what, dtype) in [(1, "weights", DType::F32), (self.mask_index(), "mask", DType::U32)] {
            let there = if dtype == DType::U32 { self.masked } else { !self.mean };
            let Some(tensor) = inputs.get(index).filter(|_| there) else { continue };
            if tensor.shape != of_steps || tensor.dtype != dtype {
                let (shape, found) = (tensor.shape, tensor.dtype);
                return Err(format!("the {what} of {} must be {dtype:?} {of_steps}, got {found:?} {shape}", x.shape));
            }
        }
        let mut outputs = vec![(Shape::new(&[batch, dim]), DType::F32)];
        outputs.extend(self.mean.then(|| (Shape::new(&[batch]), DType::F32)));
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dy) = cx.grad(0) else { return gradients };
        let dweight = !self.mean && cx.needs(1);
        let weight = if self.mean { cx.output(1) } else { cx.input(1) };
        let mut inputs = vec![dy, cx.input(0), weight];
        inputs.extend(self.masked.then(|| cx.input(self.mask_index())));
        let made = cx.graph().apply(PoolingBackward { forward: *self, dweight }, &inputs);
        gradients[0] = Some(made[0]);
        if dweight {
            gradients[1] = Some(made[1]);
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        let vector = shape.axis(2).is_multiple_of(4);
        let part = if vector { 4 } else { 1 };
        // A GPU needs more invocations than one per part; a CPU does not.
        let slices = Knob::PoolingSlices.value(cx.capabilities(), shape.axis(1));
        let defines = [
            ("VECTOR", u32::from(vector)),
            ("SLICES", slices as u32),
            ("MEAN", u32::from(self.mean)),
            ("MASK", u32::from(self.masked)),
        ];
        let places = cx.output_shape(0).len() / part;
        let mut dispatch = Dispatch::new("pooling", &defines, places.div_ceil(256 / slices) as u32)
            .bind("x", cx.input(0))
            .bind("out", cx.output(0))
            .set("len", places)
            .set("parts", shape.axis(2) / part)
            .set("seq", shape.axis(1));
        if self.mean {
            dispatch = dispatch.bind("scale", cx.output(1));
        } else {
            dispatch = dispatch.bind("weight", cx.input(1));
        }
        if self.masked {
            dispatch = dispatch.bind("mask", cx.input(self.mask_index()));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// Inputs dy, x, weights (or, of a mean, its scale) and the mask if there; outputs dx and, if asked for, dweights.
#[derive(Debug, Clone, Copy)]
struct PoolingBackward {
    forward: Pooling,
    dweight: bool,
}

impl Op for PoolingBackward {
    fn name(&self) -> &'static str {
        if self.forward.mean { "mean_pool_backward" } else { "weighted_pool_backward" }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn output_count(&self) -> usize {
        1 + usize::from(self.dweight)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.get(1).ok_or("wants a tensor")?.shape;
        let mut outputs = vec![(x, DType::F32)];
        outputs.extend(self.dweight.then(|| (Shape::new(&[x.axis(0), x.axis(1)]), DType::F32)));
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(1);
        let team = Team::choose(cx.capabilities(), shape.axis(2));
        let defines = team.defines(&[
            ("MEAN", u32::from(self.forward.mean)),
            ("MASK", u32::from(self.forward.masked)),
            ("DWEIGHT", u32::from(self.dweight)),
        ]);
        let rows = shape.axis(0) * shape.axis(1);
        let mut dispatch = Dispatch::new("pooling_backward", &defines, team.groups(rows, 1))
            .bind("dy", cx.input(0))
            .bind("weight", cx.input(2))
            .bind("dx", cx.output(0))
            .set("rows", rows)
            .set("parts", team.parts)
            .set("seq", shape.axis(1));
        if self.forward.masked {
            dispatch = dispatch.bind("mask", cx.input(3));
        }
        if self.dweight {
            dispatch = dispatch.bind("x", cx.input(1)).bind("dweight", cx.output(1));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// What attentive statistics give beside the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    Variance,
    /// sqrt(variance + 1e-5).
    StandardDeviation,
}

impl<'g> Var<'g> {
    fn pool(self, op: Pooling, weights: Option<Var<'g>>, mask: Option<Var<'g>>) -> Var<'g> {
        let inputs: Vec<Var<'g>> = [Some(self), weights, mask].into_iter().flatten().collect();
        self.graph().apply(op, &inputs)[0]
    }

    /// The mean over time of `[batch, seq, dim]`, over the steps where `mask` `[batch, seq]` is not 0: `[batch, dim]`. A sample
    /// without a valid step gives zeros and gets zero gradients; what is padded is not looked at.
    pub fn masked_mean(self, mask: Var<'g>) -> Var<'g> {
        self.pool(Pooling { mean: true, masked: true }, None, Some(mask))
    }

    /// The sum over time of `[batch, seq, dim]` weighted with `weights` `[batch, seq]`, without the steps where `mask`
    /// `[batch, seq]` is 0: `[batch, dim]`.
    pub fn weighted_pool(self, weights: Var<'g>, mask: Var<'g>) -> Var<'g> {
        self.pool(Pooling { mean: false, masked: true }, Some(weights), Some(mask))
    }

    /// Attention pooling: the softmax over time of `scores` `[batch, seq]` weighs the steps of `[batch, seq, dim]`. Returns the
    /// pooled `[batch, dim]` and the weights `[batch, seq]`; a sample without a valid step gives zeros in both.
    pub fn attention_pool(self, scores: Var<'g>, mask: Option<Var<'g>>) -> (Var<'g>, Var<'g>) {
        let weights = match mask {
            Some(mask) => scores.masked_softmax(1, mask),
            None => scores.softmax(1),
        };
        (self.pool(Pooling { mean: false, masked: mask.is_some() }, Some(weights), mask), weights)
    }

    /// Attentive statistics pooling (Okabe, Koshinaka and Shinoda 2018): mean and spread over time under the weights of
    /// [`Var::attention_pool`], `[batch, 2 dim]`, and the weights.
    pub fn attentive_statistics(self, scores: Var<'g>, mask: Option<Var<'g>>, spread: Spread) -> (Var<'g>, Var<'g>) {
        // squares of what is padded are taken below, so it has to go first
        let x = mask.map_or(self, |mask| self.mask_rows(mask));
        let (mean, weights) = x.attention_pool(scores, mask);
        let pooling = Pooling { mean: false, masked: mask.is_some() };
        // The variance does not change with the mean to first order: the weighted deviations from it add up to zero.
        let deviation = x - mean.detach().unsqueeze(1);
        let variance = deviation.square().pool(pooling, Some(weights), mask);
        let spread = match spread {
            Spread::Variance => variance,
            Spread::StandardDeviation => variance.affine(1.0, 1e-5).sqrt(),
        };
        (self.graph().concat(&[mean, spread], 1), weights)
    }
}
