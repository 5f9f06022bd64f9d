//! Reading results back.

use super::{FORMAT, Gpu, extent, lock};
use crate::error::{Error, Result};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// The answer to a mapping request, and its arrival.
type Mapped = Arc<(Mutex<Option<std::result::Result<(), wgpu::BufferAsyncError>>>, Condvar)>;

/// How long a finished device may take to call back.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes on their way back from the GPU. [`Readback::ready`] never blocks; [`Readback::wait`] does.
pub struct Readback {
    gpu: Gpu,
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    mapped: Mapped,
}

impl Readback {
    /// A buffer that `size` bytes can be copied into and then mapped.
    pub fn staging(gpu: &Gpu, size: u64) -> wgpu::Buffer {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Begins mapping `staging`, which `submission` copies into.
    pub fn begin(gpu: &Gpu, staging: wgpu::Buffer, submission: wgpu::SubmissionIndex) -> Self {
        let mapped = Mapped::default();
        let slot = mapped.clone();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            *lock(&slot.0) = Some(result);
            slot.1.notify_all();
        });
        Readback { gpu: gpu.clone(), staging, submission, mapped }
    }

    /// Whether the bytes are here, after letting the device call back.
    pub fn ready(&self) -> Result<bool> {
        self.gpu.poll()?;
        Ok(lock(&self.mapped.0).is_some())
    }

    /// The bytes, waiting for them if need be (not for what was submitted later), and the staging buffer for use again.
    pub fn wait(self) -> Result<(Vec<u8>, wgpu::Buffer)> {
        if lock(&self.mapped.0).is_none() {
            self.gpu.wait_for(self.submission)?;
        }
        let failed = |message: String| Error::Device { during: "reading results back".to_string(), message };
        // Another thread's poll may have taken our callback with it and be about to run it.
        let (answer, arrival) = (&self.mapped.0, &self.mapped.1);
        let waited = arrival.wait_timeout_while(lock(answer), PATIENCE, |answer| answer.is_none());
        let answered = match waited {
            Ok((mut answer, _)) => answer.take(),
            Err(poisoned) => poisoned.into_inner().0.take(),
        };
        match answered {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(failed(error.to_string())),
            None => return Err(failed("the device did not answer".to_string())),
        }
        let bytes = match self.staging.get_mapped_range(..) {
            Ok(view) => view.to_vec(),
            Err(error) => return Err(failed(error.to_string())),
        };
        // wgpu-core lays the state of a buffer that was mapped before aside for a moment when another thread polls; an unmap
        // that falls into it is refused. The buffer is then given up for a new one: nothing else depends on it.
        let scope = self.gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        self.staging.unmap();
        match pollster::block_on(scope.pop()) {
            None => Ok((bytes, self.staging)),
            Some(_) => Ok((bytes, Self::staging(&self.gpu, self.staging.size()))),
        }
    }
}

impl Gpu {
    /// A storage buffer of `size` bytes (at least 16, a multiple of 16) that can be copied from and to.
    pub fn storage(&self, label: &str, size: u64) -> wgpu::Buffer {
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: size.max(16).next_multiple_of(16),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// A texture for `bytes` bytes of operands.
    pub(crate) fn texture(&self, bytes: u64) -> wgpu::Texture {
        self.device().create_texture(&wgpu::TextureDescriptor {
            label: Some("operand"),
            size: extent(bytes, self.capabilities().texture_reads.map_or(1, |reads| reads.row)),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    }

    /// Starts copying `size` bytes at `offset` of `buffer` back.
    pub fn read(&self, buffer: &wgpu::Buffer, offset: u64, size: u64) -> Result<Readback> {
        self.guarded("starting a readback", || {
            let staging = Readback::staging(self, size);
            let mut encoder = self.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, size);
            let submission = self.queue().submit([encoder.finish()]);
            Readback::begin(self, staging, submission)
        })
    }
}
