//! Lists the adapters of this machine: driver, what limbic can do there, why not where it cannot, and how to choose one.
//!
//! `cargo run --release --example devices` lists all; `-- --adapter NAME` opens one and runs a small graph on it.

#[path = "support/exit.rs"]
mod exit;

use clap::Parser;
use limbic::gpu::{AdapterSummary, Capabilities, Cooperative, CooperativeMatrices, Gpu, GpuOptions, adapters};
use limbic::graph::Parameters;
use limbic::plan::{Mode, ParameterStore, Plan};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Prints every adapter and what limbic can do on it.
#[derive(Parser)]
struct Arguments {
    /// Open this adapter (its number, or part of its name) and run a small graph on it.
    #[arg(long)]
    adapter: Option<String>,
}

fn main() -> ExitCode {
    env_logger::init();
    let outcome = match Arguments::parse().adapter {
        Some(wish) => try_out(&wish),
        None => list(),
    };
    exit::exit_on_error(outcome)
}

fn list() -> limbic::Result<()> {
    let found = adapters();
    for summary in &found {
        println!("{}", describe(summary));
    }
    // What an application would get, or the error that it would get, which says how to install a driver.
    let gpu = Gpu::new()?;
    println!("limbic takes {} here, {}.", gpu.info().name, chosen_by());
    match &gpu.capabilities().cooperative {
        Cooperative::Off => {}
        Cooperative::Refused(why) => println!("Cooperative matrices are not used: {why}."),
        Cooperative::On { self_test, .. } => {
            println!(
                "Cooperative matrices are used: they passed the self-test in {:.0} ms.",
                self_test.as_secs_f64() * 1e3
            );
        }
    }
    println!("To choose another: LIMBIC_ADAPTER=<number or part of the name>, --adapter in the examples,");
    println!("GpuOptions::adapter in a program. --adapter here opens the adapter and runs a small graph on it.");
    Ok(())
}

fn chosen_by() -> &'static str {
    match std::env::var("LIMBIC_ADAPTER") {
        Ok(value) if !value.is_empty() => "as LIMBIC_ADAPTER says",
        _ => "the fastest kind that it can use",
    }
}

fn describe(summary: &AdapterSummary) -> String {
    let (info, can) = (&summary.info, &summary.capabilities);
    let yes = |there: bool, what: &str| if there { "yes".to_string() } else { format!("no: {what}") };
    let subgroups = match can.subgroup {
        Some((min, max)) if min == max => format!("{min} wide"),
        Some((min, max)) => format!("{min} to {max} wide: kernels that need one fixed width are not used"),
        None => "no: portable kernels".to_string(),
    };
    let limits = &can.limits;
    let rows = [
        ("kind", format!("{} through {}", kind(info.device_type), info.backend)),
        ("driver", format!("{} {}", info.driver, info.driver_info)),
        ("usable", summary.unusable.clone().map_or("yes".to_string(), |why| format!("no: {why}"))),
        ("kernels", family(can).to_string()),
        ("subgroups", subgroups),
        (
            "operands",
            if can.texture_reads.is_some() { "read through textures" } else { "read from buffers" }.to_string(),
        ),
        ("f16", yes(can.f16, "16-bit floats are stored packed in 32-bit words")),
        (
            "matrices",
            match &summary.cooperative {
                Ok(CooperativeMatrices { tile, .. }) => {
                    format!(
                        "{tile} x {tile} of f16, for LIMBIC_COOPERATIVE_MATRICES=1 in mixed precision (experimental)"
                    )
                }
                Err(why) => format!("no cooperative ones: {why}"),
            },
        ),
        ("timestamps", yes(can.timestamps, "no profile per kernel")),
        ("largest tensor", bytes(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size))),
        (
            "workgroups",
            format!(
                "{} invocations, {} of shared memory, {} storage buffers",
                limits.max_compute_invocations_per_workgroup,
                bytes(u64::from(limits.max_compute_workgroup_storage_size)),
                limits.max_storage_buffers_per_shader_stage
            ),
        ),
    ];
    let lines = rows.iter().map(|(name, value)| format!("   {name:<15} {value}\n"));
    format!("{}: {}\n{}", summary.index, info.name, lines.collect::<String>())
}

fn kind(device_type: wgpu::DeviceType) -> &'static str {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software, on the CPU",
        wgpu::DeviceType::Other => "of an unknown kind",
    }
}

/// Which of the kernels' variants the ops choose there.
fn family(can: &Capabilities) -> &'static str {
    match can {
        Capabilities { software: true, .. } => "software: tiles in registers, because loads cost more than arithmetic",
        Capabilities { discrete: true, .. } => "discrete: work split until many multiprocessors are full",
        _ => "portable: tiles in workgroup memory",
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..=0xfffff => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}

/// Opens the adapter that `wish` names and computes the slope of tanh there.
fn try_out(wish: &str) -> limbic::Result<()> {
    let start = Instant::now();
    let gpu = Gpu::with_options(&GpuOptions { adapter: Some(wish.to_string()), ..GpuOptions::default() })?;
    let opened = start.elapsed();
    let store = ParameterStore::new(&gpu, &Parameters::new(), &[])?;
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        graph.input_with_grad("x", [1024]).tanh().sum().as_loss();
        Ok(())
    })?;
    let compiled = start.elapsed() - opened;
    let x: Vec<f32> = (0..1024).map(|i| i as f32 / 128.0 - 4.0).collect();
    plan.write("x", &x)?;
    plan.run()?;
    let slopes = plan.read("grad/x")?;
    let ran = start.elapsed() - opened - compiled;
    let expected = |x: &f32| 1.0 - f64::from(*x).tanh().powi(2);
    let error = x.iter().zip(&slopes).map(|(x, slope)| (f64::from(*slope) - expected(x)).abs()).fold(0.0, f64::max);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!("{gpu:?}");
    println!("   opened in {:.1} ms, compiled in {:.1} ms", milliseconds(opened), milliseconds(compiled));
    println!(
        "   {} dispatches ran and were read back in {:.2} ms; largest error of a gradient {error:.1e}",
        plan.program().len(),
        milliseconds(ran)
    );
    if error < 1e-5 {
        return Ok(());
    }
    let message = "its results are wrong: update the driver or choose another adapter".to_string();
    Err(limbic::Error::Unsupported { adapter: gpu.info().name.clone(), why: message })
}
