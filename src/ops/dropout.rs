//! Dropout (Srivastava et al. 2014) from a counter-based generator: the mask is a hash of (seed, step, op, element), computed again in
//! the backward pass and never stored.

use super::elementwise::{elementwise, quads};
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Graph, Shape, Tensor, Var};
use crate::plan::Lower;

/// x times 0 or 1 / (1 - probability).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Dropout {
    pub(crate) probability: f32,
    /// The op's number in its graph: [`crate::graph::Graph::dropout_key`].
    pub(crate) key: u32,
}

impl Dropout {
    /// A dropout that another kernel applies; `None` where nothing is dropped.
    pub(crate) fn new(graph: &Graph, probability: f32) -> Option<Self> {
        if let Some(fault) = probability_fault(probability) {
            graph.fail("dropout", fault);
        }
        (probability > 0.0).then(|| Dropout { probability, key: graph.dropout_key() })
    }
}

/// Why `probability` cannot be one of dropping, if so.
pub(crate) fn probability_fault(probability: f32) -> Option<String> {
    let fits = (0.0..1.0).contains(&probability);
    (!fits).then(|| format!("the probability must be at least 0 and less than 1, got {probability}"))
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype != DType::F32 {
            return Err(format!("wants a float tensor, got {:?}", x.dtype));
        }
        match probability_fault(self.probability) {
            Some(fault) => Err(fault),
            None => Ok(vec![(x.shape, DType::F32)]),
        }
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![cx.grad(0).map(|dy| cx.graph().apply_one(*self, &[dy]))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let quads = quads(cx.output_shape(0));
        let dispatch = elementwise("dropout", quads, cx.capabilities())
            .bind("x", cx.input(0))
            .bind("out", cx.output(0))
            .set("node", self.key as usize)
            .set_float("probability", self.probability);
        cx.emit(dispatch);
        Ok(())
    }
}

impl<'g> Var<'g> {
    /// Drops each element with `probability` and scales the others by 1 / (1 - `probability`), differently at every step
    /// ([`crate::plan::Plan::set_step`]). 0 changes nothing.
    pub fn dropout(self, probability: f32) -> Var<'g> {
        if probability == 0.0 {
            return self;
        }
        let key = self.graph().dropout_key();
        self.graph().apply_one(Dropout { probability, key }, &[self])
    }
}
