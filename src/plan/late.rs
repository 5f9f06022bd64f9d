//! What can wait for the end: the last sums of small gradients, biases' and norms'. There those of all layers meet, and siblings among them
//! run as one launch.

use super::lower::{Dispatch, Operand};
use super::storage::Storage;
use std::collections::HashSet;

/// Elements of a workspace that may be kept until then.
const MOST_ELEMENTS: usize = 64 << 10;

/// Marks the dispatches that only sum workspaces up into gradients of parameters, which nothing in the plan reads; returns the workspaces.
pub(super) fn mark(
    dispatches: &mut [Dispatch],
    elements: impl Fn(usize) -> usize,
    storage: &Storage,
) -> HashSet<usize> {
    let placed: HashSet<_> = storage.gradients.iter().map(|(_, id)| *id).collect();
    let mut kept = HashSet::new();
    for index in 0..dispatches.len() {
        let dispatch = &dispatches[index];
        let waits = |operand: &Operand| match operand {
            Operand::Tensor(id) => placed.contains(&storage.root_of(*id)),
            Operand::Workspace(workspace) => elements(*workspace) <= MOST_ELEMENTS,
            Operand::Unused => true,
            Operand::Buffer { .. } | Operand::Each(_) => false,
        };
        let last = dispatches.get(index + 1).is_none_or(|next| next.nodes != dispatch.nodes);
        if dispatch.stage == 0 || !last || !dispatch.bindings.iter().all(|(_, operand)| waits(operand)) {
            continue;
        }
        kept.extend(dispatch.bindings.iter().filter_map(|(_, operand)| match operand {
            Operand::Workspace(workspace) => Some(*workspace),
            _ => None,
        }));
        dispatches[index].late = true;
    }
    kept
}
