//! SGD, Adam and AdamW over the flat parameter buffers, exact against PyTorch and Keras; clipping by norm, parameter groups and
//! gradient accumulation, all on the GPU.

use super::loss_scaling::LossScaling;
use super::trainer::IN_FLIGHT;
use super::update::{Builder, ChunkState, Variable, locate, variable, whole};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::plan::{Dispatch, Location, Operand, ParameterStore, Program, TexturePlan};

/// Updates that may have been skipped on the GPU without the host's knowing, when it prepares another: all that are in flight.
const UNKNOWN_SKIPS: usize = IN_FLIGHT;
/// The update rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Adam (Kingma and Ba 2015). `decoupled` decay is AdamW (Loshchilov and Hutter 2019), otherwise decay joins the gradient.
    Adam { beta1: f32, beta2: f32, epsilon: f32, decoupled: bool },
    /// Stochastic gradient descent with (Nesterov) momentum.
    Sgd { momentum: f32, nesterov: bool },
}

/// Where the libraries differ: Adam's epsilon is added before (Keras) or after (PyTorch) the bias correction; SGD's momentum
/// buffer holds steps (Keras) or gradients (PyTorch); Keras' weight decay is always decoupled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Convention {
    #[default]
    PyTorch,
    Keras,
}

/// What is done to gradients that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Clipping {
    #[default]
    None,
    /// All gradients together get at most this norm: `clip_grad_norm_` or Keras' `global_clipnorm`, by [`Convention`].
    GlobalNorm(f32),
    /// Each parameter's gradient gets at most this norm: Keras' `clipnorm`.
    ParameterNorm(f32),
}

/// Parameters whose path starts with one of `prefixes` learn at `rate_factor` times the learning rate and with this decay.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterGroup {
    pub prefixes: Vec<String>,
    pub rate_factor: f32,
    pub weight_decay: f32,
}

/// An optimiser's settings; the learning rate comes with each step.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizerConfig {
    pub rule: Rule,
    pub convention: Convention,
    /// Decay of parameters that no group names.
    pub weight_decay: f32,
    pub clipping: Clipping,
    /// Tried in order; the first whose prefix fits a parameter has it.
    pub groups: Vec<ParameterGroup>,
    /// Micro-batches whose gradients are averaged for one update.
    pub accumulation: u32,
}

impl OptimizerConfig {
    /// AdamW with PyTorch's defaults.
    pub fn adamw(weight_decay: f32) -> Self {
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decoupled: true };
        OptimizerConfig {
            rule,
            convention: Convention::PyTorch,
            weight_decay,
            clipping: Clipping::None,
            groups: Vec::new(),
            accumulation: 1,
        }
    }

    /// Adam with PyTorch's defaults.
    pub fn adam() -> Self {
        let rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decoupled: false };
        OptimizerConfig { rule, ..Self::adamw(0.0) }
    }

    /// Plain or heavy-ball SGD.
    pub fn sgd(momentum: f32) -> Self {
        OptimizerConfig { rule: Rule::Sgd { momentum, nesterov: false }, ..Self::adamw(0.0) }
    }

    /// Checks that every value is in its range.
    pub fn check(&self) -> Result<()> {
        let unit = |value: f32| (0.0..1.0).contains(&value);
        let fine = match self.rule {
            Rule::Adam { beta1, beta2, epsilon, .. } => unit(beta1) && unit(beta2) && epsilon > 0.0,
            Rule::Sgd { momentum, .. } => unit(momentum),
        };
        let limit = match self.clipping {
            Clipping::None => 1.0,
            Clipping::GlobalNorm(limit) | Clipping::ParameterNorm(limit) => limit,
        };
        let amount = |value: f32| value.is_finite() && value >= 0.0;
        let groups = self.groups.iter().all(|group| amount(group.rate_factor) && amount(group.weight_decay));
        match () {
            () if !fine => Err(Error::Config("betas and momentum must be in [0, 1) and epsilon positive".to_string())),
            () if !amount(self.weight_decay) || !groups => {
                Err(Error::Config("weight decay and a group's rate factor must be finite and at least 0".to_string()))
            }
            () if limit.is_nan() || limit <= 0.0 => {
                Err(Error::Config(format!("the clipping norm must be positive, not {limit}")))
            }
            () if self.accumulation == 0 => Err(Error::Config("accumulate over at least 1 micro-batch".to_string())),
            () => Ok(()),
        }
    }
}

