//! Lost devices. wgpu tells only the device-lost callback, which is the app's where the device is, and it panics where a poll finds
//! the device gone; limbic's callers get errors.

use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A small buffer that answers whether its device is still there.
pub(super) struct Probe {
    buffer: wgpu::Buffer,
    lost: bool,
}

impl Probe {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let descriptor = wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 16,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        };
        Probe { buffer: device.create_buffer(&descriptor), lost: false }
    }

    /// True if the device was destroyed or lost. Mapping fails at once on such a device; on any other it would succeed at the
    /// next poll, and is called off before.
    pub(super) fn device_is_lost(&mut self, device: &wgpu::Device) -> bool {
        if self.lost {
            return true;
        }
        let failed = Arc::new(AtomicBool::new(false));
        let slot = failed.clone();
        // the destroyed buffer of a destroyed device is no news for the app's error callback
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        self.buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            if result.is_err() {
                slot.store(true, Ordering::Relaxed);
            }
        });
        // read before the unmapping, which is a failure of the mapping too
        let failed = failed.load(Ordering::Relaxed);
        self.buffer.unmap();
        // Another thread's poll may be mapping the buffer just now: then the unmapping is refused, and so is the next mapping.
        // Neither says anything about the device.
        let busy = pollster::block_on(scope.pop()).is_some_and(|error| {
            let text = error.to_string();
            text.contains("already mapped") || text.contains("map is pending")
        });
        self.lost = failed && !busy;
        self.lost
    }
}

/// Runs a poll of the device; its panic becomes the error that it is.
pub(super) fn polled<T>(during: &str, poll: impl FnOnce() -> std::result::Result<T, wgpu::PollError>) -> Result<()> {
    let failed = |message: String| Error::Device { during: during.to_string(), message };
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("the device was lost while it was polled".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::polled;

    #[test]
    fn a_poll_that_panics_is_an_error() {
        assert!(polled("testing", || Ok(wgpu::PollStatus::QueueEmpty)).is_ok());
        let timeout = polled("testing", || Err::<(), _>(wgpu::PollError::Timeout)).unwrap_err();
        assert!(timeout.to_string().contains("testing"));
        let lost = polled("testing", || -> std::result::Result<(), wgpu::PollError> { panic!("as wgpu does") });
        assert!(lost.unwrap_err().to_string().contains("lost"));
    }
}
