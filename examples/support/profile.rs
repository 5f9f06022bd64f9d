//! What `--profile` does in every example.

use crate::common::shown;
use limbic::Result;
use limbic::files::atomic_write;
use limbic::plan::Profile;
use std::path::Path;

/// Runs that a dispatch's time is the median of.
pub const RUNS: usize = 3;

/// Writes `profile` to the file `path` as a trace; returns the table to print, and where the trace is.
pub fn write(what: &str, profile: &Profile, path: &Path) -> Result<String> {
    atomic_write(path, |file| file.write_all(profile.trace().as_bytes()))?;
    let (ms, dispatches) = (profile.micros() / 1e3, profile.dispatches.len());
    let trace = shown(path);
    Ok(format!(
        "profile   {what}: {ms:.2} ms on the GPU, {dispatches} dispatches\n{profile}          \
         as a trace in {trace}: open it in https://ui.perfetto.dev\n"
    ))
}
