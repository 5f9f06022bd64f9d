//! Where the backward pass of a single op starts: a gradient that lies ready, so that no loss is timed with it.

use limbic::Result;
use limbic::graph::{DType, Shape, Tensor, Var};
use limbic::ops::{Backward, Op};
use limbic::plan::{Dispatch, Lower};

/// A loss of 0 whose gradient with respect to input 0 is input 1.
#[derive(Debug)]
struct Seed;

impl Op for Seed {
    fn name(&self) -> &'static str {
        "seed"
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(Shape::default(), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![Some(cx.input(1)), None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        cx.emit(
            Dispatch::new("fill", &[], 1)
                .bind("out", cx.output(0))
                .set("quads", 1)
                .set("rounds", 1)
                .set_float("value", 0.0),
        );
        Ok(())
    }
}

/// A loss with the gradient `gradient` with respect to `y`. Costs one dispatch of one element.
pub fn seed<'g>(y: Var<'g>, gradient: Var<'g>) -> Var<'g> {
    y.graph().apply_one(Seed, &[y, gradient])
}