/// Adam moves its first moment's rate with the schedule in torch's one-cycle policy; `None` keeps the configured one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    pub learning_rate: f64,
    pub beta1: Option<f64>,
}

impl StepSettings {
    /// Checks that a step with these moves nothing to NaN.
    pub fn check(&self) -> Result<()> {
        let rate = self.learning_rate;
        if !rate.is_finite() || rate < 0.0 {
            return Err(Error::Config(format!("the learning rate must be finite and at least 0, not {rate}")));
        }
        match self.beta1 {
            Some(beta1) if !(0.0..1.0).contains(&beta1) => {
                Err(Error::Config(format!("beta1 must be in [0, 1), not {beta1}")))
            }
            _ => Ok(()),
        }
    }
}

/// What an optimiser remembers from step to step: one vector per parameter of the store, zeros for those not trained.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OptimizerState {
    /// First moments: Adam's means, SGD's momentum.
    pub first: Vec<Vec<f32>>,
    /// Second moments: Adam's mean squares.
    pub second: Vec<Vec<f32>>,
    /// Gradients of the micro-batches since the last update, summed; empty right after an update.
    pub accumulated: Vec<Vec<f32>>,
    /// In mixed precision, how the loss is scaled.
    pub scaling: Option<LossScaling>,
}

/// An optimiser's GPU state and programs.
pub struct Optimizer {
    gpu: Gpu,
    config: OptimizerConfig,
    store: ParameterStore,
    chunks: Vec<Option<ChunkState>>,
    groups: wgpu::Buffer,
    status: wgpu::Buffer,
    /// Where the loss scale is, in mixed precision.
    scale: Option<Location>,
    /// Skipped updates that the host knows of.
    skipped: u64,
    update: Program,
    accumulate_first: Program,
    accumulate_more: Program,
    bytes: u64,
}

impl Optimizer {
    /// State for the parameters `trained` of `store` (those that a plan has gradients for). As in torch, the others are not
    /// touched, not even by weight decay. `loss`, where given, is watched: if it is not finite, no update is applied.
    pub fn new(
        store: &ParameterStore,
        trained: &[usize],
        config: OptimizerConfig,
        loss: Option<&Location>,
    ) -> Result<Self> {
        Self::with_loss_scale(store, trained, config, loss, None)
    }

    /// As [`Optimizer::new`], for gradients that are as many times too large as the number at `scale` says: see [`LossScaling`].
    pub fn with_loss_scale(
        store: &ParameterStore,
        trained: &[usize],
        config: OptimizerConfig,
        loss: Option<&Location>,
        scale: Option<Location>,
    ) -> Result<Self> {
        config.check()?;
        // memory may end anywhere in it
        store.gpu().guarded("preparing the optimiser", || Self::build(store, trained, config, loss, scale))?
    }

