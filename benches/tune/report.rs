//! What was measured as tables, and as lines for the table of choices.

use limbic::ops::choices::{ANY, Class, Knob};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A variant is better only if it takes less than this share of the time of the one that the table chose.
const BEATEN: f64 = 0.95;

/// A value of a knob, and how long the subject took with it.
pub struct Measured {
    pub value: u32,
    pub ms: f64,
}

/// All values on one subject, the table's choice first.
pub struct Outcome {
    pub subject: String,
    /// What the table's lines go by.
    pub size: usize,
    pub measured: Vec<Measured>,
}

impl Outcome {
    /// Times as shares of that of the table's choice.
    fn ratios(&self) -> impl Iterator<Item = (u32, f64)> {
        let listed = self.measured.first().map_or(f64::NAN, |measured| measured.ms);
        self.measured.iter().map(move |measured| (measured.value, measured.ms / listed))
    }
}

/// The values of `knob` on a subject, the one that the table chose first.
pub fn table(knob: Knob, outcome: &Outcome) -> String {
    let mut out = format!("{knob:?}, {} (size {})\n", outcome.subject, outcome.size);
    for (index, (measured, (_, ratio))) in outcome.measured.iter().zip(outcome.ratios()).enumerate() {
        let note = match index {
            0 => "the table's",
            _ if ratio < BEATEN => "beats the table",
            _ => "",
        };
        let _ = writeln!(out, "  {:>6} {:10.3} ms {ratio:6.2}  {note}", measured.value, measured.ms);
    }
    out + "\n"
}

/// Lines for `knob`: at each size that was measured the table's choice, unless another took less time by the mean over the subjects of
/// that size.
pub fn lines(knob: Knob, class: Class, outcomes: &[Outcome], origin: &str) -> Vec<String> {
    let mut sizes: BTreeMap<usize, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        sizes.entry(outcome.size).or_default().push(outcome);
    }
    let best: Vec<(usize, u32)> = sizes.into_iter().map(|(size, outcomes)| (size, best(&outcomes))).collect();
    let mut lines: Vec<(usize, u32)> = Vec::new();
    for (index, (size, value)) in best.iter().enumerate() {
        // the value holds up to the table's own bound, if that comes before the next size
        let bound = knob.line(class, *size).map_or(ANY, |line| line.up_to);
        let up_to = match best.get(index + 1) {
            Some((next, _)) if bound >= *next => *size,
            Some(_) => bound,
            None => ANY,
        };
        match lines.last_mut() {
            Some((last, same)) if same == value => *last = up_to,
            _ => lines.push((up_to, *value)),
        }
    }
    let written = |(up_to, value): (usize, u32)| {
        let up_to = if up_to == ANY { "ANY".to_string() } else { up_to.to_string() };
        format!("    line({knob:?}, {}, {up_to}, {value}, \"{origin}\"),", format!("{class:?}").to_uppercase())
    };
    lines.into_iter().map(written).collect()
}

/// The value with the least geometric mean of ratios, or the table's where that is not clearly beaten.
fn best(outcomes: &[&Outcome]) -> u32 {
    let mut logs: BTreeMap<u32, f64> = BTreeMap::new();
    for (value, ratio) in outcomes.iter().flat_map(|outcome| outcome.ratios()) {
        *logs.entry(value).or_default() += ratio.ln() / outcomes.len() as f64;
    }
    let listed = outcomes.first().and_then(|outcome| outcome.measured.first()).map_or(0, |measured| measured.value);
    let least = logs.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
    least.filter(|(_, log)| log.exp() < BEATEN).map_or(listed, |(value, _)| value)
}
