//! The device's roofs, by kernels that do nothing else: multiply-add, copying, launching, reading back.

use super::{Running, Subject, Work};
use limbic::Result;
use limbic::gpu::{Gpu, Readback};

/// Rates that nothing exceeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roofs {
    /// Operations per second of multiply-adds in registers.
    pub flops: f64,
    /// Bytes per second read and written by a kernel that copies, or by the driver's copy where that is faster: on software adapters
    /// it is the processor's.
    pub bytes: f64,
}

/// Operations of one invocation of `fma.wgsl`.
const FMA_FLOPS: u64 = 2 * 4 * 8 * 8 * 256;
/// Bytes that are copied.
const BYTES: u64 = 64 << 20;
/// Dispatches in one pass of the row `roof_empty_dispatch_x100`.
const EMPTY: u32 = 100;

impl Roofs {
    /// Raised to what one of [`subjects`] did in `seconds`: a busy machine lowers a roof, nothing raises it.
    pub fn raise(&mut self, work: Work, seconds: f64) {
        self.flops = self.flops.max(work.flops / seconds);
        self.bytes = self.bytes.max(work.bytes / seconds);
    }

    /// Seconds that `work` takes at the roofs: the longer of computing and moving.
    pub fn least_seconds(&self, work: Work) -> f64 {
        let at = |amount: f64, rate: f64| if rate > 0.0 { amount / rate } else { 0.0 };
        at(work.flops, self.flops).max(at(work.bytes, self.bytes))
    }
}

/// Measured before and after everything else, whatever is asked for, because all rows are compared with them.
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject::new("roof_fma", multiply_adds),
        Subject::new("roof_copy_kernel", copy_kernel),
        Subject::new("roof_copy_buffer", copy_buffer),
        Subject::new("roof_empty_dispatch_x100", empty_dispatches),
        Subject::new("roof_submit_readback", readback),
    ]
}

fn running(run: impl FnMut(u32) -> Result<()> + 'static, work: Work) -> Result<Running> {
    Ok(Running { run: Box::new(run), work, dispatches: None, memory: None })
}

fn multiply_adds(gpu: &Gpu) -> Result<Running> {
    // enough for every core of a GPU, and no more than a blink on a software adapter
    let groups = if gpu.capabilities().software { 64 } else { 16_384 };
    let out = gpu.storage("out", groups * 64 * 4);
    let fma = Launch::new(gpu, "fma", include_str!("roof/fma.wgsl"), &[&out], groups as u32)?;
    running(move |replays| fma.run(replays), Work::flops((groups * 64 * FMA_FLOPS) as f64))
}

fn copy_kernel(gpu: &Gpu) -> Result<Running> {
    let (from, to) = (gpu.storage("from", BYTES), gpu.storage("to", BYTES));
    let copy = Launch::new(gpu, "copy", include_str!("roof/copy.wgsl"), &[&from, &to], (BYTES / 16 / 256) as u32)?;
    running(move |replays| copy.run(replays), Work::bytes(2.0 * BYTES as f64))
}

fn copy_buffer(gpu: &Gpu) -> Result<Running> {
    let (gpu, from, to) = (gpu.clone(), gpu.storage("from", BYTES), gpu.storage("to", BYTES));
    let copies = move |replays| {
        submit(&gpu, |encoder| (0..replays).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, BYTES)))
    };
    running(copies, Work::bytes(2.0 * BYTES as f64))
}

fn empty_dispatches(gpu: &Gpu) -> Result<Running> {
    let empty = Launch::new(gpu, "empty", include_str!("roof/empty.wgsl"), &[], 1)?;
    running(move |replays| empty.run(replays * EMPTY), Work::default())
}

fn readback(gpu: &Gpu) -> Result<Running> {
    let (gpu, buffer) = (gpu.clone(), gpu.storage("from", 4));
    let mut staging = Some(Readback::staging(&gpu, 4));
    let round_trips = move |replays| {
        for _ in 0..replays {
            let Some(target) = staging.take() else { continue };
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&buffer, 0, &target, 0, 4);
            let submission = gpu.queue().submit([encoder.finish()]);
            staging = Some(Readback::begin(&gpu, target, submission).wait()?.1);
        }
        Ok(())
    };
    running(round_trips, Work::default())
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
    gpu: Gpu,
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
            Launch { gpu: gpu.clone(), pipeline, buffers, groups }
        })
    }

    fn run(&self, times: u32) -> Result<()> {
        submit(&self.gpu, |encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.pipeline);
            if let Some(buffers) = &self.buffers {
                pass.set_bind_group(0, buffers, &[]);
            }
            (0..times).for_each(|_| pass.dispatch_workgroups(self.groups, 1, 1));
        })
    }
}
