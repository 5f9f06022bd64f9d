//! From a recording to an allocated plan: rewrites, order, memory, bind groups.

use super::lower::{Dispatch, Lower, Operand};
use super::memory::{Life, Slots, assign};
use super::program::{Location, Program};
use super::store::ParameterStore;
use super::texture_plan::TexturePlan;
use super::{MemoryReport, Mode, Plan, Port, StepUniform, autodiff, is_external, keep, loss_of, precision, rewrite};
use crate::error::{Error, Result};
use crate::graph::{Precision, Recording, Source, TensorId};
use crate::ops::shape_ops;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Operations after which a submission is closed: some 50 ms on a GPU of 1 TFLOP/s, where watchdogs bite after 2 s.
const SUBMISSION_WORK: u64 = 50_000_000_000;

/// A plan on paper: everything decided, nothing allocated.
pub(super) struct Draft {
    recording: Recording,
    dispatches: Vec<Dispatch>,
    /// Storage of every node output: views share their input's.
    root: HashMap<TensorId, TensorId>,
    /// Of each root and workspace; `slots` go by the same numbers.
    lives: Lives,
    slots: Slots,
    gradients: Vec<(usize, TensorId)>,
    textures: TexturePlan,
    pub(super) memory: MemoryReport,
}

/// A buffer, before there is one.
#[derive(Debug, Clone, PartialEq)]
enum Memory {
    Input(TensorId),
    Slot(usize),
    /// Parameters of a chunk of the store.
    Values(usize),
    /// Their gradients.
    Gradients(usize),
    Outside(wgpu::Buffer),
}

/// Who owns a slot for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner {
    Tensor(TensorId),
    Workspace(usize),
}

impl Draft {
    pub(super) fn new(store: &ParameterStore, mode: Mode, recording: Recording) -> Result<Self> {
        check_parameters(store, &recording)?;
        let outputs = keep(recording.outputs.iter().map(|(_, id)| *id));
        let recording = rewrite::fuse(rewrite::prune(recording, &HashSet::new()), &outputs, mode == Mode::Forward);
        let (mut recording, gradients) = match mode {
            Mode::Forward => (recording, Vec::new()),
            Mode::Gradients => with_gradients(recording)?,
        };
        check_sizes(store, &recording)?;
        let root = rewrite::roots(&recording);
        let levels = levels(&recording);
        let (mut dispatches, mut workspaces) = lower_all(store, &recording)?;
        dispatches.sort_by_key(|dispatch| (levels[dispatch.node], dispatch.stage, dispatch.node));
        if recording.precision == Precision::Mixed {
            precision::halve(&mut recording, &root, &mut dispatches, &gradients)?;
            precision::leave_out_copies(&mut dispatches, &mut workspaces);
        }
        let lives = Lives::new(&recording, &root, &levels, &gradients, &workspaces);
        let slots = assign(&lives.lives, most_bytes(store));
        let memory = report(store, &recording, &slots, &gradients);
        let textures = TexturePlan::default();
        let mut draft = Draft { recording, dispatches, root, lives, slots, gradients, textures, memory };
        draft.textures = TexturePlan::new(store.gpu(), &draft.dispatches, |operand| draft.on_paper(store, operand))?;
        draft.memory.textures = draft.textures.allocated(store.gpu());
        Ok(draft)
    }

