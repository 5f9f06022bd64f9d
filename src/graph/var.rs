//! A tensor as model code sees it. Ops are methods and operators on it; each op's file adds its own.

use super::{DType, Graph, Shape, TensorId};

/// A tensor of a graph under construction. Copying it copies a handle.
#[derive(Clone, Copy)]
pub struct Var<'g> {
    graph: &'g Graph,
    id: TensorId,
}

impl<'g> Var<'g> {
    pub(crate) fn new(graph: &'g Graph, id: TensorId) -> Self {
        Var { graph, id }
    }

    /// The graph that it belongs to.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    pub(crate) fn id(&self) -> TensorId {
        self.id
    }

    /// Sizes of its axes.
    pub fn shape(&self) -> Shape {
        self.graph.recording().tensor(self.id).shape
    }

    /// What its elements are.
    pub fn dtype(&self) -> DType {
        self.graph.recording().tensor(self.id).dtype
    }

    /// Whether a gradient will be computed for it.
    pub fn needs_grad(&self) -> bool {
        self.graph.recording().tensor(self.id).needs_grad
    }

    /// Keeps it readable after a run, under `name`.
    pub fn named(self, name: &str) -> Self {
        self.graph.output(name, self);
        self
    }
}

impl std::fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Var({}, {})", self.id.0, self.shape())
    }
}

/// Leaves the layer when dropped.
pub struct Scope<'g> {
    graph: &'g Graph,
}

impl<'g> Scope<'g> {
    pub(crate) fn new(graph: &'g Graph) -> Self {
        Scope { graph }
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        self.graph.leave_scope();
    }
}
