//! Winograd's F(2 x 2, 3 x 3) (Lavin and Gray, 2015): a tile of 2 x 2 outputs of 3 x 3 windows takes 16 products per channel instead of 36.
//!
//! Weight and input are transformed, 16 matrix products follow, one for each element of a tile, and their results are transformed back
//! (`shaders/conv_winograd_*.wgsl`). The transforms take time and memory in proportion to channels and tiles, so that it pays where there
//! are many of both. The choice depends on the shapes alone.
//!
//! Sums and differences of a tile's elements come before the products. So an infinity may come out as NaN, but neither leaves the windows
//! that it is in.

use super::geometry::Axis;
use super::kernel::{Finish, register_lanes};
use super::product::{Geometry, Pass};
use crate::gpu::Capabilities;
use crate::ops::matmul::multiply;
use crate::plan::{Dispatch, Lower, Operand};

/// Products of a tile.
const PRODUCTS: usize = 16;
/// Input and output channels from which it was at least 1.2 times as fast as the implicit product; with 128 it was no faster.
const LEAST_CHANNELS: usize = 192;
/// Tiles of all images from which it was: with fewer the transform of the weight outweighs what the products save.
const LEAST_TILES: usize = 96;

/// A pass by tiles.
pub(super) struct Winograd {
    to_input: bool,
    /// Channels that are written, and channels that are read.
    rows: usize,
    k: usize,
    batch: usize,
    height: Side,
    width: Side,
}

/// A spatial axis.
#[derive(Clone, Copy)]
struct Side {
    read: usize,
    written: usize,
    /// Where the first window begins.
    origin: i64,
}

impl Side {
    /// The gradient of the input reads windows of the output's, their taps backwards.
    fn of(axis: &Axis, to_input: bool) -> Self {
        let before = axis.before as i64;
        match to_input {
            false => Side { read: axis.input, written: axis.output, origin: -before },
            true => Side { read: axis.output, written: axis.input, origin: before - 2 },
        }
    }

    fn tiles(&self) -> usize {
        self.written.div_ceil(2)
    }
}

impl Winograd {
    /// `pass` by tiles, where that can be done and is faster: measured on software adapters only.
    pub fn of(geometry: &Geometry, pass: Pass, capabilities: &Capabilities) -> Option<Self> {
        let [depth, height, width] = &geometry.axes;
        let dense = |axis: &&Axis| axis.kernel == 3 && axis.stride == 1 && axis.dilation == 1;
        let fits = geometry.groups == 1 && *depth == Axis::ABSENT && [height, width].iter().all(dense);
        let to_input = pass == Pass::ToInput;
        let (rows, k) = match pass {
            Pass::Forward => (geometry.filters, geometry.channels),
            Pass::ToInput => (geometry.channels, geometry.filters),
            Pass::ToWeight => return None,
        };
        let [height, width] = [height, width].map(|axis| Side::of(axis, to_input));
        let winograd = Winograd { to_input, rows, k, batch: geometry.batch, height, width };
        let pays = rows.min(k) >= LEAST_CHANNELS && winograd.tiles() >= LEAST_TILES;
        let limits = &capabilities.limits;
        let most = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / 4;
        let room = winograd.workspaces().into_iter().all(|elements| elements as u64 <= most);
        let chosen = register_lanes(capabilities).is_some() && fits && k.is_multiple_of(4) && pays && room;
        chosen.then_some(winograd)
    }

    /// Of all images.
    fn tiles(&self) -> usize {
        self.batch * self.height.tiles() * self.width.tiles()
    }

    /// Columns of the products.
    fn columns(&self) -> usize {
        self.tiles().next_multiple_of(4)
    }

    /// Elements of the transformed weight and input and of the products.
    fn workspaces(&self) -> [usize; 3] {
        [self.rows * self.k, self.k * self.columns(), self.rows * self.columns()].map(|matrix| PRODUCTS * matrix)
    }

    /// Emits it over A and B as `shaders/shared/conv_view.wgsl` defines them.
    pub fn emit(&self, cx: &mut Lower<'_>, [a, b, out]: [Operand; 3], finish: Finish) {
        let [u, v, m] = self.workspaces().map(|elements| cx.workspace(elements));
        let weight =
            self.dispatch("conv_winograd_weight", &[("TO_INPUT", u32::from(self.to_input))], self.rows * self.k);
        cx.emit(weight.bind("a", a).bind("u", u.clone()).set("rows", self.rows).set("k_quads", self.k / 4));
        let input = self.dispatch("conv_winograd_input", &[], self.k * self.columns());
        let (height, width) = (self.height, self.width);
        let input = self
            .set_tiles(input)
            .bind("x", b)
            .bind("v", v.clone())
            .set("channels", self.k)
            .set("in_h", height.read)
            .set("in_w", width.read)
            .set("x_quads", (self.batch * self.k * height.read * width.read).div_ceil(4))
            .set_signed("origin_h", height.origin)
            .set_signed("origin_w", width.origin);
        cx.emit(input);
        multiply(cx, PRODUCTS, [self.rows, self.columns(), self.k], [u, v, m.clone()]);
        let output = self.dispatch("conv_winograd_output", &finish.constants(), self.rows * self.columns());
        let output = self
            .set_tiles(output)
            .bind("m", m)
            .bind("out", out)
            .set("rows", self.rows)
            .set("out_h", height.written)
            .set("out_w", width.written)
            .set("out_pitch", height.written * width.written)
            .set("split_stride", 0);
        cx.emit(finish.bind(output));
    }

    /// A launch of `shader` over a matrix of `elements`, by fours.
    fn dispatch(&self, shader: &'static str, constants: &[(&str, u32)], elements: usize) -> Dispatch {
        const TOGETHER: usize = 64;
        Dispatch::new(shader, constants, (elements / 4).div_ceil(TOGETHER) as u32)
    }

    fn set_tiles(&self, dispatch: Dispatch) -> Dispatch {
        dispatch.set("tiles_h", self.height.tiles()).set("tiles_w", self.width.tiles()).set("tiles", self.tiles())
    }
}
