//! The graph: named ops over fixed shapes. Pure data; it knows no GPU.
//!
//! A model is written with [`Var`]s inside a [`Graph`]. A shape error does not interrupt the model's code: the first one is
//! kept with the path of the layer that was being built and returned when the graph is compiled.

mod account;
mod checkpoint;
mod parameters;
mod shape;
mod var;

pub use account::{LayerCount, gather};
pub use checkpoint::CheckpointScope;
pub use parameters::{Init, Parameter, ParameterSpec, Parameters, Part, Path, check_values};
pub use shape::{DType, LOSS_SCALE, MAX_RANK, Precision, Shape};
pub use var::{Scope, Var};

use crate::error::{Error, Result};
use crate::ops::Op;
use std::cell::{Ref, RefCell};
use std::sync::Arc;

/// A tensor of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(crate) u32);

impl TensorId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a tensor comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Written by the caller before each run.
    Input(String),
    /// The parameter with this index.
    Parameter(usize),
    /// Output `output` of node `node`.
    Node { node: usize, output: usize },
}

/// What is known of a tensor.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Sizes of its axes.
    pub shape: Shape,
    /// What its elements are.
    pub dtype: DType,
    /// Where it comes from.
    pub source: Source,
    /// Whether a gradient is wanted for it: it depends on a trainable parameter or on an input marked so.
    pub needs_grad: bool,
}

/// An op applied to tensors.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is done.
    pub op: Arc<dyn Op>,
    /// What it reads, in the op's order.
    pub inputs: Vec<TensorId>,
    /// What it makes, in the op's order.
    pub outputs: Vec<TensorId>,
    /// The path of the layer that made it.
    pub layer: String,
    /// The checkpoint scope that it is part of: [`Graph::checkpoint`].
    pub checkpoint: Option<u32>,
    /// Of a node that computes again what a checkpoint scope did not keep: tensors that must be there before it runs, though it does not
    /// read them. Empty for all others.
    pub after: Vec<TensorId>,
    /// Added by differentiation.
    pub backward: bool,
}

impl Node {
    /// Whether it computes again what the forward pass did not keep.
    pub fn recomputes(&self) -> bool {
        !self.after.is_empty()
    }
}

/// Everything that was recorded; what the plan compiles.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// By [`TensorId`].
    pub tensors: Vec<Tensor>,
    /// In an order in which they can run.
    pub nodes: Vec<Node>,
    /// Inputs in order of creation.
    pub inputs: Vec<(String, TensorId)>,
    /// Tensors that stay readable after a run, by name.
    pub outputs: Vec<(String, TensorId)>,
    /// Parameters in use.
    pub parameters: Vec<(usize, TensorId)>,
    /// Parameters that become an output's value when a training step is done, and the outputs' names.
    pub updates: Vec<(usize, String)>,
    /// How tensors are kept.
    pub precision: Precision,
}

impl Recording {
    /// What is known of `id`, which must be of this recording.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// The node that makes `id`, if one does.
    pub fn producer(&self, id: TensorId) -> Option<(usize, &Node)> {
        match self.tensor(id).source {
            Source::Node { node, .. } => Some((node, &self.nodes[node])),
            _ => None,
        }
    }

    /// For every tensor the nodes that read it, in order.
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = vec![Vec::new(); self.tensors.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                consumers[input.index()].push(index);
            }
        }
        consumers
    }
}

#[derive(Debug, Default)]
struct State {
    recording: Recording,
    scope: Vec<String>,
    error: Option<Error>,
    dropouts: u32,
    checkpoints: checkpoint::Checkpoints,
    /// The forward graph is complete; what is added now is its backward pass.
    backward: bool,
}

/// A graph under construction.
#[derive(Debug, Default)]
pub struct Graph {
    state: RefCell<State>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// A graph that goes on from `recording`; differentiation adds to the forward graph this way.
    pub fn resume(recording: Recording) -> Self {
        Graph { state: RefCell::new(State { recording, backward: true, ..State::default() }) }
    }

    /// How the plan of this graph keeps its tensors; 32-bit floats if nothing is said.
    pub fn set_precision(&self, precision: Precision) {
        self.state.borrow_mut().recording.precision = precision;
    }

