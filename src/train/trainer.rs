//! A training step as one replay: inputs, forward, loss, backward, clipping, update; the loss comes back without a wait.

use super::optimizer::{Optimizer, OptimizerConfig, OptimizerState, StepSettings};
use super::running;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Readback};
use crate::graph::{Graph, LOSS_SCALE, Precision};
use crate::plan::{Batch, MemoryReport, Mode, ParameterStore, Plan, Profile, Program, StepUniform, Values};
use std::collections::VecDeque;

/// Losses in flight before a step waits for the oldest.
pub(super) const IN_FLIGHT: usize = 8;
/// Bytes read back per step: the loss, then the optimiser's status.
const REPORT_BYTES: u64 = 12;

/// What a finished step says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// Counted from 0.
    pub step: u64,
    pub loss: f32,
    /// Global norm of the gradients before clipping; of the step's update, so 0 within an accumulation.
    pub gradient_norm: f32,
    /// The update was skipped, in mixed precision: a gradient was too large for its scale, which is halved for the next.
    pub skipped: bool,
    /// Real samples of its batch.
    pub samples: usize,
}

struct Pending {
    step: u64,
    batch: Batch,
    readback: Readback,
}

/// A finished micro-batch of the update that is under way.
struct Finished {
    step: u64,
    loss: f32,
    batch: Batch,
}

/// Trains the parameters of a store on the graph's output `loss`.
pub struct Trainer {
    gpu: Gpu,
    store: ParameterStore,
    plan: Plan,
    optimizer: Optimizer,
    /// Sets running statistics.
    running: Program,
    seed: u32,
    step: u64,
    updates: u64,
    pending: VecDeque<Pending>,
    /// What an update that goes wrong is traced back to, besides its last micro-batch.
    accumulated: Vec<Finished>,
    /// Staging buffers that no loss is on its way in: all are made at the start, so that a step makes none.
    free: Vec<wgpu::Buffer>,
}

