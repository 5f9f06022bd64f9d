//! A list of dispatches with their pipelines, bind groups and uniforms ready, replayed by re-encoding.

use super::lower::{Dispatch, Operand, Scalar, fold};
use super::profile::{Pass, ProfiledDispatch, medians, times};
use super::texture_plan::{TexturePlan, TextureRead};
use super::traffic::{Bound, Count, Traffic};
use crate::error::{Error, Result};
use crate::gpu::{BindingKind, Gpu, Kernel, KernelKey, MOST_MEMBERS, PLACES, TEXEL};
use std::ops::Range;
use std::sync::Arc;

/// Uniform blocks start at multiples of this: the portable offset alignment.
const UNIFORM_ALIGN: u64 = 256;

/// Where an operand's bytes are; on paper `B` is what stands for a buffer that is yet to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location<B = wgpu::Buffer> {
    /// The buffer, which others may share.
    pub buffer: B,
    /// First byte.
    pub offset: u64,
    /// Bytes, padded to a multiple of 16.
    pub size: u64,
}

impl<B: PartialEq> Location<B> {
    /// Whether some bytes are in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset < other.offset + other.size && other.offset < self.offset + self.size
    }
}

/// An operand on its way into the texture that a kernel reads it through.
struct Copy {
    from: Location,
    to: wgpu::Texture,
}

struct Step {
    /// For its textures and those of dispatches after it.
    copies: Vec<Copy>,
    kernel: Arc<Kernel>,
    bind_group: wgpu::BindGroup,
    groups: [u32; 3],
    /// Of all that is bound but uniforms.
    bytes: u64,
    label: String,
    nodes: Vec<usize>,
}

/// Compiled dispatches in order.
pub struct Program {
    gpu: Gpu,
    steps: Vec<Step>,
    traffic: Traffic,
    _uniforms: wgpu::Buffer,
}

impl Program {
    /// Compiles the kernels that `dispatches` need (in parallel) and makes their bind groups. `textures` was planned for the same
    /// dispatches; `locate` says where tensors and workspaces are; `step` is the uniform block that changes every step.
    pub fn new(
        gpu: &Gpu,
        dispatches: &[Dispatch],
        textures: &TexturePlan,
        locate: &dyn Fn(&Operand) -> Option<Location>,
        step: &wgpu::Buffer,
    ) -> Result<Self> {
        let keys: Vec<KernelKey> = dispatches.iter().map(|dispatch| dispatch.kernel.clone()).collect();
        let kernels = gpu.kernels(&keys)?;
        let (mut bytes, mut blocks) = (Vec::new(), Vec::with_capacity(dispatches.len()));
        for (dispatch, kernel) in dispatches.iter().zip(&kernels) {
            let begin = bytes.len();
            let size = kernel.reflection.binding("dims").map_or(0, |dims| dims.size);
            bytes.resize(begin + size.next_multiple_of(UNIFORM_ALIGN) as usize, 0u8);
            write_scalars(dispatch, kernel, locate, &mut bytes[begin..])?;
            blocks.push(begin as u64);
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
            let textures_of: Vec<wgpu::Texture> = textures.bytes.iter().map(|bytes| gpu.texture(*bytes)).collect();
            let binder = Binder {
                gpu,
                locate,
                step,
                uniforms: &uniforms,
                unused: &unused,
                views: textures_of.iter().map(|texture| texture.create_view(&Default::default())).collect(),
                unused_view: gpu.texture(TEXEL).create_view(&Default::default()),
            };
            let (mut steps, mut count) = (Vec::with_capacity(dispatches.len()), Count::default());
            for (((dispatch, kernel), reads), block) in dispatches.iter().zip(kernels).zip(&textures.reads).zip(blocks)
            {
                let bind_group = binder.bind(block, dispatch, &kernel, reads)?;
                let bound = binder.bound(dispatch, &kernel)?;
                let bytes = bound.iter().map(|bound| bound.bytes).sum();
                count.dispatch(bound);
                let [x, y, _] = fold(dispatch.groups);
                let (nodes, label) = (dispatch.nodes.clone(), dispatch.label.clone());
                let groups = [x, y, nodes.len() as u32];
                steps.push(Step { copies: Vec::new(), kernel, bind_group, groups, bytes, label, nodes });
                for read in reads {
                    let Some(step) = read.filled_before.and_then(|before| steps.get_mut(before)) else { continue };
                    let from = binder.location(dispatch, &read.binding)?;
                    step.copies.push(Copy { from, to: textures_of[read.texture].clone() });
                }
            }
            Ok(Program { gpu: gpu.clone(), steps, traffic: count.traffic, _uniforms: uniforms.clone() })
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

    /// Label of dispatch `index`, and the nodes that it computes: several where siblings run as one launch.
    pub fn describe(&self, index: usize) -> (&str, &[usize]) {
        (&self.steps[index].label, &self.steps[index].nodes)
    }

    /// What the dispatches ask of the GPU besides their arithmetic.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The kernel of each dispatch, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelKey> {
        self.steps.iter().map(|step| &step.kernel.key)
    }

    /// Records all dispatches.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.encode_range(encoder, 0..self.steps.len());
    }

