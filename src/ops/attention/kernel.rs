//! Which attention kernel a problem takes, with which constants and how many workgroups. Plain data in, plain data out.

use crate::gpu::Capabilities;
use crate::ops::choices::Knob;

/// One attention: `q [batch, query_len, heads * head_dim]`, `k [batch, key_len, heads * head_dim]`,
/// `v [batch, key_len, heads * value_dim]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    pub batch: u32,
    pub heads: u32,
    pub query_len: u32,
    pub key_len: u32,
    pub head_dim: u32,
    pub value_dim: u32,
    /// Every offset, row stride and batch stride of the operands, `head_dim` and `value_dim` are multiples of 4.
    pub vector: bool,
    /// There is a causal or a pair mask; the mask binding holds the bits that `attention_mask.wgsl` packs.
    pub pair: bool,
    /// The attention weights are dropped out.
    pub dropout: bool,
}

/// A kernel: its file in `shaders/`, the constants and defines that replace its defaults, its grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    pub shader: &'static str,
    pub consts: Vec<(&'static str, u32)>,
    pub workgroups: u32,
}

impl Problem {
    fn flags(&self) -> Vec<(&'static str, u32)> {
        vec![
            ("HEAD_DIM", self.head_dim),
            ("VALUE_DIM", self.value_dim),
            ("VECTOR", self.vector as u32),
            ("PAIR", self.pair as u32),
            ("DROPOUT", self.dropout as u32),
        ]
    }

    fn tiled(&self, device: &Capabilities, shader: &'static str, rows: u32) -> Kernel {
        let chunks = self.head_dim.max(self.value_dim).div_ceil(4);
        let [threads, threads_x] =
            [Knob::AttentionThreads, Knob::AttentionAcross].map(|knob| knob.value(device, chunks as usize) as u32);
        // A thread owns four rows; a short sequence takes a smaller workgroup.
        let threads_y = rows.div_ceil(4).next_power_of_two().clamp(4, threads / threads_x);
        let depth = chunks.min(8);
        let out_vecs = chunks.div_ceil(threads_x);
        // As many staged rows as fit where the score operands were.
        let room = (32 * (depth + 1 - depth % 2)).max(threads_x * threads_y) / (out_vecs * threads_x);
        let stage = [32, 16, 8, 4, 2].into_iter().find(|&stage| stage <= room).unwrap_or(1);
        let mut consts = self.flags();
        consts.extend([
            ("THREADS_X", threads_x),
            ("THREADS_Y", threads_y),
            ("DEPTH", depth),
            ("OUT_VECS", out_vecs),
            ("STAGE", stage),
        ]);
        let blocks = rows.div_ceil(4 * threads_y);
        Kernel { shader, consts, workgroups: self.batch * self.heads * blocks }
    }

    /// The kernel for software adapters, if this is one whose subgroup size is known and fits.
    fn subgroup(&self, device: &Capabilities, shader: &'static str, rows: u32) -> Option<Kernel> {
        let lanes = device.fixed_subgroup().filter(|lanes| device.software && matches!(lanes, 4 | 8 | 16))?;
        let chunks = self.head_dim.max(self.value_dim).div_ceil(4);
        // More rows per lane use each load more often; fewer compile faster, and idle less when there are few rows.
        let listed = Knob::AttentionRows.value(device, chunks as usize) as u32;
        let fitting = listed.min(32 / lanes).min(rows.div_ceil(lanes));
        let per_lane = [4, 2].into_iter().find(|&count| count <= fitting).unwrap_or(1);
        let mut consts = self.flags();
        consts.extend([
            ("LANES", lanes),
            ("ROWS", per_lane),
            ("TILE_COLS", 16),
            ("GROUP", 1 << (lanes / chunks).max(1).ilog2()),
        ]);
        Some(Kernel { shader, consts, workgroups: self.batch * self.heads * rows.div_ceil(lanes * per_lane) })
    }

    /// `out` and `lse` from `q`, `k`, `v`.
    pub fn forward(&self, device: &Capabilities) -> Kernel {
        self.subgroup(device, "attention_forward_subgroup", self.query_len)
            .unwrap_or_else(|| self.tiled(device, "attention_forward", self.query_len))
    }