impl Trainer {
    /// Compiles the training plan of the graph that `build` makes. `seed` is dropout's.
    pub fn new(
        store: &ParameterStore,
        config: OptimizerConfig,
        seed: u32,
        build: impl FnOnce(&Graph) -> Result<()>,
    ) -> Result<Self> {
        let plan = Plan::new(store, Mode::Gradients, build)?;
        let (loss, _) = plan.output_location("loss")?;
        let scale = match plan.recording().precision {
            Precision::F32 => None,
            Precision::Mixed => Some(plan.input_location(LOSS_SCALE)?),
        };
        let optimizer = Optimizer::with_loss_scale(store, plan.trained(), config, Some(&loss), scale)?;
        let running = running::program(store, &plan, optimizer.status())?;
        let gpu = store.gpu().clone();
        // those in flight, and that of the step being recorded
        let staging = || (0..=IN_FLIGHT).map(|_| Readback::staging(&gpu, REPORT_BYTES)).collect();
        let free = gpu.guarded("allocating the buffers that losses come back in", staging)?;
        Ok(Trainer {
            gpu,
            store: store.clone(),
            plan,
            optimizer,
            running,
            seed,
            step: 0,
            updates: 0,
            pending: VecDeque::new(),
            accumulated: Vec::new(),
            free,
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn store(&self) -> &ParameterStore {
        &self.store
    }

    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Bytes of the plan, and of the optimiser's state.
    pub fn memory(&self) -> (MemoryReport, u64) {
        (self.plan.memory(), self.optimizer.bytes())
    }

    /// Steps (micro-batches) begun so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Updates begun so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The optimiser's state as of the last step; with [`Trainer::steps`], [`Trainer::updates`] and the parameters it is all that
    /// [`Trainer::resume`] needs. Blocks.
    pub fn state(&self) -> Result<OptimizerState> {
        self.optimizer.download(!self.step.is_multiple_of(self.accumulation()))
    }

    /// Goes on from a saved state. The parameters are the store's.
    ///
    /// # Errors
    /// Where the state is another model's, or lacks the sum of gradients that a step between two updates needs.
    pub fn resume(&mut self, steps: u64, updates: u64, state: &OptimizerState) -> Result<()> {
        if !steps.is_multiple_of(self.accumulation()) && state.accumulated.is_empty() {
            let message =
                "the state was saved after an update, but its steps end between two: was accumulation changed?";
            return Err(Error::Config(message.to_string()));
        }
        self.finish()?;
        self.accumulated.clear();
        self.optimizer.upload(state)?;
        self.step = steps;
        self.updates = updates;
        Ok(())
    }

    fn accumulation(&self) -> u64 {
        u64::from(self.optimizer.config().accumulation)
    }

    /// Submits one step; with accumulation, every n-th updates the parameters. Waits only where eight losses are
    /// unread; returns the reports that have come in.
    ///
    /// # Errors
    /// [`Error::NonFinite`] naming the step and the layer in which a loss or gradient first stopped being finite. Parameters and
    /// counters then are what they were before that step's update, so that training can go on with other batches or a lower rate.
    /// [`Error::Config`] for a learning rate that is negative or not finite.
    pub fn step(&mut self, batch: Batch, settings: StepSettings) -> Result<Vec<StepReport>> {
        self.gpu.check("training")?;
        settings.check()?;
        batch.write_to(&self.plan)?;
        self.plan.set_step(StepUniform { seed: self.seed, index: self.step as u32, reserved: [0; 2] });
        let place = self.step % self.accumulation();
        let updates = place + 1 == self.accumulation();
        if updates {
            self.updates += 1;
            self.optimizer.prepare(self.updates, settings);
        }
        // a fault may have taken some
        let staging = self.free.pop().unwrap_or_else(|| Readback::staging(&self.gpu, REPORT_BYTES));
        let mut encoder = self.plan.begin();
        self.record_update(&mut encoder, place == 0, updates);
        let (loss, _) = self.plan.output_location("loss")?;
        encoder.copy_buffer_to_buffer(&loss.buffer, loss.offset, &staging, 0, 4);
        encoder.copy_buffer_to_buffer(self.optimizer.status(), 0, &staging, 4, 8);
        let submission = self.gpu.queue().submit([encoder.finish()]);
        let readback = Readback::begin(&self.gpu, staging, submission);
        self.pending.push_back(Pending { step: self.step, batch, readback });
        self.step += 1;
        self.reports(IN_FLIGHT)
    }

    /// Records the dispatches of a step: what the CPU does per step besides copying the inputs.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder, first: bool, updates: bool) {
        self.plan.encode(encoder);
        self.record_update(encoder, first, updates);
    }

    fn record_update(&self, encoder: &mut wgpu::CommandEncoder, first: bool, updates: bool) {
        self.optimizer.encode_accumulation(encoder, first);
        if updates {
            self.optimizer.encode(encoder);
        }
        self.running.encode(encoder);
    }

    /// GPU time of every dispatch of a step on `batch`, its update among them: medians over `runs` runs. What it trains is afterwards as
    /// it was. To be called when no step is under way ([`Trainer::finish`]).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the adapter has no timestamps between dispatches.
    pub fn profile(&mut self, batch: &Batch, runs: usize) -> Result<Profile> {
        let (values, state) = (self.store.download()?, self.state()?);
        let profile = self.profile_step(batch, runs);
        self.store.upload(&values)?;
        self.optimizer.reset_status();
        self.resume(self.step, self.updates, &state)?;
        profile
    }

    fn profile_step(&self, batch: &Batch, runs: usize) -> Result<Profile> {
        batch.write_to(&self.plan)?;
        self.plan.set_step(StepUniform { seed: self.seed, index: self.step as u32, reserved: [0; 2] });
        let mut profile = self.plan.profile(runs)?;
        // what the update does to the parameters is undone: any rate will do
        self.optimizer.prepare(self.updates + 1, StepSettings { learning_rate: 0.0, beta1: None });
        for program in self.optimizer.programs().into_iter().chain([&self.running]) {
            let whole = 0..program.len();
            profile.dispatches.extend(program.profile(&[whole], runs)?);
        }
        Ok(profile)
    }

    /// Waits for all steps and returns the reports not yet returned.
    pub fn finish(&mut self) -> Result<Vec<StepReport>> {
        self.reports(0)
    }

    /// Reports of finished steps, in order; waits while more than `most` are unfinished.
    fn reports(&mut self, most: usize) -> Result<Vec<StepReport>> {
        let mut reports = Vec::new();
        while let Some(pending) = self.pending.front() {
            if self.pending.len() <= most && !pending.readback.ready()? {
                break;
            }
            let Some(Pending { step, batch, readback }) = self.pending.pop_front() else { break };
            let (bytes, staging) = readback.wait()?;
            self.free.push(staging);
            let words = bytemuck::pod_collect_to_vec::<u8, f32>(&bytes);
            let (loss, applied, gradient_norm) = (words[0], words[1], words[2]);
            let samples = batch.samples;
            self.accumulated.push(Finished { step, loss, batch });
            if !loss.is_finite() || applied == 0.0 {
                return Err(self.explain()?);
            }
            let updates = (step + 1).is_multiple_of(self.accumulation());
            if updates {
                self.accumulated.clear();
            }
            let skipped = updates && applied < 0.0;
            if skipped {
                self.optimizer.note_skipped();
            }
            reports.push(StepReport { step, loss, gradient_norm, skipped, samples });
        }
        Ok(reports)
    }

    /// Runs the micro-batches of the faulty update again, dispatch by dispatch, to find where it went wrong. Since the fault no
    /// update was applied.
    fn explain(&mut self) -> Result<Error> {
        for later in std::mem::take(&mut self.pending) {
            self.free.push(later.readback.wait()?.1);
        }
        self.optimizer.reset_status();
        let suspects = std::mem::take(&mut self.accumulated);
        let (step, loss) = suspects.last().map_or((self.step, f32::NAN), |last| (last.step, last.loss));
        self.updates = step / self.accumulation();
        self.step = self.updates * self.accumulation();
        for Finished { step, loss, batch } in suspects {
            batch.write_to(&self.plan)?;
            self.plan.set_step(StepUniform { seed: self.seed, index: step as u32, reserved: [0; 2] });
            let Some(layer) = self.plan.first_non_finite()? else { continue };
            let layer = match not_finite(&batch) {
                Some(input) => format!("{layer} (the input '{input}' itself holds a value that is not finite)"),
                None => layer,
            };
            return Ok(Error::NonFinite { step, loss, layer });
        }
        let layer = "the gradient norm (every value was finite: their squares overflow)".to_string();
        Ok(Error::NonFinite { step, loss, layer })
    }
}

/// The first input that holds a value that is not finite.
fn not_finite(batch: &Batch) -> Option<&str> {
    batch.tensors().iter().find_map(|(name, values)| match values {
        Values::F32(values) if values.iter().any(|value| !value.is_finite()) => Some(name.as_str()),
        _ => None,
    })
}
