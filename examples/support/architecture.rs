//! What an architecture costs before any of it runs: parameters, products, planned memory, layer by layer; as tables and pictures.

use limbic::gpu::Gpu;
use limbic::graph::{Graph, LayerCount, Parameters, gather};
use limbic::plan::{MemoryReport, Mode, ParameterStore, Plan};
use limbic::viz::{BarSeries, BarsOptions, Scale, bars};
use limbic::{Error, Result};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const MIB: f64 = 1024.0 * 1024.0;

/// Writes a graph for so many examples.
pub type Build = Box<dyn Fn(&Graph, usize, Purpose) -> Result<()>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Inference,
    Training,
}

/// One model's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Architecture {
    pub parameters: usize,
    pub trainable: usize,
    /// Of one example, forward.
    pub multiply_adds: u64,
    pub flops: u64,
    /// Bytes of the plans for a batch.
    pub inference_bytes: u64,
    pub training_bytes: u64,
    pub memory: Memory,
    pub layers: Vec<Layer>,
}

/// What the two plans' bytes are for.
#[derive(Debug, Clone, Serialize)]
pub struct Memory {
    pub batch: usize,
    pub parameters: u64,
    pub gradients: u64,
    /// Two moments of every trainable parameter.
    pub adam: u64,
    pub inference_activations: u64,
    pub training_activations: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Layer {
    /// "(model)" for what is in no layer.
    pub layer: String,
    pub ops: String,
    /// Without the batch.
    pub output: Vec<usize>,
    pub parameters: usize,
    pub trainable: usize,
    pub multiply_adds: u64,
}

impl Architecture {
    /// Of the model whose graphs `build` writes, planned for `gpu` and batches of `batch`; paths of `depth` names tell layers apart.
    pub fn of(gpu: &Gpu, parameters: &Parameters, build: &Build, batch: usize, depth: usize) -> Result<Self> {
        let graph = Graph::new();
        build(&graph, 1, Purpose::Inference)?;
        let nodes = graph.finish()?.layer_counts(parameters);
        let all = gather(&nodes, 0).pop().ok_or_else(|| Error::Config("the model has no layers".to_string()))?;

        let store = ParameterStore::new(gpu, parameters, &zeros(parameters))?;
        let measure = |mode, purpose| Plan::measure(&store, mode, |graph| build(graph, batch, purpose));
        let inference = measure(Mode::Forward, Purpose::Inference)?;
        let training = measure(Mode::Gradients, Purpose::Training)?;
        let adam = 2 * training.parameter_gradients;
        let activations = |report: &MemoryReport| report.inputs + report.activations + report.textures;
        Ok(Architecture {
            parameters: parameters.count(),
            trainable: parameters.trainable_count(),
            multiply_adds: all.multiply_adds(),
            flops: all.flops,
            inference_bytes: inference.total(),
            training_bytes: training.total() + adam,
            memory: Memory {
                batch,
                parameters: training.parameters,
                gradients: training.parameter_gradients,
                adam,
                inference_activations: activations(&inference),
                training_activations: activations(&training),
            },
            layers: gather(&nodes, depth).iter().map(Layer::of).collect(),
        })
    }
}

fn zeros(parameters: &Parameters) -> Vec<Vec<f32>> {
    parameters.specs().iter().map(|spec| vec![0.0; spec.shape.len()]).collect()
}

impl Layer {
    fn of(count: &LayerCount) -> Self {
        let times = |(op, times): &(&str, usize)| if *times == 1 { op.to_string() } else { format!("{times} {op}") };
        Layer {
            layer: if count.path.is_empty() { "(model)".to_string() } else { count.path.clone() },
            ops: count.ops.iter().map(times).collect::<Vec<_>>().join(", "),
            output: count.output.axes().iter().skip(1).copied().collect(),
            parameters: count.parameters(),
            trainable: count.trainable,
            multiply_adds: count.multiply_adds(),
        }
    }
}

/// A Markdown table of the layers.
pub fn layer_table(layers: &[Layer]) -> String {
    let mut text = "| layer | ops | output | parameters | trainable | multiply-adds (M) |\n|:--|:--|:--|--:|--:|--:|\n"
        .to_string();
    for layer in layers {
        let output: Vec<String> = layer.output.iter().map(usize::to_string).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            layer.layer,
            layer.ops,
            output.join(" x "),
            thousands(layer.parameters as u64),
            thousands(layer.trainable as u64),
            millions(layer.multiply_adds),
        );
    }
    text
}

