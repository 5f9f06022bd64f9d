//! From a recording to an allocated plan: rewrites, order, memory, bind groups.

use super::group;
use super::late;
use super::levels;
use super::lives::{Bundles, Homes, Lives, Workspace};
use super::lower::{Dispatch, Lower, Operand};
use super::memory::{Slots, assign, lower_bound};
use super::program::{Location, Program};
use super::storage::{Memory, Storage, Whose, bytes};
use super::store::ParameterStore;
use super::texture_plan::TexturePlan;
use super::{MemoryReport, Mode, Plan, Port, StepUniform, autodiff, keep, loss_of, precision, rewrite};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, KernelKey};
use crate::graph::{Precision, Recording, TensorId};
use crate::ops::choices::Class;
use crate::ops::shape_ops;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Operations after which a submission is closed: on a discrete GPU of 1 TFLOP/s some 50 ms, on an integrated one of 50 GFLOP/s 100, where
/// watchdogs bite after 2 s.
const SUBMISSION_WORK: [u64; 2] = [50_000_000_000, 5_000_000_000];
/// Bytes, besides a twentieth, that the slots of a plan with groups may take more than those of one without.
const SPARE: u64 = 64 << 10;

/// A plan on paper: everything decided, nothing allocated.
pub(super) struct Draft {
    recording: Recording,
    storage: Storage,
    layout: Layout,
    textures: TexturePlan,
    pub(super) memory: MemoryReport,
}

/// What runs when and where its operands are.
struct Layout {
    dispatches: Vec<Dispatch>,
    lives: Lives,
    homes: Homes,
    /// Of the lives of `homes`.
    slots: Slots,
}

