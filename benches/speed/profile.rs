//! Where a training step spends its time, by timestamps between dispatches.

use crate::rows::msa::{preset, trainer};
use limbic::Result;
use limbic::gpu::Gpu;
use limbic::models::msa::Preset;
use limbic::plan::{ProfileRow, Traffic};

/// Times of the same step that are taken; each dispatch counts with its median.
const RUNS: usize = 5;
/// Single dispatches that are listed.
const SLOWEST: usize = 12;

/// Prints the forward and backward pass of `name`'s training step kernel by kernel.
pub fn print(gpu: &Gpu, name: &str) -> Result<()> {
    let trainer = trainer(gpu, &preset(Preset::parse(name)?))?;
    let profile = trainer.plan().profile(RUNS)?;
    let total = profile.micros();
    let Traffic { dispatches, barriers, bytes_read, bytes_written } = trainer.plan().traffic();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "msa {name}, batch 32, forward and backward: {:.1} ms in {dispatches} dispatches, {barriers} barriers; {:.1} MiB read, {:.1} written\n",
        total / 1e3,
        mib(bytes_read),
        mib(bytes_written)
    );
    let kernels = profile.rows(|dispatch| format!("{} [{}]", dispatch.op, dispatch.kernel.shader));
    table(&kernels, total, "op [kernel]");
    println!();
    table(&profile.rows(|dispatch| dispatch.kernel.to_string()), total, "kernel with its constants");
    println!("\n| ms | slowest dispatches |\n|---:|---|");
    for dispatch in profile.slowest().into_iter().take(SLOWEST) {
        println!("| {:.2} | {} [{}] |", dispatch.micros / 1e3, dispatch.name(), dispatch.kernel.shader);
    }
    Ok(())
}

fn table(rows: &[ProfileRow], total: f64, title: &str) {
    println!("| {title} | launches | ms | share |\n|---|---:|---:|---:|");
    for ProfileRow { name, calls, micros } in rows {
        println!("| {name} | {calls} | {:.2} | {:.1} % |", micros / 1e3, 100.0 * micros / total);
    }
}
