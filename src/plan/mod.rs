//! The static plan: graph -> backward -> rewrites -> memory -> dispatches -> run. Everything is made once; a run re-encodes
//! a list.

mod autodiff;
mod batch;
mod checkpoint;
mod group;
mod late;
mod levels;
mod lives;
mod lower;
mod memory;
mod precision;
mod profile;
mod program;
mod rewrite;
mod schedule;
mod storage;
mod store;
mod texture_plan;
#[cfg(feature = "weights")]
mod trace;
mod traffic;

pub use autodiff::{Differentiated, differentiate};
pub use batch::{Batch, Values};
pub use lower::{Dispatch, Lower, Operand, Scalar};
pub use memory::{Life, Slots, assign};
pub use profile::{Pass, Profile, ProfileRow, ProfiledDispatch};
pub use program::{Location, Program};
pub use store::{Chunk, ParameterStore, Place};
pub use texture_plan::{TexturePlan, TextureRead};
pub use traffic::Traffic;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Readback};
use crate::graph::{DType, Graph, Recording, Shape, Source, TensorId, Var};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// The block that kernels see as `step`: what changes from step to step.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct StepUniform {
    /// Seed of the run, for dropout.
    pub seed: u32,
    /// Number of the step, for dropout.
    pub index: u32,
    /// Zero; fills the block to 16 bytes.
    pub reserved: [u32; 2],
}

/// Bytes that a plan takes, by use. Known before anything is allocated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Buffers that the caller writes.
    pub inputs: u64,
    /// Activations and intermediate gradients, in shared slots.
    pub activations: u64,
    /// What the activations could not be less than: the most bytes alive at once.
    pub activations_lower_bound: u64,
    /// Textures that operands are copied into, where kernels read through those.
    pub textures: u64,
    /// Values of the store's parameters; plans over one store share them.
    pub parameters: u64,
    /// Gradients of those that the plan trains, shared likewise.
    pub parameter_gradients: u64,
}

impl MemoryReport {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.inputs + self.activations + self.textures + self.parameters + self.parameter_gradients
    }
}

/// What a run computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Kernel launches.
    pub dispatches: usize,
    /// Those of them that checkpoint scopes add: [`Graph::checkpoint`].
    pub recomputed_dispatches: usize,
    /// Floating-point operations of the products, as in [`crate::graph::LayerCount::flops`].
    pub flops: u64,
    /// Those of them that checkpoint scopes add.
    pub recomputed_flops: u64,
}

#[derive(Debug, Clone)]
struct Port {
    location: Location,
    shape: Shape,
    dtype: DType,
}

/// A compiled graph: write the inputs, run, read the outputs. Nothing is created per run.
pub struct Plan {
    gpu: Gpu,
    program: Program,
    inputs: HashMap<String, Port>,
    outputs: HashMap<String, Port>,
    step: wgpu::Buffer,
    memory: MemoryReport,
    recording: Recording,
    node_outputs: HashMap<TensorId, Location>,
    /// Node outputs that are there once a dispatch is done.
    made: Vec<Vec<TensorId>>,
    trained: Vec<usize>,
    submissions: Vec<Range<usize>>,
}

/// What a plan computes besides the graph's named outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The outputs only.
    #[default]
    Forward,
    /// Also the gradients of the output called `loss` with respect to every trainable parameter (in the store's gradient
    /// buffers) and to every input made with [`Graph::input_with_grad`] (as the output `grad/<input>`).
    Gradients,
}

impl Plan {
    /// Builds the graph with `build` and compiles it over `store`'s parameters.
    ///
    /// # Errors
    /// The first shape error of the graph, with its layer; [`Error::OutOfMemory`] where the plan exceeds the GPU's budget
    /// (before anything is allocated); what the driver says.
    pub fn new(store: &ParameterStore, mode: Mode, build: impl FnOnce(&Graph) -> Result<()>) -> Result<Self> {
        let graph = Graph::new();
        build(&graph)?;
        Self::compile(store, mode, graph.finish()?)
    }

    /// Compiles a finished graph.
    pub fn compile(store: &ParameterStore, mode: Mode, recording: Recording) -> Result<Self> {
        let draft = schedule::Draft::new(store, mode, recording)?;
        draft.allocate(store)
    }

    /// The memory that `build`'s graph would take over `store`, without allocating it.
    pub fn measure(
        store: &ParameterStore,
        mode: Mode,
        build: impl FnOnce(&Graph) -> Result<()>,
    ) -> Result<MemoryReport> {
        let graph = Graph::new();
        build(&graph)?;
        Ok(schedule::Draft::new(store, mode, graph.finish()?)?.memory)
    }

