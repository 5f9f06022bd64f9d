//! Rewrites of a recording: dead nodes removed, and an op merged into the one before it where a kernel does both.

use crate::graph::{Node, Recording, Source, Tensor, TensorId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Lets every op absorb the only reader of its result, as long as any can. `kept` are tensors that must stay; `finally` says that nothing
/// is to be differentiated any more.
pub fn fuse(mut recording: Recording, kept: &HashSet<TensorId>, finally: bool) -> Recording {
    let mut alive = vec![true; recording.nodes.len()];
    let mut index = 0;
    while index < recording.nodes.len() {
        // A merged node stands where the absorbed one stood, so it is met again further on.
        if alive[index] {
            merge_next(&mut recording, &mut alive, index, kept, finally);
        }
        index += 1;
    }
    compact(recording, &alive)
}

fn merge_next(recording: &mut Recording, alive: &mut [bool], index: usize, kept: &HashSet<TensorId>, finally: bool) {
    let node = &recording.nodes[index];
    let Some(result) = node.outputs.first().copied() else { return };
    if kept.contains(&result) || recording.outputs.iter().any(|(_, id)| *id == result) {
        return;
    }
    let mut readers = (index + 1..recording.nodes.len())
        .filter(|reader| alive[*reader] && recording.nodes[*reader].inputs.contains(&result));
    let (Some(next_index), None) = (readers.next(), readers.next()) else { return };
    let next = &recording.nodes[next_index];
    // what is computed again is computed as it was the first time, to the last bit
    if node.recomputes() || next.recomputes() {
        return;
    }
    let uses: Vec<usize> = (0..next.inputs.len()).filter(|operand| next.inputs[*operand] == result).collect();
    if uses.len() != 1 || next.outputs.len() != 1 {
        return;
    }
    let others: Vec<TensorId> = next.inputs.iter().copied().filter(|id| *id != result).collect();
    let tensors = |ids: &[TensorId]| ids.iter().map(|id| recording.tensor(*id).clone()).collect::<Vec<Tensor>>();
    let (of_node, of_next) = (tensors(&node.inputs), tensors(&others));
    let absorbed = node.op.absorb(next.op.as_ref(), uses[0], &of_node, &of_next);
    let finally = || node.op.absorb_finally(next.op.as_ref(), uses[0], &of_node, &of_next).filter(|_| finally);
    let Some(op) = absorbed.or_else(finally) else { return };
    let inputs: Vec<TensorId> = node.inputs.iter().copied().chain(others).collect();
    let extra: Vec<TensorId> = node.outputs[1..].to_vec();
    let mut outputs: Vec<TensorId> = next.outputs.iter().copied().chain(extra).collect();
    // what the merged op has more outputs for is the intermediate result, which its backward rule reads
    if op.output_count() > outputs.len() {
        outputs.push(result);
    }
    // the layer that holds the weights says more than the one that adds the residual
    let (layer, checkpoint, backward) = (node.layer.clone(), node.checkpoint, next.backward);
    let made_of = node.inputs.iter().copied().max_by_key(|id| recording.producer(*id).map(|(index, _)| index));
    alive[index] = false;
    recording.nodes[next_index] = Node { op, inputs, outputs, layer, checkpoint, after: Vec::new(), backward };
    // who waited for the result now waits for what it is made of: the merged node may itself need who waits
    if let Some(made_of) = made_of {
        let waiting = recording.nodes.iter_mut().flat_map(|node| &mut node.after).filter(|id| **id == result);
        waiting.for_each(|id| *id = made_of);
    }
}

/// Drops nodes that no kept tensor and no named output depends on.
pub fn prune(recording: Recording, kept: &HashSet<TensorId>) -> Recording {
    let mut needed: HashSet<TensorId> = kept.clone();
    needed.extend(recording.outputs.iter().map(|(_, id)| *id));
    let mut alive = vec![false; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|id| needed.contains(id)) {
            alive[index] = true;
            needed.extend(node.inputs.iter().chain(&node.after).copied());
        }
    }
    compact(recording, &alive)
}

/// Removes dead nodes and renumbers the rest. Tensors keep their ids.
fn compact(mut recording: Recording, alive: &[bool]) -> Recording {
    let nodes = std::mem::take(&mut recording.nodes);
    recording.nodes = nodes.into_iter().zip(alive).filter(|(_, alive)| **alive).map(|(node, _)| node).collect();
    for (index, node) in recording.nodes.iter().enumerate() {
        for (output, id) in node.outputs.iter().enumerate() {
            recording.tensors[id.index()].source = Source::Node { node: index, output };
        }
    }
    recording
}

/// Adds a copy of `id`, a gradient, so that the copy alone can be placed where the caller wants it; returns the copy.
pub fn copy_of(recording: &mut Recording, id: TensorId, op: Arc<dyn crate::ops::Op>, layer: String) -> TensorId {
    let copy = TensorId(recording.tensors.len() as u32);
    let node = recording.nodes.len();
    let tensor = Tensor { source: Source::Node { node, output: 0 }, ..recording.tensor(id).clone() };
    recording.tensors.push(tensor);
    let (inputs, outputs) = (vec![id], vec![copy]);
    recording.nodes.push(Node { op, inputs, outputs, layer, checkpoint: None, after: Vec::new(), backward: true });
    copy
}

/// For every node output, the tensor whose storage it uses.
pub fn roots(recording: &Recording) -> HashMap<TensorId, TensorId> {
    let mut root: HashMap<TensorId, TensorId> = HashMap::new();
    for node in &recording.nodes {
        for (index, output) in node.outputs.iter().enumerate() {
            let of = if index == 0 && node.op.is_view() { node.inputs[0] } else { *output };
            let of = root.get(&of).copied().unwrap_or(of);
            root.insert(*output, of);
        }
    }
    root
}
