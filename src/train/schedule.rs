//! Learning rates over time.
//!
//! Steps count from 0: `lr(s)` is what the optimiser uses in step `s`. Everything is f64; round once, on the way to the GPU.

use std::f64::consts::PI;

use crate::{Error, Result};

/// How the learning rate moves. The value is plain data and its whole state: with the feature `weights` it is saved
/// beside the model and a resumed run goes on with the same rates.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    feature = "weights",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "kind", rename_all = "snake_case")
)]
pub enum Schedule {
    /// The same rate throughout.
    Constant { lr: f64 },
    /// `lr * factor^(step / every)`, rounded down: PyTorch's `StepLR`.
    Step { lr: f64, every: u64, factor: f64 },
    /// Rises from 0 to `lr` in a line over `warmup_steps` (so step 0 has rate 0 if there is a warm-up), then falls along
    /// half a cosine to `min_lr` at `total_steps`, and stays there.
    Cosine { lr: f64, warmup_steps: u64, total_steps: u64, min_lr: f64 },
    /// One rise, one long fall.
    OneCycle(OneCycle),
    /// Falls when the validation loss does not.
    Plateau(Plateau),
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        match self {
            Schedule::Constant { lr } => *lr,
            Schedule::Step { lr, every, factor } => lr * factor.powf(step.checked_div(*every).unwrap_or(0) as f64),
            &Schedule::Cosine { lr, warmup_steps, total_steps, min_lr } => {
                if step < warmup_steps {
                    return lr * step as f64 / warmup_steps as f64;
                }
                let progress = fraction((step - warmup_steps) as f64, total_steps.saturating_sub(warmup_steps) as f64);
                min_lr + (lr - min_lr) * 0.5 * (1.0 + (PI * progress).cos())
            }
            Schedule::OneCycle(cycle) => cycle.lr(step),
            Schedule::Plateau(plateau) => plateau.lr,
        }
    }

    /// Adam's beta1 (or SGD's momentum) of step `step`, if the schedule moves it; else the optimiser keeps its own.
    pub fn beta1(&self, step: u64) -> Option<f64> {
        match self {
            Schedule::OneCycle(cycle) => cycle.beta1(step),
            _ => None,
        }
    }

    /// Takes the validation loss after each epoch; says whether the rate falls now. Only [`Schedule::Plateau`] listens.
    pub fn observe(&mut self, validation_loss: f64) -> bool {
        match self {
            Schedule::Plateau(plateau) => plateau.observe(validation_loss),
            _ => false,
        }
    }

    /// Checks the settings, once, before training.
    ///
    /// # Errors
    /// [`Error::Config`] names the first setting that makes no sense and what it must be.
    pub fn validate(&self) -> Result<()> {
        match self {
            Schedule::Constant { lr } => positive("lr", *lr),
            Schedule::Step { lr, every, factor } => {
                positive("lr", *lr)?;
                positive("factor", *factor)?;
                ensure(*every > 0, "every must be at least 1 step")
            }
            Schedule::Cosine { lr, warmup_steps, total_steps, min_lr } => {
                positive("lr", *lr)?;
                ensure((0.0..=*lr).contains(min_lr), "min_lr must lie between 0 and lr")?;
                ensure(warmup_steps < total_steps, "warmup_steps must be fewer than total_steps")
            }
            Schedule::OneCycle(cycle) => cycle.validate(),
            Schedule::Plateau(plateau) => plateau.validate(),
        }
    }
}

/// The curve between two rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Anneal {
    /// Half a cosine, flat at both ends.
    #[default]
    Cosine,
    Linear,
}

impl Anneal {
    fn between(self, start: f64, end: f64, progress: f64) -> f64 {
        match self {
            Anneal::Cosine => end + (start - end) / 2.0 * ((PI * progress).cos() + 1.0),
            Anneal::Linear => (end - start) * progress + start,
        }
    }
}

/// The one-cycle policy, as PyTorch's `OneCycleLR`
/// (<https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html>; Smith and Topin,
/// "Super-Convergence", 2018): the rate rises to `max_lr` and falls far below its start, beta1 moves the other way.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct OneCycle {
    pub max_lr: f64,
    /// Steps of the whole run; later ones keep the last rate.
    pub total_steps: u64,
    /// The share of the steps that rise, in [0, 1]; with `three_phase` at most 0.5.
    pub pct_start: f64,
    pub anneal: Anneal,
    /// The first rate is `max_lr / div_factor`.
    pub div_factor: f64,
    /// The last rate is the first one divided by this.
    pub final_div_factor: f64,
    /// Fall as long as the rise back to the first rate, then on to the last one.
    pub three_phase: bool,
    /// The range of beta1, which is high where the rate is low; none leaves the optimiser's own in place.
    pub beta1_range: Option<(f64, f64)>,
}

impl OneCycle {
    /// PyTorch's defaults: 30 % rise, cosine, from 1/25 of `max_lr` to 1/250 000, beta1 between 0.85 and 0.95.
    pub fn new(max_lr: f64, total_steps: u64) -> Self {
        OneCycle {
            max_lr,
            total_steps,
            pct_start: 0.3,
            anneal: Anneal::Cosine,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
            beta1_range: Some((0.85, 0.95)),
        }
    }

