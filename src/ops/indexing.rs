//! Choosing elements: by index (gather, embedding), by mask (where), up to an index (cumulative sums).
//!
//! Gradients of repeated indices are added in the order of the indices, so they are the same bits in every run. An index out of
//! range reads zeros and passes no gradient.

use super::elementwise::{filled, groups};
use super::shape_ops::{axis_exists, axis_slots, broadcast_axes, in_fours};
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, MAX_RANK, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// Along `axis`, the element that an index of the output's shape names. Inputs x and index.
#[derive(Debug, Clone, Copy)]
struct Gather {
    axis: usize,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x, index] = inputs else { return Err("wants a tensor and an index".to_string()) };
        if index.dtype != DType::U32 || x.dtype.size() != 4 {
            return Err(format!("wants 4-byte elements and U32 indices, got {:?} and {:?}", x.dtype, index.dtype));
        }
        let alike = x.shape.rank() == index.shape.rank()
            && x.shape.with_axis(self.axis, 1) == index.shape.with_axis(self.axis, 1);
        if self.axis >= x.shape.rank() || !alike || x.shape.is_empty() || index.shape.is_empty() {
            let message = format!("an index of {} does not fit {} along axis {}", index.shape, x.shape, self.axis);
            return Err(message + ": all other axes must be equal");
        }
        Ok(vec![(index.shape, x.dtype)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let back = GatherBackward { axis: self.axis, size: cx.input(0).shape().axis(self.axis) };
        vec![cx.grad(0).map(|dy| cx.graph().apply_one(back, &[dy, cx.input(1)])), None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let [_, n, inner] = cx.input_shape(0).around(self.axis);
        let out = cx.output_shape(0);
        let dispatch = Dispatch::new("gather", &[], groups(out.len()))
            .bind("x", cx.input(0))
            .bind("index", cx.input(1))
            .bind("out", cx.output(0))
            .set("len", out.len())
            .set("inner", inner)
            .set("count", out.axis(self.axis))
            .set("n", n);
        cx.emit(dispatch);
        Ok(())
    }
}

/// dy and index to the gradient of x, whose `axis` has `size` places.
#[derive(Debug, Clone, Copy)]
struct GatherBackward {
    axis: usize,
    size: usize,
}

impl Op for GatherBackward {
    fn name(&self) -> &'static str {
        "gather_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [dy, _] = inputs else { return Err("wants a gradient and an index".to_string()) };
        Ok(vec![(dy.shape.with_axis(self.axis, self.size), DType::F32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let [_, n, inner] = cx.output_shape(0).around(self.axis);
        let len = cx.output_shape(0).len();
        let dispatch = Dispatch::new("gather_backward", &[], groups(len))
            .bind("dy", cx.input(0))
            .bind("index", cx.input(1))
            .bind("dx", cx.output(0))
            .set("len", len)
            .set("inner", inner)
            .set("count", cx.input_shape(0).axis(self.axis))
            .set("n", n);
        cx.emit(dispatch);
        Ok(())
    }
}

/// Rows of a table by id. Inputs table `[rows, columns]` and ids of any shape.
#[derive(Debug, Clone, Copy)]
struct Embedding;

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [table, ids] = inputs else { return Err("wants a table and ids".to_string()) };
        if table.dtype != DType::F32 || ids.dtype != DType::U32 {
            return Err(format!("wants a float table and U32 ids, got {:?} and {:?}", table.dtype, ids.dtype));
        }
        if table.shape.rank() != 2 || table.shape.is_empty() || ids.shape.is_empty() || ids.shape.rank() == MAX_RANK {
            let message = format!("a table of {} and ids of {} do not fit", table.shape, ids.shape);
            return Err(message + ": wants a table [rows, columns] and ids of at most five axes");
        }
        let axes: Vec<usize> = ids.shape.axes().iter().copied().chain([table.shape.axis(1)]).collect();
        Ok(vec![(Shape::new(&axes), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let back = EmbeddingBackward { table: cx.input(0).shape() };
        vec![cx.grad(0).map(|dy| cx.graph().apply_one(back, &[dy, cx.input(1)])), None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (unit, vector) = vector_columns(cx.input_shape(0));
        let len = cx.output_shape(0).len() / unit;
        let dispatch = Dispatch::new("embedding", &vector, groups(len))
            .bind("table", cx.input(0))
            .bind("ids", cx.input(1))
            .bind("out", cx.output(0))
            .set("len", len)
            .set("columns", cx.input_shape(0).axis(1) / unit)
            .set("rows", cx.input_shape(0).axis(0));
        cx.emit(dispatch);
        Ok(())
    }
}

/// How many columns of `table` a load takes, and the constant that says so.
fn vector_columns(table: Shape) -> (usize, [(&'static str, u32); 1]) {
    let vector = table.axis(1).is_multiple_of(4);
    (if vector { 4 } else { 1 }, [("VECTOR", u32::from(vector))])
}

/// dy and ids to the gradient of the table.
#[derive(Debug, Clone, Copy)]
struct EmbeddingBackward {
    table: Shape,
}

impl Op for EmbeddingBackward {
    fn name(&self) -> &'static str {
        "embedding_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(self.table, DType::F32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        cx.emit(filled(self.table, 0.0, cx.capabilities()).bind("out", cx.output(0)));
        let (unit, vector) = vector_columns(self.table);
        let (tokens, columns) = (cx.input_shape(1).len(), self.table.axis(1) / unit);
        let links = cx.workspace(2 * tokens);
        let chain = Dispatch::new("embedding_links", &[], groups(tokens)).set("tokens", tokens);
        cx.emit(chain.bind("ids", cx.input(1)).bind("links", links.clone()));
        let dispatch = Dispatch::new("embedding_backward", &vector, groups(columns) * tokens as u32)
            .bind("dy", cx.input(0))
            .bind("ids", cx.input(1))
            .bind("links", links)
            .bind("dtable", cx.output(0))
            .set("tokens", tokens)
            .set("columns", columns)
            .set("rows", self.table.axis(0));
        cx.emit(dispatch);
        Ok(())
    }
}

/// Of two tensors, or of a tensor and a constant, the one that a mask chooses. Inputs mask, a and, without a constant, b; all
/// broadcast.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Select {
    /// Choose a where the mask is 0.
    inverted: bool,
    /// What stands for b.
    constant: Option<f32>,
}

impl Op for Select {
    fn name(&self) -> &'static str {
        "where"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let (mask, a, b) = match inputs {
            [mask, a] if self.constant.is_some() => (mask, a, a),
            [mask, a, b] => (mask, a, b),
            _ => return Err("wants a mask and two tensors".to_string()),
        };
        let typed = mask.dtype == DType::U32 && a.dtype == b.dtype && a.dtype.size() == 4;
        if !typed || (self.constant.is_some() && a.dtype != DType::F32) {
            let types = format!("{:?}, {:?} and {:?}", mask.dtype, a.dtype, b.dtype);
            return Err(format!("wants a U32 mask and two tensors of one 4-byte type, got {types}"));
        }
        let shape = a.shape.broadcast(&b.shape).and_then(|shape| shape.broadcast(&mask.shape));
        shape.map(|shape| vec![(shape, a.dtype)]).ok_or_else(|| {
            let shapes = format!("{}, {} and {}", mask.shape, a.shape, b.shape);
            format!("mask and tensors of {shapes} do not broadcast: axes must be equal or 1, counted from the last")
        })
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let gradient = |index: usize, inverted: bool| {
            let dy = cx.grad(0).filter(|_| cx.needs(index))?;
            let chosen = cx.graph().apply_one(Select { inverted, constant: Some(0.0) }, &[cx.input(0), dy]);
            Some(chosen.sum_to(cx.input(index).shape()))
        };
        let mut gradients = vec![None, gradient(1, self.inverted)];
        if self.constant.is_none() {
            gradients.push(gradient(2, !self.inverted));
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        const SIZES: [&str; MAX_RANK] = ["", "size1", "size2", "size3", "size4", "size5"];
        const STEPS: [[&str; 3]; MAX_RANK] = [
            ["mask0", "a0", "b0"],
            ["mask1", "a1", "b1"],
            ["mask2", "a2", "b2"],
            ["mask3", "a3", "b3"],
            ["mask4", "a4", "b4"],
            ["mask5", "a5", "b5"],
        ];
        let out = cx.output_shape(0);
        let (b_shape, b) = match self.constant {
            Some(_) => (Shape::default(), Operand::Unused),
            None => (cx.input_shape(2), cx.input(2)),
        };
        let axes = broadcast_axes(out, [cx.input_shape(0), cx.input_shape(1), b_shape]);
        let (axes, element, unit) = in_fours(axes);
        let len = out.len() / unit;
        let defines = [("RANK", axes.len() as u32), ("WIDE", u32::from(unit == 4))];
        let mut dispatch = Dispatch::new("select", &defines, groups(len))
            .bind("mask", cx.input(0))
            .bind("a", cx.input(1))
            .bind("b", b)
            .bind("out", cx.output(0))
            .set("len", len)
            .set("inverted", usize::from(self.inverted))
            .set("use_b", usize::from(self.constant.is_none()))
            .set("value", self.constant.unwrap_or(0.0).to_bits() as usize);
        for (name, step) in ["mask_element", "a_element", "b_element"].into_iter().zip(element) {
            dispatch = dispatch.set(name, step as usize);
        }
        for (slot, (size, steps)) in axis_slots(&axes).into_iter().enumerate() {
            if slot > 0 {
                dispatch = dispatch.set(SIZES[slot], size);
            }
            for (name, step) in STEPS[slot].iter().zip(steps) {
                dispatch = dispatch.set(name, step as usize);
            }
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// Running sums along `axis`, from its end with `reverse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cumsum {
    axis: usize,
    reverse: bool,
}

impl Op for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype != DType::F32 || x.shape.is_empty() {
            return Err(format!("wants a float tensor, got {:?} {}", x.dtype, x.shape));
        }
        Ok(vec![(x.shape, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let back = Cumsum { reverse: !self.reverse, ..*self };
        vec![cx.grad(0).map(|dy| cx.graph().apply_one(back, &[dy]))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let [outer, n, inner] = cx.input_shape(0).around(self.axis);
        let items = outer * inner;
        let width = if items >= 1024 || n <= 64 { 1 } else { 64 };
        let dispatch = Dispatch::new("cumsum", &[], groups(items * width))
            .bind("x", cx.input(0))
            .bind("y", cx.output(0))
            .set("items", items)
            .set("inner", inner)
            .set("n", n)
            .set("width", width)
            .set("reverse", usize::from(self.reverse));
        cx.emit(dispatch);
        Ok(())
    }
}

impl<'g> Var<'g> {
    /// Along `axis`, the elements that `index` (U32, equal to this in all other axes) names: for axis 1 of three,
    /// `y[i, j, k] = x[i, index[i, j, k], k]`, as torch's `gather`.
    pub fn gather(self, axis: usize, index: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Gather { axis }, &[self, index])
    }

    /// Rows of this table `[rows, columns]` by `ids` (U32, any shape): `[.., columns]`.
    pub fn embedding(self, ids: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Embedding, &[self, ids])
    }

    /// `a` where this mask (U32) is not 0, else `b`; all three broadcast. What is not chosen passes neither value nor gradient,
    /// be it NaN.
    pub fn where_(self, a: Var<'g>, b: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Select { inverted: false, constant: None }, &[self, a, b])
    }

    /// This where `mask` (U32) is not 0, else `value`; broadcast. What is masked passes neither value nor gradient, be it NaN.
    pub fn masked(self, mask: Var<'g>, value: f32) -> Var<'g> {
        self.graph().apply_one(Select { inverted: false, constant: Some(value) }, &[mask, self])
    }

    /// Running sums along `axis`.
    pub fn cumsum(self, axis: usize) -> Var<'g> {
        if !axis_exists(self, "cumsum", axis) {
            return self;
        }
        self.graph().apply_one(Cumsum { axis, reverse: false }, &[self])
    }
}
