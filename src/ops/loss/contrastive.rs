//! Contrastive losses over similarities, and losses over distances to prototypes.

use super::super::elementwise::{fill, groups};
use super::super::{Backward, Op};
use super::mean_of;
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// How several positives of an anchor are put together (Khosla et al. 2020).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positives {
    /// Summed inside the logarithm.
    In,
    /// Averaged outside the logarithm (SupCon).
    Out,
}

/// Inputs similarities `[rows, columns]` and labels `[rows]`; outputs losses and weights of the rows, and what backward needs. See
/// `shaders/contrast.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Contrast {
    /// Columns are classes and the row's own is its positive; else columns are the rows again.
    own: bool,
    positives: Positives,
}

impl Contrast {
    fn defines(&self) -> [(&'static str, u32); 2] {
        [("OWN", u32::from(self.own)), ("MEAN", u32::from(self.positives == Positives::Out))]
    }
}

impl Op for Contrast {
    fn name(&self) -> &'static str {
        "contrast"
    }

    fn output_count(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [similarities, labels] = inputs else { return Err("wants similarities and labels".to_string()) };
        let [rows, columns] = *similarities.shape.axes() else {
            return Err(format!("wants similarities [rows, columns], got {}", similarities.shape));
        };
        if similarities.dtype != DType::F32 || labels.dtype != DType::U32 {
            let (similarities, labels) = (similarities.dtype, labels.dtype);
            return Err(format!("wants float similarities and U32 labels, got {similarities:?} and {labels:?}"));
        }
        if labels.shape != Shape::new(&[rows]) || (!self.own && rows != columns) {
            let (similarities, labels) = (similarities.shape, labels.shape);
            return Err(format!("similarities {similarities} and labels {labels} do not belong together"));
        }
        let per_row = (Shape::new(&[rows]), DType::F32);
        Ok(vec![per_row, per_row, (Shape::new(&[rows, 2]), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let backward = |dlosses: Var<'g>| {
            let inputs = [cx.input(0), cx.input(1), cx.output(1), cx.output(2), dlosses];
            cx.graph().apply_one(ContrastBackward(*self), &inputs)
        };
        vec![cx.grad(0).map(backward), None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        let dispatch = Dispatch::new("contrast", &self.defines(), groups(shape.axis(0)))
            .bind("similarities", cx.input(0))
            .bind("labels", cx.input(1))
            .bind("losses", cx.output(0))
            .bind("row_weights", cx.output(1))
            .bind("saved", cx.output(2))
            .set("rows", shape.axis(0))
            .set("columns", shape.axis(1));
        cx.emit(dispatch);
        Ok(())
    }
}

/// Inputs similarities, labels, row weights, what forward saved and dlosses.
#[derive(Debug)]
struct ContrastBackward(Contrast);

impl Op for ContrastBackward {
    fn name(&self) -> &'static str {
        "contrast_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let similarities = inputs.first().ok_or("wants similarities")?;
        Ok(vec![(similarities.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let shape = cx.input_shape(0);
        let dispatch = Dispatch::new("contrast_backward", &self.0.defines(), groups(shape.len()))
            .bind("similarities", cx.input(0))
            .bind("labels", cx.input(1))
            .bind("row_weights", cx.input(2))
            .bind("saved", cx.input(3))
            .bind("dlosses", cx.input(4))
            .bind("dsimilarities", cx.output(0))
            .set("len", shape.len())
            .set("columns", shape.axis(1));
        cx.emit(dispatch);
        Ok(())
    }
}

impl<'g> Var<'g> {
    fn contrast(self, labels: Var<'g>, op: Contrast) -> Var<'g> {
        let outputs = self.graph().apply(op, &[self, labels]);
        mean_of(outputs[0], outputs[1])
    }

    /// Supervised InfoNCE over `[batch, batch]` similarities already divided by the temperature: each sample against all others, its
    /// positives those with its label (`labels` `[batch]`, U32). The mean over samples that have a positive; 0 where none has.
    pub fn supervised_infonce(self, labels: Var<'g>, positives: Positives) -> Var<'g> {
        self.contrast(labels, Contrast { own: false, positives })
    }

    /// From distances `[batch, classes]` to prototypes: mean distance to the own + `margin` + mean over samples of
    /// log(sum(exp(-distance))) to the others, a soft minimum that is pushed away.
    pub fn prototype_loss(self, labels: Var<'g>, margin: f32) -> Var<'g> {
        let op = Contrast { own: true, positives: Positives::In };
        self.scale(-1.0).contrast(labels, op).affine(1.0, margin)
    }
}

/// The similarities of rows after they were scaled to length 1, divided by `temperature`: `a` `[n, dim]`, `b` `[m, dim]` ->
/// `[n, m]`.
pub fn cosine_similarities<'g>(a: Var<'g>, b: Var<'g>, temperature: f32) -> Var<'g> {
    // divided before the product, so that what the product writes is what the loss reads, in full precision
    a.normalize(1, 1e-12).scale(1.0 / temperature).matmul_nt(b.normalize(1, 1e-12))
}

/// Symmetric InfoNCE of matching pairs (Radford et al. 2021): of the cosine similarities of `a` and `b`, both `[batch, dim]`, divided by
/// `temperature`, the mean cross entropy over rows and over columns, row i of `a` belonging to row i of `b`. Rows where `mask` `[batch]`
/// is 0 are no pairs, and nothing is contrasted with them; 0 where no row is one.
pub fn infonce_pairs<'g>(a: Var<'g>, b: Var<'g>, temperature: f32, mask: Option<Var<'g>>) -> Var<'g> {
    if a.shape() != b.shape() || a.shape().rank() != 2 {
        a.graph().fail("infonce_pairs", format!("wants pairs [batch, dim], got {} and {}", a.shape(), b.shape()));
        return a;
    }
    let [a, b] = [a, b].map(|x| mask.map_or(x, |mask| x.mask_rows(mask)));
    let mean_of_own = |from: Var<'g>, to: Var<'g>| {
        let similarities = cosine_similarities(from, to, temperature);
        let shares = match mask {
            Some(mask) => similarities.masked_log_softmax(1, mask),
            None => similarities.log_softmax(1),
        };
        let (graph, own) = (shares.graph(), diagonal(shares));
        let weights = fill(graph, own.shape(), 1.0);
        mean_of(own, mask.map_or(weights, |mask| weights.masked(mask, 0.0)))
    };
    (mean_of_own(a, b) + mean_of_own(b, a)).scale(-0.5)
}

/// The diagonal of `[n, n]`.
fn diagonal(square: Var<'_>) -> Var<'_> {
    let n = square.shape().axis(0);
    square.reshape([square.shape().len()]).slice_step(0, 0, square.shape().len(), n + 1)
}

/// The logits of class anchors (their cross entropy is the clustering loss): cosine similarities of features `[batch, dim]` to `anchors`
/// `[classes, dim]`, divided by the learned `temperature` `[]`.
pub fn anchor_logits<'g>(features: Var<'g>, anchors: Var<'g>, temperature: Var<'g>) -> Var<'g> {
    features.normalize(1, 1e-12).matmul_nt(anchors.normalize(1, 1e-12)) / temperature
}

/// Distances sqrt(|f - p|^2 + 1e-6) of features `[batch, dim]` to prototypes `[classes, dim]`: `[batch, classes]`.
pub fn prototype_distances<'g>(features: Var<'g>, prototypes: Var<'g>) -> Var<'g> {
    (features.unsqueeze(1) - prototypes.unsqueeze(0)).square_sum_axes(&[2]).affine(1.0, 1e-6).sqrt()
}
