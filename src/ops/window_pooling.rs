//! Pooling over windows of one to three spatial axes: maximum and mean, of windows that move by a stride or that cut each axis into a
//! given number of parts.

use super::conv::geometry::{Axes, constants, output_shape};
use super::conv::{Padding, Windows};
use super::elementwise::groups;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};
use std::any::Any;

/// Windows of a pooling. Lists hold one number for all spatial axes, or one per axis, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOptions {
    pub kernel: Vec<usize>,
    /// Stride, padding and dilation.
    pub windows: Windows,
    /// The last window may reach beyond the end, as PyTorch's `ceil_mode`.
    pub ceil_mode: bool,
    /// Whether a mean counts the padding's zeros, as PyTorch does by default. TensorFlow does not.
    pub count_padding: bool,
}

impl PoolOptions {
    /// Windows side by side, as in PyTorch: the stride is the kernel.
    pub fn new(kernel: &[usize]) -> Self {
        let windows = Windows { stride: kernel.to_vec(), ..Windows::default() };
        PoolOptions { kernel: kernel.to_vec(), windows, ceil_mode: false, count_padding: true }
    }

    pub fn stride(mut self, stride: &[usize]) -> Self {
        self.windows.stride = stride.to_vec();
        self
    }

    /// As many elements before as after: zeros to a mean, no element to a maximum.
    pub fn padding(mut self, padding: &[usize]) -> Self {
        self.windows.padding = Padding::Each(padding.to_vec());
        self
    }

    /// TensorFlow's `"same"` padding.
    pub fn same(mut self) -> Self {
        self.windows.padding = Padding::Same;
        self
    }

    pub fn dilation(mut self, dilation: &[usize]) -> Self {
        self.windows.dilation = dilation.to_vec();
        self
    }

    pub fn ceil_mode(mut self) -> Self {
        self.ceil_mode = true;
        self
    }

    /// A mean divides by the number of elements that are there.
    pub fn without_padding_in_the_count(mut self) -> Self {
        self.count_padding = false;
        self
    }
}

/// Where the windows are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spread {
    Moving(PoolOptions),
    /// So many along each axis, as even as can be.
    Adaptive(Vec<usize>),
}

/// `[batch, channels, ..]` pooled. Outputs the result and, for a maximum, where in its plane each was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WindowPool {
    maximum: bool,
    spread: Spread,
}

impl WindowPool {
    fn axes(&self, x: Shape) -> Result<Axes, String> {
        let [_, _, input @ ..] = x.axes() else {
            return Err(format!("wants [batch, channels, spatial sizes], got {x}"));
        };
        match &self.spread {
            Spread::Moving(options) => {
                let axes = options.windows.over(input, &options.kernel, options.ceil_mode)?;
                let odd = axes.iter().find(|axis| axis.before.max(axis.after) >= axis.reach());
                match odd {
                    Some(axis) => {
                        Err(format!("{} of padding hide windows of {}", axis.before.max(axis.after), axis.reach()))
                    }
                    None => Ok(axes),
                }
            }
            Spread::Adaptive(sizes) => {
                let mut axes = Windows::default().over(input, &[1], false)?;
                let sizes = if let [one] = sizes[..] { vec![one; input.len()] } else { sizes.clone() };
                if sizes.len() != input.len() || sizes.contains(&0) {
                    return Err(format!("wants a size above 0 for each spatial axis of {x}, got {sizes:?}"));
                }
                let there = axes.len() - input.len();
                axes[there..].iter_mut().zip(sizes).for_each(|(axis, size)| axis.output = size);
                Ok(axes)
            }
        }
    }

    fn dispatch(&self, shader: &'static str, axes: &Axes, len: usize, more: &[(&'static str, u32)]) -> Dispatch {
        let (adaptive, count) = match &self.spread {
            Spread::Moving(options) => (0, u32::from(options.count_padding)),
            Spread::Adaptive(_) => (1, 0),
        };
        let mut defines = vec![("MAXIMUM", u32::from(self.maximum)), ("ADAPTIVE", adaptive), ("COUNT_PADDING", count)];
        let after = ["AFTER_D", "AFTER_H", "AFTER_W"].into_iter().zip(axes.iter().map(|axis| axis.after as u32));
        defines.extend(constants(axes).into_iter().chain(after));
        defines.extend(more);
        Dispatch::new(shader, &defines, groups(len)).set("len", len)
    }
}

