//! Which convolution kernel a pass takes, its geometry, and its dispatches.

use super::geometry::{Axes, Axis, constants, volume};
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::ops::elementwise::Activation;
use crate::ops::reduce::add_pieces;
use crate::plan::{Dispatch, Lower, Operand};

/// The three products that a convolution and its gradients are; `shaders/shared/conv_places.wgsl` says of what.
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
struct Product {
    rows: usize,
    columns: usize,
    k: usize,
    /// What A has along memory at a stretch.
    a_stretch: usize,
    /// What the result has.
    out_stretch: usize,
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

    /// Multiply-adds count as two.
    pub fn flops(&self) -> u64 {
        let of_one = 2 * self.channels * self.taps() * self.filters * self.groups;
        of_one as u64 * (self.batch * self.outputs()) as u64
    }

    fn product(&self, pass: Pass) -> Product {
        let (places, inputs, taps) = (self.outputs(), self.inputs(), self.taps());
        match pass {
            Pass::Forward => Product {
                rows: self.filters,
                columns: self.batch * places,
                k: self.channels * taps,
                a_stretch: self.channels * taps,
                out_stretch: places,
            },
            Pass::ToInput => Product {
                rows: self.channels,
                columns: self.batch * inputs,
                k: self.filters * taps,
                a_stretch: self.filters * taps,
                out_stretch: inputs,
            },
            Pass::ToWeight => Product {
                rows: self.filters,
                columns: self.channels * taps,
                k: self.batch * places,
                a_stretch: places,
                out_stretch: self.channels * taps,
            },
        }
    }

    fn constants(&self, pass: Pass) -> Vec<(&'static str, u32)> {
        let back = pass == Pass::ToInput;
        // windows stay inside where nothing is padded; an element may lie under fewer windows than there are taps
        let check = |axis: &Axis| {
            let to_few = back && (axis.kernel > 1 || axis.stride > 1 || axis.output != axis.input);
            u32::from(axis.before + axis.after > 0 || to_few)
        };
        let [depth, height, width] = &self.axes;
        let mut constants = constants(&self.axes);
        constants.extend([
            ("FORWARD", u32::from(pass == Pass::Forward)),
            ("TO_INPUT", u32::from(back)),
            ("TO_WEIGHT", u32::from(pass == Pass::ToWeight)),
            ("CHANNELS", self.channels as u32),
            ("FILTERS", self.filters as u32),
            ("GROUPS", self.groups as u32),
            ("CHECK_D", check(depth)),
            ("CHECK_H", check(height)),
            ("CHECK_W", check(width)),
            ("STRIDED", u32::from(back && self.axes.iter().any(|axis| axis.stride > 1))),
        ]);
        constants
    }
}

/// What follows the product of a forward pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Finish {
    pub bias: Option<Operand>,
    pub residual: Option<Operand>,
    pub activation: Activation,
    /// Where the activation's input goes.
    pub pre: Option<Operand>,
}

/// Emits `pass` over A and B as `shaders/shared/conv_places.wgsl` defines them.
pub(super) fn emit(
    cx: &mut Lower<'_>,
    pass: Pass,
    geometry: &Geometry,
    [a, b, out]: [Operand; 3],
    finish: Finish,
) -> Result<()> {
    let product = geometry.product(pass);
    let choice = choose(&product, pass, geometry.groups, cx.capabilities());
    let splits = product.k.div_ceil(choice.k_per_split);
    let elements = geometry.groups * product.rows * product.columns;
    let mut constants = geometry.constants(pass);
    constants.extend(choice.constants);
    constants.extend([
        ("A_VECTOR", u32::from(product.a_stretch.is_multiple_of(4))),
        ("B_VECTOR", u32::from(pass != Pass::ToWeight && geometry.pointwise() && geometry.outputs().is_multiple_of(4))),
        ("OUT_VECTOR", u32::from(product.out_stretch.is_multiple_of(4))),
        ("BIAS", u32::from(finish.bias.is_some())),
        ("RESIDUAL", u32::from(finish.residual.is_some())),
        ("SAVE_PRE", u32::from(finish.pre.is_some())),
        ("ACTIVATION", finish.activation as u32),
    ]);
    let to = if splits > 1 { cx.workspace(splits * elements) } else { out.clone() };
    let tiles = product.rows.div_ceil(choice.rows) * product.columns.div_ceil(choice.columns);
    let mut dispatch = Dispatch::new(choice.shader, &constants, (tiles * geometry.groups * splits) as u32)
        .bind("a", a)
        .bind("b", b)
        .bind("out", to.clone())
        .set("rows", product.rows)
        .set("columns", product.columns)
        .set("k", product.k)
        .set("splits", splits)
        .set("k_per_split", choice.k_per_split)
        .set("split_stride", if splits > 1 { elements } else { 0 });
    for (name, operand) in [("bias", finish.bias), ("residual", finish.residual), ("pre", finish.pre)] {
        if let Some(operand) = operand {
            dispatch = dispatch.bind(name, operand);
        }
    }
    cx.emit(dispatch);
    if splits > 1 {
        add_pieces(cx, splits, elements, to, out);
    }
    Ok(())
}

/// A kernel, its tile, and how long a piece of k is.
struct Choice {
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    rows: usize,
    columns: usize,
    k_per_split: usize,
}

/// Register tiles on software adapters of one subgroup size. Else tiles of 64 x 64 where that fills the device, or of 32 x 32. The long
/// k of a weight's gradient goes in pieces until the device is full.
fn choose(product: &Product, pass: Pass, groups: usize, capabilities: &Capabilities) -> Choice {
    let wanted: usize = match (capabilities.software, capabilities.discrete) {
        (true, _) => 16,
        (false, true) => 256,
        (false, false) => 32,
    };
    let tiles = |rows, columns| product.rows.div_ceil(rows) * product.columns.div_ceil(columns) * groups;
    let pieces = |tiles: usize| if pass == Pass::ToWeight { wanted.div_ceil(tiles) } else { 1 };
    if let Some(lanes) = capabilities.fixed_subgroup().filter(|lanes| capabilities.software && [4, 8].contains(lanes)) {
        const ROWS: usize = 32;
        let columns = 4 * lanes as usize;
        let k_per_split = piece(product.k, 4, pieces(tiles(ROWS, columns)));
        let constants = vec![("LANES", lanes), ("ROWS", ROWS as u32)];
        return Choice { shader: "conv_subgroup", constants, rows: ROWS, columns, k_per_split };
    }
    const BLOCK_K: usize = 16;
    let side = if product.rows > 32 && tiles(64, 64) >= wanted { 64 } else { 32 };
    let constants = vec![("BLOCK_M", side as u32), ("BLOCK_N", side as u32)];
    let k_per_split = piece(product.k, BLOCK_K, pieces(tiles(side, side)));
    Choice { shader: "conv", constants, rows: side, columns: side, k_per_split }
}

/// The length of about `pieces` equal pieces of `k`, none of them shorter than is worth it; a multiple of `step`.
fn piece(k: usize, step: usize, pieces: usize) -> usize {
    const SHORTEST: usize = 128;
    const MOST: usize = 64;
    k.div_ceil(pieces.clamp(1, MOST).min((k / SHORTEST).max(1))).next_multiple_of(step)
}
