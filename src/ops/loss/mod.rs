//! Losses. All are scalars (shape `[]`) unless their name says per row; what is masked or has no valid label does not count in a mean.

mod classification;
mod contrastive;
mod regression;

pub use classification::{class_balanced_weights, constant};
pub use contrastive::{Positives, anchor_logits, cosine_similarities, infonce_pairs, prototype_distances};
pub use regression::PairFunction;

use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// sum(values) / sum(weights), 0 where the weights sum to 0; inputs values and weights `[rows]`, outputs the mean and 1 / the sum of
/// weights. No gradient passes to the weights.
#[derive(Debug, Clone, Copy)]
struct WeightedMean;

impl Op for WeightedMean {
    fn name(&self) -> &'static str {
        "weighted_mean"
    }

    fn output_count(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        match inputs {
            [values, weights] if values.shape == weights.shape => Ok(vec![(Shape::default(), DType::F32); 2]),
            _ => Err("wants values and as many weights".to_string()),
        }
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let dvalues = cx.grad(0).map(|dy| (dy * cx.output(1)).broadcast_to(cx.input(0).shape()));
        vec![dvalues, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (len, values, weights) = (cx.input_shape(0).len(), cx.input(0), cx.input(1));
        weighted_mean(cx, len, values, weights);
        Ok(())
    }
}

/// Emits the mean of `len` weighted values into outputs 0 (mean) and 1 (1 / sum of weights).
fn weighted_mean(cx: &mut Lower<'_>, len: usize, values: Operand, weights: Operand) {
    let dispatch = Dispatch::new("weighted_mean", &[], 1)
        .bind("values", values)
        .bind("weights", weights)
        .bind("mean", cx.output(0))
        .bind("inverse", cx.output(1))
        .set("len", len);
    cx.emit(dispatch);
}

/// The mean of losses and weights `[rows]`.
fn mean_of<'g>(losses: Var<'g>, weights: Var<'g>) -> Var<'g> {
    losses.graph().apply(WeightedMean, &[losses, weights])[0]
}