    fn lr(&self, step: u64) -> f64 {
        let first = self.max_lr / self.div_factor;
        let last = first / self.final_div_factor;
        if self.three_phase {
            self.along(step, &[first, self.max_lr, first, last])
        } else {
            self.along(step, &[first, self.max_lr, last])
        }
    }

    fn beta1(&self, step: u64) -> Option<f64> {
        let (low, high) = self.beta1_range?;
        Some(if self.three_phase {
            self.along(step, &[high, low, high, high])
        } else {
            self.along(step, &[high, low, high])
        })
    }

    /// The value at `step` on the curve through `values`, one phase between each two.
    fn along(&self, step: u64, values: &[f64]) -> f64 {
        let last = self.total_steps.saturating_sub(1) as f64;
        let step = (step as f64).min(last);
        let rise = self.pct_start * self.total_steps as f64;
        // As PyTorch has them: a phase ends ON its last step, and the next one counts from there.
        let ends: &[f64] = if self.three_phase { &[rise - 1.0, 2.0 * rise - 2.0, last] } else { &[rise - 1.0, last] };
        let mut start = 0.0;
        for (&end, pair) in ends.iter().zip(values.windows(2)) {
            if step <= end || end == last {
                return self.anneal.between(pair[0], pair[1], fraction(step - start, end - start));
            }
            start = end;
        }
        values.last().copied().unwrap_or(0.0)
    }

    fn validate(&self) -> Result<()> {
        positive("max_lr", self.max_lr)?;
        positive("div_factor", self.div_factor)?;
        positive("final_div_factor", self.final_div_factor)?;
        ensure(self.total_steps > 0, "total_steps must be at least 1")?;
        let most = if self.three_phase { 0.5 } else { 1.0 };
        ensure((0.0..=most).contains(&self.pct_start), "pct_start must lie in [0, 1], with three_phase in [0, 0.5]")?;
        let range = self.beta1_range.unwrap_or((0.0, 0.0));
        ensure(0.0 <= range.0 && range.0 <= range.1 && range.1 < 1.0, "beta1_range must rise within [0, 1)")
    }
}

/// How much better than the best a loss must be to count.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Threshold {
    /// Below `best * (1 - x)`.
    Relative(f64),
    /// Below `best - x`.
    Absolute(f64),
}

/// Multiplies the rate by `factor` when the validation loss has not improved for more than `patience` epochs, as
/// PyTorch's `ReduceLROnPlateau`
/// (<https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html>).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct Plateau {
    /// The rate now; falls.
    pub lr: f64,
    pub factor: f64,
    /// Epochs without improvement that are borne; the next one lowers the rate.
    pub patience: u32,
    pub threshold: Threshold,
    /// Epochs after a fall that count neither way.
    pub cooldown: u32,
    /// The rate never falls below this.
    pub min_lr: f64,
    /// A fall smaller than this is not made.
    pub min_change: f64,
    /// State: the best loss so far.
    pub best: Option<f64>,
    /// State: epochs in a row without improvement.
    pub bad_epochs: u32,
    /// State: epochs of cooldown left.
    pub cooldown_left: u32,
}

impl Plateau {
    /// PyTorch's defaults: a tenth of the rate after more than 10 epochs without a relative gain of 1e-4.
    pub fn new(lr: f64) -> Self {
        Plateau {
            lr,
            factor: 0.1,
            patience: 10,
            threshold: Threshold::Relative(1e-4),
            cooldown: 0,
            min_lr: 0.0,
            min_change: 1e-8,
            best: None,
            bad_epochs: 0,
            cooldown_left: 0,
        }
    }

    /// Takes one validation loss; says whether the rate falls now. A loss that is not finite is no improvement.
    pub fn observe(&mut self, validation_loss: f64) -> bool {
        if self.improves(validation_loss) {
            self.best = Some(validation_loss);
            self.bad_epochs = 0;
        } else {
            self.bad_epochs = self.bad_epochs.saturating_add(1);
        }
        if self.cooldown_left > 0 {
            self.cooldown_left -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs <= self.patience {
            return false;
        }
        self.cooldown_left = self.cooldown;
        self.bad_epochs = 0;
        let lowered = (self.lr * self.factor).max(self.min_lr);
        let falls = self.lr - lowered > self.min_change;
        if falls {
            self.lr = lowered;
        }
        falls
    }

    fn improves(&self, loss: f64) -> bool {
        let bound = match (self.best, self.threshold) {
            (None, _) => f64::INFINITY,
            (Some(best), Threshold::Relative(share)) => best * (1.0 - share),
            (Some(best), Threshold::Absolute(amount)) => best - amount,
        };
        loss.is_finite() && loss < bound
    }

    fn validate(&self) -> Result<()> {
        positive("lr", self.lr)?;
        ensure(0.0 < self.factor && self.factor < 1.0, "factor must lie between 0 and 1: the rate is to fall")?;
        let (Threshold::Relative(threshold) | Threshold::Absolute(threshold)) = self.threshold;
        ensure(threshold >= 0.0 && threshold.is_finite(), "threshold must be at least 0")?;
        ensure(self.min_lr >= 0.0 && self.min_change >= 0.0, "min_lr and min_change must be at least 0")
    }
}

/// `part / whole` up to 1; a phase without length is over.
fn fraction(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole).min(1.0) } else { 1.0 }
}

fn positive(name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::Config(format!("schedule: {name} is {value}, but must be more than 0")))
}

fn ensure(holds: bool, message: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Config(format!("schedule: {message}"))) }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