    fn build(
        store: &ParameterStore,
        trained: &[usize],
        config: OptimizerConfig,
        loss: Option<&Location>,
        scale: Option<Location>,
    ) -> Result<Self> {
        let gpu = store.gpu().clone();
        let variables: Vec<Variable> = trained.iter().map(|index| variable(store, &config, *index)).collect();
        let mut chunks: Vec<Option<ChunkState>> = store.chunks().iter().map(|_| None).collect();
        let mut bytes = 0;
        for variable in &variables {
            let size = store.chunks()[variable.chunk].len as u64 * 4;
            chunks[variable.chunk].get_or_insert_with(|| {
                bytes += size * if config.accumulation > 1 { 3 } else { 2 };
                ChunkState {
                    first: gpu.storage("first moments", size),
                    second: gpu.storage("second moments", size),
                    sum: (config.accumulation > 1).then(|| gpu.storage("accumulated gradients", size)),
                }
            });
        }
        let group_count = config.groups.len() + 1;
        let rows = if scale.is_some() { UNKNOWN_SKIPS + 1 } else { 1 };
        let groups = gpu.storage("parameter groups", 16 + (group_count * rows) as u64 * 32);
        let status = gpu.storage("optimiser status", 16);
        gpu.queue().write_buffer(&status, 0, bytemuck::cast_slice(&[1.0f32, 0.0, 0.0, 0.0]));
        let step = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("step"),
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM,
            mapped_at_creation: false,
        });
        let loss = match loss {
            Some(Location { buffer, offset, .. }) => {
                Operand::Buffer { buffer: buffer.clone(), offset: *offset, size: 4 }
            }
            None => whole(&gpu.storage("no loss", 16)),
        };
        let scale_operand = scale.as_ref().map(|Location { buffer, offset, size }| Operand::Buffer {
            buffer: buffer.clone(),
            offset: *offset,
            size: *size,
        });
        let builder = Builder {
            gpu: &gpu,
            store,
            config: &config,
            chunks: &chunks,
            variables: &variables,
            loss,
            scale: scale_operand,
            status: whole(&status),
        };
        let mut program = |dispatches: Vec<Dispatch>| {
            let textures = TexturePlan::new(&gpu, &dispatches, locate)?;
            bytes += textures.allocated(&gpu);
            Program::new(&gpu, &dispatches, &textures, &locate, &step)
        };
        let update = program(builder.update(&groups, rows)?)?;
        let accumulate_first = program(builder.accumulate(true)?)?;
        let accumulate_more = program(builder.accumulate(false)?)?;
        let optimizer = Optimizer {
            gpu,
            config,
            store: store.clone(),
            chunks,
            groups,
            status,
            scale,
            skipped: 0,
            update,
            accumulate_first,
            accumulate_more,
            bytes,
        };
        optimizer.write_scaling(LossScaling::default());
        Ok(optimizer)
    }

    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Bytes of the moments and accumulators, and of what the update's kernels read through.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// `[1 if the update was applied, gradient norm of the last step]` as f32. The first turns 0 for good when a gradient or the loss
    /// was not finite; where the loss is scaled it is -1 after an update that was skipped for the scale's sake.
    pub fn status(&self) -> &wgpu::Buffer {
        &self.status
    }

    /// Applies updates again after a fault was dealt with.
    pub fn reset_status(&self) {
        self.gpu.queue().write_buffer(&self.status, 0, bytemuck::cast_slice(&[1.0f32, 0.0]));
    }

    /// Writes the hyperparameters of update `t` (counted from 1); they land before the next submission.
    pub fn prepare(&self, t: u64, settings: StepSettings) {
        let mut words = vec![self.skipped as f32, 0.0, 0.0, 0.0];
        for more in 0..if self.scale.is_some() { UNKNOWN_SKIPS as u64 + 1 } else { 1 } {
            let applied = t.saturating_sub(self.skipped + more).max(1);
            let all = self.config.groups.iter().map(|group| (group.rate_factor, group.weight_decay));
            for (factor, decay) in all.chain([(1.0, self.config.weight_decay)]) {
                words.extend(self.hyperparameters(applied, settings, f64::from(factor), f64::from(decay)));
            }
        }
        self.gpu.queue().write_buffer(&self.groups, 0, bytemuck::cast_slice(&words));
    }

    /// Takes note that an update was skipped; those not yet noted must be no more than [`UNKNOWN_SKIPS`].
    pub(super) fn note_skipped(&mut self) {
        self.skipped += 1;
    }

    fn write_scaling(&self, LossScaling { scale, updates, skipped }: LossScaling) {
        if let Some(Location { buffer, offset, .. }) = &self.scale {
            self.gpu.queue().write_buffer(buffer, *offset, bytemuck::bytes_of(&scale));
            self.gpu.queue().write_buffer(&self.status, 8, bytemuck::cast_slice(&[updates, skipped]));
        }
    }

    fn read_scaling(&self) -> Result<Option<LossScaling>> {
        let Some(Location { buffer, offset, .. }) = &self.scale else { return Ok(None) };
        let (scale, _) = self.gpu.read(buffer, *offset, 4)?.wait()?;
        let (status, _) = self.gpu.read(&self.status, 8, 8)?.wait()?;
        let words = bytemuck::pod_collect_to_vec::<u8, f32>(&[scale, status].concat());
        Ok(Some(LossScaling { scale: words[0], updates: words[1], skipped: words[2] }))
    }

    fn hyperparameters(&self, t: u64, settings: StepSettings, factor: f64, weight_decay: f64) -> [f32; 8] {
        let rate = settings.learning_rate * factor;
        let keras = self.config.convention == Convention::Keras;
        match self.config.rule {
            Rule::Adam { beta1, beta2, epsilon, decoupled } => {
                let decoupled = decoupled || keras;
                let beta1 = settings.beta1.unwrap_or(exact(beta1));
                let beta2 = exact(beta2);
                let time = t.min(i32::MAX as u64) as i32;
                let (correction1, correction2) = (1.0 - beta1.powi(time), 1.0 - beta2.powi(time));
                let (step, spread) = if keras {
                    (rate * correction2.sqrt() / correction1, 1.0)
                } else {
                    (rate / correction1, 1.0 / correction2.sqrt())
                };
                let (decay, l2) = if decoupled { (rate * weight_decay, 0.0) } else { (0.0, weight_decay) };
                [step, decay, l2, 0.0, beta1, beta2, spread, f64::from(epsilon)].map(|value| value as f32)
            }
            Rule::Sgd { momentum, .. } => {
                let (decay, l2) = if keras { (rate * weight_decay, 0.0) } else { (0.0, weight_decay) };
                [rate, decay, l2, f64::from(momentum), 0.0, 0.0, 0.0, 0.0].map(|value| value as f32)
            }
        }
    }

    /// Records the update: norm, clipping, parameters.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.update.encode(encoder);
    }

    /// Records adding this micro-batch's gradients to the sum; nothing where accumulation is 1.
    pub fn encode_accumulation(&self, encoder: &mut wgpu::CommandEncoder, first: bool) {
        let program = if first { &self.accumulate_first } else { &self.accumulate_more };
        program.encode(encoder);
    }

    /// What an update runs, in order.
    pub(super) fn programs(&self) -> [&Program; 2] {
        [&self.accumulate_more, &self.update]
    }

    /// Number of dispatches of one update.
    pub fn dispatches(&self) -> usize {
        self.update.len()
    }

    /// The state, with the sum of gradients if it is `accumulating`, that is between updates. Blocks.
    pub fn download(&self, accumulating: bool) -> Result<OptimizerState> {
        let sums = |state: &'_ ChunkState| state.sum.clone();
        Ok(OptimizerState {
            first: self.read_state(|state| Some(state.first.clone()))?,
            second: self.read_state(|state| Some(state.second.clone()))?,
            accumulated: if accumulating { self.read_state(sums)? } else { Vec::new() },
            scaling: self.read_scaling()?,
        })
    }

    fn read_state(&self, which: impl Fn(&ChunkState) -> Option<wgpu::Buffer>) -> Result<Vec<Vec<f32>>> {
        let held = |state: &'_ Option<ChunkState>| state.as_ref().and_then(&which);
        let buffers: Vec<Option<wgpu::Buffer>> = self.chunks.iter().map(held).collect();
        self.store.download_from(&buffers.iter().map(Option::as_ref).collect::<Vec<_>>())
    }

    /// Restores what [`Optimizer::download`] gave.
    pub fn upload(&mut self, state: &OptimizerState) -> Result<()> {
        let scaling = state.scaling.unwrap_or_default();
        scaling.check()?;
        self.skipped = scaling.skipped as u64;
        self.write_scaling(scaling);
        self.write_state(&state.first, |chunk| Some(&chunk.first))?;
        self.write_state(&state.second, |chunk| Some(&chunk.second))?;
        match state.accumulated.is_empty() {
            true => Ok(()),
            false => self.write_state(&state.accumulated, |chunk| chunk.sum.as_ref()),
        }
    }

    fn write_state(
        &self,
        values: &[Vec<f32>],
        which: impl for<'a> Fn(&'a ChunkState) -> Option<&'a wgpu::Buffer>,
    ) -> Result<()> {
        crate::graph::check_values(self.store.parameters(), values)?;
        for (flat, state) in self.store.flatten(values).iter().zip(&self.chunks) {
            if let Some(buffer) = state.as_ref().and_then(&which) {
                self.store.write(buffer, flat)?;
            }
        }
        Ok(())
    }
}

/// The decimal value that an f32 setting such as 0.999 was written as: the libraries compute bias corrections in double.
fn exact(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
