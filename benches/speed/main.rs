//! `cargo bench`: kernels, models and roofs in one run. `cargo bench -- --help` says how to read and steer it.

mod cases;
#[path = "../../examples/support/exit.rs"]
mod exit;
mod kernels;
mod measure;
mod msa;
mod options;
mod peers;
mod profile;
mod report;
mod roof;
mod row;
mod seed;
mod system;

use clap::Parser;
use limbic::Result;
use limbic::gpu::{Gpu, GpuOptions};
use measure::Stopwatch;
use options::Options;
use peers::Peers;
use row::Row;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use system::Setting;

/// A run of the benchmark.
pub struct Bench<'a> {
    pub gpu: &'a Gpu,
    pub options: &'a Options,
    pub stopwatch: Stopwatch<'a>,
    peers: Peers,
    rows: Vec<Row>,
}

impl Bench<'_> {
    /// Keeps a row, and says so at once: a run takes a while. Of two rows of one name the one with the fastest run stays.
    pub fn add(&mut self, mut row: Row) {
        row.peer = self.peers.find(&row.op).cloned();
        let faster = row.peer.as_ref().map_or_else(String::new, |(lib, ms)| format!("  {:.1} x {lib}", ms / row.ms));
        let spread = format!("{} .. {}", report::short(row.min_ms), report::short(row.max_ms));
        eprintln!("{:36} {:>9} ms  ({spread}){faster}", row.op, report::short(row.ms));
        match self.rows.iter_mut().find(|known| known.op == row.op) {
            Some(known) if known.min_ms <= row.min_ms => {}
            Some(known) => *known = row,
            None => self.rows.push(row),
        }
    }
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    if options.first_step {
        return msa::print_first_step(&gpu);
    }
    if let Some(preset) = &options.profile {
        return profile::print(&gpu, preset);
    }
    let setting = Setting::of(&gpu);
    eprintln!("{} on {}", setting.adapter, setting.machine);
    let stopwatch = Stopwatch::new(&gpu, options);
    let mut bench = Bench { gpu: &gpu, options, stopwatch, peers: Peers::read(&options.peer)?, rows: Vec::new() };
    let before = roof::measure(&mut bench)?;
    kernels::measure(&mut bench)?;
    msa::measure(&mut bench)?;
    let roofs = before.highest(roof::measure(&mut bench)?);
    bench.rows.iter_mut().for_each(|row| row.under(&roofs));
    println!("{}", report::markdown(&setting, &bench.rows));
    let path = options.json.clone().or_else(|| options.complete().then(|| default_path(&setting)));
    if let Some(path) = path {
        report::save(&path, &setting, &bench.rows)?;
        eprintln!("saved as {}", path.display());
    }
    Ok(())
}

fn default_path(setting: &Setting) -> PathBuf {
    let name = format!("{}-{}.json", setting.slug(), setting.date);
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results").join(name)
}
