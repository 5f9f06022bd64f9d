//! The device: adapter choice, capabilities, kernels, buffers, readback, timing. It knows no op.

mod adapter;
mod ahead;
mod buffer;
mod cooperative;
mod faults;
mod halves;
mod kernel;
mod members;
mod preprocess;
mod self_test;
mod textures;

pub use adapter::{AdapterSummary, Capabilities, adapters, optional_features, required_limits};
pub use buffer::Readback;
pub use cooperative::{Cooperative, CooperativeMatrices};
pub(crate) use halves::may_hold as may_hold_halves;
pub use kernel::{Binding, BindingKind, Field, Kernel, KernelKey, Reflection, reflect};
pub use members::{MOST_MEMBERS, Members};
pub(crate) use members::{PLACES, may_have as may_have_members};
pub use preprocess::{hide_uniforms, preprocess};
use textures::FORMAT;
pub use textures::TextureReads;
pub(crate) use textures::{TEXEL, extent};

use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// How a [`Gpu`] is opened.
#[derive(Debug, Clone, Default)]
pub struct GpuOptions {
    /// Part of an adapter's name, or its number in [`adapters`]; `LIMBIC_ADAPTER` says the same. Default: the fastest
    /// kind there is (discrete, integrated, virtual, software).
    pub adapter: Option<String>,
    /// Compile shaders with bounds checks, loop bounding and division checks; `LIMBIC_SHADER_CHECKS=1` says the same.
    /// Off by default: shaders are ours, their loops are bounded and their indices guarded, and the test suite runs
    /// both ways.
    pub checked: Option<bool>,
    /// Choose kernels as for this kind of adapter, whatever it is; `LIMBIC_KERNELS_FOR=discrete` (or `integrated`, `software`) says
    /// the same. For tests: each choice runs on any adapter, only slower.
    pub kernels_for: Option<wgpu::DeviceType>,
    /// Whether kernels read through textures (see [`TextureReads`]); `LIMBIC_TEXTURE_READS=1` or `0` says the same. Default: where
    /// that is faster.
    pub texture_reads: Option<bool>,
    /// Whether siblings of a plan run as one launch (see [`Capabilities::groups`]); `LIMBIC_GROUPS=1` or `0` says the same. Default:
    /// where that is faster.
    pub groups: Option<bool>,
    /// For measuring kernels and for tests: what is taken in place of what the table of [`crate::ops::choices`] says, by the name of the
    /// [`crate::ops::choices::Knob`]; a value that is none of the knob's does not count. Default: nothing.
    pub forced: Vec<(String, u32)>,
    /// Whether products and convolutions in mixed precision run on cooperative matrices, where the adapter has them and they pass a
    /// self-test as the device is opened ([`Capabilities::cooperative`] says); `LIMBIC_COOPERATIVE_MATRICES=1` says the same. Weights, and whatever else
    /// was kept in 32 bits, are then rounded to 16 before they are multiplied: magnitudes beyond 65504 overflow. Off by default: wgpu calls
    /// the feature experimental. An app's own device does not use them.
    pub cooperative_matrices: Option<bool>,
    /// The most bytes of GPU memory a plan may ask for. Default: no limit of our own.
    pub memory_budget: Option<u64>,
}

/// An open device with the kernels compiled on it so far. Clones share both.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
}

struct Shared {
    /// Where limbic opened the device itself.
    adapter: Option<wgpu::Adapter>,
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    capabilities: Capabilities,
    checked: bool,
    memory_budget: Option<u64>,
    kernels: Mutex<HashMap<KernelKey, Arc<Kernel>>>,
    fault: Arc<Mutex<Option<String>>>,
    probe: Mutex<faults::Probe>,
}

