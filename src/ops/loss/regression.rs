//! Losses of a prediction and a target of the same shape, and the mean over their valid elements, in one kernel.

use super::super::elementwise::groups;
use super::super::{Backward, Op};
use super::weighted_mean;
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// Elements of a workgroup: `BLOCK` in `shaders/loss.wgsl`.
const BLOCK: usize = 4096;

/// The loss of one element; the numbers are those in `shaders/shared/pair_function.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairFunction {
    SquaredError = 0,
    AbsoluteError = 1,
    Huber = 2,
    /// Binary cross entropy of a logit and a probability.
    LogitCrossEntropy = 3,
}

/// Inputs prediction, target and, if `masked`, a mask of the first axes; outputs the mean and 1 / (number of valid elements).
#[derive(Debug, Clone, Copy, PartialEq)]
struct PairLoss {
    function: PairFunction,
    delta: f32,
    masked: bool,
}

impl PairLoss {
    fn check(inputs: &[Tensor]) -> Result<(), String> {
        let [prediction, target, rest @ ..] = inputs else {
            return Err("wants a prediction and a target".to_string());
        };
        if prediction.dtype != DType::F32 || target.dtype != DType::F32 {
            return Err(format!("wants float tensors, got {:?} and {:?}", prediction.dtype, target.dtype));
        }
        if prediction.shape != target.shape {
            return Err(format!("the prediction is {} but the target is {}", prediction.shape, target.shape));
        }
        match rest.first() {
            Some(mask) if mask.dtype != DType::U32 => Err(format!("wants a mask of U32, got {:?}", mask.dtype)),
            Some(mask) if !prediction.shape.axes().starts_with(mask.shape.axes()) => {
                Err(format!("the mask {} must be the first axes of {}", mask.shape, prediction.shape))
            }
            _ => Ok(()),
        }
    }

    /// A dispatch over `len` elements, `row_len` of them to a number of the mask.
    fn dispatch(&self, shader: &'static str, more: (&str, u32), groups: u32, len: usize, rows: usize) -> Dispatch {
        Dispatch::new(shader, &[("MASK", u32::from(self.masked)), more], groups)
            .set("len", len)
            .set("row_len", len / rows.max(1))
            .set("function", self.function as usize)
            .set_float("delta", self.delta)
    }
}

impl Op for PairLoss {
    fn name(&self) -> &'static str {
        match self.function {
            PairFunction::SquaredError => "mse_loss",
            PairFunction::AbsoluteError => "mae_loss",
            PairFunction::Huber => "huber_loss",
            PairFunction::LogitCrossEntropy => "bce_with_logits",
        }
    }

    fn output_count(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Self::check(inputs)?;
        if self.function == PairFunction::Huber && (self.delta <= 0.0 || !self.delta.is_finite()) {
            return Err(format!("delta must be positive, got {}", self.delta));
        }
        Ok(vec![(Shape::default(), DType::F32); 2])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dmean) = cx.grad(0) else { return gradients };
        let target = cx.needs(1);
        let mut inputs = vec![cx.input(0), cx.input(1), dmean, cx.output(1)];
        inputs.extend(self.masked.then(|| cx.input(2)));
        let made = cx.graph().apply(PairLossBackward { forward: *self, target }, &inputs);
        gradients[0] = Some(made[0]);
        if target {
            gradients[1] = Some(made[1]);
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let len = cx.input_shape(0).len();
        let rows = if self.masked { cx.input_shape(2).len() } else { 1 };
        let blocks = len.div_ceil(BLOCK).max(1);
        let alone = blocks == 1;
        let mut dispatch = self.dispatch("loss", ("FINAL", u32::from(alone)), blocks as u32, len, rows);
        dispatch = dispatch.bind("prediction", cx.input(0)).bind("expected", cx.input(1));
        if self.masked {
            dispatch = dispatch.bind("mask", cx.input(2));
        }
        if alone {
            let dispatch = dispatch.bind("sums", cx.output(0)).bind("counts", cx.output(1));
            cx.emit(dispatch);
            return Ok(());
        }
        let (sums, counts) = (cx.workspace(blocks), cx.workspace(blocks));
        cx.emit(dispatch.bind("sums", sums.clone()).bind("counts", counts.clone()));
        weighted_mean(cx, blocks, sums, counts);
        Ok(())
    }
}

