//! When each node runs. Nodes of one level are independent of each other.

use crate::graph::{Node, Recording, Source, TensorId};
use std::collections::HashMap;
use std::hash::Hash;

/// The earliest level at which each node can run: one after the last of its inputs and of what it waits for.
pub(super) fn earliest(recording: &Recording) -> Vec<usize> {
    earliest_from(recording, |_| 0)
}

/// As [`earliest`], but a node waits for its siblings, those of the same kind, where that makes more of them run at once and nothing end
/// later. Branches of one shape that begin at different times, as the encoders' backward passes do, so run side by side.
pub(super) fn aligned<K: Hash + Eq + Copy>(recording: &Recording, kind: impl Fn(usize) -> Option<K>) -> Vec<usize> {
    let earliest = earliest(recording);
    let heights = heights(recording);
    let end = earliest.iter().max().copied().unwrap_or(0);
    let mut now: HashMap<(K, usize), usize> = HashMap::new();
    let mut last: HashMap<(K, usize), (usize, usize)> = HashMap::new();
    for node in 0..earliest.len() {
        let Some(kind) = kind(node) else { continue };
        *now.entry((kind, earliest[node])).or_default() += 1;
        let (count, level) = last.entry((kind, end - heights[node])).or_default();
        *count += 1;
        *level = earliest[node].max(*level);
    }
    earliest_from(recording, |node| {
        let Some(kind) = kind(node) else { return 0 };
        let (count, level) = last[&(kind, end - heights[node])];
        // what nothing waits for, most gradients of weights, is not kept waiting: its inputs would be kept, too
        let worth_it = heights[node] > 0 && count > now[&(kind, earliest[node])];
        if worth_it { level } else { 0 }
    })
}

fn earliest_from(recording: &Recording, least: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut levels = vec![0; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate() {
        let before = producers(recording, node).map(|node| levels[node] + 1).max().unwrap_or(0);
        levels[index] = before.max(least(index));
    }
    levels
}

/// How many nodes at least come after each, one after the other.
fn heights(recording: &Recording) -> Vec<usize> {
    let mut heights = vec![0; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate().rev() {
        for producer in producers(recording, node) {
            heights[producer] = heights[producer].max(heights[index] + 1);
        }
    }
    heights
}

fn producers<'a>(recording: &'a Recording, node: &'a Node) -> impl Iterator<Item = usize> + 'a {
    let producer = |id: &TensorId| match recording.tensor(*id).source {
        Source::Node { node, .. } => Some(node),
        _ => None,
    };
    node.inputs.iter().chain(&node.after).filter_map(producer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;

    #[test]
    fn siblings_wait_for_each_other_where_nothing_ends_later() {
        let graph = Graph::new();
        let x = graph.input("x", [4]);
        let late = x.sqrt().tanh().exp();
        let early = x.tanh().exp();
        (late * early).named("y");
        // nothing waits for these two, and early as the first can run it does not wait for the other
        x.abs().named("first");
        late.abs().named("second");
        let recording = graph.finish().expect("a graph");
        let kinds = ["sqrt", "tanh", "exp", "tanh", "exp", "multiply", "abs", "abs"];
        assert_eq!(earliest(&recording), [0, 1, 2, 0, 1, 3, 0, 3]);
        assert_eq!(aligned(&recording, |node| kinds.get(node)), [0, 1, 2, 1, 2, 3, 0, 3]);
        assert_eq!(aligned(&recording, |_| None::<()>), earliest(&recording));
    }
}