    /// A float input of the given shape that the caller writes before each run.
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Var<'_> {
        self.typed_input(name, shape, DType::F32)
    }

    /// A 0/1 mask input (1 = valid).
    pub fn mask_input(&self, name: &str, shape: impl Into<Shape>) -> Var<'_> {
        self.typed_input(name, shape, DType::U32)
    }

    /// An input of any element type.
    pub fn typed_input(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let shape = self.usable("input", &format!("'{name}'"), shape.into());
        if self.state.borrow().recording.inputs.iter().any(|(other, _)| other == name) {
            self.fail("input", format!("two inputs are called '{name}'"));
        }
        let id = self.add_tensor(shape, dtype, Source::Input(name.to_string()), false);
        self.state.borrow_mut().recording.inputs.push((name.to_string(), id));
        Var::new(self, id)
    }

    /// A float input whose gradient is wanted too.
    pub fn input_with_grad(&self, name: &str, shape: impl Into<Shape>) -> Var<'_> {
        let var = self.input(name, shape);
        self.state.borrow_mut().recording.tensors[var.id().index()].needs_grad = true;
        var
    }

    /// A parameter, as a tensor. Asking twice gives the same one.
    pub fn parameter(&self, parameters: &Parameters, parameter: Parameter) -> Var<'_> {
        let known =
            self.state.borrow().recording.parameters.iter().find(|(index, _)| *index == parameter.index).copied();
        if let Some((_, id)) = known {
            return Var::new(self, id);
        }
        let spec = parameters.specs().get(parameter.index);
        let (name, trainable) = spec.map_or(("a parameter", false), |spec| (spec.name.as_str(), spec.trainable));
        let shape = self.usable("parameter", name, parameter.shape);
        let id = self.add_tensor(shape, DType::F32, Source::Parameter(parameter.index), trainable);
        self.state.borrow_mut().recording.parameters.push((parameter.index, id));
        Var::new(self, id)
    }

    /// Keeps `var` readable after a run, under `name`.
    pub fn output(&self, name: &str, var: Var<'_>) {
        if !self.owns(var) {
            return self.fail("output", format!("'{name}' is a tensor of another graph"));
        }
        if self.state.borrow().recording.outputs.iter().any(|(other, _)| other == name) {
            self.fail("output", format!("two outputs are called '{name}'"));
        }
        self.state.borrow_mut().recording.outputs.push((name.to_string(), var.id()));
    }

    /// Lets `parameter`, a buffer, be `value` once a training step is done ([`crate::train::Trainer`] does it; a [`crate::plan::Plan`] alone
    /// changes no parameter).
    pub fn update(&self, parameter: Var<'_>, value: Var<'_>) {
        let Source::Parameter(index) = self.recording().tensor(parameter.id()).source else {
            return self.fail("update", "only a parameter can be updated");
        };
        if parameter.needs_grad() {
            return self
                .fail("update", "a parameter that an optimiser changes cannot be set as well: make it a buffer");
        }
        if parameter.shape() != value.shape() || value.dtype() != DType::F32 {
            let (shape, given) = (parameter.shape(), value.shape());
            return self.fail("update", format!("the parameter is {shape}, its new value {given}"));
        }
        let name = format!("update/{index}");
        self.output(&name, value);
        self.state.borrow_mut().recording.updates.push((index, name));
    }

    /// Enters the layer `name`: nodes made until the guard is dropped carry its path.
    pub fn scope(&self, name: impl std::fmt::Display) -> Scope<'_> {
        self.state.borrow_mut().scope.push(name.to_string());
        Scope::new(self)
    }

    pub(crate) fn leave_scope(&self) {
        self.state.borrow_mut().scope.pop();
    }

    /// What the layer at `path` ("layer2.0.conv1", or "layer2" with all inside it) made last, if it made anything so far: for looking
    /// inside a model.
    pub fn made_by(&self, path: &str) -> Option<Var<'_>> {
        let under = |layer: &str| layer.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let recording = self.recording();
        let node = recording.nodes.iter().rev().find(|node| under(&node.layer))?;
        node.outputs.first().map(|id| Var::new(self, *id))
    }

    /// The path of the layer that is being built.
    pub fn layer(&self) -> String {
        self.state.borrow().scope.join(".")
    }

    /// A number that no other dropout of this graph has.
    pub(crate) fn dropout_key(&self) -> u32 {
        let mut state = self.state.borrow_mut();
        state.dropouts += 1;
        state.dropouts
    }

    /// Records an error about the layer that is being built; the first one wins.
    pub fn fail(&self, op: &'static str, message: impl Into<String>) {
        let layer = self.layer();
        let mut state = self.state.borrow_mut();
        state.error.get_or_insert(Error::Shape { op, layer, message: message.into() });
    }

    /// The error recorded so far.
    pub fn error(&self) -> Option<Error> {
        self.state.borrow().error.clone()
    }

    /// Applies `op`; returns its outputs. On a shape error the outputs have the shape of the first input (or a scalar) so that
    /// the model's code can go on until the error is returned.
    pub fn apply(&self, op: impl Op + 'static, inputs: &[Var<'_>]) -> Vec<Var<'_>> {
        self.apply_arc(Arc::new(op), inputs)
    }

    pub(crate) fn apply_arc(&self, op: Arc<dyn Op>, inputs: &[Var<'_>]) -> Vec<Var<'_>> {
        if !inputs.iter().all(|var| self.owns(*var)) {
            self.fail(op.name(), "an operand is a tensor of another graph");
            let shape = inputs.first().map_or(Shape::default(), Var::shape);
            let stand_in = || self.add_tensor(shape, DType::F32, Source::Input(String::new()), false);
            return (0..op.output_count()).map(|_| Var::new(self, stand_in())).collect();
        }
        let ids: Vec<TensorId> = inputs.iter().map(|var| var.id()).collect();
        let tensors: Vec<Tensor> = ids.iter().map(|id| self.state.borrow().recording.tensor(*id).clone()).collect();
        // after the first error shapes mean nothing any more: no rule is asked about them
        let inferred = if self.state.borrow().error.is_some() { None } else { Some(op.infer(&tensors)) };
        let outputs = match inferred {
            Some(Ok(outputs)) => outputs,
            failed => {
                if let Some(Err(message)) = failed {
                    self.fail(op.name(), message);
                }
                let stand_in = tensors.first().map_or(Shape::default(), |tensor| tensor.shape);
                vec![(stand_in, DType::F32); op.output_count()]
            }
        };
        let needs_grad = op.differentiable() && tensors.iter().any(|tensor| tensor.needs_grad);
        let node = self.state.borrow().recording.nodes.len();
        let ids_out: Vec<TensorId> = outputs
            .iter()
            .enumerate()
            .map(|(output, (shape, dtype))| {
                let shape = self.usable(op.name(), "the result", *shape);
                self.add_tensor(shape, *dtype, Source::Node { node, output }, needs_grad && dtype.is_float())
            })
            .collect();
        let layer = self.layer();
        let mut state = self.state.borrow_mut();
        let (checkpoint, backward) = (state.checkpoints.scope_of(&layer), state.backward);
        let node = Node { op, inputs: ids, outputs: ids_out.clone(), layer, checkpoint, after: Vec::new(), backward };
        state.recording.nodes.push(node);
        drop(state);
        ids_out.into_iter().map(|id| Var::new(self, id)).collect()
    }

    /// Applies an op with one output.
    pub fn apply_one(&self, op: impl Op + 'static, inputs: &[Var<'_>]) -> Var<'_> {
        self.apply(op, inputs)[0]
    }

    /// Adds `node` once more, over `inputs`, to run when the tensors `after` are there; returns its outputs.
    pub(crate) fn repeat(&self, node: &Node, inputs: Vec<TensorId>, after: &[TensorId]) -> Vec<TensorId> {
        let index = self.recording().nodes.len();
        let again = |(output, id): (usize, &TensorId)| {
            let Tensor { shape, dtype, needs_grad, .. } = self.recording().tensor(*id).clone();
            self.add_tensor(shape, dtype, Source::Node { node: index, output }, needs_grad)
        };
        let outputs: Vec<TensorId> = node.outputs.iter().enumerate().map(again).collect();
        let after = after.to_vec();
        let node = Node { inputs, outputs: outputs.clone(), checkpoint: None, after, backward: true, ..node.clone() };
        self.state.borrow_mut().recording.nodes.push(node);
        outputs
    }

    pub(crate) fn var(&self, id: TensorId) -> Var<'_> {
        Var::new(self, id)
    }

    pub(crate) fn set_scope(&self, layer: &str) {
        self.state.borrow_mut().scope = if layer.is_empty() { Vec::new() } else { vec![layer.to_string()] };
    }

    pub(crate) fn recording(&self) -> Ref<'_, Recording> {
        Ref::map(self.state.borrow(), |state| &state.recording)
    }

    /// What was recorded, or the first error.
    pub fn finish(self) -> Result<Recording> {
        let state = self.state.into_inner();
        match state.error {
            Some(error) => Err(error),
            None => Ok(state.recording),
        }
    }

    /// `shape`, or an error and a stand-in where an axis is 0 or there are more elements than can be counted.
    fn usable(&self, op: &'static str, what: &str, shape: Shape) -> Shape {
        let empty = shape.axes().contains(&0);
        if empty {
            self.fail(op, format!("{what} has the shape {shape}: every axis must be at least 1"));
        } else if !shape.is_countable() {
            self.fail(op, format!("{what} has the shape {shape}, more than any device holds: use a smaller batch"));
        } else {
            return shape;
        }
        (0..shape.rank()).fold(shape, |shape, axis| shape.with_axis(axis, 1))
    }

    /// Whether `var` was made by this graph: another's ids mean nothing here.
    fn owns(&self, var: Var<'_>) -> bool {
        std::ptr::eq(self, var.graph())
    }

    fn add_tensor(&self, shape: Shape, dtype: DType, source: Source, needs_grad: bool) -> TensorId {
        let mut state = self.state.borrow_mut();
        let id = TensorId(state.recording.tensors.len() as u32);
        state.recording.tensors.push(Tensor { shape, dtype, source, needs_grad });
        id
    }
}
