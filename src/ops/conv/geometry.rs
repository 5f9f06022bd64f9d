//! Where windows stand: sizes, strides, padding and dilation of convolutions and pooling, in one to three spatial axes.

use crate::graph::Shape;

/// Zeros around the spatial axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Padding {
    /// As many before as after, as PyTorch's `padding`; one number for all axes, or one per axis, outermost first.
    Each(Vec<usize>),
    /// `[before, after]`; one pair for all axes, or one per axis.
    Sides(Vec<[usize; 2]>),
    /// As TensorFlow's and Keras' `"same"`: the output has `ceil(size / stride)` elements, and of an odd number of zeros the greater
    /// part comes after.
    Same,
}

/// How windows move. Lists hold one number for all spatial axes, or one per axis, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    pub stride: Vec<usize>,
    pub padding: Padding,
    pub dilation: Vec<usize>,
}

impl Default for Windows {
    /// Stride 1, no padding, no dilation.
    fn default() -> Self {
        Windows { stride: vec![1], padding: Padding::Each(vec![0]), dilation: vec![1] }
    }
}

/// One spatial axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Axis {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub before: usize,
    pub after: usize,
}

impl Axis {
    /// What an axis is that a tensor of fewer dimensions lacks.
    pub const ABSENT: Axis = Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0, after: 0 };

    fn sizes(&self) -> [usize; 6] {
        [self.input, self.output, self.kernel, self.stride, self.dilation, self.before]
    }

    /// From the first to the last element under a window.
    pub fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// What stride and dilation have in common: taps that are `stride / common` apart lie on elements a multiple of the stride apart.
    pub fn common(&self) -> usize {
        let (mut common, mut rest) = (self.stride, self.dilation);
        while rest > 0 {
            (common, rest) = (rest, common % rest);
        }
        common
    }

    /// The tap whose element is `common` beyond a multiple of the stride.
    pub fn turn(&self) -> usize {
        (0..self.stride).find(|tap| tap * self.dilation % self.stride == self.common() % self.stride).unwrap_or(0)
    }
}

/// Depth, height, width; of fewer spatial axes the first are absent.
pub(crate) type Axes = [Axis; 3];

impl Windows {
    /// The axes of windows of size `kernel` over spatial sizes `input`. With `ceil_mode` the last window may reach beyond the end (but not
    /// begin there), as PyTorch's pooling does.
    ///
    /// # Errors
    /// A sentence about the list or size that does not fit.
    pub(crate) fn over(&self, input: &[usize], kernel: &[usize], ceil_mode: bool) -> Result<Axes, String> {
        let rank = input.len();
        if !(1..=3).contains(&rank) {
            return Err(format!("wants 1 to 3 spatial axes, got {rank}"));
        }
        let kernel = per_axis("kernel", kernel, rank)?;
        let stride = per_axis("stride", &self.stride, rank)?;
        let dilation = per_axis("dilation", &self.dilation, rank)?;
        let sides = match &self.padding {
            Padding::Each(each) => per_axis("padding", each, rank)?.into_iter().map(|pad| [pad, pad]).collect(),
            Padding::Sides(sides) => per_axis("padding", sides, rank)?,
            Padding::Same => vec![[0, 0]; rank],
        };
        let mut axes = [Axis::ABSENT; 3];
        for (at, axis) in axes[3 - rank..].iter_mut().enumerate() {
            let (size, stride) = (input[at], stride[at]);
            if kernel[at] == 0 || stride == 0 || dilation[at] == 0 {
                return Err("kernel, stride and dilation must be at least 1".to_string());
            }
            *axis = Axis { input: size, kernel: kernel[at], stride, dilation: dilation[at], ..Axis::ABSENT };
            let reach = axis.reach();
            [axis.before, axis.after] = sides[at];
            if self.padding == Padding::Same {
                let total = ((size.div_ceil(stride).saturating_sub(1)) * stride + reach).saturating_sub(size);
                [axis.before, axis.after] = [total / 2, total - total / 2];
            }
            let padded = size + axis.before + axis.after;
            if size == 0 || padded < reach {
                return Err(format!(
                    "a window of {reach} does not fit {size} elements with {} of padding",
                    padded - size
                ));
            }
            let room = padded - reach;
            axis.output = room / stride + 1;
            if ceil_mode && room % stride != 0 && axis.output * stride < size + axis.before {
                axis.output += 1;
            }
        }
        Ok(axes)
    }
}

