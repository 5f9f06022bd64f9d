//! The dispatches of an optimiser: the gradients' norm, clipping, the update, and sums over micro-batches.

use super::optimizer::{Clipping, Convention, OptimizerConfig, ParameterGroup, Rule};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::team::Team;
use crate::plan::{Dispatch, Location, Operand, ParameterStore};

/// Values per block: what one workgroup updates. A block never crosses a parameter's end.
const BLOCK: usize = 4096;

/// What an optimiser remembers of a chunk of the store.
pub(super) struct ChunkState {
    pub(super) first: wgpu::Buffer,
    pub(super) second: wgpu::Buffer,
    /// Where gradients are accumulated.
    pub(super) sum: Option<wgpu::Buffer>,
}

/// A parameter with a gradient, as the tables describe it.
pub(super) struct Variable {
    pub(super) chunk: usize,
    first_quad: usize,
    len: usize,
    group: usize,
}

pub(super) fn variable(store: &ParameterStore, config: &OptimizerConfig, index: usize) -> Variable {
    let (place, name) = (store.place(index), &store.parameters().specs()[index].name);
    let fits = |group: &ParameterGroup| group.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let group = config.groups.iter().position(fits).unwrap_or(config.groups.len());
    Variable { chunk: place.chunk, first_quad: place.offset / 4, len: place.len, group }
}

/// What the dispatches are made of.
pub(super) struct Builder<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) store: &'a ParameterStore,
    pub(super) config: &'a OptimizerConfig,
    pub(super) chunks: &'a [Option<ChunkState>],
    pub(super) variables: &'a [Variable],
    pub(super) loss: Operand,
    pub(super) scale: Option<Operand>,
    pub(super) status: Operand,
}

/// The bytes of an operand: here all are buffers.
pub(super) fn locate(operand: &Operand) -> Option<Location> {
    match operand {
        Operand::Buffer { buffer, offset, size } => {
            Some(Location { buffer: buffer.clone(), offset: *offset, size: *size })
        }
        _ => None,
    }
}

pub(super) fn whole(buffer: &wgpu::Buffer) -> Operand {
    Operand::Buffer { buffer: buffer.clone(), offset: 0, size: buffer.size() }
}

