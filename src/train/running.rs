//! Running statistics and the like: parameters that a step sets rather than the optimiser.

use crate::error::Result;
use crate::ops::elementwise::groups;
use crate::plan::{Dispatch, Location, Operand, ParameterStore, Plan, Program, TexturePlan};

/// What sets them after a run of `plan`, except where `status` says that the step went wrong.
pub(super) fn program(store: &ParameterStore, plan: &Plan, status: &wgpu::Buffer) -> Result<Program> {
    let mut dispatches = Vec::new();
    for (parameter, output) in &plan.recording().updates {
        let (from, shape) = plan.output_location(output)?;
        let place = store.place(*parameter);
        let to = Operand::Buffer {
            buffer: store.chunks()[place.chunk].values.clone(),
            offset: place.offset as u64 * 4,
            size: (place.len as u64 * 4).next_multiple_of(16),
        };
        let dispatch = Dispatch::new("assign", &[], groups(shape.len()))
            .bind("x", Operand::Buffer { buffer: from.buffer, offset: from.offset, size: from.size })
            .bind("status", Operand::Buffer { buffer: status.clone(), offset: 0, size: status.size() })
            .bind("out", to)
            .set("len", shape.len());
        dispatches.push(dispatch);
    }
    let locate = |operand: &Operand| match operand {
        Operand::Buffer { buffer, offset, size } => {
            Some(Location { buffer: buffer.clone(), offset: *offset, size: *size })
        }
        _ => None,
    };
    let textures = TexturePlan::new(store.gpu(), &dispatches, locate)?;
    Program::new(store.gpu(), &dispatches, &textures, &locate, plan.step_buffer())
}
