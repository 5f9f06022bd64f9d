//! Pooling over windows of one to three spatial axes: maximum and mean, of windows that move by a stride or that cut each axis into a
//! given number of parts.

use super::conv::geometry::{Axes, Axis, output_shape, scalars};
use super::conv::{Padding, Windows};
use super::elementwise::{filled, groups};
use super::{Backward, Op};
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// Planes from which on software adapters a maximum's gradient goes plane by plane: fewer leave lanes idle.
const FEW_PLANES: usize = 32;

/// Of an axis' elements and windows that cover it evenly: its kernels multiply the two.
const MOST_PRODUCT: usize = 1 << 30;

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
                if input.iter().zip(&sizes).any(|(input, size)| input * size > MOST_PRODUCT) {
                    return Err(format!("{sizes:?} windows over {x} are more than the kernel counts"));
                }
                let there = axes.len() - input.len();
                axes[there..].iter_mut().zip(sizes).for_each(|(axis, size)| axis.output = size);
                Ok(axes)
            }
        }
    }

    /// A launch of one of the kernels over `axes` of all `planes`.
    fn dispatch(&self, kernel: &Kernel, axes: &Axes, planes: usize) -> Dispatch {
        let Kernel { shader, constants, workgroups } = kernel;
        let mut defines = constants.clone();
        match &self.spread {
            Spread::Moving(options) if !self.maximum => {
                defines.push(("COUNT_PADDING", u32::from(options.count_padding)))
            }
            Spread::Moving(_) => {}
            Spread::Adaptive(_) => defines.push(("ADAPTIVE", 1)),
        }
        defines.push(("DILATED", u32::from(axes.iter().any(|axis| axis.dilation > 1))));
        let after = ["after_d", "after_h", "after_w"].into_iter().zip(axes.iter().map(|axis| axis.after));
        let sizes = scalars(axes).into_iter().chain(after);
        let dispatch = Dispatch::new(shader, &defines, *workgroups).set("planes", planes);
        sizes.fold(dispatch, |dispatch, (name, size)| dispatch.set(name, size))
    }

    /// Whether the kernels for software adapters, which keep parts of rows in registers, have these windows.
    fn in_registers(&self, axes: &Axes, capabilities: &Capabilities) -> bool {
        const TAPS: usize = 3;
        let [depth, height, width] = axes;
        capabilities.software
            && matches!(self.spread, Spread::Moving(_))
            && axes.iter().all(|axis| axis.dilation == 1)
            && [depth.kernel, height.kernel, width.kernel].iter().all(|kernel| *kernel <= TAPS)
            && width.stride <= 2
    }
}

/// A shader with the constants of its own, and its workgroups.
struct Kernel {
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    workgroups: u32,
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
        let mut axes = self.axes(cx.input_shape(0)).map_err(|fault| cx.error(fault))?;
        let places = self.maximum && cx.output_used(1);
        let mut planes = planes(cx.input_shape(0));
        let mut kernel = if self.in_registers(&axes, cx.capabilities()) {
            (axes, planes) = upright(axes, planes, places);
            rows("window_pool_rows", &axes, planes, |axis| axis.output)
        } else {
            Kernel { shader: "window_pool", constants: Vec::new(), workgroups: groups(cx.output_shape(0).len()) }
        };
        kernel.constants.extend([("MAXIMUM", u32::from(self.maximum)), ("PLACES", u32::from(places))]);
        let dispatch = self.dispatch(&kernel, &axes, planes);
        let mut dispatch = dispatch.bind("x", cx.input(0)).bind("y", cx.output(0));
        if places {
            dispatch = dispatch.bind("places", cx.output(1));
        }
        cx.emit(dispatch);
        Ok(())
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
        let mut axes = self.forward.axes(self.of).map_err(|fault| cx.error(fault))?;
        let mut planes = planes(self.of);
        let maximum = self.forward.maximum;
        let kernel = if maximum && cx.capabilities().software && planes >= FEW_PLANES {
            cx.emit(filled(self.of, 0.0, cx.capabilities()).bind("out", cx.output(0)));
            let workgroups = planes.div_ceil(8) as u32;
            Kernel { shader: "window_pool_scatter", constants: Vec::new(), workgroups }
        } else if !maximum && self.forward.in_registers(&axes, cx.capabilities()) {
            (axes, planes) = upright(axes, planes, false);
            rows("window_pool_rows_backward", &axes, planes, |axis| axis.input)
        } else {
            let constants = vec![("MAXIMUM", u32::from(maximum))];
            Kernel { shader: "window_pool_backward", constants, workgroups: groups(self.of.len()) }
        };
        let dispatch = self.forward.dispatch(&kernel, &axes, planes);
        let mut dispatch = dispatch.bind("dy", cx.input(0)).bind("dx", cx.output(0));
        if maximum {
            dispatch = dispatch.bind("places", cx.input(1));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// Images whose height is their depth, for kernels that read each slice of that once; not slices of a volume if their `places` in it matter.
fn upright(axes: Axes, planes: usize, places: bool) -> (Axes, usize) {
    let [depth, height, width] = axes;
    let alone = depth.kernel == 1 && depth.output == depth.input && depth.stride == 1;
    if alone && (depth.input == 1 || !places) {
        return ([height, Axis::ABSENT, width], planes * depth.input);
    }
    (axes, planes)
}

/// A kernel whose invocations go through the depth of four neighbours each, in rows of `size`.
fn rows(shader: &'static str, axes: &Axes, planes: usize, size: impl Fn(&Axis) -> usize) -> Kernel {
    let [_, height, width] = axes;
    let vector = u32::from(size(width).is_multiple_of(4));
    let constants = vec![("STRIDE", width.stride as u32), ("VECTOR", vector)];
    Kernel { shader, constants, workgroups: groups(planes * size(height) * size(width).div_ceil(4)) }
}

/// Channels of all images.
fn planes(x: Shape) -> usize {
    x.axes()[..2].iter().product()
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
