//! What ops emit: dispatches over operands. Plain data; no GPU object is made here.

use crate::error::Error;
use crate::gpu::{Capabilities, CooperativeMatrices, KernelKey, MOST_MEMBERS};
use crate::graph::{Node, Precision, Recording, Shape, Tensor, TensorId};

/// What a dispatch binds.
#[derive(Debug, Clone)]
pub enum Operand {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// Scratch memory of the node that is being lowered.
    Workspace(usize),
    /// A buffer from outside the graph, from `offset` for `size` bytes.
    Buffer { buffer: wgpu::Buffer, offset: u64, size: u64 },
    /// Nothing: the kernel will not read it.
    Unused,
    /// One for each member of a launch, all in one buffer.
    Each(Vec<Operand>),
}

impl Operand {
    /// The tensors that it stands for.
    pub(super) fn tensors(&self) -> Vec<TensorId> {
        match self {
            Operand::Tensor(id) => vec![*id],
            Operand::Each(parts) => parts.iter().flat_map(Operand::tensors).collect(),
            Operand::Workspace(_) | Operand::Buffer { .. } | Operand::Unused => Vec::new(),
        }
    }
}

/// A member of a kernel's uniform block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// A `u32` member.
    U32(u32),
    /// An `i32` member.
    I32(i32),
    /// An `f32` member.
    F32(f32),
    /// The bits of one for each member of a launch.
    Each([u32; MOST_MEMBERS]),
}

impl Scalar {
    /// Its bits, the same for all members where there is one.
    pub(super) fn words(self) -> [u32; MOST_MEMBERS] {
        match self {
            Scalar::U32(value) => [value; MOST_MEMBERS],
            Scalar::I32(value) => [value as u32; MOST_MEMBERS],
            Scalar::F32(value) => [value.to_bits(); MOST_MEMBERS],
            Scalar::Each(words) => words,
        }
    }
}

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The shader and its constants.
    pub kernel: KernelKey,
    /// What is bound to each of the shader's variables; all but `dims` and `step` must be.
    pub bindings: Vec<(&'static str, Operand)>,
    /// Members of the shader's `dims`; all must be set.
    pub scalars: Vec<(&'static str, Scalar)>,
    /// Number of workgroups of each member, folded over two dimensions where they are more than one dimension holds.
    pub groups: u32,
    /// Op and layer, for profiles and errors.
    pub label: String,
    /// The node it belongs to; one for each member where siblings run as one launch.
    pub nodes: Vec<usize>,
    /// Its place among the node's dispatches: stages of independent nodes run side by side.
    pub stage: usize,
    /// It may as well run at the end of the plan.
    pub late: bool,
}

impl Dispatch {
    /// A launch of `groups` workgroups of `shader`.
    pub fn new(shader: &'static str, defines: &[(&str, u32)], groups: u32) -> Self {
        Dispatch {
            kernel: KernelKey::new(shader, defines),
            bindings: Vec::new(),
            scalars: Vec::new(),
            groups,
            label: shader.to_string(),
            nodes: vec![0],
            stage: 0,
            late: false,
        }
    }

    /// Binds `operand` to the shader's variable `name`.
    pub fn bind(mut self, name: &'static str, operand: Operand) -> Self {
        self.bindings.push((name, operand));
        self
    }

    /// Sets an unsigned member of the shader's `dims`.
    pub fn set(mut self, name: &'static str, value: usize) -> Self {
        self.scalars.push((name, Scalar::U32(value as u32)));
        self
    }

    /// Sets a signed member of `dims`.
    pub fn set_signed(mut self, name: &'static str, value: i64) -> Self {
        self.scalars.push((name, Scalar::I32(value as i32)));
        self
    }

    /// Sets a float member of `dims`.
    pub fn set_float(mut self, name: &'static str, value: f32) -> Self {
        self.scalars.push((name, Scalar::F32(value)));
        self
    }
}

/// Where an op's `lower` puts its dispatches.
pub struct Lower<'a> {
    pub(super) recording: &'a Recording,
    pub(super) node: &'a Node,
    pub(super) index: usize,
    pub(super) capabilities: &'a Capabilities,
    pub(super) dispatches: &'a mut Vec<Dispatch>,
    /// `(elements, node)` of every workspace of the plan.
    pub(super) workspaces: &'a mut Vec<(usize, usize)>,
    pub(super) stage: usize,
}

