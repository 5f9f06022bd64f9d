//! Kernels: a shader with its constants, compiled; its bindings are read off the module, never typed twice.

use super::{FORMAT, Gpu, Members, halves, hide_uniforms, members, preprocess};
use crate::error::{Error, Result};
use crate::shaders;

/// A shader's name and the constants it is specialised with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KernelKey {
    /// The file in `shaders/`, without its ending.
    pub shader: &'static str,
    /// Constants that replace the file's defaults, sorted by name.
    pub defines: Vec<(String, u32)>,
    /// Arrays that hold 16-bit floats instead of 32-bit ones, sorted.
    pub halves: Vec<String>,
    /// What siblings that run as one launch have of their own.
    pub members: Members,
}

impl KernelKey {
    /// The key of `shader` with `defines`, in any order.
    pub fn new(shader: &'static str, defines: &[(&str, u32)]) -> Self {
        let mut defines: Vec<_> = defines.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        defines.sort();
        KernelKey { shader, defines, halves: Vec::new(), members: Members::default() }
    }

    /// The WGSL that this key stands for.
    pub fn wgsl(&self) -> Result<String> {
        let fault = |message: String| Error::Shader { shader: self.to_string(), message };
        let source = shaders::source(self.shader).ok_or_else(|| fault("there is no such file".to_string()))?;
        let wgsl = preprocess(source, &self.defines, &shaders::shared).map_err(fault)?;
        let wgsl = if self.halves.is_empty() { wgsl } else { halves::rewrite(&wgsl, &self.halves).map_err(fault)? };
        if self.members.is_empty() { Ok(wgsl) } else { members::rewrite(&wgsl, &self.members).map_err(fault) }
    }
}

impl std::fmt::Display for KernelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.shader)?;
        for (name, value) in &self.defines {
            write!(f, " {name}={value}")?;
        }
        if !self.halves.is_empty() {
            write!(f, " halves={}", self.halves.join(","))?;
        }
        if !self.members.is_empty() {
            let own: Vec<&str> = self.members.arrays.iter().chain(&self.members.scalars).map(String::as_str).collect();
            write!(f, " members={}", own.join(","))?;
        }
        Ok(())
    }
}

/// A scalar member of a uniform block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The member's name in the shader.
    pub name: String,
    /// Bytes from the start of the block.
    pub offset: u32,
    /// An f32, rather than a u32 or i32.
    pub float: bool,
    /// Four of them, one for each member of a launch.
    pub vector: bool,
}

/// What a binding holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingKind {
    /// A storage buffer, an array.
    Storage { read_only: bool },
    /// A texture that holds a copy of an array.
    Texture,
    /// A uniform block of scalars.
    Uniform { fields: Vec<Field> },
}

/// A binding as the shader declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The variable's name in the shader.
    pub name: String,
    /// Its number in group 0.
    pub index: u32,
    /// Storage or uniform.
    pub kind: BindingKind,
    /// The least bytes that must be bound.
    pub size: u64,
}

/// What a module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reflection {
    /// Sorted by number; those that the entry point does not use are left out.
    pub bindings: Vec<Binding>,
    /// Invocations along each axis.
    pub workgroup_size: [u32; 3],
    /// Workgroup memory.
    pub workgroup_bytes: u32,
}

impl Reflection {
    /// The binding of the shader's variable `name`.
    pub fn binding(&self, name: &str) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.name == name)
    }
}

/// Parses and validates `wgsl` and reads its bindings.
pub fn reflect(wgsl: &str) -> Result<(naga::Module, Reflection), String> {
    // the second is what unpack2x16float asks for: all of Vulkan, Metal and DX12 have it
    let mut capabilities = naga::valid::Capabilities::SUBGROUP | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    if wgsl.contains("enable f16;") {
        capabilities |= naga::valid::Capabilities::SHADER_FLOAT16;
    }
    if wgsl.contains("enable wgpu_cooperative_matrix;") {
        capabilities |= naga::valid::Capabilities::COOPERATIVE_MATRIX;
    }
    let options = naga::front::wgsl::Options { parse_doc_comments: false, capabilities };
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(wgsl)
        .map_err(|error| error.emit_to_string(wgsl))?;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities);
    validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all());
    let info = validator.validate(&module).map_err(|error| error.emit_to_string(wgsl))?;
    let entry = module.entry_points.first().ok_or("no entry point")?;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| error.to_string())?;
    let mut reflection = Reflection { bindings: Vec::new(), workgroup_size: entry.workgroup_size, workgroup_bytes: 0 };
    for (handle, global) in module.global_variables.iter() {
        if info.get_entry_point(0)[handle].is_empty() {
            continue;
        }
        let inner = &module.types[global.ty].inner;
        let kind = match global.space {
            naga::AddressSpace::Storage { access } => {
                BindingKind::Storage { read_only: !access.contains(naga::StorageAccess::STORE) }
            }
            naga::AddressSpace::Uniform => BindingKind::Uniform { fields: fields(&module, inner) },
            naga::AddressSpace::Handle => BindingKind::Texture,
            naga::AddressSpace::WorkGroup => {
                reflection.workgroup_bytes += layouter[global.ty].size;
                continue;
            }
            _ => continue,
        };
        if let Some(binding) = &global.binding {
            let name = global.name.clone().unwrap_or_default();
            let size = u64::from(inner.size(module.to_ctx()));
            reflection.bindings.push(Binding { name, index: binding.binding, kind, size });
        }
    }
    reflection.bindings.sort_by_key(|binding| binding.index);
    Ok((module, reflection))
}

