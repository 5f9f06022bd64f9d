//! A list of dispatches with their pipelines, bind groups and uniforms ready, replayed by re-encoding.

use super::lower::{Dispatch, Operand, Scalar, fold};
use crate::error::{Error, Result};
use crate::gpu::{BindingKind, Gpu, Kernel, KernelKey};
use std::sync::Arc;

/// Uniform blocks start at multiples of this: the portable offset alignment.
const UNIFORM_ALIGN: u64 = 256;

/// Where an operand's bytes are.
#[derive(Debug, Clone)]
pub struct Location {
    /// The buffer, which others may share.
    pub buffer: wgpu::Buffer,
    /// First byte.
    pub offset: u64,
    /// Bytes, padded to a multiple of 16.
    pub size: u64,
}

struct Step {
    kernel: Arc<Kernel>,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    label: String,
    node: usize,
}

/// Compiled dispatches in order.
pub struct Program {
    gpu: Gpu,
    steps: Vec<Step>,
    _uniforms: wgpu::Buffer,
}

impl Program {
    /// Compiles the kernels that `dispatches` need (in parallel) and makes their bind groups. `locate` says where tensors and
    /// workspaces are; `step` is the uniform block that changes every step.
    pub fn new(
        gpu: &Gpu,
        dispatches: &[Dispatch],
        locate: &dyn Fn(&Operand) -> Option<Location>,
        step: &wgpu::Buffer,
    ) -> Result<Self> {
        let keys: Vec<KernelKey> = dispatches.iter().map(|dispatch| dispatch.kernel.clone()).collect();
        let kernels = gpu.kernels(&keys)?;
        let mut bytes = vec![0u8; dispatches.len() * UNIFORM_ALIGN as usize];
        for (slice, (dispatch, kernel)) in bytes.chunks_mut(UNIFORM_ALIGN as usize).zip(dispatches.iter().zip(&kernels))
        {
            write_scalars(dispatch, kernel, slice)?;
        }
        gpu.guarded("preparing a plan", || {
            let uniforms = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("dims"),
                size: (bytes.len() as u64).max(UNIFORM_ALIGN),
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            gpu.queue().write_buffer(&uniforms, 0, &bytes);
            let unused = gpu.storage("unused", UNIFORM_ALIGN);
            let binder = Binder { gpu, locate, step, uniforms: &uniforms, unused: &unused };
            let mut steps = Vec::with_capacity(dispatches.len());
            for (index, (dispatch, kernel)) in dispatches.iter().zip(kernels).enumerate() {
                let bind_group = binder.bind(index, dispatch, &kernel)?;
                let (groups, label) = (fold(dispatch.groups), dispatch.label.clone());
                steps.push(Step { kernel, bind_group, groups, label, node: dispatch.node });
            }
            Ok(Program { gpu: gpu.clone(), steps, _uniforms: uniforms.clone() })
        })?
    }

    /// Number of dispatches.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Label and node of dispatch `index`.
    pub fn describe(&self, index: usize) -> (&str, usize) {
        (&self.steps[index].label, self.steps[index].node)
    }

    /// The kernel of each dispatch, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelKey> {
        self.steps.iter().map(|step| &step.kernel.key)
    }

    /// Records all dispatches in one compute pass.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.encode_range(encoder, 0..self.steps.len());
    }

    /// Records some of the dispatches, for work that is spread over frames or diagnosed step by step.
    pub fn encode_range(&self, encoder: &mut wgpu::CommandEncoder, range: std::ops::Range<usize>) {
        let Some(steps) = self.steps.get(range) else { return };
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut current: Option<&wgpu::ComputePipeline> = None;
        for step in steps {
            if current != Some(&step.kernel.pipeline) {
                pass.set_pipeline(&step.kernel.pipeline);
                current = Some(&step.kernel.pipeline);
            }
            pass.set_bind_group(0, &step.bind_group, &[]);
            pass.dispatch_workgroups(step.groups[0], step.groups[1], step.groups[2]);
        }
    }

    /// Microseconds of GPU time of each dispatch, from timestamp queries; one submission, waited for.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the adapter has no timestamps between dispatches.
    pub fn profile(&self) -> Result<Vec<f64>> {
        super::profile::profile(&self.gpu, self.steps.len(), |pass, index| {
            let step = &self.steps[index];
            pass.set_pipeline(&step.kernel.pipeline);
            pass.set_bind_group(0, &step.bind_group, &[]);
            pass.dispatch_workgroups(step.groups[0], step.groups[1], step.groups[2]);
        })
    }
}

