//! What is timed: every row's name, its least work, and how limbic does it. `benches/peers` times the same rows.

pub mod cases;
pub mod kernels;
pub mod model;
pub mod msa;
pub mod roof;
pub mod seed;
pub mod vision;

use limbic::Result;
use limbic::gpu::Gpu;

/// The least that an op can do with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
}

impl Work {
    pub fn flops(flops: f64) -> Self {
        Work { flops, bytes: 0.0 }
    }

    pub fn bytes(bytes: f64) -> Self {
        Work { flops: 0.0, bytes }
    }

    /// As if it were done `factor` times.
    pub fn times(self, factor: f64) -> Self {
        Work { flops: self.flops * factor, bytes: self.bytes * factor }
    }
}

type Build = Box<dyn Fn(&Gpu) -> Result<Running>>;

/// A row that is not built yet.
pub struct Subject {
    pub name: String,
    build: Build,
}

impl Subject {
    pub fn new(name: impl Into<String>, build: impl Fn(&Gpu) -> Result<Running> + 'static) -> Self {
        Subject { name: name.into(), build: Box::new(build) }
    }

    pub fn build(&self, gpu: &Gpu) -> Result<Running> {
        (self.build)(gpu)
    }
}

/// A row that is compiled, with its inputs on the device.
pub struct Running {
    /// Does it so many times and returns when the device is done.
    pub run: Box<dyn FnMut(u32) -> Result<()>>,
    /// Of one time.
    pub work: Work,
    pub dispatches: Option<usize>,
    /// GPU memory, known before it is allocated.
    pub memory: Option<u64>,
}

/// Kernels and models, in the table's order.
pub fn subjects() -> Vec<Subject> {
    [kernels::subjects(), msa::subjects(), vision::subjects()].into_iter().flatten().collect()
}
