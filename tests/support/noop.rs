//! Devices that run nothing, of every kind that kernels are chosen by: wgpu's validation without a driver.
#![allow(dead_code)]

use limbic::gpu::{Gpu, GpuOptions};

/// What decides which kernels ops take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No optional feature, WebGPU's default limits.
    Portable,
    /// A CPU adapter with subgroups of 8, as lavapipe.
    Software,
    /// A discrete GPU with subgroups of 32.
    Discrete,
}

pub const KINDS: [Kind; 3] = [Kind::Portable, Kind::Software, Kind::Discrete];

/// A device of that kind on wgpu's no-op backend.
pub fn gpu(kind: Kind, options: &GpuOptions) -> Gpu {
    let (device_type, subgroup) = match kind {
        Kind::Portable => (wgpu::DeviceType::IntegratedGpu, None),
        Kind::Software => (wgpu::DeviceType::Cpu, Some(8)),
        Kind::Discrete => (wgpu::DeviceType::DiscreteGpu, Some(32)),
    };
    let mut info = wgpu::AdapterInfo::new(device_type, wgpu::Backend::Noop);
    info.name = format!("{kind:?} (runs nothing)");
    let mut required_features = wgpu::Features::empty();
    if let Some(size) = subgroup {
        (info.subgroup_min_size, info.subgroup_max_size) = (size, size);
        required_features |= wgpu::Features::SUBGROUP;
    }
    let descriptor = wgpu::DeviceDescriptor { required_features, ..Default::default() };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    Gpu::from_wgpu_with(info, device, queue, options).expect("default limits are enough")
}
