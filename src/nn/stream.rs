//! Live streams: steps that come chunk by chunk.

use crate::graph::{DType, Graph, Var};
use crate::plan::Batch;

/// Where the new steps of one stream stand among all its steps. A chunk has a fixed number of places, of which the first are filled, and
/// the stream a fixed capacity.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'g> {
    /// `[1, chunk]`, 1 = a step, 0 = an empty place.
    pub mask: Var<'g>,
    /// `[chunk]` (U32): the place of each in the stream.
    pub positions: Var<'g>,
    /// `[capacity, 1]`, 1 where a new step stands.
    pub new: Var<'g>,
    /// `[capacity]` (U32): which of the chunk's places that one has.
    pub source: Var<'g>,
    /// `[1, capacity]`, 1 where there is a step, old or new.
    pub seen: Var<'g>,
    /// `[chunk, capacity]`, 1 where a new step sees another: itself and all before it.
    pub pairs: Var<'g>,
}

impl<'g> Arrival<'g> {
    /// As inputs that [`Arrival::write`] fills.
    pub fn inputs(graph: &'g Graph, name: &str, chunk: usize, capacity: usize) -> Self {
        let input = |part: &str, shape: &[usize]| graph.typed_input(&format!("{name}/{part}"), shape, DType::U32);
        Arrival {
            mask: input("mask", &[1, chunk]),
            positions: input("positions", &[chunk]),
            new: input("new", &[capacity, 1]),
            source: input("source", &[capacity]),
            seen: input("seen", &[1, capacity]),
            pairs: input("pairs", &[chunk, capacity]),
        }
    }

    /// The values of those inputs for `count` new steps of a chunk after `before` others.
    pub fn write(batch: Batch, name: &str, [chunk, capacity]: [usize; 2], before: usize, count: usize) -> Batch {
        let after = before + count;
        let flags = |len: usize, set: &dyn Fn(usize) -> bool| (0..len).map(|at| u32::from(set(at))).collect();
        let is_new = |step: usize| (before..after).contains(&step);
        let source = |step: usize| if is_new(step) { (step - before) as u32 } else { 0 };
        let sees = |pair: usize| pair / capacity < count && pair % capacity <= before + pair / capacity;
        let last = capacity.saturating_sub(1);
        let parts: [(&str, Vec<u32>); 6] = [
            ("mask", flags(chunk, &|place| place < count)),
            ("positions", (0..chunk).map(|place| (before + place).min(last) as u32).collect()),
            ("new", flags(capacity, &is_new)),
            ("source", (0..capacity).map(source).collect()),
            ("seen", flags(capacity, &|step| step < after)),
            ("pairs", flags(chunk * capacity, &sees)),
        ];
        parts.into_iter().fold(batch, |batch, (part, values)| batch.integer(&format!("{name}/{part}"), values))
    }

    /// `past [capacity, width]` with the rows of the new steps `rows [1, chunk, width]` in their places.
    pub fn put(&self, rows: Var<'g>, past: Var<'g>) -> Var<'g> {
        self.new.where_(rows.squeeze(0).embedding(self.source), past)
    }
}
