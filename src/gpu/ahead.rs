//! Compiling ahead of the first launch, where the driver would not.
//!
//! Mesa's software driver makes machine code of a kernel when it is first launched, in the thread that works off the queue: one core
//! compiles, the others wait. What it made lies in a cache on disk, which all devices of the adapter read. So here several devices
//! compile different kernels at once, by launches of no workgroups: the one in use, and a helper for each further core. Where that cache
//! is off, the helpers' kernels are compiled at their first launch, as they would have been without.

use super::{BindingKind, Gpu, GpuOptions, Kernel, TEXEL, adapter};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Within which the longest kernel is ready if the cache has it, and then it has the others: no helper is opened.
const CACHED: Duration = Duration::from_millis(50);

impl Gpu {
    /// Has the driver compile `kernels` now, where it would only do so at their first launches.
    pub(super) fn compile_ahead(&self, kernels: &[Arc<Kernel>]) -> Result<()> {
        let compiles_at_launch = adapter::is_software_vulkan(self.info());
        let Some(adapter) = self.shared.adapter.as_ref().filter(|_| compiles_at_launch) else { return Ok(()) };
        let mut jobs: Vec<&Kernel> = kernels.iter().map(Arc::as_ref).collect();
        jobs.sort_by_key(|kernel| std::cmp::Reverse(kernel.length));
        let Some((longest, rest)) = jobs.split_first() else { return Ok(()) };
        let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
        let (next, first_done) = (AtomicUsize::new(0), AtomicBool::new(false));
        let job = || rest.get(next.fetch_add(1, Ordering::Relaxed));
        let help = || {
            std::thread::park_timeout(CACHED);
            if first_done.load(Ordering::Relaxed) {
                return Ok(());
            }
            let helper = self.helper(adapter)?;
            while let Some(kernel) = job() {
                helper.launch_nothing(&Kernel::compile(&helper, &kernel.key)?)?;
            }
            Ok::<(), Error>(())
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..cores.min(jobs.len()))
                .map(|_| scope.spawn(|| help().unwrap_or_else(|why| log::debug!("left to the first launch: {why}"))))
                .collect();
            let first = self.launch_nothing(longest);
            first_done.store(true, Ordering::Relaxed);
            helpers.iter().for_each(|helper| helper.thread().unpark());
            first?;
            while let Some(kernel) = job() {
                self.launch_nothing(kernel)?;
            }
            Ok(())
        })
    }

    /// Another device of the same adapter, for which kernels come out the same.
    fn helper(&self, adapter: &wgpu::Adapter) -> Result<Self> {
        let options = GpuOptions {
            checked: Some(self.checked()),
            texture_reads: Some(self.capabilities().texture_reads.is_some()),
            ..GpuOptions::default()
        };
        Self::open(adapter, &options, self.capabilities().cooperative.clone())
    }

    /// Launches no workgroup of `kernel`, and waits until that is done.
    fn launch_nothing(&self, kernel: &Kernel) -> Result<()> {
        self.guarded(&format!("compiling the kernel {}", kernel.key), || {
            let view = self.texture(TEXEL).create_view(&Default::default());
            let uniforms = |size| {
                self.device().create_buffer(&wgpu::BufferDescriptor {
                    label: Some("nothing"),
                    size,
                    usage: wgpu::BufferUsages::UNIFORM,
                    mapped_at_creation: false,
                })
            };
            let bindings = &kernel.reflection.bindings;
            let buffers: Vec<wgpu::Buffer> = bindings
                .iter()
                .map(|binding| match binding.kind {
                    BindingKind::Uniform { .. } => uniforms(binding.size),
                    _ => self.storage("nothing", binding.size),
                })
                .collect();
            let entries: Vec<wgpu::BindGroupEntry<'_>> = bindings
                .iter()
                .zip(&buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding: binding.index,
                    resource: match binding.kind {
                        BindingKind::Texture => wgpu::BindingResource::TextureView(&view),
                        _ => buffer.as_entire_binding(),
                    },
                })
                .collect();
            let bind_group = self.device().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("nothing"),
                layout: &kernel.layout,
                entries: &entries,
            });
            let mut encoder = self.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&kernel.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(0, 0, 0);
            drop(pass);
            self.queue().submit([encoder.finish()]);
        })?;
        self.wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::KernelKey;

    #[test]
    fn a_helper_compiles_the_same_text() {
        let texts = [false, true].map(|switch| {
            let options = GpuOptions { checked: Some(switch), texture_reads: Some(switch), ..GpuOptions::default() };
            let gpu = Gpu::with_options(&options).expect("a Vulkan driver; run scripts/setup.sh");
            let adapter = gpu.shared.adapter.as_ref().expect("limbic opened it");
            let helper = gpu.helper(adapter).expect("another device");
            assert_eq!(helper.checked(), switch);
            let key = KernelKey::new("embedding_links", &[]);
            let [own, helpers] = [&gpu, &helper].map(|gpu| Kernel::compile(gpu, &key).expect("it compiles"));
            assert_eq!(own.reflection, helpers.reflection);
            own.reflection
        });
        assert_ne!(texts[0], texts[1], "an array is a texture in one of them");
    }
}
