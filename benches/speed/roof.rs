//! The device's roofs, by kernels that do nothing else: multiply-add, copying, launching, reading back.

use crate::Bench;
use crate::row::{Row, Work};
use limbic::Result;
use limbic::gpu::{Gpu, Readback};

/// Rates that nothing exceeds.
#[derive(Debug, Clone, Copy)]
pub struct Roofs {
    /// Operations per second of multiply-adds in registers.
    pub flops: f64,
    /// Bytes per second read and written by a kernel that copies, or by the driver's copy where that is faster: on software adapters
    /// it is the processor's.
    pub bytes: f64,
}

/// Operations of one invocation of `fma.wgsl`.
const FMA_FLOPS: u64 = 2 * 4 * 8 * 8 * 256;
/// Dispatches in one pass of the row `roof_empty_dispatch`.
const EMPTY: u32 = 100;

impl Roofs {
    /// The higher of two measurements: a busy machine lowers a roof, nothing raises it.
    pub fn highest(self, other: Roofs) -> Roofs {
        Roofs { flops: self.flops.max(other.flops), bytes: self.bytes.max(other.bytes) }
    }
}

/// Measures the roofs, by their fastest runs. Done before and after everything else, whatever the filter says, because all rows
/// are compared with them.
pub fn measure(bench: &mut Bench<'_>) -> Result<Roofs> {
    let gpu = bench.gpu;
    // enough for every core of a GPU, and no more than a blink on a software adapter
    let groups = if gpu.capabilities().software { 64 } else { 16_384 };
    let out = gpu.storage("out", groups * 64 * 4);
    let fma = Launch::new(gpu, "fma", include_str!("roof/fma.wgsl"), &[&out], groups as u32)?;
    let flops = (groups * 64 * FMA_FLOPS) as f64;
    let timing = bench.stopwatch.time(|replays| fma.run(gpu, replays))?;
    bench.add(Row::new("roof_fma", timing).doing(Work::flops(flops)));
    let flops = flops / timing.min;

    let bytes = 64 << 20;
    let (from, to) = (gpu.storage("from", bytes), gpu.storage("to", bytes));
    let copy = Launch::new(gpu, "copy", include_str!("roof/copy.wgsl"), &[&from, &to], (bytes / 16 / 256) as u32)?;
    let timing = bench.stopwatch.time(|replays| copy.run(gpu, replays))?;
    bench.add(Row::new("roof_copy_kernel", timing).doing(Work::bytes(2.0 * bytes as f64)));
    let rate = 2.0 * bytes as f64 / timing.min;

    let timing = bench.stopwatch.time(|replays| {
        submit(gpu, |encoder| (0..replays).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, bytes)))
    })?;
    bench.add(Row::new("roof_copy_buffer", timing).doing(Work::bytes(2.0 * bytes as f64)));
    let rate = rate.max(2.0 * bytes as f64 / timing.min);
    overheads(bench, &from)?;
    Ok(Roofs { flops, bytes: rate })
}

/// What a launch and a round trip cost.
fn overheads(bench: &mut Bench<'_>, buffer: &wgpu::Buffer) -> Result<()> {
    let gpu = bench.gpu;
    let empty = Launch::new(gpu, "empty", include_str!("roof/empty.wgsl"), &[], 1)?;
    let mut timing = bench.stopwatch.time(|replays| empty.run(gpu, replays * EMPTY))?;
    for seconds in [&mut timing.median, &mut timing.min, &mut timing.max] {
        *seconds /= f64::from(EMPTY);
    }
    timing.cpu = timing.cpu.map(|seconds| seconds / f64::from(EMPTY));
    timing.replays *= EMPTY;
    bench.add(Row::new("roof_empty_dispatch", timing));
    let mut staging = Some(Readback::staging(gpu, 4));
    let timing = bench.stopwatch.time(|replays| {
        for _ in 0..replays {
            let Some(target) = staging.take() else { continue };
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, 0, &target, 0, 4);
            gpu.queue().submit([encoder.finish()]);
            staging = Some(Readback::begin(gpu, target).wait()?.1);
        }
        Ok(())
    })?;
    bench.add(Row::new("roof_submit_readback", timing));
    Ok(())
}

/// Records, submits and waits.
pub fn submit(gpu: &Gpu, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> Result<()> {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
    gpu.wait()
}

/// A kernel of this folder with its buffers.
struct Launch {
    pipeline: wgpu::ComputePipeline,
    buffers: Option<wgpu::BindGroup>,
    groups: u32,
}

impl Launch {
    fn new(gpu: &Gpu, name: &str, wgsl: &str, buffers: &[&wgpu::Buffer], groups: u32) -> Result<Self> {
        gpu.guarded(&format!("compiling {name}.wgsl"), || {
            let device = gpu.device();
            let source = wgpu::ShaderSource::Wgsl(wgsl.into());
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
            });
            let mut entries = Vec::with_capacity(buffers.len());
            for (binding, buffer) in buffers.iter().enumerate() {
                let resource = buffer.as_entire_binding();
                entries.push(wgpu::BindGroupEntry { binding: binding as u32, resource });
            }
            let buffers = (!buffers.is_empty()).then(|| {
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(name),
                    layout: &pipeline.get_bind_group_layout(0),
                    entries: &entries,
                })
            });
            Launch { pipeline, buffers, groups }
        })
    }

    fn run(&self, gpu: &Gpu, times: u32) -> Result<()> {
        submit(gpu, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            if let Some(buffers) = &self.buffers {
                pass.set_bind_group(0, buffers, &[]);
            }
            (0..times).for_each(|_| pass.dispatch_workgroups(self.groups, 1, 1));
        })
    }
}
