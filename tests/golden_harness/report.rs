//! A line per case and the count at the end.

use std::io::Write;

use super::Outcome;

/// Writes each outcome as it comes and counts.
pub struct Report<W> {
    out: W,
    pub passed: usize,
    pub failed: usize,
    pub not_covered: usize,
}

impl<W: Write> Report<W> {
    pub fn new(out: W) -> Self {
        Report { out, passed: 0, failed: 0, not_covered: 0 }
    }

    pub fn add(&mut self, label: &str, outcome: &Outcome) {
        let (word, text, count) = match outcome {
            Outcome::Passed(text) => ("ok", text, &mut self.passed),
            Outcome::Failed(text) => ("FAILED", text, &mut self.failed),
            Outcome::NotCovered(text) => ("not covered", text, &mut self.not_covered),
        };
        *count += 1;
        let text = text.replace('\n', "\n    ");
        // A closed pipe is no reason to stop counting.
        let _ = writeln!(self.out, "{word:<11}  {label}: {text}");
    }

    /// The last line.
    pub fn summary(&mut self) {
        let (passed, failed, not_covered) = (self.passed, self.failed, self.not_covered);
        let _ = writeln!(self.out, "golden: {passed} passed, {failed} failed, {not_covered} not covered");
    }

    /// How many cases there were.
    pub fn cases(&self) -> usize {
        self.passed + self.failed + self.not_covered
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.out
    }
}
