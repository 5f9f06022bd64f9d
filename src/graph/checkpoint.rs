//! Checkpoint scopes (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): which nodes are computed again in the
//! backward pass rather than kept until it.

use super::Graph;
use std::collections::HashMap;

/// Which checkpoint scope new nodes belong to.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// Scopes made so far.
    count: u32,
    /// The scope that a guard holds open.
    open: Option<u32>,
    /// How many numbered layers make a scope; 0 for none.
    every: usize,
    /// Scopes of numbered layers, by the path before the number and the group's.
    groups: HashMap<(String, usize), u32>,
}

impl Checkpoints {
    /// The scope of a node that the layer at `path` makes.
    pub(super) fn scope_of(&mut self, path: &str) -> Option<u32> {
        if self.open.is_some() || self.every == 0 {
            return self.open;
        }
        let (stack, number) = numbered(path)?;
        let next = self.count;
        let scope = *self.groups.entry((stack.to_string(), number / self.every)).or_insert(next);
        self.count += u32::from(scope == next);
        Some(scope)
    }
}

/// The path of a stack and the number of the layer in it: `("text_encoder.blocks", 3)` of "text_encoder.blocks.3.norm1".
fn numbered(path: &str) -> Option<(&str, usize)> {
    let mut start = 0;
    for name in path.split('.') {
        if let Ok(number) = name.parse() {
            return Some((path[..start].trim_end_matches('.'), number));
        }
        start += name.len() + 1;
    }
    None
}

/// Ends a checkpoint scope when dropped.
pub struct CheckpointScope<'g> {
    graph: &'g Graph,
    outer: Option<u32>,
}

impl Drop for CheckpointScope<'_> {
    fn drop(&mut self) {
        self.graph.state.borrow_mut().checkpoints.open = self.outer;
    }
}

impl Graph {
    /// Begins a checkpoint scope. Of what is made until the guard is dropped, training keeps only what others read; the rest is
    /// computed again when the backward pass comes to the scope. Gradients are the same bit for bit (dropout drops the same
    /// elements, running statistics move once); memory is traded for time. A scope inside another is part of that one. Plans
    /// without gradients are not changed.
    pub fn checkpoint(&self) -> CheckpointScope<'_> {
        let checkpoints = &mut self.state.borrow_mut().checkpoints;
        let outer = checkpoints.open;
        if outer.is_none() {
            checkpoints.open = Some(checkpoints.count);
            checkpoints.count += 1;
        }
        CheckpointScope { graph: self, outer }
    }

    /// From here on, lets every `layers` numbered layers of a stack (`encoder.blocks.0`, `encoder.blocks.1`, ..) be a checkpoint scope, as
    /// by [`Graph::checkpoint`]; 0 ends that. For memory a number near the square root of the stack's depth is best.
    pub fn checkpoint_every(&self, layers: usize) {
        let checkpoints = &mut self.state.borrow_mut().checkpoints;
        checkpoints.every = layers;
        checkpoints.groups.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn the_first_number_of_a_path_is_the_layers() {
        assert_eq!(numbered("text_encoder.blocks.3.norm1"), Some(("text_encoder.blocks", 3)));
        assert_eq!(numbered("layer2.0.downsample.1"), Some(("layer2", 0)));
        assert_eq!(numbered("12"), Some(("", 12)));
        assert_eq!(numbered("head.fc2"), None);
        assert_eq!(numbered(""), None);
    }
}
