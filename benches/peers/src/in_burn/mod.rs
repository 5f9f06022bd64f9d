//! burn, its wgpu backend with its defaults (fusion and autotune), doing what limbic's rows do.

mod models;
mod msa;
mod ops;
mod resnet;

use burn::tensor::{Bool, Device, DeviceKind, Distribution, Tensor, TensorData};
use limbic::{Error, Result};

/// Does a row so many times and returns when the device is done.
pub type Run = Box<dyn FnMut(u32) -> Result<()>>;

type Build = Box<dyn Fn(&Burn) -> Result<Run>>;

/// burn's way of doing one of limbic's rows. There may be several.
pub struct Peer {
    pub row: String,
    pub way: &'static str,
    build: Build,
}

impl Peer {
    fn new(row: impl Into<String>, build: impl Fn(&Burn) -> Result<Run> + 'static) -> Self {
        Peer { row: row.into(), way: "", build: Box::new(build) }
    }

    fn way(self, way: &'static str) -> Self {
        Peer { way, ..self }
    }

    pub fn build(&self, burn: &Burn) -> Result<Run> {
        (self.build)(burn)
    }
}

/// All rows that burn has.
pub fn peers() -> Vec<Peer> {
    ops::peers().into_iter().chain(models::peers()).collect()
}

/// burn's device.
pub struct Burn {
    device: Device,
    autodiff: Device,
}

impl Burn {
    /// burn chooses an adapter by itself; `adapter` is the one that limbic took.
    ///
    /// # Errors
    /// Where burn took another.
    pub fn new(adapter: &str) -> Result<Self> {
        let device = Device::wgpu(DeviceKind::DefaultDevice);
        let name = device.identity().map_or_else(String::new, |identity| identity.name);
        if name != adapter {
            let message = format!(
                "limbic runs on '{adapter}', burn on '{name}': choose one with --adapter and CUBECL_WGPU_DEFAULT_DEVICE"
            );
            return Err(Error::Config(message));
        }
        Ok(Burn { autodiff: device.clone().autodiff(), device })
    }

    fn inputs(&self, backward: bool) -> Inputs {
        let device = if backward { &self.autodiff } else { &self.device };
        Inputs { device: device.clone(), backward }
    }

    /// Bytes that burn's pools hold.
    pub fn memory(&self) -> Option<u64> {
        self.device.memory_pool_usage().map(|usage| usage.bytes_reserved)
    }

    /// Lets go of what no tensor uses.
    pub fn clean(&self) {
        self.device.memory_cleanup();
    }
}

/// Repeats `work`, whose result stays until it is submitted, and waits.
fn repeat<T>(device: &Device, mut work: impl FnMut() -> T + 'static) -> Run {
    let device = device.clone();
    let failed = |error: &dyn std::fmt::Debug| Error::Config(format!("burn: {error:?}"));
    Box::new(move |replays| {
        for _ in 0..replays {
            let result = work();
            device.flush().map_err(|error| failed(&error))?;
            drop(result);
        }
        device.sync().map_err(|error| failed(&error))
    })
}

/// Where an op gets its inputs, as limbic's cases do.
struct Inputs {
    device: Device,
    backward: bool,
}

impl Inputs {
    fn float<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        let tensor = Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device);
        if self.backward { tensor.require_grad() } else { tensor }
    }

    /// True where a step is padding: a row holds from all to `1 - 1 / divisor` of them, as in limbic's rows.
    fn padding(&self, batch: usize, seq_len: usize, divisor: usize) -> Tensor<2, Bool> {
        let mask = crate::rows::kernels::padding(batch, seq_len, divisor);
        let padded: Vec<bool> = mask.iter().map(|valid| *valid == 0).collect();
        Tensor::from_data(TensorData::new(padded, [batch, seq_len]), &self.device)
    }
}