/// What a graph was lowered to, in no order.
struct Lowered {
    dispatches: Vec<Dispatch>,
    workspaces: Vec<Workspace>,
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
        let storage = Storage { root: rewrite::roots(&recording), gradients };
        let mut lowered = lower_all(store, &recording)?;
        if recording.precision == Precision::Mixed {
            precision::halve(&mut recording, &storage.root, &mut lowered.dispatches, &storage.gradients)?;
            precision::leave_out_copies(&mut lowered.dispatches, &mut lowered.workspaces);
        }
        let layout = Layout::choose(store, &recording, &storage, &lowered)?;
        let memory = report(store, &layout, &storage.gradients);
        let mut draft = Draft { recording, storage, layout, textures: TexturePlan::default(), memory };
        draft.textures =
            TexturePlan::new(store.gpu(), &draft.layout.dispatches, |operand| draft.on_paper(store, operand))?;
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
        let Layout { dispatches, homes, slots, .. } = &self.layout;
        check_fit(store, slots.bytes.iter().chain(homes.inputs.iter().map(|(bytes, _)| bytes)).copied())?;
        let (inputs, slots, step) = gpu.guarded("allocating a plan", || {
            let input =
                |(index, (bytes, _)): (usize, &(u64, Vec<usize>))| gpu.storage(&self.input_label(index), *bytes);
            let inputs: Vec<wgpu::Buffer> = homes.inputs.iter().enumerate().map(input).collect();
            let slot = |(index, bytes): (usize, &u64)| gpu.storage(&format!("slot {index}"), *bytes);
            let slots: Vec<wgpu::Buffer> = slots.bytes.iter().enumerate().map(slot).collect();
            let step = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("step"),
                size: size_of::<StepUniform>() as u64,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            (inputs, slots, step)
        })?;
        for chunk in self.storage.gradients.iter().map(|(parameter, _)| store.place(*parameter).chunk) {
            store.gradients(chunk)?;
        }
        let locate = |operand: &Operand| {
            let Location { buffer, offset, size } = self.on_paper(store, operand)?;
            let buffer = match buffer {
                Memory::Input(input) => inputs[input].clone(),
                Memory::Slot(slot) => slots[slot].clone(),
                Memory::Values(chunk) => store.chunks()[chunk].values.clone(),
                Memory::Gradients(chunk) => store.gradients(chunk).ok()?.clone(),
                Memory::Outside(buffer) => buffer,
            };
            Some(Location { buffer, offset, size })
        };
        let place = |id: TensorId| locate(&Operand::Tensor(id));
        let submissions = self.submissions(gpu);
        let program = Program::new(gpu, dispatches, &self.textures, &locate, &step)?;
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
            submissions,
            node_outputs,
            made: self.made(),
            trained: self.storage.gradients.iter().map(|(parameter, _)| *parameter).collect(),
            recording: self.recording,
        })
    }

    /// The dispatches of each submission: as many as an estimate of their work allows.
    fn submissions(&self, gpu: &Gpu) -> Vec<Range<usize>> {
        let [most, on_integrated] = SUBMISSION_WORK;
        let most = if Class::of(gpu.capabilities()) == Class::Integrated { on_integrated } else { most };
        // a node's work is that of its first dispatch
        let work = |dispatch: &Dispatch| match dispatch.stage {
            0 => dispatch.nodes.iter().map(|node| self.work(*node)).sum(),
            _ => 0,
        };
        cut(self.layout.dispatches.iter().map(work), most)
    }

    /// The node outputs that each dispatch is the last to bind of its node's.
    fn made(&self) -> Vec<Vec<TensorId>> {
        let dispatches = &self.layout.dispatches;
        let mut last: HashMap<TensorId, usize> = HashMap::new();
        for (index, dispatch) in dispatches.iter().enumerate() {
            let outputs: HashSet<&TensorId> =
                dispatch.nodes.iter().flat_map(|node| &self.recording.nodes[*node].outputs).collect();
            let bound = dispatch.bindings.iter().flat_map(|(_, operand)| operand.tensors());
            last.extend(bound.filter(|id| outputs.contains(id)).map(|id| (id, index)));
        }
        let mut made = vec![Vec::new(); dispatches.len()];
        last.into_iter().for_each(|(id, index)| made[index].push(id));
        made.iter_mut().for_each(|made| made.sort_unstable());
        made
    }

    /// Operations of a node, its memory traffic counted as some per element.
    fn work(&self, index: usize) -> u64 {
        let node = &self.recording.nodes[index];
        let touched = node.inputs.iter().chain(&node.outputs);
        let elements: usize = touched.map(|id| self.recording.tensor(*id).shape.len()).sum();
        self.recording.flops(index) + 20 * elements as u64
    }

    /// The names of the inputs that share a buffer.
    fn input_label(&self, index: usize) -> String {
        let (_, owners) = &self.layout.homes.inputs[index];
        // inputs are the first owners, in order
        let names: Vec<&str> = owners.iter().map(|owner| self.recording.inputs[*owner].0.as_str()).collect();
        names.join(", ")
    }

    /// Whose bytes an operand is; of several, from the first of them to the last.
    fn on_paper(&self, store: &ParameterStore, operand: &Operand) -> Option<Location<Memory>> {
        if let Operand::Each(parts) = operand {
            let parts: Vec<Location<Memory>> = parts.iter().filter_map(|part| self.on_paper(store, part)).collect();
            let offset = parts.iter().map(|part| part.offset).min()?;
            let end = parts.iter().map(|part| part.offset + part.size).max()?;
            return Some(Location { buffer: parts[0].buffer.clone(), offset, size: end - offset });
        }
        let Layout { lives, homes, slots, .. } = &self.layout;
        Some(match self.storage.whose(store, &self.recording, lives, operand)? {
            Whose::There(location) => location,
            Whose::Owner(owner) => {
                let (buffer, offset) = homes.place(owner, &slots.slot_of, &slots.offset_of);
                Location { buffer, offset, size: lives.owners[owner].life.bytes }
            }
        })
    }
}

