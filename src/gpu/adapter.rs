//! Which adapter, and what it can do.

use super::cooperative::{Cooperative, CooperativeMatrices};
use super::textures::TextureReads;
use crate::error::{Error, Result};

/// Features that limbic uses where they are there. An app that makes its own device may pass
/// `adapter.features() & optional_features()`; none of them is required.
pub fn optional_features() -> wgpu::Features {
    wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
}

/// The least limits that every kernel fits in: WebGPU's defaults for compute.
pub fn required_limits() -> wgpu::Limits {
    wgpu::Limits {
        max_storage_buffers_per_shader_stage: 8,
        max_uniform_buffers_per_shader_stage: 4,
        max_compute_workgroup_storage_size: 16384,
        max_compute_invocations_per_workgroup: 256,
        max_compute_workgroup_size_x: 256,
        max_compute_workgroups_per_dimension: 65535,
        max_storage_buffer_binding_size: 128 << 20,
        max_buffer_size: 256 << 20,
        ..wgpu::Limits::downlevel_defaults()
    }
}

/// What a device can do; kernels are chosen by this, never by name.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// A software rasteriser (lavapipe, WARP): loads are dear, registers are many, workgroups run one after another.
    pub software: bool,
    /// A discrete GPU with many cores to fill.
    pub discrete: bool,
    /// Smallest and largest subgroup, where subgroup operations may be used.
    pub subgroup: Option<(u32, u32)>,
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// Timestamp queries between dispatches.
    pub timestamps: bool,
    /// Operands are read through textures, where that is faster than through storage buffers.
    pub texture_reads: Option<TextureReads>,
    /// Siblings of a plan run as one launch: not on software adapters, where a launch is 19 us of seconds and nothing was gained beyond
    /// what runs differ by (a step of the default sentiment model: 3.46 s grouped, 3.25 to 3.60, and 3.57 s apart, 3.32 to 3.67).
    pub groups: bool,
    /// Choices of kernels that are made whatever the device is: [`super::GpuOptions::forced`].
    pub forced: Vec<(String, u32)>,
    /// Whether products in mixed precision run on cooperative matrices.
    pub cooperative: Cooperative,
    /// The limits that it was opened with.
    pub limits: wgpu::Limits,
}

