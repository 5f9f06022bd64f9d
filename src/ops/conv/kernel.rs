//! Which convolution kernel a pass takes, and its dispatches.

use super::product::{Geometry, Pass, Product, Reading};
use super::unfolded::Unfolded;
use super::winograd::Winograd;
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::ops::choices::Knob;
use crate::ops::elementwise::Activation;
use crate::ops::reduce::add_pieces;
use crate::plan::{Dispatch, Lower, Operand};

/// What follows the product of a forward pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Finish {
    pub bias: Option<Operand>,
    /// Statistics and parameters of a batch norm, by the shader's names, and what is added to its variance.
    pub norm: Vec<(&'static str, Operand)>,
    pub epsilon: f32,
    pub activation: Activation,
    pub residual: Option<Operand>,
    /// Of the sum with the residual.
    pub last: Activation,
    /// Where the activation's input goes.
    pub pre: Option<Operand>,
}

impl Finish {
    pub fn constants(&self) -> [(&'static str, u32); 8] {
        let normed = |name| u32::from(self.norm.iter().any(|(bound, _)| *bound == name));
        [
            ("BIAS", u32::from(self.bias.is_some())),
            ("NORM", u32::from(!self.norm.is_empty())),
            ("SCALE", normed("scale")),
            ("SHIFT", normed("shift")),
            ("SAVE_PRE", u32::from(self.pre.is_some())),
            ("ACTIVATION", self.activation as u32),
            ("RESIDUAL", u32::from(self.residual.is_some())),
            ("LAST", self.last as u32),
        ]
    }

    pub fn bind(self, mut dispatch: Dispatch) -> Dispatch {
        if !self.norm.is_empty() {
            dispatch = dispatch.set_float("epsilon", self.epsilon);
        }
        let others = [("bias", self.bias), ("residual", self.residual), ("pre", self.pre)];
        let others = others.into_iter().filter_map(|(name, operand)| Some((name, operand?)));
        self.norm.into_iter().chain(others).fold(dispatch, |dispatch, (name, operand)| dispatch.bind(name, operand))
    }
}

/// Emits `pass` over A and B as `shaders/shared/conv_view.wgsl` defines them.
pub(super) fn emit(
    cx: &mut Lower<'_>,
    pass: Pass,
    geometry: &Geometry,
    [a, b, out]: [Operand; 3],
    finish: Finish,
) -> Result<()> {
    let matrices = cx.cooperative_matrices();
    if let Some(unfolded) = matrices.and_then(|matrices| Unfolded::of(geometry, pass, matrices, cx.capabilities())) {
        unfolded.emit(cx, [a, b, out], &finish);
        return Ok(());
    }
    if let Some(winograd) = Winograd::of(geometry, pass, cx.capabilities()) {
        winograd.emit(cx, [a, b, out], finish);
        return Ok(());
    }
    let geometry = geometry.flattened();
    let family = Family::of(&geometry, pass, cx.capabilities());
    let reading = if family == Family::Rows { Reading::Spans } else { geometry.reading(pass, family != Family::Tiles) };
    let product = match family {
        Family::Rows => geometry.product_in_rows(pass),
        // one weight at a time is written there
        Family::Direct if pass == Pass::ToWeight => Product { out_vector: false, ..geometry.product(pass, reading) },
        _ => geometry.product(pass, reading),
    };
    let choice = choose(family, &product, pass, &geometry, cx.capabilities());
    let splits = product.k.div_ceil(choice.k_per_split).max(1);
    let elements = geometry.groups * product.rows * product.out_pitch;
    let mut constants = geometry.constants(pass, &product, reading).to_vec();
    constants.extend(choice.constants);
    constants.extend(finish.constants());
    let to = if splits > 1 { cx.workspace(splits * elements) } else { out.clone() };
    let layers = geometry.groups * splits * product.phases;
    let workgroups = (choice.units * layers).div_ceil(choice.together);
    let dispatch = Dispatch::new(choice.shader, &constants, workgroups as u32)
        .bind("a", a)
        .bind("b", b)
        .bind("out", to.clone())
        .set("layers", layers)
        .set("splits", splits)
        .set("k_per_split", choice.k_per_split)
        .set("split_stride", if splits > 1 { elements } else { 0 });
    cx.emit(finish.bind(geometry.set(pass, &product, dispatch)));
    if splits > 1 {
        add_pieces(cx, splits, elements, to, out);
    }
    Ok(())
}

/// Which kind of kernel computes a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Register tiles on software adapters whose subgroups all have so many lanes.
    Registers(u32),
    /// Tiles in workgroup memory.
    Tiles,
    /// No tiles: for small groups, which would fill only a corner of each.
    Direct,
    /// Rows in registers: for depthwise convolutions on software adapters.
    Rows,
}

impl Family {
    fn of(geometry: &Geometry, pass: Pass, capabilities: &Capabilities) -> Self {
        // the most that fills less of a tile than a kernel without tiles saves, by rows of a tile or by its elements
        const FEW_ROWS: usize = 4;
        const FEW_WEIGHTS: usize = 32;
        let registers = register_lanes(capabilities);
        let few = match pass {
            // tiles of 8 rows are no slower
            Pass::Forward => geometry.filters <= FEW_ROWS && registers.is_none(),
            Pass::ToInput => geometry.channels <= FEW_ROWS && registers.is_none(),
            Pass::ToWeight => geometry.filters * geometry.channels * geometry.taps() <= FEW_WEIGHTS,
        };
        match registers {
            _ if capabilities.software && geometry.in_rows() => Family::Rows,
            _ if few && geometry.groups > 1 => Family::Direct,
            Some(lanes) => Family::Registers(lanes),
            None => Family::Tiles,
        }
    }
}