impl Builder<'_> {
    fn table(&self, label: &str, words: &[u32]) -> Operand {
        let buffer = self.gpu.storage(label, words.len() as u64 * 4);
        self.gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        whole(&buffer)
    }

    /// The gradients that the update reads: this step's, or their sum over micro-batches.
    fn gradients(&self, chunk: usize, state: &ChunkState) -> Result<Operand> {
        Ok(whole(match &state.sum {
            Some(sum) => sum,
            None => self.store.gradients(chunk)?,
        }))
    }

    fn used(&self) -> impl Iterator<Item = (usize, &ChunkState)> {
        self.chunks.iter().enumerate().filter_map(|(index, state)| Some((index, state.as_ref()?)))
    }

    /// Norms, clipping, updates; `groups` holds `rows` tables of hyperparameters.
    pub(super) fn update(&self, groups: &wgpu::Buffer, rows: usize) -> Result<Vec<Dispatch>> {
        // Variables are numbered chunk by chunk, so that each one's blocks are neighbours among the partial sums.
        let gradient_scale = 1.0 / self.config.accumulation as f32;
        let mut ranges: Vec<u32> = Vec::new();
        let mut tables: Vec<(usize, u32, Vec<u32>)> = Vec::new();
        let mut block_count = 0u32;
        for (chunk, _) in self.used() {
            let mut blocks: Vec<u32> = Vec::new();
            let first_block = block_count;
            for variable in self.variables.iter().filter(|variable| variable.chunk == chunk) {
                let number = (ranges.len() / 2) as u32;
                let first = block_count;
                for start in (0..variable.len).step_by(BLOCK) {
                    let elements = (variable.len - start).min(BLOCK);
                    let first_quad = variable.first_quad + start / 4;
                    blocks.extend([first_quad as u32, elements as u32, number, variable.group as u32]);
                    block_count += 1;
                }
                ranges.extend([first, block_count - first]);
            }
            tables.push((chunk, first_block, blocks));
        }
        let count = ranges.len() / 2;
        let partials = whole(&self.gpu.storage("norm partials", u64::from(block_count) * 4));
        let factors = whole(&self.gpu.storage("clip factors", count as u64 * 4));
        let squares = whole(&self.gpu.storage("squared norms", count as u64 * 4));
        let (clipping, limit) = match (self.config.clipping, self.config.convention) {
            (Clipping::None, _) => (0, 1.0),
            (Clipping::GlobalNorm(limit), Convention::PyTorch) => (1, limit),
            (Clipping::GlobalNorm(limit), Convention::Keras) => (2, limit),
            (Clipping::ParameterNorm(limit), _) => (3, limit),
        };
        let (rule, nesterov) = match (self.config.rule, self.config.convention) {
            (Rule::Adam { .. }, _) => (0, false),
            (Rule::Sgd { nesterov, .. }, Convention::PyTorch) => (1, nesterov),
            (Rule::Sgd { nesterov, .. }, Convention::Keras) => (2, nesterov),
        };
        let team = Team::of_blocks(self.gpu.capabilities());
        let (mut norms, mut updates) = (Vec::new(), Vec::new());
        for ((chunk, first_block, blocks), (_, state)) in tables.iter().zip(self.used()) {
            let number = blocks.len() / 4;
            let table = self.table("blocks", blocks);
            norms.push(
                Dispatch::new("gradient_norm", &team.constants(), number as u32)
                    .bind("gradients", self.gradients(*chunk, state)?)
                    .bind("blocks", table.clone())
                    .bind("partials", partials.clone())
                    .set("blocks", number)
                    .set("first_block", *first_block as usize)
                    .set_float("gradient_scale", gradient_scale),
            );
            updates.push(
                Dispatch::new("optimizer", &[("LANES", team.lanes as u32)], number as u32)
                    .bind("parameters", whole(&self.store.chunks()[*chunk].values))
                    .bind("gradients", self.gradients(*chunk, state)?)
                    .bind("first", whole(&state.first))
                    .bind("second", whole(&state.second))
                    .bind("blocks", table)
                    .bind("groups_of", whole(groups))
                    .bind("factors", factors.clone())
                    .bind("status", self.status.clone())
                    .set("blocks", number)
                    .set("rule", rule)
                    .set("nesterov", usize::from(nesterov))
                    .set("groups", self.config.groups.len() + 1)
                    .set("rows", rows),
            );
        }
        let mut clip = Dispatch::new("gradient_clip", &[("SCALED", u32::from(self.scale.is_some()))], 1)
            .bind("partials", partials)
            .bind("variables", self.table("variables", &ranges))
            .bind("squares", squares)
            .bind("status", self.status.clone())
            .bind("factors", factors)
            .bind("loss", self.loss.clone())
            .set("variables", count)
            .set("clipping", clipping)
            .set_float("limit", limit)
            .set_float("gradient_scale", gradient_scale);
        if let Some(scale) = &self.scale {
            clip = clip.bind("loss_scale", scale.clone());
        }
        Ok(norms.into_iter().chain([clip]).chain(updates).collect())
    }

    /// Adds a micro-batch's gradients to the sums.
    pub(super) fn accumulate(&self, first: bool) -> Result<Vec<Dispatch>> {
        let dispatch = |(chunk, state): (usize, &ChunkState)| {
            let Some(sum) = &state.sum else { return Ok(None) };
            let quads = self.store.chunks()[chunk].len / 4;
            let dispatch = Dispatch::new("accumulate", &[], quads.div_ceil(64) as u32)
                .bind("gradients", whole(self.store.gradients(chunk)?))
                .bind("sum", whole(sum))
                .bind("loss", self.loss.clone())
                .bind("status", self.status.clone())
                .set("quads", quads)
                .set("first", usize::from(first));
            Ok(Some(dispatch))
        };
        self.used().filter_map(|used| dispatch(used).transpose()).collect()
    }
}
