//! A row of the table.

use crate::measure::Timing;
use crate::rows::Work;
use crate::rows::roof::Roofs;
use serde::Serialize;

/// One measurement, as the JSON has it. `op` and `ms` are named as in the files that [`crate::peers`] reads, so that a
/// saved run can itself serve as a peer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    pub lib: &'static str,
    pub op: String,
    pub ms: f64,
    pub min_ms: f64,
    pub max_ms: f64,
    pub runs: usize,
    pub replays: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatches: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gbs: Option<f64>,
    #[serde(skip)]
    pub work: Work,
    /// Time at the roof / time taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roof: Option<f64>,
    /// GPU memory that the plan and the optimiser take, known before they are allocated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// Processor milliseconds of this program per replay, all threads together; on a software adapter the device's own time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<f64>,
    /// Share of the processors that other programs took meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<f64>,
    /// The fastest peer's name and milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<(String, f64)>,
}

impl Row {
    pub fn new(op: impl Into<String>, timing: Timing) -> Self {
        Row {
            lib: "limbic",
            op: op.into(),
            ms: timing.median * 1e3,
            min_ms: timing.min * 1e3,
            max_ms: timing.max * 1e3,
            runs: timing.runs,
            replays: timing.replays,
            others: timing.others,
            cpu_ms: timing.cpu.map(|seconds| seconds * 1e3),
            ..Row::default()
        }
    }

    /// With the rates of `work`.
    pub fn doing(mut self, work: Work) -> Self {
        let rate = |amount: f64| (amount > 0.0).then(|| amount / (self.ms / 1e3) / 1e9);
        self.gflops = rate(work.flops);
        self.gbs = rate(work.bytes);
        self.work = work;
        self
    }

    /// With its share of the roofs, if it does work that is counted.
    pub fn under(&mut self, roofs: &Roofs) {
        self.roof = Some(roofs.least_seconds(self.work) / (self.ms / 1e3)).filter(|share| *share > 0.0);
    }

    pub fn dispatching(mut self, dispatches: Option<usize>) -> Self {
        self.dispatches = dispatches;
        self
    }

    pub fn taking(mut self, bytes: Option<u64>) -> Self {
        self.memory_mib = bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
        self
    }
}
