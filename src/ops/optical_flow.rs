//! Dense optical flow: where each pixel of one frame is in the next, by the Huber-L1 variation of TV-L1 flow (Zach, Pock and Bischof,
//! 2007; Werlberger et al., 2009) - TV-L1 being what I3D was trained on. Coarse to fine over a pyramid; on each level brightness
//! constancy is linearised a few times at the flow so far, smoothed by a median (Wedel et al., 2009), and the convex problem that
//! results is iterated on by a primal-dual method (Chambolle and Pock, 2011).

use super::elementwise::groups;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// How [`Var::optical_flow`] weighs and iterates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowOptions {
    /// Weight of brightness constancy, of frames in [0, 1], against smoothness: lower for noisy frames, where the flow then varies less.
    pub data_weight: f32,
    /// Differences of the flow between neighbours, in pixels, up to which smoothness is quadratic, so that slopes do not become stairs.
    pub huber: f32,
    /// Levels of the pyramid; `None`: as many as keep the shorter side at 12 pixels. Motions of some 2 pixels are found on the
    /// coarsest level, so of `2^levels` in all.
    pub levels: Option<usize>,
    /// Linearisations on each level.
    pub warps: usize,
    /// Iterations for each.
    pub iterations: usize,
}

impl Default for FlowOptions {
    fn default() -> Self {
        FlowOptions { data_weight: 20.0, huber: 0.02, levels: None, warps: 5, iterations: 20 }
    }
}

/// The shortest side of a frame.
const SMALLEST: usize = 8;
/// The shortest side of a level that the pyramid adds by itself.
const COARSEST: usize = 12;
/// Beyond this a pyramid has no pixels left.
const MOST_LEVELS: usize = 16;

/// The tile of flow_solve.wgsl: quads and rows of quads, and how many of its outer ones a tile that is not alone computes in vain.
const TILE_QUADS: usize = 10;
const TILE_ROWS: usize = 32;
const ROWS_PER_LANE: usize = 2;
const HALO: usize = 4;

/// Inputs the previous and the next frames, `[batch, 1, height, width]`; output the flow, `[batch, 2, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct OpticalFlow {
    options: FlowOptions,
}

/// A level of the pyramid.
#[derive(Debug, Clone, Copy)]
struct Level {
    pairs: usize,
    height: usize,
    width: usize,
}

impl Level {
    fn coarser(self) -> Self {
        Level { height: self.height.div_ceil(2), width: self.width.div_ceil(2), ..self }
    }

    fn side(self) -> usize {
        self.height.min(self.width)
    }

    /// Parts of four pixels that a row takes.
    fn quads(self) -> usize {
        self.width.div_ceil(4)
    }

    fn stride(self) -> usize {
        4 * self.quads()
    }

    fn pixels(self) -> usize {
        self.pairs * self.height * self.width
    }

    /// Places of one plane of all pairs, with those that fill rows up.
    fn places(self) -> usize {
        self.pairs * self.height * self.stride()
    }
}

/// Scratch memory of all levels; each is as large as the finest needs it.
struct Memory {
    /// The flow as it is iterated on, and where it is written to next.
    state: [Operand; 2],
    dual: [Operand; 2],
    /// Brightness constancy, linearised.
    data: Operand,
}

impl Memory {
    fn new(finest: Level, cx: &mut Lower<'_>) -> Self {
        let mut planes = || cx.workspace(4 * finest.places());
        Memory { state: [planes(), planes()], dual: [planes(), planes()], data: planes() }
    }
}

impl OpticalFlow {
    fn level(input: Shape) -> Level {
        Level { pairs: input.axis(0), height: input.axis(2), width: input.axis(3) }
    }

    /// The levels, finest first.
    fn levels(&self, finest: Level) -> Vec<Level> {
        let mut levels = vec![finest];
        let more = |last: &Level, count| match self.options.levels {
            Some(wanted) => count < wanted && last.side() > 1,
            None => last.coarser().side() >= COARSEST,
        };
        while let Some(last) = levels.last().filter(|last| more(last, levels.len())) {
            levels.push(last.coarser());
        }
        levels
    }

    /// Emits the next coarser level of `frames`.
    fn coarsen(cx: &mut Lower<'_>, frames: &Operand, from: Level) -> Operand {
        let to = from.coarser();
        let out = cx.workspace(to.pixels());
        let dispatch = Dispatch::new("flow_pyramid", &[], groups(to.pixels()))
            .bind("x", frames.clone())
            .bind("y", out.clone())
            .set("len", to.pixels())
            .set("in_height", from.height)
            .set("in_width", from.width)
            .set("height", to.height)
            .set("width", to.width);
        cx.emit(dispatch);
        out
    }

