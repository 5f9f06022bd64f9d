//! `cargo bench --bench tune`: every kernel variant that could be chosen on this adapter beside the one that is, and lines for the table of
//! choices in src/ops/choices.rs. `-- --help` says how to steer it.

#[path = "../../examples/support/exit.rs"]
mod exit;
#[allow(dead_code)]
#[path = "../speed/measure.rs"]
mod measure;
mod report;
#[allow(dead_code)]
#[path = "../speed/system.rs"]
mod system;
mod trials;

use clap::Parser;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{DType, Parameters};
use limbic::ops::choices::Class;
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::{Error, Result};
use measure::{Pace, Stopwatch, Timed};
use report::{Measured, Outcome};
use std::process::ExitCode;
use trials::{Subject, Trial};

/// Times the variants of each knob of the table of kernel choices, at the sizes that its lines tell apart: the median of at least 10 runs
/// of each, one of each in turn. All other knobs stand as the table has them.
#[derive(Parser, Debug)]
#[command(name = "cargo bench --bench tune --")]
struct Options {
    /// Only knobs whose name begins with one of these, whatever the case, separated by commas (matmul, conv, attention, reduce, row, ...).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Three runs each and no waiting for a quiet machine: to see that everything works.
    #[arg(long)]
    quick: bool,
    /// Part of an adapter's name, or its number.
    #[arg(long)]
    adapter: Option<String>,
    /// The most seconds to wait before a subject until other programs leave the machine alone.
    #[arg(long, default_value_t = 20.0)]
    patience: f64,
    /// `cargo bench` passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn wants(&self, trial: &Trial) -> bool {
        let name = format!("{:?}", trial.knob).to_lowercase();
        self.only.is_empty() || self.only.iter().any(|part| name.starts_with(&part.to_lowercase()))
    }
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    let gpu = Gpu::with_options(&GpuOptions { adapter: options.adapter.clone(), ..GpuOptions::default() })?;
    let class = Class::of(gpu.capabilities());
    let setting = system::Setting::of(&gpu, include_str!("../../Cargo.lock"));
    println!("{} as {class:?}, {}, limbic {} at {}\n", setting.adapter, setting.date, setting.limbic, setting.commit);
    // no fewer than 10 runs, however long they take
    let (quick, patience) = (options.quick, options.patience);
    let pace = Pace { quick, patience, replays: None, longest: f64::MAX, enough: 0.4 };
    let stopwatch = Stopwatch::new(&gpu, pace);
    let trials = trials::trials(gpu.capabilities());
    let wanted: Vec<&Trial> = trials.iter().filter(|trial| options.wants(trial)).collect();
    if wanted.is_empty() {
        let names = trials.iter().map(|trial| format!("{:?}", trial.knob)).collect::<Vec<_>>().join(", ");
        return Err(Error::Config(format!("no knob of this adapter is called like that: it has {names}")));
    }
    for trial in wanted {
        let mut outcomes = Vec::new();
        for subject in &trial.subjects {
            let outcome = measure(&gpu, class, trial, subject, &stopwatch)?;
            print!("{}", report::table(trial.knob, &outcome));
            outcomes.push(outcome);
        }
        let origin = format!("{}, {}", setting.adapter, setting.date);
        let lines = report::lines(trial.knob, class, &outcomes, &origin);
        println!("for src/ops/choices.rs, in place of its lines of this knob and class:\n{}\n", lines.join("\n"));
    }
    Ok(())
}

/// All values of the knob on one subject.
fn measure(gpu: &Gpu, class: Class, trial: &Trial, subject: &Subject, stopwatch: &Stopwatch) -> Result<Outcome> {
    let listed = trial.knob.line(class, subject.size).map_or(0, |line| line.value);
    let mut values: Vec<u32> = trial.values.iter().copied().filter(|value| *value != listed).collect();
    values.insert(0, listed);
    let plans = values.iter().map(|value| plan(&forcing(gpu, trial, *value)?, subject)).collect::<Result<Vec<_>>>()?;
    let mut works: Vec<_> = plans.iter().map(|plan| move |replays| replay(plan, replays)).collect();
    let mut timed: Vec<Timed<'_>> = works.iter_mut().map(|work| work as Timed<'_>).collect();
    let timings = stopwatch.time_in_turn(&mut timed)?;
    let measured = |(value, timing): (u32, measure::Timing)| Measured { value, ms: timing.median * 1e3 };
    let measured = values.into_iter().zip(timings).map(measured).collect();
    Ok(Outcome { subject: subject.name.clone(), size: subject.size, measured })
}

/// The same device, taking `value` whatever the table says.
fn forcing(gpu: &Gpu, trial: &Trial, value: u32) -> Result<Gpu> {
    let forced = vec![(format!("{:?}", trial.knob), value)];
    let options = GpuOptions { forced, ..GpuOptions::default() };
    Gpu::from_wgpu_with(gpu.info().clone(), gpu.device().clone(), gpu.queue().clone(), &options)
}

/// The subject alone, its inputs filled.
fn plan(gpu: &Gpu, subject: &Subject) -> Result<Plan> {
    let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
    let mode = if subject.backward { Mode::Gradients } else { Mode::Forward };
    let plan = Plan::new(&store, mode, |graph| {
        let out = (subject.build)(graph);
        if subject.backward {
            out.square().sum().as_loss()
        } else {
            out.named("out")
        };
        Ok(())
    })?;
    let inputs: Vec<_> = plan.input_names().map(|(name, shape, dtype)| (name.to_string(), shape, dtype)).collect();
    for (name, shape, dtype) in inputs {
        match dtype {
            DType::U32 => plan.write_u32(&name, &vec![1; shape.len()])?,
            _ => plan.write(&name, &values(shape.len()))?,
        }
    }
    Ok(plan)
}

/// Values in [-1, 1), none of them special.
fn values(len: usize) -> Vec<f32> {
    (0..len as u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn replay(plan: &Plan, replays: u32) -> Result<()> {
    let mut encoder = plan.gpu().device().create_command_encoder(&Default::default());
    (0..replays).for_each(|_| plan.encode(&mut encoder));
    plan.gpu().queue().submit([encoder.finish()]);
    plan.gpu().wait()
}