impl Layout {
    /// Siblings run as one launch where the device gains by it, and side by side for its sake, unless that takes more memory.
    fn choose(store: &ParameterStore, recording: &Recording, storage: &Storage, lowered: &Lowered) -> Result<Self> {
        let earliest = levels::earliest(recording);
        let plain = Layout::new(store, recording, storage, lowered, (&earliest, false))?;
        if !store.gpu().capabilities().groups {
            return Ok(plain);
        }
        let mut kinds: Vec<Vec<(&KernelKey, u32)>> = vec![Vec::new(); recording.nodes.len()];
        for dispatch in &lowered.dispatches {
            kinds[dispatch.nodes[0]].push((&dispatch.kernel, dispatch.groups));
        }
        let aligned = levels::aligned(recording, |node| Some(&kinds[node]).filter(|kind| !kind.is_empty()));
        let most = plain.slots.total() + plain.slots.total() / 20 + SPARE;
        for levels in [&aligned, &earliest] {
            let layout = Layout::new(store, recording, storage, lowered, (levels, true))?;
            if layout.slots.total() <= most {
                return Ok(layout);
            }
        }
        Ok(plain)
    }

    /// With nodes at the levels given, and siblings grouped or not.
    fn new(
        store: &ParameterStore,
        recording: &Recording,
        storage: &Storage,
        lowered: &Lowered,
        (levels, grouped): (&[usize], bool),
    ) -> Result<Self> {
        let mut dispatches = lowered.dispatches.clone();
        let elements = |workspace: usize| lowered.workspaces[workspace].0;
        let kept = if grouped { late::mark(&mut dispatches, elements, storage) } else { HashSet::new() };
        let time = |dispatch: &Dispatch| match dispatch.late {
            true => (usize::MAX, 0),
            false => (levels[dispatch.nodes[0]], dispatch.stage),
        };
        dispatches.sort_by_key(|dispatch| (time(dispatch), dispatch.nodes[0]));
        let lives = Lives::new(recording, storage, levels, &lowered.workspaces, &kept);
        let mut bundles = Bundles::apart(lives.owners.len());
        let most = most_bytes(store);
        if grouped {
            let whose = |operand: &Operand| storage.whose(store, recording, &lives, operand);
            (dispatches, bundles) = group::group(&dispatches, time, &lives, whose, most)?;
        }
        let homes = Homes::new(&lives, &bundles);
        let slots = assign(&homes.lives, most);
        Ok(Layout { dispatches, lives, homes, slots })
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

/// Ranges of neighbours, each closed by what brings its `work` above `most`.
fn cut(work: impl Iterator<Item = u64>, most: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let (mut start, mut sum, mut end) = (0, 0, 0);
    for work in work {
        sum += work;
        end += 1;
        if sum > most {
            ranges.push(start..end);
            (start, sum) = (end, 0);
        }
    }
    if start < end {
        ranges.push(start..end);
    }
    ranges
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

fn lower_all(store: &ParameterStore, recording: &Recording) -> Result<Lowered> {
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
    Ok(Lowered { dispatches, workspaces })
}

fn report(store: &ParameterStore, layout: &Layout, gradients: &[(usize, TensorId)]) -> MemoryReport {
    let Layout { lives, homes, slots, .. } = layout;
    let needed = lives.owners.iter().filter(|owned| !owned.input).map(|owned| &owned.life);
    let mut chunks: Vec<usize> = gradients.iter().map(|(parameter, _)| store.place(*parameter).chunk).collect();
    chunks.sort_unstable();
    chunks.dedup();
    MemoryReport {
        inputs: homes.inputs.iter().map(|(bytes, _)| bytes).sum(),
        activations: slots.bytes.iter().sum(),
        activations_lower_bound: lower_bound(needed),
        textures: 0,
        parameters: store.bytes(),
        parameter_gradients: chunks.iter().map(|chunk| store.chunks()[*chunk].len as u64 * 4).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn submissions_close_once_they_hold_enough_and_leave_nothing_out() {
        assert_eq!(cut([3, 0, 4, 1, 9, 2].into_iter(), 5), [0..3, 3..5, 5..6]);
        assert!(cut([].into_iter(), 5).is_empty());
    }
}