    /// Emits the linearisation at the flow in `memory.state[0]`: of `coarser`, if given; of this level, if not `first`; else at rest.
    fn linearise(
        cx: &mut Lower<'_>,
        memory: &mut Memory,
        frames: &[Operand; 2],
        level: Level,
        coarser: Option<Level>,
        first: bool,
    ) {
        let median = coarser.is_none() && !first;
        let defines = [("COARSER", u32::from(coarser.is_some())), ("MEDIAN", u32::from(median))];
        let [previous, next] = frames.clone();
        let mut dispatch = Dispatch::new("flow_linearise", &defines, groups(level.places()))
            .bind("previous", previous)
            .bind("next", next)
            .bind("state", memory.state[1].clone())
            .bind("data", memory.data.clone());
        if coarser.is_some() || median {
            dispatch = dispatch.bind("flow", memory.state[0].clone());
        }
        let coarser = coarser.unwrap_or(level);
        let dispatch = dispatch
            .set("len", level.places())
            .set("height", level.height)
            .set("width", level.width)
            .set("stride", level.stride())
            .set("coarse_height", coarser.height)
            .set("coarse_width", coarser.width)
            .set("coarse_stride", coarser.stride());
        cx.emit(dispatch);
        memory.state.swap(0, 1);
    }

    /// Emits the iterations on `memory`; with `fresh` its dual begins as 0.
    fn solve(&self, cx: &mut Lower<'_>, memory: &mut Memory, level: Level, fresh: bool) {
        let across = Tiling::new(level.quads(), TILE_QUADS, HALO / 4);
        let down = Tiling::new(level.height, TILE_ROWS, HALO);
        let tiles = level.pairs * across.count * down.count;
        let at_once = if across.halo + down.halo == 0 { self.options.iterations } else { HALO };
        // steps of the primal and the dual variable: their product may be up to 1 / 8
        let (tau, sigma) = (0.125f32.sqrt(), 0.125f32.sqrt());
        let lanes = TILE_QUADS * TILE_ROWS / ROWS_PER_LANE;
        let defines = [("ROWS", ROWS_PER_LANE), ("TILE_QUADS", TILE_QUADS), ("LANES", lanes)];
        let defines = defines.map(|(name, value)| (name, value as u32));
        for done in (0..self.options.iterations).step_by(at_once) {
            let [state, next_state] = memory.state.clone();
            let [dual, next_dual] = memory.dual.clone();
            let dispatch = Dispatch::new("flow_solve", &defines, tiles as u32)
                .bind("state", state)
                .bind("dual", dual)
                .bind("data", memory.data.clone())
                .bind("next_state", next_state)
                .bind("next_dual", next_dual)
                .set("tiles", tiles)
                .set("tiles_across", across.count)
                .set("tiles_down", down.count)
                .set("height", level.height)
                .set("width", level.width)
                .set("quads", level.quads())
                .set("inner_quads", across.inner)
                .set("inner_rows", down.inner)
                .set("halo_quads", across.halo)
                .set("halo_rows", down.halo)
                .set("iterations", at_once.min(self.options.iterations - done))
                .set("fresh", usize::from(fresh && done == 0))
                .set_float("sigma", sigma)
                .set_float("tau", tau)
                .set_float("shrink", 1.0 / (1.0 + sigma * self.options.huber))
                .set_float("bound", tau * self.options.data_weight);
            cx.emit(dispatch);
            memory.state.swap(0, 1);
            memory.dual.swap(0, 1);
        }
    }

    /// Emits the median of `flow`, into an operand of so many planes a pair, with so many places a row.
    fn smooth(cx: &mut Lower<'_>, flow: Operand, level: Level, (into, planes, stride): (Operand, usize, usize)) {
        let dispatch = Dispatch::new("flow_result", &[], groups(level.pixels()))
            .bind("flow", flow)
            .bind("y", into)
            .set("len", level.pixels())
            .set("height", level.height)
            .set("width", level.width)
            .set("stride", level.stride())
            .set("y_planes", planes)
            .set("y_stride", stride);
        cx.emit(dispatch);
    }
}

/// How tiles cover an axis.
struct Tiling {
    count: usize,
    /// What each is answerable for.
    inner: usize,
    /// What it computes on either side for the sake of that.
    halo: usize,
}

impl Tiling {
    fn new(len: usize, tile: usize, halo: usize) -> Self {
        if len <= tile {
            return Tiling { count: 1, inner: tile, halo: 0 };
        }
        let inner = tile - 2 * halo;
        Tiling { count: len.div_ceil(inner), inner, halo }
    }
}