    /// Allocates, after comparing the need with the budget and each slot with the device's limits.
    pub(super) fn allocate(self, store: &ParameterStore) -> Result<Plan> {
        let gpu = store.gpu();
        if let Some(budget) = gpu.memory_budget().filter(|budget| self.memory.total() > *budget) {
            return Err(Error::OutOfMemory { needed: self.memory.total(), budget });
        }
        // tensors fit; a workspace may yet not
        check_fit(store, self.slots.bytes.iter().copied())?;
        let (inputs, slots, step) = gpu.guarded("allocating a plan", || {
            let input = |(name, id): &(String, TensorId)| (*id, gpu.storage(name, self.bytes(*id)));
            let inputs: HashMap<TensorId, wgpu::Buffer> = self.recording.inputs.iter().map(input).collect();
            let slot = |(index, bytes): (usize, &u64)| gpu.storage(&format!("slot {index}"), *bytes);
            let slots: Vec<wgpu::Buffer> = self.slots.bytes.iter().enumerate().map(slot).collect();
            let step = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("step"),
                size: size_of::<StepUniform>() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            (inputs, slots, step)
        })?;
        let locate = |operand: &Operand| {
            let Location { buffer, offset, size } = self.on_paper(store, operand)?;
            let buffer = match buffer {
                Memory::Input(id) => inputs.get(&id)?.clone(),
                Memory::Slot(slot) => slots[slot].clone(),
                Memory::Values(chunk) => store.chunks()[chunk].values.clone(),
                Memory::Gradients(chunk) => store.gradients(chunk).clone(),
                Memory::Outside(buffer) => buffer,
            };
            Some(Location { buffer, offset, size })
        };
        let place = |id: TensorId| locate(&Operand::Tensor(id));
        let program = Program::new(gpu, &self.dispatches, &self.textures, &locate, &step)?;
        let port = |(name, id): &(String, TensorId)| {
            let tensor = self.recording.tensor(*id);
            Some((name.clone(), Port { location: place(*id)?, shape: tensor.shape, dtype: tensor.dtype }))
        };
        let input_ports = self.recording.inputs.iter().filter_map(port).collect();
        let output_ports = self.recording.outputs.iter().filter_map(port).collect();
        let made = self.recording.nodes.iter().flat_map(|node| node.outputs.iter().copied());
        let node_outputs = made.filter_map(|id| Some((id, place(id)?))).collect();
        Ok(Plan {
            gpu: gpu.clone(),
            program,
            inputs: input_ports,
            outputs: output_ports,
            step,
            memory: self.memory,
            submissions: self.submissions(),
            node_outputs,
            trained: self.gradients.iter().map(|(parameter, _)| *parameter).collect(),
            recording: self.recording,
        })
    }

    /// The dispatches of each submission: as many as an estimate of their work allows.
    fn submissions(&self) -> Vec<std::ops::Range<usize>> {
        let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
        let (mut start, mut work) = (0, 0);
        for (index, dispatch) in self.dispatches.iter().enumerate() {
            if dispatch.stage == 0 {
                work += self.work(dispatch.node);
            }
            if work > SUBMISSION_WORK {
                ranges.push(start..index + 1);
                (start, work) = (index + 1, 0);
            }
        }
        if start < self.dispatches.len() {
            ranges.push(start..self.dispatches.len());
        }
        ranges
    }

    /// Operations of a node, its memory traffic counted as some per element.
    fn work(&self, index: usize) -> u64 {
        let node = &self.recording.nodes[index];
        let touched = node.inputs.iter().chain(&node.outputs);
        let elements: usize = touched.map(|id| self.recording.tensor(*id).shape.len()).sum();
        self.recording.flops(index) + 20 * elements as u64
    }

    fn bytes(&self, id: TensorId) -> u64 {
        bytes(&self.recording, id)
    }

    /// Whose bytes an operand is.
    fn on_paper(&self, store: &ParameterStore, operand: &Operand) -> Option<Location<Memory>> {
        match operand {
            Operand::Tensor(id) => self.tensor_on_paper(store, *id),
            Operand::Workspace(index) => self.place(Owner::Workspace(*index)),
            Operand::Buffer { buffer, offset, size } => {
                Some(Location { buffer: Memory::Outside(buffer.clone()), offset: *offset, size: *size })
            }
            Operand::Unused => None,
        }
    }

    fn tensor_on_paper(&self, store: &ParameterStore, id: TensorId) -> Option<Location<Memory>> {
        let root = self.root.get(&id).copied().unwrap_or(id);
        let size = self.bytes(root);
        let of_parameter = |parameter: usize, memory: fn(usize) -> Memory| {
            let place = store.place(parameter);
            Location { buffer: memory(place.chunk), offset: place.offset as u64 * 4, size }
        };
        if let Some((parameter, _)) = self.gradients.iter().find(|(_, gradient)| *gradient == root) {
            return Some(of_parameter(*parameter, Memory::Gradients));
        }
        Some(match &self.recording.tensor(root).source {
            Source::Input(_) => Location { buffer: Memory::Input(root), offset: 0, size },
            Source::Parameter(parameter) => of_parameter(*parameter, Memory::Values),
            Source::Node { .. } => return self.place(Owner::Tensor(root)),
        })
    }

