//! `cargo bench`: kernels, models and roofs in one run. `cargo bench -- --help` says how to read and steer it.

#[path = "../../examples/support/exit.rs"]
mod exit;
mod measure;
mod options;
mod peers;
mod profile;
mod report;
mod row;
mod rows;
mod steps;
mod system;

use clap::Parser;
use limbic::Result;
use limbic::gpu::{Gpu, GpuOptions};
use measure::Stopwatch;
use options::Options;
use peers::Peers;
use row::Row;
use rows::Subject;
use rows::roof::{self, Roofs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use system::Setting;

/// A run of the benchmark.
pub struct Bench<'a> {
    pub gpu: &'a Gpu,
    pub options: &'a Options,
    pub stopwatch: Stopwatch,
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

    /// Times the row `subject` and returns it.
    fn time(&mut self, subject: &Subject) -> Result<Row> {
        let mut running = subject.build(self.gpu)?;
        let timing = self.stopwatch.time(&mut running.run)?;
        let row = Row::new(&subject.name, timing).doing(running.work);
        Ok(row.dispatching(running.dispatches).taking(running.memory))
    }

    fn raise(&mut self, roofs: &mut Roofs) -> Result<()> {
        for subject in roof::subjects() {
            let row = self.time(&subject)?;
            roofs.raise(row.work, row.min_ms / 1e3);
            self.add(row);
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    if options.first_step {
        return steps::print_first_step(&gpu);
    }
    if let Some(preset) = &options.profile {
        return profile::print(&gpu, preset);
    }
    let setting = Setting::of(&gpu, include_str!("../../Cargo.lock"));
    eprintln!("{} on {}", setting.adapter, setting.machine);
    let stopwatch = Stopwatch::new(&gpu, options.pace());
    let mut bench = Bench { gpu: &gpu, options, stopwatch, peers: Peers::read(&options.peer)?, rows: Vec::new() };
    let mut roofs = Roofs::default();
    bench.raise(&mut roofs)?;
    for subject in rows::subjects().iter().filter(|subject| options.wants(&subject.name)) {
        let row = bench.time(subject)?;
        bench.add(row);
    }
    steps::measure(&mut bench)?;
    bench.raise(&mut roofs)?;
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
