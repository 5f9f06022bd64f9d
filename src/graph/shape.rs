//! Shapes and element types.

use std::fmt;

/// The most axes a tensor may have: `[batch, channel, time, height, width]` and one to spare.
pub const MAX_RANK: usize = 6;

/// More elements than any device holds; far enough from overflow for sums and products of sizes.
const MOST_ELEMENTS: u64 = 1 << 40;

/// What a tensor's elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float: activations, weights, gradients.
    F32,
    /// 16-bit float: storage under the mixed-precision policy.
    F16,
    /// 32-bit unsigned: masks (1 = valid, 0 = padding), token ids, class labels.
    U32,
}

impl DType {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 => 2,
        }
    }

    /// True for element types that gradients flow through.
    pub fn is_float(self) -> bool {
        !matches!(self, DType::U32)
    }
}

/// How numbers are kept between the kernels of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// As 32-bit floats.
    #[default]
    F32,
    /// Activations and their gradients as 16-bit floats where their kernels allow it; all else, and all arithmetic, in 32 bits. Needs
    /// nothing of the adapter. Where the device was opened with cooperative matrices
    /// ([`GpuOptions`](crate::gpu::GpuOptions::cooperative_matrices)), products and convolutions take both operands as 16-bit
    /// floats. The loss is scaled up before it is differentiated, so that small gradients are not lost: a plan with gradients has the
    /// input [`LOSS_SCALE`] for that, and its gradients are so many times as large. A [`Trainer`](crate::train::Trainer) sets the scale
    /// and divides by it.
    Mixed,
}

/// The input of a plan in mixed precision that the loss is multiplied by, `[1]`.
pub const LOSS_SCALE: &str = "loss_scale";

/// The sizes of a tensor's axes, outermost first; rank 0 is a scalar.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    sizes: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// A shape of the given axes. More than [`MAX_RANK`] axes cannot be represented: the surplus leading axes are folded
    /// into the first.
    pub fn new(axes: &[usize]) -> Self {
        let mut sizes = [0; MAX_RANK];
        let surplus = axes.len().saturating_sub(MAX_RANK);
        let rank = axes.len() - surplus;
        sizes[..rank].copy_from_slice(&axes[surplus..]);
        if surplus > 0 {
            sizes[0] *= axes[..surplus].iter().product::<usize>();
        }
        Shape { sizes, rank }
    }

    /// The axes as a slice.
    pub fn axes(&self) -> &[usize] {
        &self.sizes[..self.rank]
    }

    /// How many axes there are.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The size of axis `axis`; 1 where there is no such axis, as broadcasting reads it.
    pub fn axis(&self, axis: usize) -> usize {
        self.axes().get(axis).copied().unwrap_or(1)
    }

    /// The size of the axis `back` places from the end (0 = the last); 1 where there is none.
    pub fn from_end(&self, back: usize) -> usize {
        if back < self.rank { self.sizes[self.rank - 1 - back] } else { 1 }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.axes().iter().product()
    }

    /// Whether the elements can be counted without overflow, in sizes and in bytes. What does not fit here fits no device.
    pub fn is_countable(&self) -> bool {
        let count = self.axes().iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        count.is_some_and(|count| count as u64 <= MOST_ELEMENTS)
    }

    /// True if an axis is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        let mut strides = [0; MAX_RANK];
        let mut step = 1;
        for axis in (0..self.rank).rev() {
            strides[axis] = step;
            step *= self.sizes[axis];
        }
        strides
    }

    /// This shape with `axis` set to `size`.
    pub fn with_axis(&self, axis: usize, size: usize) -> Self {
        let mut shape = *self;
        if axis < self.rank {
            shape.sizes[axis] = size;
        }
        shape
    }

    /// This shape without `axis`.
    pub fn without_axis(&self, axis: usize) -> Self {
        let axes: Vec<usize> =
            self.axes().iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, size)| *size).collect();
        Shape::new(&axes)
    }

    /// The shape that both broadcast to by numpy's rule, if there is one.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank.max(other.rank);
        let mut axes = vec![0; rank];
        for back in 0..rank {
            let (a, b) = (self.from_end(back), other.from_end(back));
            axes[rank - 1 - back] = match (a, b) {
                (1, size) | (size, 1) => size,
                (a, b) if a == b => a,
                _ => return None,
            };
        }
        Some(Shape::new(&axes))
    }

    /// `[outer, size of axis, inner]`: the tensor as three axes with `axis` in the middle.
    pub fn around(&self, axis: usize) -> [usize; 3] {
        let axes = self.axes();
        [axes[..axis].iter().product(), axes[axis], axes[axis + 1..].iter().product()]
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.axes())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.axes())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(axes: [usize; N]) -> Self {
        Shape::new(&axes)
    }
}

impl From<&[usize]> for Shape {
    fn from(axes: &[usize]) -> Self {
        Shape::new(axes)
    }
}