/// Lanes of the kernel of register tiles.
pub(super) fn register_lanes(capabilities: &Capabilities) -> Option<u32> {
    capabilities.fixed_subgroup().filter(|lanes| capabilities.software && [4, 8].contains(lanes))
}

/// A kernel, how much it does at once, and how long a piece of k is.
struct Choice {
    shader: &'static str,
    constants: Vec<(&'static str, u32)>,
    /// Tiles, or invocations, or teams, of a layer.
    units: usize,
    /// Of those, how many are a workgroup.
    together: usize,
    k_per_split: usize,
}

/// The constants of `team.wgsl`: teams are subgroups, or `lanes` invocations where those vary.
fn team(capabilities: &Capabilities, lanes: u32, teams: usize) -> [(&'static str, u32); 4] {
    let registers = register_lanes(capabilities);
    let subgroup = u32::from(registers.is_some());
    [("LANES", registers.unwrap_or(lanes)), ("TEAMS", teams as u32), ("SUBGROUP", subgroup), ("TREE", 1 - subgroup)]
}

/// In register tiles the more rows, the fewer loads per product. Tiles in workgroup memory are square. The long k of a weight's gradient goes in pieces until the device is full.
fn choose(family: Family, product: &Product, pass: Pass, geometry: &Geometry, capabilities: &Capabilities) -> Choice {
    let groups = geometry.groups;
    let wanted = Knob::ConvWorkgroups.value(capabilities, product.rows);
    let tiles = |rows, columns| product.rows.div_ceil(rows) * product.columns.div_ceil(columns);
    let k_per_split = |step: usize, tiles: usize| {
        let pieces = if pass == Pass::ToWeight { wanted.div_ceil(tiles * groups) } else { 1 };
        piece(product.k, step, pieces)
    };
    match family {
        Family::Registers(lanes) => {
            let rows = Knob::ConvRows.value(capabilities, product.rows);
            let units = tiles(rows, 4 * lanes as usize);
            let constants = vec![("LANES", lanes), ("ROWS", rows as u32), ("TURN", if rows > 32 { 4 } else { 2 })];
            let k_per_split = k_per_split(4, units);
            Choice { shader: "conv_subgroup", constants, units, together: 1, k_per_split }
        }
        Family::Tiles => {
            let layers = groups * product.phases;
            let listed = Knob::ConvTile.value(capabilities, product.rows);
            let side = if listed == 64 && tiles(64, 64) * layers >= wanted { 64 } else { 32 };
            let constants = vec![("BLOCK_M", side as u32), ("BLOCK_N", side as u32)];
            let units = tiles(side, side);
            Choice { shader: "conv", constants, units, together: 1, k_per_split: k_per_split(16, units) }
        }
        Family::Rows => rows(pass, geometry, product, capabilities),
        Family::Direct if pass == Pass::ToWeight => {
            let together = if register_lanes(capabilities).is_some() { 1 } else { 2 };
            let constants = team(capabilities, 32, together).into();
            let units = product.rows * product.columns;
            Choice { shader: "conv_direct_weight", constants, units, together, k_per_split: product.k }
        }
        Family::Direct => {
            let units = product.rows * product.columns.div_ceil(4);
            Choice { shader: "conv_direct", constants: Vec::new(), units, together: 64, k_per_split: product.k }
        }
    }
}

/// Kernels that go down through the rows of an image, four neighbours an invocation.
fn rows(pass: Pass, geometry: &Geometry, product: &Product, capabilities: &Capabilities) -> Choice {
    let [depth, height, width] = &geometry.axes;
    let sizes = [
        ("KERNEL_H", height.kernel),
        ("STRIDE_H", height.stride),
        ("KERNEL_W", width.kernel),
        ("STRIDE_W", width.stride),
    ];
    let mut constants: Vec<_> = sizes.map(|(name, size)| (name, size as u32)).into();
    let fours = if pass == Pass::Forward { fours(geometry.row_written(pass)) } else { 1 };
    constants.push(("FOURS", fours as u32));
    let strips = geometry.batch * depth.input * geometry.row_written(pass).div_ceil(4 * fours);
    let (shader, units, together) = match pass {
        Pass::Forward => ("conv_rows", strips, 64),
        Pass::ToInput => ("conv_rows_input", strips, 64),
        Pass::ToWeight => ("conv_rows_weight", 1, 1),
    };
    match pass {
        Pass::Forward => {}
        Pass::ToInput => constants.push(("PHASE", (width.before % width.stride) as u32)),
        Pass::ToWeight => constants.extend(team(capabilities, 8, together)),
    }
    Choice { shader, constants, units, together, k_per_split: product.k }
}

/// Fours of neighbours in a row of so many that an invocation has: two share loads, unless too many would have one in vain.
fn fours(row: usize) -> usize {
    let in_a_row = row.div_ceil(4);
    if in_a_row.is_multiple_of(2) || in_a_row > 6 { 2 } else { 1 }
}

/// The length of about `pieces` equal pieces of `k`, none of them shorter than is worth it; a multiple of `step`.
fn piece(k: usize, step: usize, pieces: usize) -> usize {
    const SHORTEST: usize = 128;
    const MOST: usize = 64;
    k.div_ceil(pieces.clamp(1, MOST).min((k / SHORTEST).max(1))).next_multiple_of(step)
}