impl Capabilities {
    /// What a device of `info`'s adapter offers, kernels being chosen as for the given kind.
    pub(crate) fn of(
        kind: wgpu::DeviceType,
        info: &wgpu::AdapterInfo,
        features: wgpu::Features,
        mut limits: wgpu::Limits,
    ) -> Self {
        // Metal allows more, but kernels count bytes in 32 bits
        limits.max_storage_buffer_binding_size = limits.max_storage_buffer_binding_size.min(1 << 31);
        let subgroup =
            features.contains(wgpu::Features::SUBGROUP).then_some((info.subgroup_min_size, info.subgroup_max_size));
        Capabilities {
            software: kind == wgpu::DeviceType::Cpu,
            discrete: kind == wgpu::DeviceType::DiscreteGpu,
            subgroup,
            f16: features.contains(wgpu::Features::SHADER_F16),
            timestamps: features
                .contains(wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
            groups: kind != wgpu::DeviceType::Cpu,
            texture_reads: TextureReads::within(&limits).filter(|_| is_software_vulkan(info)),
            forced: Vec::new(),
            cooperative: Cooperative::Off,
            limits,
        }
    }

    /// The size that every subgroup has, where it cannot vary.
    pub fn fixed_subgroup(&self) -> Option<u32> {
        self.subgroup.filter(|(min, max)| min == max).map(|(min, _)| min)
    }

    /// The cooperative matrices that products in mixed precision run on, if any.
    pub(crate) fn cooperative_matrices(&self) -> Option<&CooperativeMatrices> {
        match &self.cooperative {
            Cooperative::On { matrices, .. } => Some(matrices),
            _ => None,
        }
    }

    /// The first required limit that is missed, in words.
    pub fn shortfall(&self) -> Option<String> {
        let (have, need) = (&self.limits, required_limits());
        let limits = [
            (
                "storage buffers per stage",
                u64::from(have.max_storage_buffers_per_shader_stage),
                u64::from(need.max_storage_buffers_per_shader_stage),
            ),
            (
                "workgroup memory bytes",
                u64::from(have.max_compute_workgroup_storage_size),
                u64::from(need.max_compute_workgroup_storage_size),
            ),
            (
                "invocations per workgroup",
                u64::from(have.max_compute_invocations_per_workgroup),
                u64::from(need.max_compute_invocations_per_workgroup),
            ),
            (
                "invocations along a workgroup's first axis",
                u64::from(have.max_compute_workgroup_size_x),
                u64::from(need.max_compute_workgroup_size_x),
            ),
            (
                "uniform buffers per stage",
                u64::from(have.max_uniform_buffers_per_shader_stage),
                u64::from(need.max_uniform_buffers_per_shader_stage),
            ),
            (
                "workgroups per dimension",
                u64::from(have.max_compute_workgroups_per_dimension),
                u64::from(need.max_compute_workgroups_per_dimension),
            ),
        ];
        limits
            .iter()
            .find(|(_, have, need)| have < need)
            .map(|(what, have, need)| format!("limbic needs {need} {what}, it offers {have}"))
    }
}

/// Mesa's software driver, or one like it: where reading through textures and compiling ahead were measured.
pub(super) fn is_software_vulkan(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu && info.backend == wgpu::Backend::Vulkan
}

/// An adapter as `examples/devices` lists it.
#[derive(Debug, Clone)]
pub struct AdapterSummary {
    /// Its number, which [`super::GpuOptions::adapter`] accepts.
    pub index: usize,
    /// Name, kind, driver, backend.
    pub info: wgpu::AdapterInfo,
    /// What a device on it could do, with every optional feature that it has.
    pub capabilities: Capabilities,
    /// The cooperative matrices that could be asked for ([`super::GpuOptions::cooperative_matrices`]), or why there are none.
    pub cooperative: std::result::Result<CooperativeMatrices, String>,
    /// Why limbic cannot run there, if so.
    pub unusable: Option<String>,
}

/// Every adapter of this machine, best first.
pub fn adapters() -> Vec<AdapterSummary> {
    let summary = |(index, adapter): (usize, wgpu::Adapter)| {
        let info = adapter.get_info();
        let capabilities = Capabilities::of(info.device_type, &info, adapter.features(), adapter.limits());
        let cooperative = CooperativeMatrices::of(&adapter);
        AdapterSummary { index, unusable: capabilities.shortfall(), info, capabilities, cooperative }
    };
    found().into_iter().enumerate().map(summary).collect()
}

/// The kind of adapter that `LIMBIC_KERNELS_FOR` names.
pub(super) fn kind_from_environment() -> Option<wgpu::DeviceType> {
    match std::env::var("LIMBIC_KERNELS_FOR").ok()?.as_str() {
        "discrete" => Some(wgpu::DeviceType::DiscreteGpu),
        "integrated" => Some(wgpu::DeviceType::IntegratedGpu),
        "software" => Some(wgpu::DeviceType::Cpu),
        _ => None,
    }
}

fn found() -> Vec<wgpu::Adapter> {
    // No validation layers and no indirect-dispatch validation: both cost time on every step and our tests run
    // wgpu-core's own validation anyway. WGPU_VALIDATION=1 brings the layers back.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        flags: wgpu::InstanceFlags::empty().with_env(),
        // WGPU_DX12_COMPILER, for one
        backend_options: wgpu::BackendOptions::from_env_or_default(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// The adapter that `wish` (or `LIMBIC_ADAPTER`) names, else all that every kernel fits on, best first.
pub(super) fn candidates(wish: Option<&str>) -> Result<Vec<wgpu::Adapter>> {
    let from_environment = std::env::var("LIMBIC_ADAPTER").ok().filter(|value| !value.is_empty());
    let wish = wish.map(str::to_string).or(from_environment);
    let adapters = found();
    if adapters.is_empty() {
        let message = "none was found. Install a Vulkan driver (on Debian or Ubuntu: scripts/setup.sh, or \
                       `apt-get install mesa-vulkan-drivers libvulkan1` for the software one)";
        return Err(Error::Adapter(message.to_string()));
    }
    let list = || {
        let name = |(index, adapter): (usize, &wgpu::Adapter)| format!("{index}: {}", adapter.get_info().name);
        adapters.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
    };
    let Some(wish) = wish else {
        return usable(adapters);
    };
    let by_name = |adapter: &&wgpu::Adapter| adapter.get_info().name.to_lowercase().contains(&wish.to_lowercase());
    let chosen = match wish.parse::<usize>() {
        Ok(index) => adapters.get(index),
        Err(_) => adapters.iter().find(by_name),
    };
    chosen
        .cloned()
        .map(|adapter| vec![adapter])
        .ok_or_else(|| Error::Adapter(format!("'{wish}' names none of these: {}", list())))
}

/// The adapters that every kernel fits on; an unusable one at the head of the list must not hide a usable one.
fn usable(adapters: Vec<wgpu::Adapter>) -> Result<Vec<wgpu::Adapter>> {
    let (mut usable, mut why_not) = (Vec::new(), Vec::new());
    for adapter in adapters {
        let info = adapter.get_info();
        let capabilities = Capabilities::of(info.device_type, &info, adapter.features(), adapter.limits());
        match capabilities.shortfall() {
            None => usable.push(adapter),
            Some(why) => why_not.push(format!("{}: {why}", info.name)),
        }
    }
    if usable.is_empty() { Err(Error::Adapter(why_not.join("; "))) } else { Ok(usable) }
}
