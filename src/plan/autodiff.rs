//! From a forward graph to one that also computes gradients. Each op brings its own rule; see the contract in [`crate::ops`].

use super::checkpoint::Recomputed;
use crate::error::{Error, Result};
use crate::graph::{Graph, LOSS_SCALE, Precision, Recording, Source, TensorId, Var};
use crate::ops::{Backward, elementwise};
use std::collections::HashMap;

/// The graph with its backward pass, and where the gradients are.
pub struct Differentiated {
    /// The forward graph, and behind it the backward pass.
    pub recording: Recording,
    /// `(parameter index, gradient)` of every trainable parameter that the loss depends on.
    pub parameters: Vec<(usize, TensorId)>,
    /// `(input name, gradient)` of every input whose gradient was asked for.
    pub inputs: Vec<(String, TensorId)>,
}

/// Adds the backward pass of `loss`, a scalar.
pub fn differentiate(recording: Recording, loss: TensorId) -> Result<Differentiated> {
    if recording.tensor(loss).shape.len() != 1 {
        let message = format!("the loss must be one number, its shape is {}", recording.tensor(loss).shape);
        return Err(Error::Shape { op: "differentiate", layer: String::new(), message });
    }
    let forward_nodes = recording.nodes.len();
    let graph = Graph::resume(recording);
    let mut gradients = Gradients { graph: &graph, parts: HashMap::new() };
    let mut recomputed = Recomputed::new(&graph, loss);
    let loss_shape = graph.var(loss).shape();
    let precision = graph.recording().precision;
    let seed = match precision {
        Precision::F32 => elementwise::fill(&graph, loss_shape, 1.0),
        Precision::Mixed => graph.input(LOSS_SCALE, loss_shape),
    };
    gradients.add(loss, seed);
    for index in (0..forward_nodes).rev() {
        backward_of(&graph, index, &mut gradients, &mut recomputed)?;
    }
    let leaves: Vec<(TensorId, Source)> = {
        let recording = graph.recording();
        let parameters = recording.parameters.iter().map(|(_, id)| *id);
        let inputs = recording.inputs.iter().map(|(_, id)| *id);
        parameters.chain(inputs).map(|id| (id, recording.tensor(id).source.clone())).collect()
    };
    let (mut parameters, mut inputs) = (Vec::new(), Vec::new());
    for (id, source) in leaves {
        let Some(gradient) = gradients.total(id) else { continue };
        match source {
            Source::Parameter(index) => parameters.push((index, gradient.id())),
            Source::Input(name) => inputs.push((name, gradient.id())),
            Source::Node { .. } => {}
        }
    }
    drop(gradients);
    Ok(Differentiated { recording: graph.finish()?, parameters, inputs })
}

fn backward_of<'g>(
    graph: &'g Graph,
    index: usize,
    gradients: &mut Gradients<'g>,
    recomputed: &mut Recomputed,
) -> Result<()> {
    let node = graph.recording().nodes[index].clone();
    let wanted = node.outputs.iter().any(|id| graph.var(*id).needs_grad());
    if !wanted {
        return Ok(());
    }
    graph.set_scope(&node.layer);
    let grads: Vec<Option<Var<'g>>> = node.outputs.iter().map(|id| gradients.total(*id)).collect();
    let Some(gradient) = grads.iter().flatten().last().map(Var::id) else { return Ok(()) };
    if let Some(scope) = node.checkpoint {
        recomputed.enter(graph, scope, gradient);
    }
    let vars = |ids: &[TensorId]| ids.iter().map(|id| graph.var(recomputed.of(*id))).collect::<Vec<_>>();
    let cx = Backward { graph, inputs: vars(&node.inputs), outputs: vars(&node.outputs), grads };
    let contributions = node.op.backward(&cx);
    if let Some(error) = graph.error() {
        return Err(error);
    }
    let inputs = node.inputs.iter().map(|id| graph.var(*id));
    for (input, contribution) in inputs.zip(contributions) {
        let Some(contribution) = contribution.filter(|_| input.needs_grad()) else { continue };
        if contribution.shape() != input.shape() {
            let message =
                format!("its backward rule returned {} for an input of {}", contribution.shape(), input.shape());
            return Err(Error::Shape { op: node.op.name(), layer: node.layer, message });
        }
        gradients.add(input.id(), contribution);
    }
    Ok(())
}

/// Contributions to the gradient of each tensor, added in the order in which they came.
struct Gradients<'g> {
    graph: &'g Graph,
    parts: HashMap<TensorId, Vec<Var<'g>>>,
}

impl<'g> Gradients<'g> {
    fn add(&mut self, id: TensorId, part: Var<'g>) {
        self.parts.entry(id).or_default().push(part);
    }

    /// The sum of what came so far; contributions for `id` must all be in.
    fn total(&mut self, id: TensorId) -> Option<Var<'g>> {
        if !self.graph.var(id).needs_grad() {
            return None;
        }
        let parts = self.parts.remove(&id)?;
        let total = parts.into_iter().reduce(|sum, part| sum + part)?;
        self.parts.insert(id, vec![total]);
        Some(total)
    }
}
