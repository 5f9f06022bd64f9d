//! Stop when the validation loss no longer falls.

/// What one more epoch means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The best value so far: save this model.
    Improved,
    /// No better; `left` more such epochs end the run.
    Waiting { left: u32 },
    /// Patience has run out.
    Stop,
}

/// Watches a value that should fall, such as the validation loss (give an accuracy with its sign changed).
///
/// The whole struct is its state: with the feature `weights` it can be saved and read back, and a resumed run stops where
/// an unbroken one would.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct EarlyStopping {
    /// Epochs in a row without improvement that end the run; 0 counts as 1. (Keras counts so too.)
    pub patience: u32,
    /// How much lower than the best a value must be to count as an improvement; 0 asks for any.
    pub min_delta: f64,
    best: Option<Best>,
    without_improvement: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
struct Best {
    value: f64,
    epoch: u64,
}

impl EarlyStopping {
    /// Nothing seen yet; `min_delta` is 0.
    pub fn new(patience: u32) -> Self {
        EarlyStopping { patience, min_delta: 0.0, best: None, without_improvement: 0 }
    }

    /// Takes the value of `epoch`. NaN and infinity never improve anything: they only use up patience.
    pub fn observe(&mut self, epoch: u64, value: f64) -> Verdict {
        let improved = value.is_finite() && self.best.is_none_or(|best| value < best.value - self.min_delta);
        if improved {
            self.best = Some(Best { value, epoch });
            self.without_improvement = 0;
            return Verdict::Improved;
        }
        self.without_improvement = self.without_improvement.saturating_add(1);
        match self.exhausted() {
            true => Verdict::Stop,
            false => Verdict::Waiting { left: self.patience - self.without_improvement },
        }
    }

    /// Whether patience has run out: a run that is taken up again is over.
    pub fn exhausted(&self) -> bool {
        self.without_improvement >= self.patience.max(1)
    }

    /// The lowest value so far; none before the first finite one.
    pub fn best_value(&self) -> Option<f64> {
        self.best.map(|best| best.value)
    }

    /// The epoch of [`best_value`](Self::best_value).
    pub fn best_epoch(&self) -> Option<u64> {
        self.best.map(|best| best.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(stopping: &mut EarlyStopping, values: &[f64]) -> Vec<Verdict> {
        values.iter().enumerate().map(|(epoch, &value)| stopping.observe(epoch as u64, value)).collect()
    }

    #[test]
    fn stops_after_patience_epochs_without_improvement() {
        use Verdict::{Improved, Stop, Waiting};
        let mut stopping = EarlyStopping::new(2);
        let seen = verdicts(&mut stopping, &[1.0, 0.9, 0.9, 0.8, 0.85, 0.81]);
        assert_eq!(seen, [Improved, Improved, Waiting { left: 1 }, Improved, Waiting { left: 1 }, Stop]);
        assert_eq!((stopping.best_value(), stopping.best_epoch()), (Some(0.8), Some(3)));
    }

    #[test]
    fn small_gains_do_not_count() {
        let mut stopping = EarlyStopping { min_delta: 0.1, ..EarlyStopping::new(3) };
        verdicts(&mut stopping, &[1.0, 0.95, 0.91]);
        assert_eq!(stopping.best_epoch(), Some(0));
        assert_eq!(stopping.observe(3, 0.89), Verdict::Improved);
    }

    #[test]
    fn values_that_are_not_finite_never_improve() {
        let mut stopping = EarlyStopping::new(3);
        assert_eq!(stopping.observe(0, f64::NAN), Verdict::Waiting { left: 2 });
        assert_eq!(stopping.observe(1, f64::NEG_INFINITY), Verdict::Waiting { left: 1 });
        assert_eq!(stopping.best_value(), None);
        assert_eq!(stopping.observe(2, 5.0), Verdict::Improved);
        assert_eq!(stopping.observe(3, f64::NAN), Verdict::Waiting { left: 2 });
        assert_eq!(stopping.best_value(), Some(5.0));
    }

    #[test]
    fn no_patience_stops_at_once() {
        assert_eq!(verdicts(&mut EarlyStopping::new(0), &[1.0, 2.0]), [Verdict::Improved, Verdict::Stop]);
    }

    #[cfg(feature = "weights")]
    #[test]
    fn a_saved_state_goes_on_where_it_was() {
        let values = [1.0, 0.1 + 0.2, 0.5, 0.4];
        let mut unbroken = EarlyStopping::new(3);
        verdicts(&mut unbroken, &values);
        for cut in 0..values.len() {
            let mut first = EarlyStopping::new(3);
            verdicts(&mut first, &values[..cut]);
            let text = serde_json::to_string(&first).unwrap();
            let mut resumed: EarlyStopping = serde_json::from_str(&text).unwrap();
            for (epoch, &value) in values.iter().enumerate().skip(cut) {
                resumed.observe(epoch as u64, value);
            }
            assert_eq!(resumed, unbroken);
        }
    }
}
