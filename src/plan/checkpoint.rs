//! Gradient checkpointing: backward rules of a checkpoint scope read copies of its forward nodes, which run when the gradient has
//! come to the scope, so that what the forward pass made need not live until then.

use super::rewrite::roots;
use crate::graph::{Graph, Source, TensorId};
use std::collections::{HashMap, HashSet};

/// What was made again so far, while the backward pass is written.
pub(super) struct Recomputed {
    forward_nodes: usize,
    loss: TensorId,
    /// Whose storage each forward tensor uses.
    root: HashMap<TensorId, TensorId>,
    /// The nodes of each scope that the backward pass has not yet come to.
    scopes: HashMap<u32, Vec<usize>>,
    /// For tensors that are not kept, those that hold the same values again.
    copies: HashMap<TensorId, TensorId>,
}

impl Recomputed {
    pub(super) fn new(graph: &Graph, loss: TensorId) -> Self {
        let recording = graph.recording();
        let mut scopes: HashMap<u32, Vec<usize>> = HashMap::new();
        for (index, node) in recording.nodes.iter().enumerate() {
            if let Some(scope) = node.checkpoint {
                scopes.entry(scope).or_default().push(index);
            }
        }
        let (forward_nodes, root) = (recording.nodes.len(), roots(&recording));
        Recomputed { forward_nodes, loss, root, scopes, copies: HashMap::new() }
    }

    /// What a backward rule reads for `id`.
    pub(super) fn of(&self, id: TensorId) -> TensorId {
        self.copies.get(&id).copied().unwrap_or(id)
    }

    /// Adds the copies of `scope`'s nodes, unless they are there. They wait for `gradient`, the first to come to the scope, and for
    /// the end of the forward pass.
    pub(super) fn enter(&mut self, graph: &Graph, scope: u32, gradient: TensorId) {
        let Some(nodes) = self.scopes.remove(&scope) else { return };
        let kept = self.kept(graph);
        let after = [self.loss, gradient];
        for index in nodes {
            let node = graph.recording().nodes[index].clone();
            let inputs = node.inputs.iter().map(|id| self.of(*id)).collect();
            for (original, copy) in node.outputs.iter().zip(graph.repeat(&node, inputs, &after)) {
                if !kept.contains(&self.root_of(*original)) {
                    self.copies.insert(*original, copy);
                }
            }
        }
    }

    fn root_of(&self, id: TensorId) -> TensorId {
        self.root.get(&id).copied().unwrap_or(id)
    }

    /// Storage that is alive now in any case: of outputs, and of what the backward pass has read so far.
    fn kept(&self, graph: &Graph) -> HashSet<TensorId> {
        let recording = graph.recording();
        let outputs = recording.outputs.iter().map(|(_, id)| id);
        let read = recording.nodes[self.forward_nodes..].iter().flat_map(|node| &node.inputs);
        let forward = outputs.chain(read).filter(|id| match recording.tensor(**id).source {
            Source::Node { node, .. } => node < self.forward_nodes,
            _ => false,
        });
        forward.map(|id| self.root_of(*id)).collect()
    }
}
