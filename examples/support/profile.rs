//! What `--profile` does in every example.

use crate::common::shown;
use limbic::Result;
use limbic::files::atomic_write;
use limbic::plan::{Profile, Traffic};
use std::path::Path;

/// Runs that a dispatch's time is the median of.
pub const RUNS: usize = 3;

/// Writes `profile` to the file `path` as a trace; returns the table to print, and where the trace is. `traffic` is the plan's.
pub fn write(what: &str, profile: &Profile, traffic: Traffic, path: &Path) -> Result<String> {
    atomic_write(path, |file| file.write_all(profile.trace().as_bytes()))?;
    let (ms, dispatches) = (profile.micros() / 1e3, profile.dispatches.len());
    let trace = shown(path);
    let Traffic { dispatches: planned, barriers, bytes_read, bytes_written } = traffic;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (read, written) = (mib(bytes_read), mib(bytes_written));
    Ok(format!(
        "profile   {what}: {ms:.2} ms on the GPU, {dispatches} dispatches\n          \
         its plan: {planned} dispatches, {barriers} barriers, {read:.1} MiB read and {written:.1} written\n{profile}          \
         as a trace in {trace}: open it in https://ui.perfetto.dev\n"
    ))
}