struct Binder<'a> {
    gpu: &'a Gpu,
    locate: &'a dyn Fn(&Operand) -> Option<Location>,
    step: &'a wgpu::Buffer,
    uniforms: &'a wgpu::Buffer,
    unused: &'a wgpu::Buffer,
}

impl Binder<'_> {
    fn bind(&self, index: usize, dispatch: &Dispatch, kernel: &Kernel) -> Result<wgpu::BindGroup> {
        let fault = |message: String| Error::Shader { shader: dispatch.label.clone(), message };
        for (name, _) in &dispatch.bindings {
            if kernel.reflection.binding(name).is_none() {
                return Err(fault(format!("has no binding '{name}'")));
            }
        }
        let mut entries = Vec::with_capacity(kernel.reflection.bindings.len());
        for binding in &kernel.reflection.bindings {
            let location = match (&binding.kind, binding.name.as_str()) {
                (BindingKind::Uniform { .. }, "step") => {
                    Location { buffer: self.step.clone(), offset: 0, size: binding.size }
                }
                (BindingKind::Uniform { .. }, "dims") => {
                    Location { buffer: self.uniforms.clone(), offset: index as u64 * UNIFORM_ALIGN, size: binding.size }
                }
                (_, name) => {
                    let operand =
                        dispatch.bindings.iter().find(|(bound, _)| *bound == name).map(|(_, operand)| operand);
                    let operand = operand.ok_or_else(|| fault(format!("nothing is bound to '{name}'")))?;
                    match operand {
                        Operand::Unused => Location { buffer: self.unused.clone(), offset: 0, size: UNIFORM_ALIGN },
                        operand => (self.locate)(operand)
                            .ok_or_else(|| fault(format!("'{name}' is bound to a tensor without memory")))?,
                    }
                }
            };
            entries.push((binding.index, location));
        }
        let entries: Vec<wgpu::BindGroupEntry<'_>> = entries
            .iter()
            .map(|(binding, location)| wgpu::BindGroupEntry {
                binding: *binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &location.buffer,
                    offset: location.offset,
                    size: std::num::NonZeroU64::new(location.size),
                }),
            })
            .collect();
        Ok(self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &kernel.layout,
            entries: &entries,
        }))
    }
}

/// Writes `dispatch`'s scalars where `kernel`'s `dims` block has them. Every member must be given, and given its type.
fn write_scalars(dispatch: &Dispatch, kernel: &Kernel, bytes: &mut [u8]) -> Result<()> {
    let fault = |message: String| Error::Shader { shader: dispatch.label.clone(), message };
    let fields = match kernel.reflection.binding("dims").map(|binding| &binding.kind) {
        Some(BindingKind::Uniform { fields }) => fields.as_slice(),
        _ => &[],
    };
    for (name, _) in &dispatch.scalars {
        if !fields.iter().any(|field| field.name == *name) {
            return Err(fault(format!("its dims have no member '{name}'")));
        }
    }
    for field in fields {
        let scalar = dispatch.scalars.iter().find(|(name, _)| *name == field.name);
        let Some((_, scalar)) = scalar else {
            return Err(fault(format!("its dims member '{}' was not set", field.name)));
        };
        let word = match (scalar, field.float) {
            (Scalar::U32(value), false) => *value,
            (Scalar::I32(value), false) => *value as u32,
            (Scalar::F32(value), true) => value.to_bits(),
            _ => return Err(fault(format!("its dims member '{}' is of another type", field.name))),
        };
        let at = field.offset as usize;
        let slot = bytes.get_mut(at..at + 4).ok_or_else(|| fault("its dims are larger than 256 bytes".to_string()))?;
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Ok(())
}