fn per_axis<T: Copy>(what: &str, values: &[T], rank: usize) -> Result<Vec<T>, String> {
    match values {
        [one] => Ok(vec![*one; rank]),
        values if values.len() == rank => Ok(values.to_vec()),
        values => Err(format!("{what} has {} numbers for {rank} spatial axes", values.len())),
    }
}

/// A size of each of the three axes.
pub(crate) fn volume(axes: &Axes, size: impl Fn(&Axis) -> usize) -> usize {
    axes.iter().map(size).product()
}

/// The axes' sizes as members of a shader's `dims`: `in_d`, `in_h`, `in_w` and so on.
pub(crate) fn scalars(axes: &Axes) -> Vec<(&'static str, usize)> {
    const NAMES: [[&str; 6]; 3] = [
        ["in_d", "out_d", "kernel_d", "stride_d", "dilation_d", "before_d"],
        ["in_h", "out_h", "kernel_h", "stride_h", "dilation_h", "before_h"],
        ["in_w", "out_w", "kernel_w", "stride_w", "dilation_w", "before_w"],
    ];
    NAMES.iter().zip(axes).flat_map(|(names, axis)| names.iter().copied().zip(axis.sizes())).collect()
}

/// The axes' output sizes, without those that are absent.
pub(crate) fn output_shape(lead: &[usize], axes: &Axes, rank: usize) -> Shape {
    let spatial: Vec<usize> = axes[3 - rank..].iter().map(|axis| axis.output).collect();
    Shape::new(&[lead, &spatial].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(windows: &Windows, input: usize, kernel: usize, ceil_mode: bool) -> usize {
        windows.over(&[input], &[kernel], ceil_mode).unwrap()[2].output
    }

    #[test]
    fn same_keeps_size_over_stride_and_pads_more_behind() {
        for (size, kernel, stride) in [(8, 7, 2), (9, 3, 2), (5, 4, 1), (7, 2, 3), (3, 1, 2), (1, 5, 1)] {
            let windows = Windows { padding: Padding::Same, stride: vec![stride], ..Windows::default() };
            let [.., axis] = windows.over(&[size], &[kernel], false).unwrap();
            assert_eq!(axis.output, size.div_ceil(stride), "{size} {kernel} {stride}");
            assert!(axis.after == axis.before || axis.after == axis.before + 1);
        }
    }

    #[test]
    fn ceil_mode_adds_a_window_that_begins_inside() {
        let stride = |stride: usize, pad: usize| Windows {
            stride: vec![stride],
            padding: Padding::Each(vec![pad]),
            ..Windows::default()
        };
        assert_eq!((output(&stride(2, 0), 8, 3, false), output(&stride(2, 0), 8, 3, true)), (3, 4));
        // the extra window would begin in the padding
        assert_eq!((output(&stride(2, 1), 4, 2, false), output(&stride(2, 1), 4, 2, true)), (3, 3));
        assert_eq!(output(&stride(3, 1), 5, 2, true), 2);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let windows = Windows { stride: vec![1, 2], ..Windows::default() };
        assert!(windows.over(&[4, 4, 4], &[3], false).unwrap_err().contains("stride has 2 numbers for 3"));
        assert!(Windows::default().over(&[2], &[3], false).unwrap_err().contains("does not fit"));
        assert!(Windows::default().over(&[2, 2], &[0], false).is_err());
    }
}