    /// Records some of the dispatches, for work that is spread over frames or diagnosed step by step. Parts must run in order:
    /// a later one may read what an earlier one left.
    pub fn encode_range(&self, encoder: &mut wgpu::CommandEncoder, range: std::ops::Range<usize>) {
        self.record(encoder, range, |_, _| {});
    }

    /// Records dispatches, in one compute pass as long as nothing is to be copied; calls `mark` before the first, and after each
    /// with the number of those done.
    fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        range: std::ops::Range<usize>,
        mark: impl Fn(&mut wgpu::ComputePass<'_>, usize),
    ) {
        let Some(mut rest) = self.steps.get(range) else { return };
        let mut done = 0;
        while let Some((first, others)) = rest.split_first() {
            first.copies.iter().for_each(|copy| copy.record(encoder));
            let (steps, later) = rest.split_at(1 + others.iter().take_while(|step| step.copies.is_empty()).count());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            if done == 0 {
                mark(&mut pass, 0);
            }
            let mut current: Option<&wgpu::ComputePipeline> = None;
            for step in steps {
                if current != Some(&step.kernel.pipeline) {
                    pass.set_pipeline(&step.kernel.pipeline);
                    current = Some(&step.kernel.pipeline);
                }
                pass.set_bind_group(0, &step.bind_group, &[]);
                pass.dispatch_workgroups(step.groups[0], step.groups[1], step.groups[2]);
                done += 1;
                mark(&mut pass, done);
            }
            rest = later;
        }
    }

    /// The dispatches, in these `submissions`, with the GPU time of each, from timestamp queries: its median over `runs` runs, after one
    /// that does not count. They are taken for an update's, of no op and layer: a plan knows better.
    pub(crate) fn profile(&self, submissions: &[Range<usize>], runs: usize) -> Result<Vec<ProfiledDispatch>> {
        let record = |encoder: &mut wgpu::CommandEncoder, range, queries: &wgpu::QuerySet| {
            self.record(encoder, range, |pass, done| pass.write_timestamp(queries, done as u32));
        };
        let micros = medians(runs, || times(&self.gpu, submissions, record))?;
        let profiled = |(step, micros): (&Step, f64)| ProfiledDispatch {
            pass: Pass::Update,
            op: step.kernel.key.shader,
            layer: String::new(),
            kernel: step.kernel.key.clone(),
            workgroups: step.groups,
            op_flops: 0,
            bytes: step.bytes,
            micros,
        };
        Ok(self.steps.iter().zip(micros).map(profiled).collect())
    }
}

impl Copy {
    fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let row = u64::from(self.to.width());
        let texels = self.from.size / TEXEL;
        let (mut rows, mut rest) = (texels / row, texels % row);
        // one copy instead of two where the buffer goes on: nobody reads what the last row then holds beyond the operand
        let whole = texels.div_ceil(row);
        if rows > 0 && rest > 0 && self.from.offset + whole * row * TEXEL <= self.from.buffer.size() {
            (rows, rest) = (whole, 0);
        }
        let mut part = |y: u64, width: u64, height: u64| {
            let layout = wgpu::TexelCopyBufferLayout {
                offset: self.from.offset + y * row * TEXEL,
                bytes_per_row: (height > 1).then_some((row * TEXEL) as u32),
                rows_per_image: None,
            };
            let origin = wgpu::Origin3d { x: 0, y: y as u32, z: 0 };
            encoder.copy_buffer_to_texture(
                wgpu::TexelCopyBufferInfo { buffer: &self.from.buffer, layout },
                wgpu::TexelCopyTextureInfo { origin, ..self.to.as_image_copy() },
                wgpu::Extent3d { width: width as u32, height: height as u32, depth_or_array_layers: 1 },
            );
        };
        if rows > 0 {
            part(0, row, rows);
        }
        if rest > 0 {
            part(rows, rest, 1);
        }
    }
}

struct Binder<'a> {
    gpu: &'a Gpu,
    locate: &'a dyn Fn(&Operand) -> Option<Location>,
    step: &'a wgpu::Buffer,
    uniforms: &'a wgpu::Buffer,
    unused: &'a wgpu::Buffer,
    views: Vec<wgpu::TextureView>,
    unused_view: wgpu::TextureView,
}