    /// Where in the slots an owner's bytes are.
    fn place(&self, owner: Owner) -> Option<Location<Memory>> {
        let life = *self.lives.index.get(&owner)?;
        let buffer = Memory::Slot(self.slots.slot_of[life]);
        Some(Location { buffer, offset: self.slots.offset_of[life], size: self.lives.lives[life].bytes })
    }
}

/// Every parameter of the graph must be the store's, at its place and of its shape.
fn check_parameters(store: &ParameterStore, recording: &Recording) -> Result<()> {
    let specs = store.parameters().specs();
    for (index, id) in &recording.parameters {
        let wanted = recording.tensor(*id).shape;
        let Some(spec) = specs.get(*index) else {
            let count = specs.len();
            let message =
                format!("the graph uses parameter {index}, the store has {count}: they are of different models");
            return Err(Error::Config(message));
        };
        if spec.shape != wanted {
            let message = format!(
                "the graph uses this parameter as {wanted}, the store has {}: they are of different models",
                spec.shape
            );
            return Err(Error::Tensor { name: spec.name.clone(), message });
        }
    }
    Ok(())
}

/// Every tensor must fit a buffer binding. Checked before ops are lowered, so that what they count stays far from overflow.
fn check_sizes(store: &ParameterStore, recording: &Recording) -> Result<()> {
    let inputs = recording.inputs.iter().map(|(_, id)| id);
    let made = recording.nodes.iter().flat_map(|node| &node.outputs);
    check_fit(store, inputs.chain(made).map(|id| bytes(recording, *id)))
}

fn check_fit(store: &ParameterStore, sizes: impl Iterator<Item = u64>) -> Result<()> {
    let most = most_bytes(store);
    match sizes.max().filter(|bytes| *bytes > most) {
        Some(needed) => Err(Error::OutOfMemory { needed, budget: most }),
        None => Ok(()),
    }
}

/// The most bytes that a buffer may have and be bound whole.
fn most_bytes(store: &ParameterStore) -> u64 {
    let limits = &store.gpu().capabilities().limits;
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
}

/// A tensor's bytes as allocated: at least 16, in multiples of 16, so that vec4 bindings fit.
fn bytes(recording: &Recording, id: TensorId) -> u64 {
    let tensor = recording.tensor(id);
    ((tensor.shape.len() * tensor.dtype.size()) as u64).max(16).next_multiple_of(16)
}

/// Differentiates, and gives every parameter's gradient a tensor of its own that can be placed in the store.
fn with_gradients(recording: Recording) -> Result<(Recording, Vec<(usize, TensorId)>)> {
    let loss = loss_of(&recording)?;
    let differentiated = autodiff::differentiate(recording, loss)?;
    let mut recording = differentiated.recording;
    for (name, gradient) in differentiated.inputs {
        recording.outputs.push((format!("grad/{name}"), gradient));
    }
    let named = keep(recording.outputs.iter().map(|(_, id)| *id));
    let mut placed = HashSet::new();
    let mut gradients = Vec::new();
    for (parameter, gradient) in differentiated.parameters {
        let own = own_storage(&recording, gradient, &named).filter(|id| placed.insert(*id));
        let tensor = own.unwrap_or_else(|| {
            let layer = recording.producer(gradient).map(|(_, node)| node.layer.clone()).unwrap_or_default();
            rewrite::copy_of(&mut recording, gradient, Arc::new(shape_ops::Copy), layer)
        });
        gradients.push((parameter, tensor));
    }
    let mut kept = keep(gradients.iter().map(|(_, id)| *id));
    let recording = rewrite::prune(recording, &kept);
    kept.extend(recording.outputs.iter().map(|(_, id)| *id));
    Ok((rewrite::fuse(recording, &kept, true), gradients))
}

/// The tensor that holds `gradient`'s elements (itself, or what it is a view of), if nothing else reads them.
fn own_storage(recording: &Recording, gradient: TensorId, named: &HashSet<TensorId>) -> Option<TensorId> {
    let mut id = gradient;
    let mut reader = None;
    loop {
        let other = |(index, node): (usize, &crate::graph::Node)| Some(index) != reader && node.inputs.contains(&id);
        if named.contains(&id) || recording.nodes.iter().enumerate().any(other) {
            return None;
        }
        let (index, node) = recording.producer(id)?;
        if !node.op.is_view() {
            return Some(id);
        }
        reader = Some(index);
        id = node.inputs[0];
    }
}

