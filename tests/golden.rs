//! limbic against PyTorch and Keras: every case under `tests/golden/`, or under the directory in `LIMBIC_GOLDEN`.
//!
//! Prints a line per case and exits with 1 if one is beyond tolerance. `cargo test --test golden -- layer_norm` runs the
//! cases whose label contains the text.

mod golden_cases;
mod golden_harness;

use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of Rust's own test harness that are followed by a value: it is no filter.
const WITH_VALUE: [&str; 6] = ["--color", "--format", "--logfile", "--shuffle-seed", "--skip", "--test-threads"];

fn main() -> ExitCode {
    let arguments = Arguments::parse(std::env::args().skip(1));
    let root = match std::env::var_os("LIMBIC_GOLDEN") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
    };
    if !root.is_dir() {
        eprintln!("golden: {} is no directory: set LIMBIC_GOLDEN to one with golden files", root.display());
        return ExitCode::FAILURE;
    }
    if arguments.list {
        golden_harness::labels(&root, &arguments.filter).iter().for_each(|label| println!("{label}: test"));
        return ExitCode::SUCCESS;
    }
    let mut report = golden_harness::run_all(&root, &arguments.filter, golden_cases::family, std::io::stdout().lock());
    report.summary();
    // No case at all proves nothing, unless a filter meant for other tests left none.
    if report.cases() == 0 && arguments.filter.is_empty() {
        eprintln!("golden: no *.safetensors under {}", root.display());
        return ExitCode::FAILURE;
    }
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Arguments {
    filter: String,
    list: bool,
}

impl Arguments {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut parsed = Arguments { filter: String::new(), list: false };
        while let Some(argument) = arguments.next() {
            if argument == "--list" {
                parsed.list = true;
            } else if WITH_VALUE.contains(&argument.as_str()) {
                arguments.next();
            } else if !argument.starts_with('-') {
                parsed.filter = argument;
            }
        }
        parsed
    }
}