impl Op for OpticalFlow {
    fn name(&self) -> &'static str {
        "optical_flow"
    }

    /// The flow is data to what follows: nothing is trained through it.
    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [previous, next] = inputs else { return Err("wants two frames".to_string()) };
        let shape = previous.shape;
        let fits = shape.rank() == 4 && shape.axis(1) == 1 && shape == next.shape;
        if !fits || previous.dtype != DType::F32 || next.dtype != DType::F32 {
            let [a, b] = [previous, next].map(|frames| format!("{} {:?}", frames.shape, frames.dtype));
            return Err(format!(
                "wants two sets of grey float frames [batch, 1, height, width] of one shape, got {a} and {b}"
            ));
        }
        if Self::level(shape).side() < SMALLEST {
            return Err(format!("frames of {shape} are too small: both sides must be {SMALLEST} pixels or more"));
        }
        let FlowOptions { data_weight, huber, levels, warps, iterations } = self.options;
        if !(data_weight > 0.0 && data_weight.is_finite() && huber >= 0.0 && huber.is_finite()) {
            return Err(format!(
                "wants a data weight above 0 and a Huber threshold of 0 or more, got {data_weight} and {huber}"
            ));
        }
        if levels.is_some_and(|levels| !(1..=MOST_LEVELS).contains(&levels)) || warps == 0 || iterations == 0 {
            return Err(format!(
                "wants 1 to {MOST_LEVELS} levels, and warps and iterations of 1 or more, got {:?}",
                self.options
            ));
        }
        Ok(vec![(Shape::new(&[shape.axis(0), 2, shape.axis(2), shape.axis(3)]), DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let levels = self.levels(Self::level(cx.input_shape(0)));
        let mut frames = vec![[cx.input(0), cx.input(1)]];
        for (at, level) in levels[1..].iter().zip(&levels).map(|(_, finer)| *finer).enumerate() {
            let coarser = [0, 1].map(|which| Self::coarsen(cx, &frames[at][which], level));
            frames.push(coarser);
        }
        let mut memory = Memory::new(levels[0], cx);
        for at in (0..levels.len()).rev() {
            for warp in 0..self.options.warps {
                let coarser = levels.get(at + 1).copied().filter(|_| warp == 0);
                Self::linearise(cx, &mut memory, &frames[at], levels[at], coarser, warp == 0);
                self.solve(cx, &mut memory, levels[at], warp == 0);
            }
            let [flow, spare] = memory.state.clone();
            if at == 0 {
                Self::smooth(cx, flow, levels[at], (cx.output(0), 2, levels[at].width));
            } else {
                Self::smooth(cx, flow, levels[at], (spare, 4, levels[at].stride()));
                memory.state.swap(0, 1);
            }
        }
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], _: &[Tensor]) -> u64 {
        let levels = self.levels(Self::level(inputs[0].shape));
        let pixels: usize = levels.iter().map(|level| level.places()).sum();
        (pixels * self.options.warps * (150 + 60 * self.options.iterations)) as u64
    }
}

impl<'g> Var<'g> {
    /// The flow from these grey frames, `[batch, 1, height, width]` in [0, 1], to `next`, of the same shape: `[batch, 2, height, width]`,
    /// in pixels to the right and down, such that pixel p of this frame is at p + flow(p) in `next`. Sides are 8 pixels or more. Each
    /// pair by itself, whatever the rest of the batch. No gradient passes: what follows takes the flow as data.
    pub fn optical_flow(self, next: Var<'g>, options: &FlowOptions) -> Var<'g> {
        self.graph().apply_one(OpticalFlow { options: *options }, &[self, next])
    }

    /// The flow from each frame of clips, `[batch, 1, frames, height, width]`, to the one after it: `[batch, 2, frames - 1, height, width]`,
    /// as an I3D takes it. See [`Var::optical_flow`].
    pub fn clip_flow(self, options: &FlowOptions) -> Var<'g> {
        let shape = self.shape();
        let (batch, pairs, height, width) = match *shape.axes() {
            [batch, 1, frames, height, width] if frames > 1 => (batch, frames - 1, height, width),
            _ => {
                let message = format!("wants clips [batch, 1, frames, height, width] of 2 frames or more, got {shape}");
                self.graph().fail("clip_flow", message);
                return self;
            }
        };
        let part = |first| self.slice(2, first, first + pairs).reshape([batch * pairs, 1, height, width]);
        let flow = part(0).optical_flow(part(1), options);
        flow.reshape([batch, pairs, 2, height, width]).permute(&[0, 2, 1, 3, 4])
    }

    /// Brightness of `[batch, 3, ..]`, red, green and blue: `[batch, 1, ..]`, with the weights of ITU-R BT.601.
    pub fn grey(self) -> Var<'g> {
        let shape = self.shape();
        if shape.rank() < 2 || shape.axis(1) != 3 {
            self.graph().fail("grey", format!("wants [batch, 3, ..], got {shape}"));
            return self;
        }
        let channel = |index: usize, weight| self.slice(1, index, index + 1).scale(weight);
        channel(0, 0.299) + channel(1, 0.587) + channel(2, 0.114)
    }
}
