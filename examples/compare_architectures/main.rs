//! What models cost before any of them runs: parameters, multiply-adds, planned memory, layer by layer.
//!
//! `cargo run --release --example compare_architectures -- --models resnet50 i3d --layers --out pictures`
//!
//! Needs no GPU: plans are made on paper, for a device that runs nothing.

#[path = "../support/exit.rs"]
mod exit;
mod models;
mod report;

use clap::{Parser, ValueEnum};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::{Error, Result};
use models::Model;
use report::Row;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compares models by parameters, multiply-adds per example and planned memory. Prints a Markdown table.
#[derive(Debug, Clone, Parser)]
struct Options {
    /// Which models, in this order. Default: all.
    #[arg(long, value_enum, num_args = 1.., value_name = "MODEL")]
    models: Vec<Model>,
    /// Examples per batch, on which memory depends; at least 2, since one has no batch statistics to train with.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..))]
    batch: u16,
    /// Also a table per model, layer by layer.
    #[arg(long)]
    layers: bool,
    /// How many names of a layer's path tell layers apart: 1 shows stages, 2 blocks, 9 every layer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..), value_name = "N")]
    depth: u8,
    /// JSON instead of Markdown.
    #[arg(long)]
    json: bool,
    /// A folder for pictures: parameters, multiply-adds and memory of all models, and the layers of each.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The kind of adapter that memory is planned for; each takes kernels of its own.
    #[arg(long, value_enum, default_value = "discrete")]
    device: Device,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    Discrete,
    Integrated,
    /// A CPU, which copies operands into textures.
    Software,
}

fn main() -> ExitCode {
    exit::exit_on_error(run(&Options::parse()))
}

fn run(options: &Options) -> Result<()> {
    if let Some(out) = &options.out {
        std::fs::create_dir_all(out).map_err(|error| Error::io(out, format!("cannot be made as a folder: {error}")))?;
    }
    let gpu = on_paper(options.device)?;
    let models = if options.models.is_empty() { Model::value_variants() } else { &options.models };
    let (batch, depth) = (usize::from(options.batch), usize::from(options.depth));
    let rows = models.iter().map(|model| Row::of(&gpu, *model, batch, depth)).collect::<Result<Vec<_>>>()?;
    if options.json {
        println!("{}", report::json(&rows)?);
    } else {
        println!("{}", report::markdown(&rows, batch, options.layers));
    }
    if let Some(out) = &options.out {
        for path in report::pictures(&rows, batch, out)? {
            eprintln!("{}", path.display());
        }
    }
    Ok(())
}

/// A device that runs nothing, as large as any: what does not fit yours is for you to see.
fn on_paper(device: Device) -> Result<Gpu> {
    let kind = match device {
        Device::Discrete => wgpu::DeviceType::DiscreteGpu,
        Device::Integrated => wgpu::DeviceType::IntegratedGpu,
        Device::Software => wgpu::DeviceType::Cpu,
    };
    let most = u64::from(u32::MAX) / 2;
    let required_limits =
        wgpu::Limits { max_buffer_size: most, max_storage_buffer_binding_size: most, ..Default::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
    let (device, queue) = wgpu::Device::noop(&descriptor);
    let mut info = wgpu::AdapterInfo::new(kind, wgpu::Backend::Noop);
    info.name = "a device on paper".to_string();
    let options = GpuOptions { kernels_for: Some(kind), ..GpuOptions::default() };
    Gpu::from_wgpu_with(info, device, queue, &options)
}