impl<'a> Lower<'a> {
    /// What the device can do.
    pub fn capabilities(&self) -> &'a Capabilities {
        self.capabilities
    }

    /// The cooperative matrices that products and convolutions may run on: in mixed precision, where the device was opened with them.
    pub fn cooperative_matrices(&self) -> Option<&CooperativeMatrices> {
        let mixed = self.recording.precision == Precision::Mixed;
        self.capabilities.cooperative_matrices().filter(|_| mixed)
    }

    /// The node's input `index`, to be bound.
    pub fn input(&self, index: usize) -> Operand {
        Operand::Tensor(self.node.inputs[index])
    }

    /// The node's output `index`, to be bound.
    pub fn output(&self, index: usize) -> Operand {
        Operand::Tensor(self.node.outputs[index])
    }

    /// How many inputs the node has.
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// What is known of input `index`.
    pub fn input_tensor(&self, index: usize) -> &Tensor {
        self.recording.tensor(self.node.inputs[index])
    }

    /// The shape of input `index`.
    pub fn input_shape(&self, index: usize) -> Shape {
        self.input_tensor(index).shape
    }

    /// The shape of output `index`.
    pub fn output_shape(&self, index: usize) -> Shape {
        self.recording.tensor(self.node.outputs[index]).shape
    }

    /// Whether anything reads output `index`: an op may skip writing one that nothing does.
    pub fn output_used(&self, index: usize) -> bool {
        let id = self.node.outputs[index];
        let read = self.recording.nodes.iter().any(|node| node.inputs.contains(&id));
        read || self.recording.outputs.iter().any(|(_, output)| *output == id)
    }

    /// Scratch memory of `elements` 4-byte elements that lives while this node runs.
    pub fn workspace(&mut self, elements: usize) -> Operand {
        self.workspaces.push((elements, self.index));
        Operand::Workspace(self.workspaces.len() - 1)
    }

    /// Adds a dispatch, after those that this node emitted before.
    pub fn emit(&mut self, mut dispatch: Dispatch) {
        let layer = &self.node.layer;
        let at = if layer.is_empty() { String::new() } else { format!(" @ {layer}") };
        let again = if self.node.recomputes() { " (recomputed)" } else { "" };
        dispatch.label = format!("{} [{}]{again}{at}", self.node.op.name(), dispatch.kernel.shader);
        dispatch.nodes = vec![self.index];
        dispatch.stage = self.stage;
        self.stage += 1;
        self.dispatches.push(dispatch);
    }

    /// An error about this node.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::Shape { op: self.node.op.name(), layer: self.node.layer.clone(), message: message.into() }
    }
}

/// `count` workgroups of one member as a grid that fits 65535 a dimension; kernels guard the surplus.
pub(super) fn fold(count: u32) -> [u32; 3] {
    const MOST: u32 = 65535;
    if count <= MOST {
        return [count.max(1), 1, 1];
    }
    let rows = count.div_ceil(MOST);
    [count.div_ceil(rows), rows, 1]
}

#[cfg(test)]
mod tests {
    #[test]
    fn folded_grids_cover_their_count_and_waste_less_than_a_row() {
        for count in [1, 65535, 65536, 65537, 131071, 1 << 24, 4_000_000_000] {
            let [x, y, _] = super::fold(count);
            assert!(x <= 65535 && y <= 65535);
            let cells = u64::from(x) * u64::from(y);
            assert!(cells >= u64::from(count) && cells - u64::from(count) < u64::from(y));
        }
    }
}
