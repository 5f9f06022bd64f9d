//! The command line.

use crate::measure::Pace;
use clap::Parser;
use std::path::PathBuf;

/// Times limbic's kernels and sentiment models, and in the same run the device's roofs: `cargo bench -- --filter attn`.
///
/// Each row is submit + wait with everything resident on the device: the median of at least 10 runs after warm-up, with the
/// fastest and the slowest. GFLOP/s and GB/s count the least work and traffic that the op can do with; "roof" is the share of
/// the time that this least would take at the multiply-add and copy rates measured in the same run; more than 100 % means data
/// that stay in a cache, which the copied 64 MiB do not. "CPU ms" is this program's processor time on all cores, which on a
/// software adapter is the device's; "others" is what other programs took of the machine meanwhile.
///
/// A complete run is saved as JSON under benches/results, and a Markdown table goes to stdout.
#[derive(Parser, Debug)]
#[command(name = "cargo bench --")]
pub struct Options {
    /// Only rows whose name contains one of these, separated by commas (matmul, attn, msa_train, roof, ...).
    #[arg(long, value_delimiter = ',')]
    pub filter: Vec<String>,
    /// Three runs a row and no waiting for a quiet machine: to see that everything works.
    #[arg(long)]
    pub quick: bool,
    /// Where the JSON goes; by default benches/results/<adapter>-<date>.json for a complete run, nowhere for a part.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Another library's measurements, as JSON lines with `lib`, `op` and `ms`; each row then shows how many times faster
    /// limbic is. May be given more than once: the fastest counts.
    #[arg(long)]
    pub peer: Vec<PathBuf>,
    /// Part of an adapter's name, or its number.
    #[arg(long)]
    pub adapter: Option<String>,
    /// Replays per submission; by default 1 on a software adapter, elsewhere as many as take 20 ms.
    #[arg(long)]
    pub replays: Option<u32>,
    /// The most seconds to wait before a row until other programs leave the machine alone.
    #[arg(long, default_value_t = 20.0)]
    pub patience: f64,
    /// The most seconds that the runs of a row may take in all before there are fewer than 10 of them (but at least 3).
    #[arg(long, default_value_t = 300.0)]
    pub longest: f64,
    /// Instead of timing rows, print where a training step of this preset (small, medium, default, large) spends its time.
    #[arg(long, num_args = 0..=1, default_missing_value = "default")]
    pub profile: Option<String>,
    /// Only measure the first training step of this process and print it: what the rows msa_default_first_step_* start.
    #[arg(long, hide = true)]
    pub first_step: bool,
    /// `cargo bench` passes this.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    pub fn pace(&self) -> Pace {
        let Options { quick, patience, replays, longest, .. } = *self;
        Pace { quick, patience, replays, longest, enough: 2.0 }
    }

    /// Whether the row `name` is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.is_empty() || self.filter.iter().any(|part| name.contains(part.as_str()))
    }

    /// Whether nothing is left out or cut short, so that the results are worth keeping.
    pub fn complete(&self) -> bool {
        self.filter.is_empty() && !self.quick
    }
}