/// Inputs prediction, target, dmean, 1 / count and the mask if there; outputs dprediction and, if asked for, dtarget.
#[derive(Debug, Clone, Copy)]
struct PairLossBackward {
    forward: PairLoss,
    target: bool,
}

impl Op for PairLossBackward {
    fn name(&self) -> &'static str {
        "loss_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn output_count(&self) -> usize {
        1 + usize::from(self.target)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let prediction = inputs.first().ok_or("wants a prediction")?;
        Ok(vec![(prediction.shape, DType::F32); self.output_count()])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let len = cx.input_shape(0).len();
        let rows = if self.forward.masked { cx.input_shape(4).len() } else { 1 };
        let mut dispatch =
            self.forward.dispatch("loss_backward", ("TARGET", u32::from(self.target)), groups(len), len, rows);
        dispatch = dispatch
            .bind("prediction", cx.input(0))
            .bind("expected", cx.input(1))
            .bind("dmean", cx.input(2))
            .bind("inverse", cx.input(3))
            .bind("dprediction", cx.output(0));
        if self.forward.masked {
            dispatch = dispatch.bind("mask", cx.input(4));
        }
        if self.target {
            dispatch = dispatch.bind("dtarget", cx.output(1));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

impl<'g> Var<'g> {
    fn pair_loss(self, function: PairFunction, delta: f32, target: Var<'g>, mask: Option<Var<'g>>) -> Var<'g> {
        let op = PairLoss { function, delta, masked: mask.is_some() };
        let inputs: Vec<Var<'g>> = [Some(self), Some(target), mask].into_iter().flatten().collect();
        self.graph().apply(op, &inputs)[0]
    }

    /// The mean of (x - target)^2 over all elements, or over those of the rows where `mask` (U32, the first axes of x) is not 0;
    /// 0 where none is.
    pub fn mse_loss(self, target: Var<'g>, mask: Option<Var<'g>>) -> Var<'g> {
        self.pair_loss(PairFunction::SquaredError, 0.0, target, mask)
    }

    /// The mean of |x - target|; see [`Var::mse_loss`] for `mask`. The gradient at a tie is 0.
    pub fn mae_loss(self, target: Var<'g>, mask: Option<Var<'g>>) -> Var<'g> {
        self.pair_loss(PairFunction::AbsoluteError, 0.0, target, mask)
    }

    /// The mean of Huber's function of x - target: d^2 / 2 within +-`delta`, `delta` (|d| - `delta` / 2) beyond (torch's
    /// `huber_loss`); see [`Var::mse_loss`] for `mask`.
    pub fn huber_loss(self, target: Var<'g>, delta: f32, mask: Option<Var<'g>>) -> Var<'g> {
        self.pair_loss(PairFunction::Huber, delta, target, mask)
    }

    /// The square root of `eps` + [`Var::mse_loss`]; with `eps` 0 the gradient of a perfect prediction is not defined.
    pub fn rmse_loss(self, target: Var<'g>, eps: f32, mask: Option<Var<'g>>) -> Var<'g> {
        self.mse_loss(target, mask).affine(1.0, eps).sqrt()
    }

    /// The mean binary cross entropy of logits and target probabilities, without overflow; see [`Var::mse_loss`] for `mask`.
    pub fn bce_with_logits(self, target: Var<'g>, mask: Option<Var<'g>>) -> Var<'g> {
        self.pair_loss(PairFunction::LogitCrossEntropy, 0.0, target, mask)
    }
}
