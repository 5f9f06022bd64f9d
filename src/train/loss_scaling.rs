//! The state of dynamic loss scaling.

use crate::error::{Error, Result};

/// What the loss is multiplied by before it is differentiated, so that gradients are neither lost nor infinite as 16-bit floats. It
/// lives and changes on the GPU (`shaders/gradient_clip.wgsl`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScaling {
    /// A power of two, if it began as one.
    pub scale: f32,
    /// Updates applied since it last changed.
    pub updates: f32,
    /// Updates skipped because a gradient was not finite; Adam's bias corrections do not count them.
    pub skipped: f32,
}

impl LossScaling {
    /// Checks that a run can go on with these.
    pub(super) fn check(&self) -> Result<()> {
        let count = |number: f32| number >= 0.0 && number.fract() == 0.0;
        match self.scale.is_finite() && self.scale >= 1.0 && count(self.updates) && count(self.skipped) {
            true => Ok(()),
            false => Err(Error::Config(format!("a loss scale must be at least 1 and its counts whole: {self:?}"))),
        }
    }
}

impl Default for LossScaling {
    fn default() -> Self {
        LossScaling { scale: 65536.0, updates: 0.0, skipped: 0.0 }
    }
}