fn fields(module: &naga::Module, inner: &naga::TypeInner) -> Vec<Field> {
    let naga::TypeInner::Struct { members, .. } = inner else {
        return Vec::new();
    };
    let field = |member: &naga::StructMember| {
        let inner = &module.types[member.ty].inner;
        let float = inner.scalar_kind() == Some(naga::ScalarKind::Float);
        let vector = matches!(inner, naga::TypeInner::Vector { .. });
        Field { name: member.name.clone().unwrap_or_default(), offset: member.offset, float, vector }
    };
    members.iter().map(field).collect()
}

/// A compiled kernel.
#[derive(Debug)]
pub struct Kernel {
    /// What it was compiled from.
    pub key: KernelKey,
    /// What its module says of itself.
    pub reflection: Reflection,
    /// Ready to be set in a pass.
    pub pipeline: wgpu::ComputePipeline,
    /// The layout of its only bind group.
    pub layout: wgpu::BindGroupLayout,
    /// Bytes of its text: roughly what it costs to compile.
    pub(super) length: usize,
}

impl Kernel {
    pub(super) fn compile(gpu: &Gpu, key: &KernelKey) -> Result<Self> {
        Self::from_wgsl(gpu, key, &key.wgsl()?)
    }

    /// What `key` would be, were `wgsl` its text.
    pub(super) fn from_wgsl(gpu: &Gpu, key: &KernelKey, wgsl: &str) -> Result<Self> {
        let fault = |message: String| Error::Shader { shader: key.to_string(), message };
        let wgsl = if gpu.info().device_type == wgpu::DeviceType::Cpu { hide_uniforms(wgsl) } else { wgsl.to_string() };
        let wgsl = gpu.capabilities().texture_reads.map_or(wgsl.clone(), |reads| reads.rewrite(&wgsl));
        let (module, reflection) = reflect(&wgsl).map_err(fault)?;
        let entries: Vec<wgpu::BindGroupLayoutEntry> = reflection.bindings.iter().map(layout_entry).collect();
        let (pipeline, layout) = gpu.guarded(&format!("compiling the kernel {key}"), || {
            let device = gpu.device();
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(key.shader),
                entries: &entries,
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(key.shader),
                bind_group_layouts: &[Some(&layout)],
                ..Default::default()
            });
            let module = shader_module(gpu, key, module);
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(key.shader),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: gpu.checked(),
                    ..Default::default()
                },
                cache: None,
            });
            (pipeline, layout)
        })?;
        Ok(Kernel { key: key.clone(), reflection, pipeline, layout, length: wgsl.len() })
    }
}

fn shader_module(gpu: &Gpu, key: &KernelKey, module: naga::Module) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(module));
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(key.shader), source };
    if gpu.checked() {
        return gpu.device().create_shader_module(descriptor);
    }
    // SAFETY: the source is one of our own files. Every loop in them is bounded by a size that the plan computed from the
    // shapes of the bound buffers, every index is guarded at the tile edges, no divisor is zero (sizes are at least 1),
    // and every workgroup variable is written before it is read. The whole test suite also runs with the checks on.
    unsafe { gpu.device().create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

fn layout_entry(binding: &Binding) -> wgpu::BindGroupLayoutEntry {
    let buffer = |ty| wgpu::BindingType::Buffer {
        ty,
        has_dynamic_offset: false,
        min_binding_size: std::num::NonZeroU64::new(binding.size),
    };
    let ty = match &binding.kind {
        BindingKind::Storage { read_only } => buffer(wgpu::BufferBindingType::Storage { read_only: *read_only }),
        BindingKind::Uniform { .. } => buffer(wgpu::BufferBindingType::Uniform),
        BindingKind::Texture => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: FORMAT,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    wgpu::BindGroupLayoutEntry { binding: binding.index, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}
