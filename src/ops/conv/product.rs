//! A convolution's passes as matrix products: sizes, and what their shaders are told.

use super::geometry::{Axes, Axis, scalars, volume};
use crate::plan::Dispatch;

/// The most that any count but that of an image row's elements may be: the shaders' quotients are right up to 700,000.
pub(super) const MOST_DIVIDED: usize = 500_000;

/// The three products that a convolution and its gradients are; `shaders/shared/conv_view.wgsl` says of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Forward,
    ToInput,
    ToWeight,
}

/// A convolution's sizes; channels and filters are those of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub batch: usize,
    pub groups: usize,
    pub channels: usize,
    pub filters: usize,
    /// Spatial axes that there are.
    pub rank: usize,
    pub axes: Axes,
}

/// A pass as a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    pub rows: usize,
    pub columns: usize,
    pub k: usize,
    /// Parts that the columns and k are cut into; those are the first one's, which has the most of both.
    pub phases: usize,
    /// Elements from row to row in A.
    pub a_pitch: usize,
    /// Of those, how many along k lie together.
    pub a_stretch: usize,
    /// Elements from row to row in the result.
    pub out_pitch: usize,
    /// Four neighbours of the result are one vec4.
    pub out_vector: bool,
}

/// How B is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Element by element.
    Single,
    /// By vec4, as the columns lie.
    Vectors,
    /// Four neighbouring columns out of two vec4.
    Spans,
    /// Four neighbouring k.
    SpansOfK,
}

impl Geometry {
    pub fn taps(&self) -> usize {
        volume(&self.axes, |axis| axis.kernel)
    }

    pub fn inputs(&self) -> usize {
        volume(&self.axes, |axis| axis.input)
    }

    pub fn outputs(&self) -> usize {
        volume(&self.axes, |axis| axis.output)
    }

    /// Whether every window is one element and they lie side by side: the convolution is a product with the input itself.
    fn pointwise(&self) -> bool {
        self.axes.iter().all(|axis| axis.kernel == 1 && axis.stride == 1 && axis.before + axis.after == 0)
    }

    /// The greatest count that a shader gets by dividing.
    pub fn most_divided(&self) -> usize {
        let [depth, height, _] = self.axes.map(|axis| axis.input.max(axis.output));
        let counts = [self.batch, self.channels, self.filters, self.taps(), depth, height];
        counts.into_iter().max().unwrap_or(0)
    }

    fn elements_of_b(&self, pass: Pass) -> usize {
        let of_group =
            if pass == Pass::ToInput { self.filters * self.outputs() } else { self.channels * self.inputs() };
        self.batch * self.groups * of_group
    }

    /// Multiply-adds count as two.
    pub fn flops(&self) -> u64 {
        let of_one = 2 * self.channels * self.taps() * self.filters * self.groups;
        of_one as u64 * (self.batch * self.outputs()) as u64
    }

    /// Whether the gradient of the input goes by phases of the strides.
    pub fn strided(&self, pass: Pass) -> bool {
        pass == Pass::ToInput && self.axes.iter().any(|axis| axis.stride > 1)
    }

    /// Whether it is depthwise with windows that the kernels which keep rows in registers have.
    pub fn in_rows(&self) -> bool {
        const MOST_TAPS: usize = 49;
        let [depth, height, width] = &self.axes;
        let flat = depth.kernel == 1 && depth.stride == 1 && depth.before + depth.after == 0;
        let close = [height, width].iter().all(|axis| axis.dilation == 1 && axis.stride <= 2);
        self.groups > 1 && self.channels * self.filters == 1 && self.taps() <= MOST_TAPS && flat && close
    }

    /// The product that those kernels compute, without phases.
    pub fn product_in_rows(&self, pass: Pass) -> Product {
        let [.., row] = &self.axes;
        Product {
            phases: 1,
            // weights are read one by one, gradients by fours in a row
            a_stretch: if pass == Pass::ToWeight { row.output } else { 1 },
            out_vector: pass != Pass::ToWeight && self.row_written(pass).is_multiple_of(4),
            ..self.product(pass, Reading::Spans)
        }
    }

    /// Elements of a row of the result.
    pub fn row_written(&self, pass: Pass) -> usize {
        let [.., row] = &self.axes;
        if pass == Pass::ToInput { row.input } else { row.output }
    }

    /// As one long row, if its windows are single elements side by side.
    pub fn flattened(mut self) -> Self {
        if self.pointwise() {
            let places = self.outputs();
            let [.., row] = &mut self.axes;
            let row = Axis { input: places, output: places, ..*row };
            self.axes = [Axis::ABSENT, Axis::ABSENT, row];
        }
        self
    }

    /// Sites of a row, one after the other in B: of the output, or, in the gradient of the input, of a stride's phase.
    fn site_row(&self, pass: Pass) -> usize {
        let [.., row] = &self.axes;
        if pass == Pass::ToInput { row.input.div_ceil(row.stride) } else { row.output }
    }