impl Op for WindowPool {
    fn name(&self) -> &'static str {
        if self.maximum { "max_pool" } else { "avg_pool" }
    }

    fn output_count(&self) -> usize {
        1 + usize::from(self.maximum)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [x] = inputs else { return Err("wants one tensor".to_string()) };
        if x.dtype != DType::F32 {
            return Err(format!("wants a float tensor, got {:?}", x.dtype));
        }
        let axes = self.axes(x.shape)?;
        let shape = output_shape(&x.shape.axes()[..2], &axes, x.shape.rank() - 2);
        let mut outputs = vec![(shape, DType::F32)];
        outputs.extend(self.maximum.then_some((shape, DType::U32)));
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None] };
        let op = WindowPoolBackward { forward: self.clone(), of: cx.input(0).shape() };
        let places = self.maximum.then(|| cx.output(1));
        let inputs: Vec<Var<'g>> = [dy].into_iter().chain(places).collect();
        vec![Some(cx.graph().apply_one(op, &inputs))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let axes = self.axes(cx.input_shape(0)).map_err(|fault| cx.error(fault))?;
        let places = self.maximum && cx.output_used(1);
        let len = cx.output_shape(0).len();
        let mut dispatch = self
            .dispatch("window_pool", &axes, len, &[("PLACES", u32::from(places))])
            .bind("x", cx.input(0))
            .bind("y", cx.output(0));
        if places {
            dispatch = dispatch.bind("places", cx.output(1));
        }
        cx.emit(dispatch);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Inputs dy and, of a maximum, the places; output dx.
#[derive(Debug, Clone)]
struct WindowPoolBackward {
    forward: WindowPool,
    /// The shape of x.
    of: Shape,
}

impl Op for WindowPoolBackward {
    fn name(&self) -> &'static str {
        if self.forward.maximum { "max_pool_backward" } else { "avg_pool_backward" }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(self.of, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let axes = self.forward.axes(self.of).map_err(|fault| cx.error(fault))?;
        let mut dispatch = self
            .forward
            .dispatch("window_pool_backward", &axes, self.of.len(), &[])
            .bind("dy", cx.input(0))
            .bind("dx", cx.output(0));
        if self.forward.maximum {
            dispatch = dispatch.bind("places", cx.input(1));
        }
        cx.emit(dispatch);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<'g> Var<'g> {
    /// The maximum of each window of `[batch, channels, ..]`. The gradient goes to the first of equal elements, as PyTorch's does.
    pub fn max_pool(self, options: &PoolOptions) -> Var<'g> {
        self.window_pool(true, Spread::Moving(options.clone()))
    }

    /// The mean of each window.
    pub fn avg_pool(self, options: &PoolOptions) -> Var<'g> {
        self.window_pool(false, Spread::Moving(options.clone()))
    }

    /// The maximum of `sizes` windows that cover each axis evenly; one number for all axes, or one per axis.
    pub fn adaptive_max_pool(self, sizes: &[usize]) -> Var<'g> {
        self.window_pool(true, Spread::Adaptive(sizes.to_vec()))
    }

    /// The mean of `sizes` windows that cover each axis evenly; 1 is global average pooling.
    pub fn adaptive_avg_pool(self, sizes: &[usize]) -> Var<'g> {
        let shape = self.shape();
        if shape.rank() < 3 || sizes.is_empty() || sizes.iter().any(|size| *size != 1) {
            return self.window_pool(false, Spread::Adaptive(sizes.to_vec()));
        }
        self.mean_axes_keep(&(2..shape.rank()).collect::<Vec<usize>>())
    }

    fn window_pool(self, maximum: bool, spread: Spread) -> Var<'g> {
        self.graph().apply_one(WindowPool { maximum, spread }, &[self])
    }
}