/// The earliest level at which each node can run: one after the last of its inputs and of what it waits for.
fn levels(recording: &Recording) -> Vec<usize> {
    let mut levels = vec![0; recording.nodes.len()];
    for (index, node) in recording.nodes.iter().enumerate() {
        let after = |id: &TensorId| match recording.tensor(*id).source {
            Source::Node { node, .. } => levels[node] + 1,
            _ => 0,
        };
        levels[index] = node.inputs.iter().chain(&node.after).map(after).max().unwrap_or(0);
    }
    levels
}

/// Elements of a workspace, and the node that it serves.
pub(super) type Workspace = (usize, usize);

fn lower_all(store: &ParameterStore, recording: &Recording) -> Result<(Vec<Dispatch>, Vec<Workspace>)> {
    let (mut dispatches, mut workspaces) = (Vec::new(), Vec::new());
    for (index, node) in recording.nodes.iter().enumerate() {
        if node.op.is_view() {
            continue;
        }
        let mut lower = Lower {
            recording,
            node,
            index,
            capabilities: store.gpu().capabilities(),
            dispatches: &mut dispatches,
            workspaces: &mut workspaces,
            stage: 0,
        };
        node.op.lower(&mut lower)?;
    }
    Ok((dispatches, workspaces))
}

struct Lives {
    lives: Vec<Life>,
    index: HashMap<Owner, usize>,
}

impl Lives {
    fn new(
        recording: &Recording,
        root: &HashMap<TensorId, TensorId>,
        levels: &[usize],
        gradients: &[(usize, TensorId)],
        workspaces: &[(usize, usize)],
    ) -> Self {
        let end = levels.iter().max().map_or(0, |last| last + 1);
        let placed = keep(gradients.iter().map(|(_, id)| *id));
        let mut lives = Lives { lives: Vec::new(), index: HashMap::new() };
        for (node_index, node) in recording.nodes.iter().enumerate() {
            for id in node.outputs.iter().chain(&node.inputs) {
                let id = root.get(id).copied().unwrap_or(*id);
                if !is_external(&recording.tensor(id).source) && !placed.contains(&id) {
                    lives.touch(Owner::Tensor(id), bytes(recording, id), levels[node_index]);
                }
            }
        }
        for (_, id) in &recording.outputs {
            let id = root.get(id).copied().unwrap_or(*id);
            if lives.index.contains_key(&Owner::Tensor(id)) {
                lives.touch(Owner::Tensor(id), 0, end);
            }
        }
        for (index, (elements, node)) in workspaces.iter().enumerate() {
            let bytes = (*elements as u64 * 4).max(16).next_multiple_of(16);
            lives.touch(Owner::Workspace(index), bytes, levels[*node]);
        }
        for life in &mut lives.lives {
            life.bound.sort_unstable();
            life.bound.dedup();
        }
        lives
    }

    fn touch(&mut self, owner: Owner, bytes: u64, level: usize) {
        let next = self.lives.len();
        let index = *self.index.entry(owner).or_insert(next);
        if index == next {
            self.lives.push(Life { bytes, first: level, last: level, bound: Vec::new() });
        }
        let life = &mut self.lives[index];
        life.first = life.first.min(level);
        life.last = life.last.max(level);
        life.bound.push(level);
    }
}

fn report(
    store: &ParameterStore,
    recording: &Recording,
    slots: &Slots,
    gradients: &[(usize, TensorId)],
) -> MemoryReport {
    let mut chunks: Vec<usize> = gradients.iter().map(|(parameter, _)| store.place(*parameter).chunk).collect();
    chunks.sort_unstable();
    chunks.dedup();
    MemoryReport {
        inputs: recording.inputs.iter().map(|(_, id)| bytes(recording, *id)).sum(),
        activations: slots.bytes.iter().sum(),
        activations_lower_bound: slots.lower_bound,
        textures: 0,
        parameters: store.bytes(),
        parameter_gradients: chunks.iter().map(|chunk| store.chunks()[*chunk].len as u64 * 4).sum(),
    }
}
