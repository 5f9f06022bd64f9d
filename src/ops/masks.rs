//! Masks (U32, 1 = valid, 0 = padding): made from data, combined, and applied so that what is padded is never read.

use super::elementwise::groups;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Graph, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// 1 where any feature of a row differs from `pad`.
#[derive(Debug, Clone, Copy)]
struct PaddingMask {
    pad: f32,
}

impl Op for PaddingMask {
    fn name(&self) -> &'static str {
        "padding_mask"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.first().ok_or("wants a tensor")?;
        if x.dtype != DType::F32 || x.shape.rank() < 2 {
            return Err(format!("wants floats [batch, seq, features], got {:?} {}", x.dtype, x.shape));
        }
        Ok(vec![(x.shape.without_axis(x.shape.rank() - 1), DType::U32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let rows = cx.output_shape(0).len();
        let dispatch = Dispatch::new("padding_mask", &[], groups(rows))
            .bind("x", cx.input(0))
            .bind("mask", cx.output(0))
            .set("rows", rows)
            .set("columns", cx.input_shape(0).from_end(0))
            .set_float("pad", self.pad);
        cx.emit(dispatch);
        Ok(())
    }
}

/// `[size, size]`, 1 on and below the diagonal.
#[derive(Debug, Clone, Copy)]
struct LookAheadMask {
    size: usize,
}

impl Op for LookAheadMask {
    fn name(&self) -> &'static str {
        "look_ahead_mask"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        match self.size {
            0 => Err("wants a sequence of at least one position".to_string()),
            size => Ok(vec![(Shape::new(&[size, size]), DType::U32)]),
        }
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        Vec::new()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let dispatch = Dispatch::new("look_ahead_mask", &[], groups(self.size * self.size))
            .bind("mask", cx.output(0))
            .set("size", self.size);
        cx.emit(dispatch);
        Ok(())
    }
}

/// padding `[batch, keys]` and pair `[queries, keys]` or `[batch or 1, queries, keys]`, as one mask `[batch, queries, keys]`.
#[derive(Debug, Clone, Copy)]
struct CombineMasks;

impl Op for CombineMasks {
    fn name(&self) -> &'static str {
        "combine_masks"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [padding, pair] = inputs else { return Err("wants two masks".to_string()) };
        if padding.dtype != DType::U32 || pair.dtype != DType::U32 {
            return Err(format!("wants masks of U32, got {:?} and {:?}", padding.dtype, pair.dtype));
        }
        let (batch, keys) = (padding.shape.axis(0), padding.shape.axis(1));
        let leading = if pair.shape.rank() == 3 { pair.shape.axis(0) } else { 1 };
        let fits = padding.shape.rank() == 2
            && matches!(pair.shape.rank(), 2 | 3)
            && pair.shape.from_end(0) == keys
            && (leading == 1 || leading == batch);
        if !fits {
            let (padding, pair) = (padding.shape, pair.shape);
            return Err(format!(
                "wants padding [batch, keys] and pairs [queries, keys] or [batch, queries, keys], got {padding} and {pair}"
            ));
        }
        Ok(vec![(Shape::new(&[batch, pair.shape.from_end(1), keys]), DType::U32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (out, pair) = (cx.output_shape(0), cx.input_shape(1));
        let of_sample = out.axis(1) * out.axis(2);
        let dispatch = Dispatch::new("combine_masks", &[], groups(out.len()))
            .bind("padding", cx.input(0))
            .bind("pair", cx.input(1))
            .bind("out", cx.output(0))
            .set("len", out.len())
            .set("queries", out.axis(1))
            .set("keys", out.axis(2))
            .set("pair_step", if pair.len() == of_sample { 0 } else { of_sample });
        cx.emit(dispatch);
        Ok(())
    }
}

/// x where the mask of its row is not 0, else 0; its own backward.
#[derive(Debug, Clone, Copy)]
struct MaskRows;

impl Op for MaskRows {
    fn name(&self) -> &'static str {
        "mask_rows"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x, mask] = inputs else { return Err("wants a tensor and a mask".to_string()) };
        if x.dtype != DType::F32 || mask.dtype != DType::U32 {
            return Err(format!("wants floats and a mask of U32, got {:?} and {:?}", x.dtype, mask.dtype));
        }
        if !x.shape.axes().starts_with(mask.shape.axes()) {
            return Err(format!("the mask {} must be the first axes of {}", mask.shape, x.shape));
        }
        Ok(vec![(x.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![cx.grad(0).map(|dy| dy.mask_rows(cx.input(1))), None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (len, rows) = (cx.output_shape(0).len(), cx.input_shape(1).len());
        let columns = len / rows;
        let vector = columns.is_multiple_of(4);
        let part = if vector { 4 } else { 1 };
        let dispatch = Dispatch::new("mask_rows", &[("VECTOR", u32::from(vector))], groups(len / part))
            .bind("x", cx.input(0))
            .bind("mask", cx.input(1))
            .bind("out", cx.output(0))
            .set("len", len / part)
            .set("parts", columns / part);
        cx.emit(dispatch);
        Ok(())
    }
}

/// The mask of positions that see only themselves and earlier ones: `[size, size]` (query, key), 1 where key <= query.
pub fn look_ahead_mask(graph: &Graph, size: usize) -> Var<'_> {
    graph.apply_one(LookAheadMask { size }, &[])
}

/// A key padding mask `[batch, keys]` and a pair mask `[queries, keys]` (or `[batch, queries, keys]`), both required:
/// `[batch, queries, keys]`.
pub fn combine_masks<'g>(padding: Var<'g>, pair: Var<'g>) -> Var<'g> {
    padding.graph().apply_one(CombineMasks, &[padding, pair])
}

impl<'g> Var<'g> {
    /// The mask of `[batch, seq, features]`: 1 where any feature of a step differs from `pad`. `[batch, seq]`, U32.
    pub fn padding_mask(self, pad: f32) -> Var<'g> {
        self.graph().apply_one(PaddingMask { pad }, &[self])
    }

    /// The tensor with the rows where `mask` is 0 replaced by zeros, their gradients too. The mask's shape is the first axes of
    /// the tensor's: `[batch, seq]` for `[batch, seq, dim]`. What is padded is selected away, so NaN there goes no further.
    pub fn mask_rows(self, mask: Var<'g>) -> Var<'g> {
        self.graph().apply_one(MaskRows, &[self, mask])
    }
}