impl Binder<'_> {
    /// Where what `dispatch` binds to `name` is.
    fn location(&self, dispatch: &Dispatch, name: &str) -> Result<Location> {
        let fault = |message: String| Error::Shader { shader: dispatch.label.clone(), message };
        let operand = dispatch.bindings.iter().find(|(bound, _)| *bound == name).map(|(_, operand)| operand);
        match operand.ok_or_else(|| fault(format!("nothing is bound to '{name}'")))? {
            Operand::Unused => Ok(Location { buffer: self.unused.clone(), offset: 0, size: UNIFORM_ALIGN }),
            operand => {
                (self.locate)(operand).ok_or_else(|| fault(format!("'{name}' is bound to a tensor without memory")))
            }
        }
    }

    /// What `dispatch` binds of the buffers that hold data, as `kernel` uses them.
    fn bound(&self, dispatch: &Dispatch, kernel: &Kernel) -> Result<Vec<Bound>> {
        let mut all = Vec::new();
        for (name, operand) in dispatch.bindings.iter().filter(|(_, operand)| !matches!(operand, Operand::Unused)) {
            let kind = kernel.reflection.binding(name).map(|binding| &binding.kind);
            let written = match kind {
                Some(BindingKind::Storage { read_only }) => !read_only,
                Some(BindingKind::Texture) => false,
                Some(BindingKind::Uniform { .. }) | None => continue,
            };
            let buffer = self.location(dispatch, name)?.buffer;
            let parts = match operand {
                Operand::Each(parts) => parts.as_slice(),
                operand => std::slice::from_ref(operand),
            };
            let bytes = parts.iter().filter_map(|part| Some((self.locate)(part)?.size)).sum();
            all.push(Bound { buffer, bytes, written });
        }
        Ok(all)
    }

    fn bind(&self, block: u64, dispatch: &Dispatch, kernel: &Kernel, reads: &[TextureRead]) -> Result<wgpu::BindGroup> {
        let fault = |message: String| Error::Shader { shader: dispatch.label.clone(), message };
        for (name, _) in &dispatch.bindings {
            if kernel.reflection.binding(name).is_none() {
                return Err(fault(format!("has no binding '{name}'")));
            }
        }
        let mut locations = Vec::with_capacity(kernel.reflection.bindings.len());
        for binding in &kernel.reflection.bindings {
            locations.push(match (&binding.kind, binding.name.as_str()) {
                (BindingKind::Uniform { .. }, "step") => {
                    Location { buffer: self.step.clone(), offset: 0, size: binding.size }
                }
                (BindingKind::Uniform { .. }, "dims") => {
                    Location { buffer: self.uniforms.clone(), offset: block, size: binding.size }
                }
                (_, name) => self.location(dispatch, name)?,
            });
        }
        let through = |name: &str| reads.iter().find(|read| read.binding == name).map(|read| &self.views[read.texture]);
        let resources =
            kernel.reflection.bindings.iter().zip(&locations).map(|(binding, location)| match binding.kind {
                BindingKind::Texture => {
                    wgpu::BindingResource::TextureView(through(&binding.name).unwrap_or(&self.unused_view))
                }
                _ => wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &location.buffer,
                    offset: location.offset,
                    size: std::num::NonZeroU64::new(location.size),
                }),
            });
        let numbers = kernel.reflection.bindings.iter().map(|binding| binding.index);
        let entries: Vec<wgpu::BindGroupEntry<'_>> =
            numbers.zip(resources).map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource }).collect();
        Ok(self.gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.label),
            layout: &kernel.layout,
            entries: &entries,
        }))
    }
}

/// Writes `dispatch`'s scalars where `kernel`'s `dims` block has them, and where the arrays of its members are. Every member of the
/// block must be given, and given its type.
fn write_scalars(
    dispatch: &Dispatch,
    kernel: &Kernel,
    locate: &dyn Fn(&Operand) -> Option<Location>,
    bytes: &mut [u8],
) -> Result<()> {
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
        let not_set = || fault(format!("its dims member '{}' was not set", field.name));
        let words = match field.name.strip_prefix(PLACES) {
            Some(array) => places(dispatch, array, locate).ok_or_else(not_set)?,
            None => {
                let scalar = dispatch.scalars.iter().find(|(name, _)| *name == field.name).ok_or_else(not_set)?.1;
                match (scalar, field.float, field.vector) {
                    (Scalar::U32(_) | Scalar::I32(_), false, false) | (Scalar::F32(_), true, false) => {}
                    (Scalar::Each(_), _, true) => {}
                    _ => return Err(fault(format!("its dims member '{}' is of another type", field.name))),
                }
                scalar.words()
            }
        };
        let written = if field.vector { &words[..] } else { &words[..1] };
        let at = field.offset as usize;
        bytes[at..at + 4 * written.len()].copy_from_slice(bytemuck::cast_slice(written));
    }
    Ok(())
}

/// Where each member's part of `array` begins, from the first of them on, in texels.
fn places(
    dispatch: &Dispatch,
    array: &str,
    locate: &dyn Fn(&Operand) -> Option<Location>,
) -> Option<[u32; MOST_MEMBERS]> {
    let (_, operand) = dispatch.bindings.iter().find(|(name, _)| *name == array)?;
    let Operand::Each(parts) = operand else { return None };
    let first = locate(operand)?.offset;
    let mut places = [0; MOST_MEMBERS];
    for (place, part) in places.iter_mut().zip(parts) {
        *place = ((locate(part)?.offset - first) / TEXEL) as u32;
    }
    Some(places)
}