impl Gpu {
    /// Opens the best adapter, or the one that `LIMBIC_ADAPTER` names.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the list of adapters where none fits.
    pub fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default())
    }

    /// Opens an adapter as `options` say. Where they name none and the best gives no device, another one.
    pub fn with_options(options: &GpuOptions) -> Result<Self> {
        let mut why_not = Vec::new();
        for adapter in adapter::candidates(options.adapter.as_deref())? {
            match Self::on_adapter(&adapter, options) {
                Err(Error::Adapter(why)) => why_not.push(why),
                opened => {
                    why_not.iter().for_each(|why| log::warn!("{why}; '{}' is used", adapter.get_info().name));
                    return opened;
                }
            }
        }
        Err(Error::Adapter(why_not.join("; ")))
    }

    fn on_adapter(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self> {
        let wanted = options.cooperative_matrices.or_else(|| from_environment("LIMBIC_COOPERATIVE_MATRICES"));
        let cooperative = match wanted {
            Some(true) => Self::with_cooperative_matrices(adapter, options),
            _ => return Self::open(adapter, options, Cooperative::Off),
        };
        cooperative.or_else(|why| {
            log::warn!("cooperative matrices are not used: {why}");
            Self::open(adapter, options, Cooperative::Refused(why))
        })
    }

    /// A device whose cooperative matrices passed their self-test, or why there is none.
    fn with_cooperative_matrices(adapter: &wgpu::Adapter, options: &GpuOptions) -> Result<Self, String> {
        let matrices = CooperativeMatrices::of(adapter)?;
        let untested = Cooperative::On { matrices, self_test: Duration::ZERO };
        let mut gpu = Self::open(adapter, options, untested).map_err(|error| error.to_string())?;
        let self_test = matrices.self_test(&gpu).map_err(|why| format!("refused by the self-test: {why}"))?;
        gpu.check("testing cooperative matrices").map_err(|error| error.to_string())?;
        log::info!("cooperative matrices passed their self-test in {self_test:?}");
        // nobody else holds it yet
        if let Some(shared) = Arc::get_mut(&mut gpu.shared) {
            shared.capabilities.cooperative = Cooperative::On { matrices, self_test };
        }
        Ok(gpu)
    }

    fn open(adapter: &wgpu::Adapter, options: &GpuOptions, cooperative: Cooperative) -> Result<Self> {
        let mut descriptor = wgpu::DeviceDescriptor {
            label: Some("limbic"),
            required_features: adapter.features() & optional_features(),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        if matches!(cooperative, Cooperative::On { .. }) {
            descriptor.required_features |= cooperative::FEATURES;
            // SAFETY: experimental features may be unsound where their drivers or wgpu's translation are wrong. The user asked for this one,
            // the only one requested; the only shader that uses it is ours, whose matrices lie within the bound buffers and are of a size
            // that the adapter lists; its products are checked before anything else uses them.
            descriptor.experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let name = adapter.get_info().name;
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| Error::Adapter(format!("'{name}' gave no device: {error}")))?;
        let mut gpu = Self::build(device, queue, adapter.get_info(), options, cooperative)?;
        // nobody else holds it yet
        if let Some(shared) = Arc::get_mut(&mut gpu.shared) {
            shared.adapter = Some(adapter.clone());
        }
        gpu.watch_faults();
        Ok(gpu)
    }

    /// Uses an app's own device. Nothing is requested: features and limits that the device does not have are done
    /// without (see [`optional_features`]); [`required_limits`] are checked. The device's error and lost callbacks stay
    /// the app's.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the limit that is too low.
    pub fn from_wgpu(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Self> {
        Self::build(device, queue, adapter.get_info(), &GpuOptions::default(), Cooperative::Off)
    }

    /// As [`Gpu::from_wgpu`], with options (`adapter` is ignored).
    pub fn from_wgpu_with(
        info: wgpu::AdapterInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
        options: &GpuOptions,
    ) -> Result<Self> {
        Self::build(device, queue, info, options, Cooperative::Off)
    }

    fn build(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: wgpu::AdapterInfo,
        options: &GpuOptions,
        cooperative: Cooperative,
    ) -> Result<Self> {
        let kind = options.kernels_for.or_else(adapter::kind_from_environment);
        let kind = kind.unwrap_or(info.device_type);
        let mut capabilities = Capabilities::of(kind, &info, device.features(), device.limits());
        capabilities.forced.clone_from(&options.forced);
        capabilities.cooperative = cooperative;
        if let Some(wanted) = options.texture_reads.or_else(|| from_environment("LIMBIC_TEXTURE_READS")) {
            capabilities.texture_reads = TextureReads::within(&capabilities.limits).filter(|_| wanted);
        }
        if let Some(wanted) = options.groups.or_else(|| from_environment("LIMBIC_GROUPS")) {
            capabilities.groups = wanted;
        }
        if let Some(why) = capabilities.shortfall() {
            return Err(Error::Unsupported { adapter: info.name, why });
        }
        let probe = Mutex::new(faults::Probe::new(&device));
        let checked = options.checked.or_else(|| from_environment("LIMBIC_SHADER_CHECKS"));
        let gpu = Gpu {
            shared: Arc::new(Shared {
                adapter: None,
                device,
                queue,
                info,
                capabilities,
                checked: checked.unwrap_or(false),
                memory_budget: options.memory_budget,
                kernels: Mutex::default(),
                fault: Arc::default(),
                probe,
            }),
        };
        gpu.check("opening the device")?;
        Ok(gpu)
    }

    /// Keeps the driver's word about errors outside our own scopes, so that the next call returns it.
    fn watch_faults(&self) {
        let fault = self.shared.fault.clone();
        self.device().on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&fault).get_or_insert(error.to_string());
        }));
        let fault = self.shared.fault.clone();
        self.device().set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lock(&fault).get_or_insert(format!("the device was lost: {message}"));
            }
        });
    }

    /// The device itself.
    pub fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    /// The queue that submissions go to.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// Name, driver and kind of the adapter.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.shared.info
    }

    /// What the device can do, read once.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Whether shaders are compiled with run-time checks.
    pub fn checked(&self) -> bool {
        self.shared.checked
    }

    /// The budget that plans are compared with before they allocate.
    pub fn memory_budget(&self) -> Option<u64> {
        self.shared.memory_budget
    }

    /// Compiles what is not yet compiled of `keys`, on as many threads as there are cores (on DX12 one), and returns all in order. The
    /// driver's part of it, too, where limbic opened the device: a first run then takes no longer than the others.
    pub fn kernels(&self, keys: &[KernelKey]) -> Result<Vec<Arc<Kernel>>> {
        let mut missing: Vec<KernelKey> = {
            let known = lock(&self.shared.kernels);
            keys.iter().filter(|key| !known.contains_key(key)).cloned().collect()
        };
        missing.sort();
        missing.dedup();
        let next = std::sync::atomic::AtomicUsize::new(0);
        let built: Mutex<Vec<Result<Kernel>>> = Mutex::default();
        let cores = match self.info().backend {
            // wgpu-hal has one DXC compiler for all threads, and DXC's are for one thread each
            wgpu::Backend::Dx12 => 1,
            _ => std::thread::available_parallelism().map_or(1, |count| count.get()),
        };
        let threads = cores.min(missing.len());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(key) = missing.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        let kernel = Kernel::compile(self, key);
                        lock(&built).push(kernel);
                    }
                });
            }
        });
        let built = built.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let built = built.into_iter().map(|kernel| kernel.map(Arc::new)).collect::<Result<Vec<_>>>()?;
        self.compile_ahead(&built)?;
        let mut known = lock(&self.shared.kernels);
        known.extend(built.into_iter().map(|kernel| (kernel.key.clone(), kernel)));
        keys.iter()
            .map(|key| {
                known
                    .get(key)
                    .cloned()
                    .ok_or_else(|| Error::Shader { shader: key.to_string(), message: "was not compiled".to_string() })
            })
            .collect()
    }

    /// Runs `work` and turns what the driver says of it into an error.
    pub fn guarded<T>(&self, during: &str, work: impl FnOnce() -> T) -> Result<T> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device().push_error_scope(wgpu::ErrorFilter::Internal);
        let value = work();
        let errors = [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        // on a lost device other errors only follow from that
        self.check(during)?;
        match errors.into_iter().flatten().next() {
            Some(error) => Err(Error::Device { during: during.to_string(), message: error.to_string() }),
            None => Ok(value),
        }
    }

    /// The fault that the driver reported since, if any; a device that is gone is one.
    pub fn check(&self, during: &str) -> Result<()> {
        self.check_reports(during)?;
        if !lock(&self.shared.probe).device_is_lost(self.device()) {
            return Ok(());
        }
        let message = "the device was lost or destroyed: open another and load the last checkpoint".to_string();
        Err(Error::Device { during: during.to_string(), message })
    }

    fn check_reports(&self, during: &str) -> Result<()> {
        match lock(&self.shared.fault).clone() {
            Some(message) => Err(Error::Device { during: during.to_string(), message }),
            None => Ok(()),
        }
    }

    /// Blocks until all submitted work is done. For command-line programs and tests; an app polls its own device.
    pub fn wait(&self) -> Result<()> {
        faults::polled("waiting for the GPU", || self.device().poll(wgpu::PollType::wait_indefinitely()))?;
        self.check("waiting for the GPU")
    }

    /// Blocks until `submission` and what came before it is done.
    pub(super) fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let until = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        faults::polled("waiting for the GPU", || self.device().poll(until))?;
        self.check("waiting for the GPU")
    }

    /// Lets finished work call back, without blocking.
    pub fn poll(&self) -> Result<()> {
        faults::polled("polling the GPU", || self.device().poll(wgpu::PollType::Poll))?;
        // no probe, for this runs often: a lost device fails whatever was waited for
        self.check_reports("polling the GPU")
    }
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gpu({}, {:?})", self.info().name, self.info().backend)
    }
}

/// What the environment variable `name` says of a switch.
fn from_environment(name: &str) -> Option<bool> {
    std::env::var(name).ok().map(|value| value != "0")
}

/// A lock whose holder panicked still guards valid data here: every critical section leaves its map whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
