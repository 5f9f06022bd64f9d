//! GPU time per dispatch.

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// Timestamps that one query set may hold: WebGPU's limit is 4096.
const BATCH: usize = 2048;

/// Runs `count` dispatches, each between two timestamps; microseconds each. `record` records a range of them, and writes timestamp 0
/// before the first, n after the n-th.
pub(super) fn profile(
    gpu: &Gpu,
    count: usize,
    record: impl Fn(&mut wgpu::CommandEncoder, std::ops::Range<usize>, &wgpu::QuerySet),
) -> Result<Vec<f64>> {
    if !gpu.capabilities().timestamps {
        let why = "it has no timestamp queries between dispatches, so there is no profile".to_string();
        return Err(Error::Unsupported { adapter: gpu.info().name.clone(), why });
    }
    let period = f64::from(gpu.queue().get_timestamp_period());
    let mut times = Vec::with_capacity(count);
    for first in (0..count).step_by(BATCH - 1) {
        let number = (count - first).min(BATCH - 1);
        let size = (number as u64 + 1) * 8;
        let buffer = gpu.guarded("profiling", || {
            let queries = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: number as u32 + 1,
            });
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("profile"),
                size,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            record(&mut encoder, first..first + number, &queries);
            encoder.resolve_query_set(&queries, 0..number as u32 + 1, &buffer, 0);
            gpu.queue().submit([encoder.finish()]);
            buffer
        })?;
        let (bytes, _) = gpu.read(&buffer, 0, size)?.wait()?;
        let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(&bytes);
        times.extend(ticks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period / 1000.0));
    }
    Ok(times)
}
