//! Cross entropy with label smoothing and class weights, focal loss, and what goes with them.

use super::super::elementwise::groups;
use super::super::team::Team;
use super::super::{Backward, Op};
use super::mean_of;
use crate::error::Result;
use crate::graph::{DType, Graph, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};
use std::sync::Arc;

/// Inputs logits `[rows, classes]`, labels `[rows]` and, if `weighted`, class weights `[classes]`; outputs the losses and the weights of
/// the rows, and what backward needs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CrossEntropy {
    smoothing: f32,
    /// The focusing exponent; `None` is plain cross entropy.
    gamma: Option<f32>,
    weighted: bool,
}

/// Logits `[rows, classes]` and labels `[rows]`, or why not.
fn check_labelled(scores: &Tensor, labels: &Tensor) -> Result<[usize; 2], String> {
    let [rows, classes] = *scores.shape.axes() else {
        return Err(format!("wants scores [rows, classes], got {}", scores.shape));
    };
    if scores.dtype != DType::F32 || labels.dtype != DType::U32 {
        return Err(format!("wants float scores and U32 labels, got {:?} and {:?}", scores.dtype, labels.dtype));
    }
    if labels.shape != Shape::new(&[rows]) {
        return Err(format!("scores {} want labels [{rows}], got {}", scores.shape, labels.shape));
    }
    Ok([rows, classes])
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        if self.gamma.is_some() { "focal_loss" } else { "cross_entropy" }
    }

    fn output_count(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [logits, labels, rest @ ..] = inputs else { return Err("wants logits and labels".to_string()) };
        let [rows, classes] = check_labelled(logits, labels)?;
        if let Some(weights) = rest.first().filter(|weights| weights.shape != Shape::new(&[classes])) {
            return Err(format!("{classes} classes want weights [{classes}], got {}", weights.shape));
        }
        if !(0.0..=1.0).contains(&self.smoothing) {
            return Err(format!("label smoothing must be from 0 to 1, got {}", self.smoothing));
        }
        if let Some(gamma) = self.gamma.filter(|gamma| !gamma.is_finite() || *gamma < 0.0) {
            return Err(format!("gamma must be at least 0, got {gamma}"));
        }
        let per_row = (Shape::new(&[rows]), DType::F32);
        Ok(vec![per_row, per_row, (Shape::new(&[rows, 2]), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dlosses) = cx.grad(0).filter(|_| cx.needs(0)) else { return gradients };
        let mut inputs = vec![cx.input(0), cx.input(1), cx.output(2), dlosses];
        inputs.extend(self.weighted.then(|| cx.input(2)));
        gradients[0] = Some(cx.graph().apply_one(CrossEntropyBackward(*self), &inputs));
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        let team = Team::of_columns(cx.capabilities(), shape.axis(1));
        let defines = [
            ("LANES", team.lanes as u32),
            ("TEAMS", team.teams as u32),
            ("TREE", u32::from(team.tree())),
            ("SUBGROUP", u32::from(team.subgroup)),
            ("WEIGHT", u32::from(self.weighted)),
            ("FOCAL", u32::from(self.gamma.is_some())),
            ("SMOOTH", u32::from(self.smoothing > 0.0)),
        ];
        let mut dispatch = Dispatch::new("cross_entropy", &defines, team.groups(shape.axis(0), 1))
            .bind("logits", cx.input(0))
            .bind("labels", cx.input(1))
            .bind("losses", cx.output(0))
            .bind("row_weights", cx.output(1))
            .bind("saved", cx.output(2))
            .set("rows", shape.axis(0))
            .set("columns", shape.axis(1))
            .set_float("smoothing", self.smoothing)
            .set_float("gamma", self.gamma.unwrap_or(0.0));
        if self.weighted {
            dispatch = dispatch.bind("weight", cx.input(2));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// Inputs logits, labels, what forward saved, dlosses and the class weights if there; output dlogits.
#[derive(Debug)]
struct CrossEntropyBackward(CrossEntropy);

impl Op for CrossEntropyBackward {
    fn name(&self) -> &'static str {
        "cross_entropy_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let logits = inputs.first().ok_or("wants logits")?;
        Ok(vec![(logits.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        // Weights shape the targets only where smoothing spreads them over classes; the label's own weight is in `saved`.
        let smooth = self.0.smoothing > 0.0;
        let weighted = self.0.weighted && smooth;
        let vector = shape.axis(1).is_multiple_of(4);
        let part = if vector { 4 } else { 1 };
        let defines = [("WEIGHT", u32::from(weighted)), ("SMOOTH", u32::from(smooth)), ("VECTOR", u32::from(vector))];
        let mut dispatch = Dispatch::new("cross_entropy_backward", &defines, groups(shape.len() / part))
            .bind("logits", cx.input(0))
            .bind("labels", cx.input(1))
            .bind("saved", cx.input(2))
            .bind("dlosses", cx.input(3))
            .bind("dlogits", cx.output(0))
            .set("parts", shape.len() / part)
            .set("row_parts", shape.axis(1) / part)
            .set("columns", shape.axis(1))
            .set_float("smoothing", self.0.smoothing);
        if weighted {
            dispatch = dispatch.bind("weight", cx.input(4));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// 1 where the first largest score of a row is the label's.
#[derive(Debug)]
struct Correct;

impl Op for Correct {
    fn name(&self) -> &'static str {
        "correct"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [scores, labels] = inputs else { return Err("wants scores and labels".to_string()) };
        let [rows, _] = check_labelled(scores, labels)?;
        Ok(vec![(Shape::new(&[rows]), DType::F32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        let dispatch = Dispatch::new("correct", &[], groups(shape.axis(0)))
            .bind("scores", cx.input(0))
            .bind("labels", cx.input(1))
            .bind("correct", cx.output(0))
            .set("rows", shape.axis(0))
            .set("columns", shape.axis(1));
        cx.emit(dispatch);
        Ok(())
    }
}

/// A tensor of fixed values.
#[derive(Debug, Clone)]
struct Constant {
    shape: Shape,
    values: Arc<[f32]>,
}

impl Constant {
    /// Values that one dispatch writes.
    const STEP: usize = 16;
    /// The most values; more belong in an input.
    const MOST: usize = 1024;
}

impl Op for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        if self.shape.len() != self.values.len() || self.shape.is_empty() {
            return Err(format!("{} values do not fill {}", self.values.len(), self.shape));
        }
        if self.values.len() > Self::MOST {
            let most = Self::MOST;
            return Err(format!("{} values are more than the {most} of a constant: use an input", self.values.len()));
        }
        Ok(vec![(self.shape, DType::F32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        Vec::new()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        const NAMES: [&str; Constant::STEP] =
            ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15"];
        for (index, values) in self.values.chunks(Self::STEP).enumerate() {
            let mut dispatch = Dispatch::new("constant", &[], 1)
                .bind("out", cx.output(0))
                .set("first", index * Self::STEP)
                .set("count", values.len());
            for (at, name) in NAMES.into_iter().enumerate() {
                dispatch = dispatch.set_float(name, values.get(at).copied().unwrap_or(0.0));
            }
            cx.emit(dispatch);
        }
        Ok(())
    }
}

/// A tensor of fixed `values`, row-major; at most 1024 of them.
pub fn constant<'g>(graph: &'g Graph, shape: impl Into<Shape>, values: &[f32]) -> Var<'g> {
    graph.apply_one(Constant { shape: shape.into(), values: values.into() }, &[])
}

/// Class-balanced weights (Cui et al. 2019): (1 - beta) / (1 - beta^count) per class, scaled to a mean of 1.
pub fn class_balanced_weights(counts: &[u64], beta: f64) -> Vec<f32> {
    let raw: Vec<f64> = counts.iter().map(|count| (1.0 - beta) / (1.0 - beta.powf(*count as f64))).collect();
    let mean = raw.iter().sum::<f64>() / raw.len().max(1) as f64;
    raw.iter().map(|weight| (weight / mean) as f32).collect()
}

impl<'g> Var<'g> {
    fn class_losses(self, op: CrossEntropy, labels: Var<'g>, weights: Option<Var<'g>>) -> (Var<'g>, Var<'g>) {
        let inputs: Vec<Var<'g>> = [Some(self), Some(labels), weights].into_iter().flatten().collect();
        let outputs = self.graph().apply(op, &inputs);
        (outputs[0], outputs[1])
    }

    /// The cross entropy of logits `[rows, classes]` and `labels` `[rows]` (U32), fused with log-softmax. `smoothing` spreads that much
    /// of the target over all classes, the true one included; `weights` `[classes]` multiply each class's share, and the mean is then
    /// over the sum of the labels' weights (all as torch's `cross_entropy`). Rows whose label is no class (use `u32::MAX`) do not
    /// count. No gradient passes to `weights`.
    pub fn cross_entropy(self, labels: Var<'g>, weights: Option<Var<'g>>, smoothing: f32) -> Var<'g> {
        let op = CrossEntropy { smoothing, gamma: None, weighted: weights.is_some() };
        let (losses, row_weights) = self.class_losses(op, labels, weights);
        mean_of(losses, row_weights)
    }

    /// The losses of [`Var::cross_entropy`] before the mean, `[rows]`; 0 in rows that do not count.
    pub fn cross_entropy_per_row(self, labels: Var<'g>, weights: Option<Var<'g>>, smoothing: f32) -> Var<'g> {
        let op = CrossEntropy { smoothing, gamma: None, weighted: weights.is_some() };
        self.class_losses(op, labels, weights).0
    }

    /// The mean over rows of -w (1 - p)^gamma log(p), p the probability of the label and w its class weight (Lin et al. 2017); with
    /// [`class_balanced_weights`] the class-balanced form. Labels as in [`Var::cross_entropy`].
    pub fn focal_loss(self, labels: Var<'g>, weights: Option<Var<'g>>, gamma: f32) -> Var<'g> {
        let op = CrossEntropy { smoothing: 0.0, gamma: Some(gamma), weighted: weights.is_some() };
        let (losses, row_weights) = self.class_losses(op, labels, weights);
        mean_of(losses, row_weights)
    }

    /// 1 in each row of these scores `[rows, classes]` whose first largest is at `labels` `[rows]`, else 0. No gradient passes.
    pub fn correct(self, labels: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Correct, &[self, labels])
    }

    /// The mean of uncertainty `[rows]` or `[rows, 1]` (this) over rows, counted only where `logits` get the label right: being unsure
    /// of what is right is what costs.
    pub fn uncertainty_loss(self, logits: Var<'g>, labels: Var<'g>) -> Var<'g> {
        let right = logits.correct(labels);
        (self.reshape(right.shape()) * right).mean()
    }
}