    /// The device that it was compiled for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The dispatches.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The graph as compiled.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// The bytes that it takes.
    pub fn memory(&self) -> MemoryReport {
        self.memory
    }

    /// What a run computes, and how much of it for the second time.
    pub fn work(&self) -> Work {
        let mut work = Work { dispatches: self.program.len(), ..Work::default() };
        let nodes = &self.recording.nodes;
        let recomputes = |index: &usize| self.program.describe(*index).1.iter().any(|node| nodes[*node].recomputes());
        work.recomputed_dispatches = (0..self.program.len()).filter(recomputes).count();
        for (index, node) in nodes.iter().enumerate() {
            let flops = self.recording.flops(index);
            work.flops += flops;
            work.recomputed_flops += if node.recomputes() { flops } else { 0 };
        }
        work
    }

    /// What a run asks of the GPU besides its arithmetic.
    pub fn traffic(&self) -> Traffic {
        self.program.traffic()
    }

    /// Parameters that receive a gradient, in order; empty for a forward plan.
    pub fn trained(&self) -> &[usize] {
        &self.trained
    }

    /// The uniform block that changes from step to step.
    pub fn step_buffer(&self) -> &wgpu::Buffer {
        &self.step
    }

    /// Sets the seed and step number that dropout draws from.
    pub fn set_step(&self, step: StepUniform) {
        self.gpu.queue().write_buffer(&self.step, 0, bytemuck::bytes_of(&step));
    }

    /// Names, shapes and element types of the inputs.
    pub fn input_names(&self) -> impl Iterator<Item = (&str, Shape, DType)> {
        self.inputs.iter().map(|(name, port)| (name.as_str(), port.shape, port.dtype))
    }

    /// Whether there is an input called `name`.
    pub fn has_input(&self, name: &str) -> bool {
        self.inputs.contains_key(name)
    }

    /// Writes a float input; it lands before the next run.
    pub fn write(&self, name: &str, values: &[f32]) -> Result<()> {
        self.write_bytes(name, DType::F32, values.len(), bytemuck::cast_slice(values))
    }

    /// Writes a mask, id or label input.
    pub fn write_u32(&self, name: &str, values: &[u32]) -> Result<()> {
        self.write_bytes(name, DType::U32, values.len(), bytemuck::cast_slice(values))
    }

    fn write_bytes(&self, name: &str, dtype: DType, len: usize, bytes: &[u8]) -> Result<()> {
        let port = self.input(name)?;
        if port.dtype != dtype || port.shape.len() != len {
            let message = format!(
                "the plan wants {} values of {:?} {}, got {len} of {dtype:?}",
                port.shape.len(),
                port.dtype,
                port.shape
            );
            return Err(Error::Tensor { name: name.to_string(), message });
        }
        self.gpu.queue().write_buffer(&port.location.buffer, port.location.offset, bytes);
        Ok(())
    }

    fn input(&self, name: &str) -> Result<&Port> {
        self.inputs.get(name).ok_or_else(|| unknown(name, "input", self.inputs.keys()))
    }

    fn output(&self, name: &str) -> Result<&Port> {
        self.outputs.get(name).ok_or_else(|| unknown(name, "output", self.outputs.keys()))
    }

    /// The buffer of an input, to copy into from an app's own encoder.
    pub fn input_location(&self, name: &str) -> Result<Location> {
        Ok(self.input(name)?.location.clone())
    }

    /// The buffer of an output, to draw from without a copy to the CPU.
    pub fn output_location(&self, name: &str) -> Result<(Location, Shape)> {
        let port = self.output(name)?;
        Ok((port.location.clone(), port.shape))
    }