    /// `stats` from `dout`, `out` and `lse`; before the other two backward kernels.
    pub fn delta(&self) -> Kernel {
        Kernel {
            shader: "attention_delta",
            consts: vec![("VALUE_DIM", self.value_dim), ("VECTOR", self.vector as u32)],
            workgroups: (self.batch * self.heads * self.query_len).div_ceil(64),
        }
    }

    /// `dq` from `q`, `k`, `v`, `dout` and `stats`.
    pub fn backward_q(&self, device: &Capabilities) -> Kernel {
        self.subgroup(device, "attention_backward_q_subgroup", self.query_len)
            .unwrap_or_else(|| self.tiled(device, "attention_backward_q", self.query_len))
    }

    /// `dk` and `dv` from `q`, `k`, `v`, `dout` and `stats`.
    pub fn backward_kv(&self, device: &Capabilities) -> Kernel {
        self.subgroup(device, "attention_backward_kv_subgroup", self.key_len)
            .unwrap_or_else(|| self.tiled(device, "attention_backward_kv", self.key_len))
    }

    /// The probabilities `[batch, heads, query_len, key_len]` from `q`, `k` and `lse`.
    pub fn weights(&self, device: &Capabilities) -> Kernel {
        let mut kernel = self.tiled(device, "attention_weights", self.query_len);
        kernel.consts.retain(|(name, _)| *name != "DROPOUT");
        kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::choices::{Class, capabilities};

    fn constant(kernel: &Kernel, name: &str) -> u32 {
        kernel.consts.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
    }

    fn problems() -> impl Iterator<Item = Problem> {
        let lens = [(1, 1), (5, 200), (16, 16), (17, 3), (64, 64), (512, 512)];
        (1..=256).flat_map(move |head_dim| {
            lens.into_iter().map(move |(query_len, key_len)| Problem {
                batch: 2,
                heads: 3,
                query_len,
                key_len,
                head_dim,
                value_dim: if head_dim % 3 == 0 { 257 - head_dim } else { head_dim },
                vector: false,
                pair: false,
                dropout: false,
            })
        })
    }

    #[test]
    fn tiles_fit_portable_limits_and_divide_their_work() {
        let device = capabilities(Class::Discrete, None);
        for problem in problems() {
            let kernel = problem.backward_kv(&device);
            let get = |name| constant(&kernel, name);
            let (x, y, depth, stage) = (get("THREADS_X"), get("THREADS_Y"), get("DEPTH"), get("STAGE"));
            let chunks = problem.head_dim.max(problem.value_dim).div_ceil(4);
            let pitch = depth + 1 - depth % 2;
            // As shared/attention_tile.wgsl declares them.
            let row_tile = (4 * y * pitch).max(32 * (y + 1));
            let col_tile = (32 * pitch).max(stage * get("OUT_VECS") * x).max(x * y);
            assert!(16 * (row_tile + col_tile) + 8 <= 16384, "{problem:?} takes {kernel:?}");
            assert!(x * y <= 256 && 32 % x == 0 && 32 % stage == 0, "{problem:?} takes {kernel:?}");
            assert!(get("OUT_VECS") * x >= chunks, "{problem:?} takes {kernel:?}");
            assert!(kernel.workgroups * 4 * y >= 6 * problem.key_len, "{problem:?} takes {kernel:?}");
        }
    }

    #[test]
    fn subgroups_are_for_software_adapters_and_cover_every_row() {
        for problem in problems() {
            for lanes in [4, 8, 16] {
                let device = capabilities(Class::Software, Some(lanes));
                let kernel = problem.forward(&device);
                assert_eq!(kernel.shader, "attention_forward_subgroup");
                let (rows, group) = (constant(&kernel, "ROWS"), constant(&kernel, "GROUP"));
                // A block's keys lie in one word of the packed mask, and a vec4 holds a lane's rows.
                assert!(32 % (rows * lanes) == 0 && rows <= 4, "{problem:?} takes {kernel:?}");
                assert!(
                    group > 0 && constant(&kernel, "TILE_COLS").is_multiple_of(group),
                    "{problem:?} takes {kernel:?}"
                );
                assert!(kernel.workgroups * rows * lanes >= 6 * problem.query_len, "{problem:?} takes {kernel:?}");
            }
        }
        let hardware = capabilities(Class::Discrete, Some(32));
        assert!(problems().all(|problem| problem.backward_q(&hardware).shader == "attention_backward_q"));
    }
}