    pub fn reading(&self, pass: Pass, along_k: bool) -> Reading {
        let [.., row] = &self.axes;
        let (sites, in_turn) = (self.site_row(pass), row.stride == 1);
        match pass {
            Pass::ToWeight if along_k && in_turn && sites.is_multiple_of(4) => Reading::SpansOfK,
            Pass::ToWeight => Reading::Single,
            _ if self.pointwise() && self.outputs().is_multiple_of(4) => Reading::Vectors,
            // what a row is filled up with is computed in vain
            _ if (in_turn || pass == Pass::ToInput) && sites.next_multiple_of(4) * 4 <= sites * 5 => Reading::Spans,
            _ => Reading::Single,
        }
    }

    pub fn product(&self, pass: Pass, reading: Reading) -> Product {
        let (places, taps) = (self.outputs(), self.taps());
        let row = self.site_row(pass);
        let filled =
            |sites: usize| if reading == Reading::Spans { sites / row * row.next_multiple_of(4) } else { sites };
        let whole_rows = reading != Reading::Spans || row.is_multiple_of(4);
        match pass {
            Pass::Forward => Product {
                rows: self.filters,
                columns: self.batch * filled(places),
                k: self.channels * taps,
                phases: 1,
                a_pitch: self.channels * taps,
                a_stretch: self.channels * taps,
                out_pitch: places,
                out_vector: whole_rows && places.is_multiple_of(4),
            },
            Pass::ToInput => Product {
                rows: self.channels,
                columns: self.batch * filled(volume(&self.axes, |axis| axis.input.div_ceil(axis.stride))),
                k: self.filters * volume(&self.axes, |axis| axis.kernel.div_ceil(axis.stride / axis.common())),
                phases: volume(&self.axes, |axis| axis.stride),
                a_pitch: self.filters * taps,
                a_stretch: if self.strided(pass) { self.filters } else { self.filters * taps },
                out_pitch: self.inputs(),
                out_vector: whole_rows && self.inputs().is_multiple_of(4) && !self.strided(pass),
            },
            Pass::ToWeight => Product {
                rows: self.filters,
                columns: self.channels * taps,
                k: self.batch * places,
                phases: 1,
                a_pitch: places,
                a_stretch: places,
                out_pitch: self.channels * taps,
                out_vector: (self.channels * taps).is_multiple_of(4),
            },
        }
    }

    pub fn constants(&self, pass: Pass, product: &Product, reading: Reading) -> [(&'static str, u32); 13] {
        let back = pass == Pass::ToInput;
        // windows stay inside where nothing is padded; an element may lie under fewer windows than there are taps
        let check = |axis: &Axis| {
            let to_few = back && (axis.kernel > 1 || axis.stride > 1 || axis.output != axis.input);
            u32::from(axis.before + axis.after > 0 || to_few)
        };
        let [depth, height, width] = &self.axes;
        let to_weight = pass == Pass::ToWeight;
        [
            ("TO_INPUT", u32::from(back)),
            ("TO_WEIGHT", u32::from(to_weight)),
            ("POINT", u32::from(self.taps() == 1)),
            ("CHECK_D", check(depth)),
            ("CHECK_H", check(height)),
            ("CHECK_W", check(width)),
            ("STRIDED", u32::from(self.strided(pass))),
            ("A_VECTOR", u32::from(product.a_stretch.is_multiple_of(4))),
            ("B_VECTOR", u32::from(reading == Reading::Vectors)),
            ("SPAN", u32::from(reading == Reading::Spans)),
            ("SPAN_K", u32::from(reading == Reading::SpansOfK)),
            ("B_QUADS", u32::from(reading != Reading::Single)),
            ("OUT_VECTOR", u32::from(product.out_vector)),
        ]
    }

    /// Sets the shaders' `dims` but for how the work is cut up.
    pub fn set(&self, pass: Pass, product: &Product, mut dispatch: Dispatch) -> Dispatch {
        for (name, size) in [
            ("rows", product.rows),
            ("columns", product.columns),
            ("k", product.k),
            ("a_pitch", product.a_pitch),
            ("out_pitch", product.out_pitch),
            ("b_quads", self.elements_of_b(pass).div_ceil(4)),
            ("batch", self.batch),
            ("groups", self.groups),
            ("channels", self.channels),
            ("filters", self.filters),
        ] {
            dispatch = dispatch.set(name, size);
        }
        for (name, size) in scalars(&self.axes) {
            dispatch = dispatch.set(name, size);
        }
        if self.strided(pass) {
            const NAMES: [[&str; 2]; 3] = [["common_d", "turn_d"], ["common_h", "turn_h"], ["common_w", "turn_w"]];
            for ([common, turn], axis) in NAMES.into_iter().zip(&self.axes) {
                dispatch = dispatch.set(common, axis.common()).set(turn, axis.turn());
            }
        }
        dispatch
    }
}
