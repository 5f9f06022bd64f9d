//! Mixed precision: which tensors are kept as halves. Decided when everything is lowered, so that ops and their rules know nothing of it.
//!
//! Kept as halves are activations and their gradients that only kernels of [`KERNELS`] touch, each by an array that can hold them
//! (`gpu/halves.rs`). 32-bit floats stay: what the caller writes and reads, parameters with their gradients and moments, the statistics
//! of norms and of attention, scores and losses (whose last axis is short). All arithmetic stays 32-bit. Weights are read as they are: a
//! copy of them as halves would take more memory, not less. Products, convolutions and attention on cooperative matrices, where the
//! device was opened with them, pack what is not yet halves for themselves.

use super::lives::Workspace;
use super::lower::{Dispatch, Operand};
use super::{is_external, keep};
use crate::error::Result;
use crate::gpu::{KernelKey, may_hold_halves};
use crate::graph::{DType, Recording, TensorId};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// The kernels that may read and write halves. Losses, norms over a batch, convolutions (but what packs operands for cooperative
/// matrices), recurrences and optical flow are not among them: what those touch stays 32-bit.
const KERNELS: [&str; 35] = [
    "attention_backward_kv",
    "attention_backward_kv_subgroup",
    "attention_backward_q",
    "attention_backward_q_subgroup",
    "attention_delta",
    "attention_forward",
    "attention_forward_subgroup",
    "attention_pack",
    "attention_unpack",
    "attention_weights",
    "binary",
    "binary_broadcast",
    "concat",
    "conv_pack",
    "copy",
    "dropout",
    "embedding",
    "embedding_backward",
    "layer_norm",
    "layer_norm_backward",
    "mask_rows",
    "matmul",
    "matmul_epilogue_backward",
    "matmul_pack",
    "matmul_reduce",
    "matmul_small",
    "matmul_subgroup",
    "place",
    "pooling",
    "pooling_backward",
    "reduce_columns",
    "reduce_rows",
    "strided_copy",
    "unary",
    "unary_backward",
];

/// The last axis of a half-precision tensor has at least so many elements, a multiple of four: features, never scores.
const LEAST_FEATURES: usize = 8;

/// Turns those tensors into halves, and has the dispatches that touch them take them so. `root` is whose storage a node's output is;
/// `gradients` are the parameters'.
pub(super) fn halve(
    recording: &mut Recording,
    root: &HashMap<TensorId, TensorId>,
    dispatches: &mut [Dispatch],
    gradients: &[(usize, TensorId)],
) -> Result<()> {
    let root_of = |id: &TensorId| root.get(id).copied().unwrap_or(*id);
    let mut arrays: HashMap<&KernelKey, Vec<String>> = HashMap::new();
    let outputs = recording.outputs.iter().map(|(_, id)| id);
    let mut full = keep(outputs.chain(gradients.iter().map(|(_, id)| id)).map(root_of));
    for dispatch in dispatches.iter() {
        let names = match arrays.entry(&dispatch.kernel) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(may_hold(&dispatch.kernel)?),
        };
        let others = operands(dispatch).filter(|(name, _)| !names.iter().any(|other| other == name));
        full.extend(others.map(|(_, id)| root_of(&id)));
    }
    let fits = |id: &TensorId| {
        let tensor = recording.tensor(*id);
        let features = tensor.shape.from_end(0);
        let long = features >= LEAST_FEATURES && features.is_multiple_of(4);
        !is_external(&tensor.source) && tensor.dtype == DType::F32 && long && !full.contains(id)
    };
    let halves: HashSet<TensorId> = root.values().copied().filter(fits).collect();
    for (id, of) in root.iter().filter(|(_, of)| halves.contains(of)) {
        recording.tensors[id.index()].dtype = DType::F16;
        recording.tensors[of.index()].dtype = DType::F16;
    }
    for dispatch in dispatches {
        let held = operands(dispatch).filter(|(_, id)| halves.contains(&root_of(id)));
        let names: Vec<String> = held.map(|(name, _)| name.to_string()).collect();
        // beside the workspaces that the op itself keeps as halves
        dispatch.kernel.halves.extend(names);
        dispatch.kernel.halves.sort();
    }
    Ok(())
}

/// Leaves out the dispatches that would copy halves as they are from a tensor to a workspace: who reads the copy reads the tensor.
pub(super) fn leave_out_copies(dispatches: &mut Vec<Dispatch>, workspaces: &mut [Workspace]) {
    let copies: HashMap<usize, TensorId> = dispatches.iter().filter_map(copied).collect();
    dispatches.retain(|dispatch| copied(dispatch).is_none());
    let bound = dispatches.iter_mut().flat_map(|dispatch| &mut dispatch.bindings);
    for (_, operand) in bound {
        if let Operand::Workspace(index) = operand
            && let Some(tensor) = copies.get(index)
        {
            workspaces[*index].0 = 0;
            *operand = Operand::Tensor(*tensor);
        }
    }
}

/// The workspace that `dispatch` copies a tensor of halves to without padding it, and the tensor.
fn copied(dispatch: &Dispatch) -> Option<(usize, TensorId)> {
    if dispatch.kernel.shader != "matmul_pack" || !dispatch.kernel.halves.iter().any(|name| name == "x") {
        return None;
    }
    let scalar = |name: &str| dispatch.scalars.iter().find(|(scalar, _)| *scalar == name).map(|(_, value)| *value);
    let padded = scalar("rows") != scalar("padded_rows") || scalar("columns") != scalar("padded_columns");
    match dispatch.bindings[..] {
        [("x", Operand::Tensor(tensor)), ("packed", Operand::Workspace(index))] if !padded => Some((index, tensor)),
        _ => None,
    }
}

/// The arrays of a kernel that may hold halves.
fn may_hold(kernel: &KernelKey) -> Result<Vec<String>> {
    Ok(if KERNELS.contains(&kernel.shader) { may_hold_halves(&kernel.wgsl()?) } else { Vec::new() })
}

/// The tensors that a dispatch binds, and to which of the kernel's arrays.
fn operands(dispatch: &Dispatch) -> impl Iterator<Item = (&'static str, TensorId)> + '_ {
    dispatch.bindings.iter().filter_map(|(name, operand)| match operand {
        Operand::Tensor(id) => Some((*name, *id)),
        _ => None,
    })
}