/// A picture per figure over all models, and one of the layers of each model; returns what was written.
pub fn pictures(rows: &[(&str, &Architecture)], batch: usize, out: &Path) -> Result<Vec<PathBuf>> {
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    let series = |name: &str, value: fn(&Architecture) -> f64| BarSeries {
        name: name.to_string(),
        values: rows.iter().map(|(_, row)| value(row)).collect(),
        errors: Vec::new(),
    };
    let memory_title = format!("Planned memory, batches of {batch}");
    let figures = [
        ("parameters", "Parameters", "millions", vec![series("", |row| row.parameters as f64 / 1e6)]),
        (
            "multiply_adds",
            "Multiply-adds per example",
            "millions",
            vec![series("", |row| row.multiply_adds as f64 / 1e6)],
        ),
        (
            "memory",
            memory_title.as_str(),
            "MiB",
            vec![
                series("inference", |row| row.inference_bytes as f64 / MIB),
                series("training", |row| row.training_bytes as f64 / MIB),
            ],
        ),
    ];
    let mut written = Vec::new();
    for (name, title, unit, series) in figures {
        let path = out.join(format!("{name}.svg"));
        let values = || series.iter().flat_map(|one| &one.values).copied();
        // within a decade lengths compare by themselves
        let far = values().fold(0.0, f64::max) > 10.0 * values().fold(f64::INFINITY, f64::min);
        let options = BarsOptions {
            title: title.to_string(),
            value_label: if far { format!("{unit}, logarithmic") } else { unit.to_string() },
            scale: if far { Scale::Log } else { Scale::Linear },
            horizontal: true,
            ..Default::default()
        };
        bars(&path, &names, &series, &options)?;
        written.push(path);
    }
    for (name, row) in rows {
        written.push(layer_picture(name, row, out)?);
    }
    Ok(written)
}

/// Each layer's share of the model's parameters and multiply-adds.
fn layer_picture(name: &str, row: &Architecture, out: &Path) -> Result<PathBuf> {
    let shown: Vec<&Layer> =
        row.layers.iter().filter(|layer| layer.parameters > 0 || layer.multiply_adds > 0).collect();
    let names: Vec<&str> = shown.iter().map(|layer| layer.layer.as_str()).collect();
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    let series = |name: &str, value: &dyn Fn(&Layer) -> f64| BarSeries {
        name: name.to_string(),
        values: shown.iter().map(|layer| value(layer)).collect(),
        errors: Vec::new(),
    };
    let series = [
        series("parameters", &|layer| share(layer.parameters as u64, row.parameters as u64)),
        series("multiply-adds", &|layer| share(layer.multiply_adds, row.multiply_adds)),
    ];
    let path = out.join(format!("layers_{}.svg", name.replace(['-', '+', ' '], "_")));
    let options = BarsOptions {
        title: format!("Layers of {name}"),
        value_label: "share of the model (%)".to_string(),
        horizontal: true,
        decimals: 1,
        ..Default::default()
    };
    bars(&path, &names, &series, &options)?;
    Ok(path)
}

pub fn mebibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / MIB;
    if mebibytes < 100.0 { format!("{mebibytes:.1}") } else { thousands(mebibytes.round() as u64) }
}

pub fn millions(count: u64) -> String {
    let millions = count as f64 / 1e6;
    match millions {
        0.0 => "0".to_string(),
        millions if millions < 0.1 => format!("{millions:.3}"),
        millions if millions < 100.0 => format!("{millions:.1}"),
        millions => thousands(millions.round() as u64),
    }
}

pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
