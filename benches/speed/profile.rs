//! Where a training step spends its time, by timestamps between dispatches.

use crate::rows::msa::{preset, trainer};
use limbic::Result;
use limbic::gpu::Gpu;
use limbic::models::msa::Preset;
use limbic::plan::Traffic;
use std::collections::BTreeMap;

/// Times of the same step that are taken; each dispatch counts with its median.
const RUNS: usize = 5;
/// Single dispatches that are listed.
const SLOWEST: usize = 12;

/// Prints the forward and backward pass of `name`'s training step kernel by kernel.
pub fn print(gpu: &Gpu, name: &str) -> Result<()> {
    let trainer = trainer(gpu, &preset(Preset::parse(name)?))?;
    let program = trainer.plan().program();
    trainer.plan().run()?;
    let runs = (0..RUNS).map(|_| program.profile()).collect::<Result<Vec<_>>>()?;
    let median = |index: usize| {
        let mut times: Vec<f64> = runs.iter().filter_map(|run| run.get(index).copied()).collect();
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default() / 1e3
    };
    let times: Vec<f64> = (0..program.len()).map(median).collect();
    let total: f64 = times.iter().sum();
    let Traffic { dispatches, barriers, bytes_read, bytes_written } = program.traffic();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "msa {name}, batch 32, forward and backward: {total:.1} ms in {dispatches} dispatches, {barriers} barriers; {:.1} MiB read, \
         {:.1} written\n",
        mib(bytes_read),
        mib(bytes_written)
    );
    let kernels: Vec<String> = (0..program.len()).map(|index| kernel(program.describe(index).0)).collect();
    table(&kernels, &times, total, "op [kernel]");
    println!();
    let shaders: Vec<String> = program.kernels().map(|key| key.to_string()).collect();
    table(&shaders, &times, total, "kernel with its constants");
    println!("\n| ms | slowest dispatches |\n|---:|---|");
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*b].total_cmp(&times[*a]));
    for index in order.into_iter().take(SLOWEST) {
        println!("| {:.2} | {} |", times[index], program.describe(index).0);
    }
    Ok(())
}

/// A dispatch's label without its layer.
fn kernel(label: &str) -> String {
    label.split(" @ ").next().unwrap_or(label).to_string()
}

fn table(names: &[String], times: &[f64], total: f64, title: &str) {
    let mut sums: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for (name, time) in names.iter().zip(times) {
        let entry = sums.entry(name).or_default();
        *entry = (entry.0 + 1, entry.1 + time);
    }
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    println!("| {title} | launches | ms | share |\n|---|---:|---:|---:|");
    for (name, (count, time)) in rows {
        println!("| {name} | {count} | {time:.2} | {:.1} % |", 100.0 * time / total);
    }
}
