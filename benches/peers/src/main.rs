//! limbic and its peers side by side. README.md says how to build and run it.

mod cold;
mod in_burn;
#[path = "../../speed/measure.rs"]
mod measure;
mod options;
mod others;
mod picture;
mod report;
#[path = "../../speed/rows/mod.rs"]
mod rows;
#[path = "../../speed/system.rs"]
mod system;

use clap::Parser;
use in_burn::{Burn, Peer};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::{Error, Result};
use measure::{Stopwatch, Timed};
use options::Options;
use others::Others;
use report::{Measured, Row, Run};
use rows::Subject;
use rows::roof::{self, Roofs};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use system::Setting;

const LOCK: &str = include_str!("../Cargo.lock");

/// Rows that burn 0.22.1 did not finish in ten minutes on a software adapter.
const UNFINISHED: [&str; 1] = ["conv3d_fwdbwd"];

fn main() -> ExitCode {
    let begun = Instant::now();
    match run(&Options::parse(), begun) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, begun: Instant) -> Result<()> {
    let peers = in_burn::peers();
    if options.list {
        list(&peers);
        return Ok(());
    }
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    if let Some(first) = &options.first {
        cold::first(&gpu, &peers, first)?;
        println!("{}", begun.elapsed().as_secs_f64());
        return Ok(());
    }
    let burn = Burn::new(&gpu.info().name)?;
    let setting = Setting::of(&gpu, LOCK);
    let others = Others::read(&options.with)?;
    let bench = Bench { gpu: &gpu, burn: &burn, options, stopwatch: Stopwatch::new(&gpu, options.pace()) };
    let mut roofs = Roofs::default();
    let mut rows = bench.roofs(&mut roofs)?;
    for subject in rows::subjects().iter().filter(|subject| options.wants(&subject.name)) {
        let peers: Vec<&Peer> = peers.iter().filter(|peer| peer.row == subject.name).collect();
        let mut row = bench.row(subject, &peers)?;
        row.others = others.find(&subject.name);
        eprintln!("{}", report::progress(&row));
        rows.push(row);
    }
    rows.extend(cold::rows(options)?);
    bench.roofs(&mut roofs)?;
    rows.iter_mut().for_each(|row| row.under(&roofs));
    let burn = format!("burn {}", system::locked_version(LOCK, "burn"));
    let run = Run { setting, burn, roofs, rows };
    println!("{}", report::markdown(&run));
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let folder = default.join(format!("{}-{}", run.setting.slug(), run.setting.date));
    report::save(options.out.as_ref().unwrap_or(&folder), &run)
}

fn list(peers: &[Peer]) {
    for subject in rows::subjects() {
        let ways: Vec<&str> = peers.iter().filter(|peer| peer.row == subject.name).map(|peer| peer.way).collect();
        let burn = match ways[..] {
            [] => String::new(),
            [""] => "burn".to_string(),
            _ => format!("burn ({})", ways.join("; ")),
        };
        println!("{:36} limbic {burn}", subject.name);
    }
    cold::names().for_each(|name| println!("{name:36} limbic burn"));
}

struct Bench<'a> {
    gpu: &'a Gpu,
    burn: &'a Burn,
    options: &'a Options,
    stopwatch: Stopwatch,
}

impl Bench<'_> {
    /// limbic and all ways of burn, one run of each in turn.
    fn row(&self, subject: &Subject, peers: &[&Peer]) -> Result<Row> {
        let mut limbic = subject.build(self.gpu)?;
        let skipped = UNFINISHED.contains(&subject.name.as_str()) && !self.options.all;
        let peers = if skipped { &[] } else { peers };
        let mut runs = peers.iter().map(|peer| peer.build(self.burn)).collect::<Result<Vec<_>>>()?;
        let mut timed: Vec<Timed<'_>> = vec![&mut limbic.run];
        timed.extend(runs.iter_mut().map(|run| run as Timed<'_>));
        let mut timings = self.stopwatch.time_in_turn(&mut timed)?.into_iter();
        let own = timings.next().ok_or_else(|| Error::Config(format!("{} was not timed", subject.name)))?;
        let memory = self.burn.memory();
        let measured =
            timings.zip(peers).map(|(timing, peer)| Measured::new("burn", peer.way, timing, memory)).collect();
        drop(runs);
        self.burn.clean();
        Ok(Row {
            op: subject.name.clone(),
            limbic: Measured::new("limbic", "", own, limbic.memory),
            burn: measured,
            launches: limbic.dispatches,
            work: limbic.work,
            note: if skipped { "burn: not in ten minutes" } else { "" },
            ..Row::default()
        })
    }

    /// Raises `roofs` and returns their rows.
    fn roofs(&self, roofs: &mut Roofs) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for subject in roof::subjects() {
            let mut running = subject.build(self.gpu)?;
            let timing = self.stopwatch.time(&mut running.run)?;
            roofs.raise(running.work, timing.min);
            let limbic = Measured::new("limbic", "", timing, running.memory);
            let row = Row { op: subject.name, limbic, work: running.work, ..Row::default() };
            eprintln!("{}", report::progress(&row));
            rows.push(row);
        }
        Ok(rows)
    }
}
