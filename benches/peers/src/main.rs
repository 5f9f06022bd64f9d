//! limbic and its peers side by side. README.md says how to build and run it.

mod cold;
#[path = "../../../examples/support/exit.rs"]
mod exit;
mod in_burn;
mod in_meganeura;
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
use in_meganeura::Program;
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

/// A row of which burn 0.22.1 tunes for 83 s and runs for 16 s on a fast software adapter; on a slow one ten minutes were not enough.
const SLOW: &str = "conv3d_fwdbwd";

fn main() -> ExitCode {
    let begun = Instant::now();
    exit::exit_on_error(run(&Options::parse(), begun))
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
    measure(options, &gpu, &peers)
}

/// All rows that are asked for, between two measurements of the roofs.
fn measure(options: &Options, gpu: &Gpu, peers: &[Peer]) -> Result<()> {
    let setting = Setting::of(gpu, LOCK);
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let folder = default.join(format!("{}-{}", setting.slug(), setting.date));
    let folder = options.out.as_ref().unwrap_or(&folder);
    let others = Others::read(&options.with)?;
    let burn = Burn::new(&gpu.info().name)?;
    let meganeura = options.meganeura.as_deref().map(Program::new).transpose()?;
    let bench = Bench { gpu, burn: &burn, meganeura, options, stopwatch: Stopwatch::new(gpu, options.pace()) };
    let burn = format!("burn {}", system::locked_version(LOCK, "burn"));
    let mut run = Run { setting, burn, roofs: Roofs::default(), rows: Vec::new() };
    run.rows = bench.roofs(&mut run.roofs)?;
    for subject in rows::subjects().iter().filter(|subject| options.wants(&subject.name)) {
        let peers: Vec<&Peer> = peers.iter().filter(|peer| peer.row == subject.name).collect();
        let mut row = bench.row(subject, &peers)?;
        row.others.extend(others.find(&subject.name));
        run.add(row);
        // a run takes hours: what is there is kept, should it be cut off
        report::save(folder, &run)?;
    }
    for row in cold::rows(options)? {
        run.add(row);
    }
    bench.roofs(&mut run.roofs)?;
    run.rows.iter_mut().for_each(|row| row.under(&run.roofs));
    println!("{}", report::markdown(&run));
    report::save(folder, &run)?;
    eprintln!("saved in {}", folder.display());
    Ok(())
}

/// What `work` makes, and the seconds it takes.
fn with_seconds<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let begun = Instant::now();
    let made = work()?;
    Ok((made, begun.elapsed().as_secs_f64()))
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
    meganeura: Option<Program>,
    options: &'a Options,
    stopwatch: Stopwatch,
}

impl Bench<'_> {
    /// limbic, all ways of burn and meganeura, one run of each in turn.
    fn row(&self, subject: &Subject, peers: &[&Peer]) -> Result<Row> {
        let (mut limbic, built) = with_seconds(|| subject.build(self.gpu))?;
        let (peers, mut note) = if subject.name == SLOW && !self.options.all {
            (&[][..], "burn: left out, it takes minutes (--all)".to_string())
        } else {
            (if self.options.without_burn { &[][..] } else { peers }, String::new())
        };
        let runs = peers.iter().map(|peer| with_seconds(|| peer.build(self.burn))).collect::<Result<Vec<_>>>()?;
        let (mut runs, burn_built): (Vec<in_burn::Run>, Vec<f64>) = runs.into_iter().unzip();
        let program = self.meganeura.as_ref().filter(|program| program.has(&subject.name));
        let started = program.map(|program| with_seconds(|| program.start(&subject.name, &self.gpu.info().name)));
        let meganeura = started.and_then(|started| started.map_err(|error| note = error.to_string()).ok());
        let (mut meganeura, meganeura_built) = meganeura.unzip();

        let mut timed: Vec<Timed<'_>> = vec![&mut limbic.run];
        timed.extend(runs.iter_mut().map(|run| run as Timed<'_>));
        let mut remote = meganeura.as_mut().map(|running| |replays| running.run(replays));
        timed.extend(remote.as_mut().map(|run| run as Timed<'_>));
        let mut timings = self.stopwatch.time_in_turn(&mut timed)?;
        // limbic compiles when it builds, burn when it runs
        timings
            .iter_mut()
            .zip(std::iter::once(built).chain(burn_built).chain(meganeura_built))
            .for_each(|(timing, built)| timing.first += built);
        let mut timings = timings.into_iter();
        let own = timings.next().ok_or_else(|| Error::Config(format!("{} was not timed", subject.name)))?;
        let memory = self.burn.memory();
        let burn = timings.by_ref().zip(peers).map(|(timing, peer)| Measured::new("burn", peer.way, timing, memory));
        let burn = burn.collect();
        let others = timings.map(|timing| Measured::new(in_meganeura::LIB, "", timing, None)).collect();
        drop(runs);
        self.burn.clean();
        Ok(Row {
            op: subject.name.clone(),
            limbic: Measured::new("limbic", "", own, limbic.memory),
            burn,
            others,
            launches: limbic.dispatches,
            work: limbic.work,
            note,
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
            rows.push(row);
        }
        Ok(rows)
    }
}