    /// Records the plan into an app's own encoder.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.program.encode(encoder);
    }

    /// Records all but the last stretch of a run and submits them, so that no submission comes near a driver's watchdog and the GPU
    /// starts before recording ends; returns an encoder that holds the last stretch.
    pub fn begin(&self) -> wgpu::CommandEncoder {
        let encoder = || self.gpu.device().create_command_encoder(&Default::default());
        let mut last = encoder();
        for (index, range) in self.submissions.iter().enumerate() {
            self.program.encode_range(&mut last, range.clone());
            if index + 1 < self.submissions.len() {
                self.gpu.queue().submit([std::mem::replace(&mut last, encoder()).finish()]);
            }
        }
        last
    }

    /// Submits one run; does not wait.
    pub fn run(&self) -> Result<()> {
        self.gpu.check("running a plan")?;
        self.gpu.queue().submit([self.begin().finish()]);
        Ok(())
    }

    /// Starts reading an output back.
    pub fn read_async(&self, name: &str) -> Result<Readback> {
        let port = self.output(name)?;
        let size = (port.shape.len() * port.dtype.size()) as u64;
        self.gpu.read(&port.location.buffer, port.location.offset, size.next_multiple_of(4))
    }

    /// An output's values, waiting for them.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let (bytes, _) = self.read_async(name)?.wait()?;
        Ok(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes))
    }

    /// An integer output's values, waiting for them.
    pub fn read_u32(&self, name: &str) -> Result<Vec<u32>> {
        let (bytes, _) = self.read_async(name)?.wait()?;
        Ok(bytemuck::pod_collect_to_vec::<u8, u32>(&bytes))
    }

    /// Where a tensor that a node of [`Plan::recording`] makes lies. Another may take its place once nothing needs it.
    pub fn location(&self, tensor: TensorId) -> Option<&Location> {
        self.node_outputs.get(&tensor)
    }

    /// The shape of an output.
    pub fn output_shape(&self, name: &str) -> Result<Shape> {
        Ok(self.output(name)?.shape)
    }

    /// Runs dispatch by dispatch and returns op and layer of the first that writes a value that is not finite, or `None`.
    /// Slow: for finding out after a loss went wrong.
    pub fn first_non_finite(&self) -> Result<Option<String>> {
        for index in 0..self.program.len() {
            let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
            self.program.encode_range(&mut encoder, index..index + 1);
            self.gpu.queue().submit([encoder.finish()]);
            for id in &self.made[index] {
                let tensor = self.recording.tensor(*id);
                let Some(location) = self.node_outputs.get(id).filter(|_| tensor.dtype.is_float()) else { continue };
                let bytes = (tensor.shape.len() * tensor.dtype.size()) as u64;
                let read = self.gpu.read(&location.buffer, location.offset, bytes.next_multiple_of(4))?;
                let (values, _) = read.wait()?;
                if !all_finite(&values[..bytes as usize], tensor.dtype) {
                    return Ok(Some(self.blame(index, *id)));
                }
            }
        }
        Ok(None)
    }

    /// The label of a dispatch, of the member that makes `id` where it has several.
    fn blame(&self, index: usize, id: TensorId) -> String {
        let (label, nodes) = self.program.describe(index);
        match self.recording.producer(id) {
            Some((_, node)) if nodes.len() > 1 => format!("{} @ {}", node.op.name(), node.layer),
            _ => label.to_string(),
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({} dispatches, {} bytes)", self.program.len(), self.memory.total())
    }
}

fn unknown<'a>(name: &str, kind: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let mut known: Vec<&str> = known.map(String::as_str).collect();
    known.sort_unstable();
    Error::Tensor {
        name: name.to_string(),
        message: format!("the plan has no such {kind}; it has {}", known.join(", ")),
    }
}

/// Tensors that a plan must keep whatever the rewrites do.
fn keep(ids: impl IntoIterator<Item = TensorId>) -> HashSet<TensorId> {
    ids.into_iter().collect()
}

/// The loss of a graph: its output called `loss`.
fn loss_of(recording: &Recording) -> Result<TensorId> {
    let loss = recording.outputs.iter().find(|(name, _)| name == "loss");
    loss.map(|(_, id)| *id)
        .ok_or_else(|| Error::Config("a graph that is differentiated needs an output called 'loss'".to_string()))
}

impl<'g> Var<'g> {
    /// Marks this scalar as the loss that is differentiated.
    pub fn as_loss(self) -> Var<'g> {
        self.named("loss")
    }
}

/// Whether no float among `bytes` is infinite or NaN.
fn all_finite(bytes: &[u8], dtype: DType) -> bool {
    match dtype {
        DType::F16 => bytemuck::pod_collect_to_vec::<u8, u16>(bytes).iter().all(|half| half & 0x7c00 != 0x7c00),
        _ => bytemuck::pod_collect_to_vec::<u8, f32>(bytes).iter().all(|value| value.is_finite()),
    }
}

/// Whether a source has memory of its own before the plan runs.
fn is_external(source: &Source) -> bool {
    !matches!(source, Source::Node { .. })
}
