//! Reads golden files, compares with them and reports. What is in them and how close is close enough:
//! `tests/golden/README.md`.
#![allow(dead_code, reason = "each test target uses its own part")]

pub mod compare;
pub mod file;
pub mod report;

use limbic::graph::{LOSS_SCALE, Precision};
use limbic::plan::Plan;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

pub use compare::{Comparison, Outcome};
pub use file::{Case, GoldenFile};
pub use report::Report;

static MIXED: AtomicBool = AtomicBool::new(false);
/// What losses are scaled by in mixed precision: a power of two, so that it rounds nothing.
const SCALE: f32 = 256.0;

/// Has all further cases run in mixed precision, and compared with its tolerances.
pub fn mix() {
    MIXED.store(true, Ordering::Relaxed);
}

/// What cases run in.
pub fn precision() -> Precision {
    if MIXED.load(Ordering::Relaxed) { Precision::Mixed } else { Precision::F32 }
}

/// How many times too large a plan's gradients are.
pub fn loss_scale() -> f32 {
    if precision() == Precision::Mixed { SCALE } else { 1.0 }
}

/// Tells `plan` of [`loss_scale`].
pub fn write_loss_scale(plan: &Plan) -> limbic::Result<()> {
    if plan.has_input(LOSS_SCALE) { plan.write(LOSS_SCALE, &[loss_scale()]) } else { Ok(()) }
}

/// Runs one case of limbic against its golden values.
pub type Run = fn(&Case<'_>) -> Outcome;

/// Every case under `root` whose label contains `filter`, run by what `family` finds for its file.
pub fn run_all<W: Write>(root: &Path, filter: &str, family: fn(&GoldenFile) -> Option<Run>, out: W) -> Report<W> {
    let mut report = Report::new(out);
    each_file(root, |label, file| match file {
        Err(message) if label.contains(filter) => report.add(label, &Outcome::Failed(message)),
        Err(_) => {}
        Ok(file) => {
            for case in file.cases().iter().filter(|case| case.label().contains(filter)) {
                report.add(&case.label(), &run_one(case, family(&file)));
            }
        }
    });
    report
}

/// The labels of every case under `root` whose label contains `filter`.
pub fn labels(root: &Path, filter: &str) -> Vec<String> {
    let mut labels = Vec::new();
    each_file(root, |label, file| match file {
        Err(_) => labels.push(label.to_string()),
        Ok(file) => labels.extend(file.cases().iter().map(Case::label)),
    });
    labels.retain(|label| label.contains(filter));
    labels
}

/// A panic is a failure of its case, not the end of the others.
fn run_one(case: &Case<'_>, run: Option<Run>) -> Outcome {
    let Some(run) = run else {
        return Outcome::NotCovered(format!("limbic has no '{}'", case.file.kind()));
    };
    catch_unwind(AssertUnwindSafe(|| run(case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Outcome::Failed(format!("panicked: {}", text.unwrap_or("without a message")))
    })
}

fn each_file(root: &Path, mut take: impl FnMut(&str, Result<GoldenFile, String>)) {
    let mut paths = Vec::new();
    find(root, 0, &mut paths);
    paths.sort();
    for path in paths {
        let label = path.strip_prefix(root).unwrap_or(&path).with_extension("").to_string_lossy().replace('\\', "/");
        take(&label, GoldenFile::read(&path, &label));
    }
}

/// Every safetensors file below `folder`, whatever its layout. The depth is bounded for links that lead in circles.
fn find(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth < 16 {
            find(&path, depth + 1, paths);
        } else if path.extension().is_some_and(|extension| extension == "safetensors") {
            paths.push(path);
        }
    }
}
