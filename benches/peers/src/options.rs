//! The command line.

use crate::measure::Pace;
use clap::Parser;
use std::path::PathBuf;

/// Times limbic and burn (wgpu backend, its defaults) side by side: one process, one adapter, for each row a run of limbic, a run
/// of burn, and so on in turn, after warm-up.
///
/// Each row is submit + wait with everything resident on the device: the median of at least 10 runs with the fastest and the
/// slowest; fewer where ten of all libraries would take longer than --longest seconds. "first ms" is from building it to its first
/// result: kernels are compiled, and burn tunes itself. Rows named `first_result_*` start processes of their own, with and without what
/// earlier ones left in the caches on disk. Everything goes to --out: peers.md, peers.json, peers.svg, and burn.jsonl, which `cargo
/// bench -- --peer` reads.
#[derive(Parser, Debug)]
pub struct Options {
    /// Only rows whose name contains one of these, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Prints the rows' names and who has them, and measures nothing.
    #[arg(long)]
    pub list: bool,
    /// Where the results go; by default results/<adapter>-<date>.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Three runs a row and no waiting for a quiet machine: to see that everything works.
    #[arg(long)]
    pub quick: bool,
    /// Measurements of other programs as JSON lines with `lib`, `op` and `ms`, such as torch_bench.py's: further columns.
    #[arg(long)]
    pub with: Vec<PathBuf>,
    /// The program that meganeura/ builds: its rows are run in turn with limbic's and burn's.
    #[arg(long)]
    pub meganeura: Option<PathBuf>,
    /// Leaves burn out.
    #[arg(long)]
    pub without_burn: bool,
    /// The row that takes burn minutes, too.
    #[arg(long)]
    pub all: bool,
    /// Part of an adapter's name, or its number, for limbic; burn chooses its own, and must come to the same.
    #[arg(long)]
    pub adapter: Option<String>,
    /// Replays per submission; by default 1 on a software adapter, elsewhere as many as take 20 ms.
    #[arg(long)]
    pub replays: Option<u32>,
    /// The most seconds to wait before a row until other programs leave the machine alone.
    #[arg(long, default_value_t = 20.0)]
    pub patience: f64,
    /// The most seconds that the runs of a row may take in all before there are fewer than 10 of them (but at least 3).
    #[arg(long, default_value_t = 120.0)]
    pub longest: f64,
    /// Prints the seconds that limbic or burn takes from the start of the process to the first result of a row: `burn:ROW`.
    #[arg(long, hide = true)]
    pub first: Option<String>,
}

impl Options {
    pub fn pace(&self) -> Pace {
        let Options { quick, patience, replays, longest, .. } = *self;
        Pace { quick, patience, replays, longest, enough: 2.0 }
    }

    /// Whether the row `name` is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}
