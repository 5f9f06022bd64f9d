//! The comparison as Markdown, CSV, JSON and pictures.

use crate::architecture::{self, Architecture, layer_table, mebibytes, millions, thousands};
use crate::candidates::Candidate;
use limbic::viz::{BarSeries, BarsOptions, MatrixOptions, bars, matrix};
use limbic::{Error, Result};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Bins of a histogram of scores.
const BINS: usize = 20;

/// One model's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub model: String,
    #[serde(flatten)]
    pub architecture: Architecture,
    pub forward: Timing,
    pub scores: Scores,
    /// The score of each clip.
    pub values: Vec<f32>,
}

/// The time of a forward pass.
#[derive(Debug, Clone, Serialize)]
pub struct Timing {
    /// Clips of a pass.
    pub batch: usize,
    pub runs: usize,
    pub median_ms: f64,
    pub least_ms: f64,
}

impl Timing {
    /// Of the seconds of several passes.
    pub fn of(mut seconds: Vec<f64>, batch: usize) -> Self {
        seconds.sort_by(f64::total_cmp);
        let ms = |index: usize| seconds.get(index).map_or(f64::NAN, |seconds| 1e3 * seconds);
        Timing { batch, runs: seconds.len(), median_ms: ms(seconds.len() / 2), least_ms: ms(0) }
    }
}

/// How a model's scores are distributed.
#[derive(Debug, Clone, Serialize)]
pub struct Scores {
    pub clips: usize,
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    pub least: f64,
    pub most: f64,
    /// Pearson's, to the first model's scores; nothing where either has no spread.
    pub correlation: Option<f64>,
    /// Mean absolute difference from the first model's.
    pub difference: f64,
}

impl Scores {
    pub fn of(scores: &[f32], first: &[f32]) -> Self {
        let count = scores.len().max(1) as f64;
        let mean_of = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
        let (mean, other) = (mean_of(scores), mean_of(first));
        let pairs = || scores.iter().zip(first).map(|(a, b)| (f64::from(*a) - mean, f64::from(*b) - other));
        let [own, both, others] = pairs().fold([0.0; 3], |[aa, ab, bb], (a, b)| [aa + a * a, ab + a * b, bb + b * b]);
        let range = scores.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), score| {
            (least.min(f64::from(*score)), most.max(f64::from(*score)))
        });
        let difference = scores.iter().zip(first).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / count;
        Scores {
            clips: scores.len(),
            mean,
            deviation: (own / count).sqrt(),
            least: range.0,
            most: range.1,
            correlation: (own * others > 0.0).then(|| both / (own * others).sqrt()),
            difference,
        }
    }
}

/// What is the head of each column, and a row's value in it.
type Column = (&'static str, fn(&Row) -> String);

const COSTS: [Column; 9] = [
    ("model", |row| row.model.clone()),
    ("parameters", |row| thousands(row.architecture.parameters as u64)),
    ("trainable", |row| thousands(row.architecture.trainable as u64)),
    ("multiply-adds (M)", |row| millions(row.architecture.multiply_adds)),
    ("MFLOPs", |row| millions(row.architecture.flops)),
    ("inference (MiB)", |row| mebibytes(row.architecture.inference_bytes)),
    ("training (MiB)", |row| mebibytes(row.architecture.training_bytes)),
    ("forward, median (ms)", |row| format!("{:.2}", row.forward.median_ms)),
    ("least (ms)", |row| format!("{:.2}", row.forward.least_ms)),
];

const DISTRIBUTION: [Column; 7] = [
    ("model", |row| row.model.clone()),
    ("mean score", |row| format!("{:+.3}", row.scores.mean)),
    ("deviation", |row| format!("{:.3}", row.scores.deviation)),
    ("least", |row| format!("{:+.3}", row.scores.least)),
    ("most", |row| format!("{:+.3}", row.scores.most)),
    ("r to the first", |row| row.scores.correlation.map_or("n/a".to_string(), |r| format!("{r:.3}"))),
    ("difference from it", |row| format!("{:.3}", row.scores.difference)),
];

fn table(columns: &[Column], rows: &[Row]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns.iter().map(|(head, _)| head.to_string()).collect());
    let marks = (0..columns.len()).map(|index| if index == 0 { ":--" } else { "--:" });
    text += &format!("|{}|\n", marks.collect::<Vec<_>>().join("|"));
    rows.iter().for_each(|row| text += &line(columns.iter().map(|(_, cell)| cell(row)).collect()));
    text
}

/// The whole report.
pub fn markdown(rows: &[Row], candidates: &[Candidate], adapter: &str, layers: bool) -> Result<String> {
    let mut text = table(&COSTS, rows);
    if let Some(row) = rows.first() {
        let Timing { batch, runs, .. } = row.forward;
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "\nMultiply-adds and FLOPs of products for one clip, forward. Memory as planned for batches of {batch}; for training with \
             gradients and Adam's moments. Times of {runs} passes of {batch} clips on {adapter}.\n"
        );
        text += &table(&DISTRIBUTION, rows);
        let _ = writeln!(text, "\nScores of {} clips.", row.scores.clips);
    }
    text += &differences(candidates)?;
    for row in rows.iter().filter(|_| layers) {
        let _ = write!(text, "\n## {}\n\n{}", row.model, layer_table(&row.architecture.layers));
    }
    Ok(text)
}

/// The settings in which the models differ.
fn differences(candidates: &[Candidate]) -> Result<String> {
    let value = |candidate: &Candidate| serde_json::to_value(&candidate.config).map_err(unwritten);
    let settings = candidates.iter().map(value).collect::<Result<Vec<Value>>>()?;
    let keys: BTreeSet<&String> =
        settings.iter().filter_map(Value::as_object).flat_map(|object| object.keys()).collect();
    let cell = |value: Option<&Value>| match value {
        None => "-".to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut text = String::new();
    for key in keys {
        let cells: Vec<String> = settings.iter().map(|object| cell(object.get(key))).collect();
        if cells.iter().any(|cell| *cell != cells[0]) {
            let _ = writeln!(text, "| {key} | {} |", cells.join(" | "));
        }
    }
    if text.is_empty() {
        return Ok(String::new());
    }
    let names: Vec<&str> = candidates.iter().map(|candidate| candidate.name.as_str()).collect();
    Ok(format!("\n| setting | {} |\n|:--{}|\n{text}", names.join(" | "), "|:--".repeat(names.len())))
}

fn unwritten(error: impl std::fmt::Display) -> Error {
    Error::Config(error.to_string())
}

pub fn json(rows: &[Row]) -> Result<String> {
    serde_json::to_string_pretty(rows).map_err(unwritten)
}

fn csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let head = "model,parameters,trainable,multiply_adds,flops,inference_bytes,training_bytes,batch,median_ms,least_ms,clips,\
                mean,deviation,least,most,correlation,difference";
    csv.write_record(head.split(',')).map_err(unwritten)?;
    for Row { model, architecture: costs, forward, scores, .. } in rows {
        let counts = [costs.parameters as u64, costs.trainable as u64, costs.multiply_adds, costs.flops];
        let counts = counts.into_iter().chain([costs.inference_bytes, costs.training_bytes, forward.batch as u64]);
        let spread = [scores.mean, scores.deviation, scores.least, scores.most];
        let cells = std::iter::once(model.clone())
            .chain(counts.map(|count| count.to_string()))
            .chain([forward.median_ms, forward.least_ms].map(|ms| ms.to_string()))
            .chain([scores.clips.to_string()])
            .chain(spread.map(|value| value.to_string()))
            .chain([scores.correlation.map_or_else(String::new, |r| r.to_string()), scores.difference.to_string()]);
        csv.write_record(cells).map_err(unwritten)?;
    }
    csv.into_inner().map_err(unwritten)
}

/// The report as files in `out`: tables, and pictures of costs, times, layers and scores.
pub fn write_all(rows: &[Row], markdown: &str, out: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(out).map_err(|error| Error::io(out, format!("cannot be made as a folder: {error}")))?;
    let mut written = Vec::new();
    let texts = [
        ("compare.md", markdown.as_bytes().to_vec()),
        ("compare.csv", csv(rows)?),
        ("compare.json", json(rows)?.into_bytes()),
    ];
    for (name, bytes) in texts {
        let path = out.join(name);
        limbic::files::atomic_write(&path, |file| file.write_all(&bytes))?;
        written.push(path);
    }
    let named: Vec<_> = rows.iter().map(|row| (row.model.as_str(), &row.architecture)).collect();
    let batch = rows.first().map_or(1, |row| row.forward.batch);
    written.extend(architecture::pictures(&named, batch, out)?);
    written.push(times(rows, batch, out)?);
    written.push(histogram(rows, out)?);
    Ok(written)
}

fn times(rows: &[Row], batch: usize, out: &Path) -> Result<PathBuf> {
    let names: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
    let series = |name: &str, value: fn(&Row) -> f64| BarSeries {
        name: name.to_string(),
        values: rows.iter().map(value).collect(),
        errors: Vec::new(),
    };
    let series = [series("median", |row| row.forward.median_ms), series("least", |row| row.forward.least_ms)];
    let options = BarsOptions {
        title: format!("Forward pass, batches of {batch}"),
        value_label: "ms".to_string(),
        horizontal: true,
        decimals: 2,
        ..Default::default()
    };
    let path = out.join("forward.svg");
    bars(&path, &names, &series, &options)?;
    Ok(path)
}

/// Where each model's scores lie: a row of bins per model, which stays readable however many they are. Empty bins are grey.
fn histogram(rows: &[Row], out: &Path) -> Result<PathBuf> {
    let bound = |pick: fn(f64, f64) -> f64, start: f64| {
        rows.iter().flat_map(|row| [row.scores.least, row.scores.most]).fold(start, pick)
    };
    let (least, most) = (bound(f64::min, f64::INFINITY), bound(f64::max, f64::NEG_INFINITY));
    let width = ((most - least) / BINS as f64).max(1e-6);
    let shares = |row: &Row| {
        let mut counts = [0usize; BINS];
        for score in &row.values {
            counts[(((f64::from(*score) - least) / width) as usize).min(BINS - 1)] += 1;
        }
        let all = row.values.len().max(1) as f64;
        counts.map(|count| if count == 0 { f64::NAN } else { 100.0 * count as f64 / all })
    };
    let models: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
    let middles: Vec<String> = (0..BINS).map(|bin| format!("{:.1}", least + (bin as f64 + 0.5) * width)).collect();
    let path = out.join("scores.svg");
    let options = MatrixOptions {
        title: "Scores of the same clips".to_string(),
        column_label: "score (middle of the bin)".to_string(),
        value_label: "clips (%)".to_string(),
        range: Some((0.0, rows.iter().flat_map(shares).fold(1.0, f64::max))),
        cell: 32.0,
        ..MatrixOptions::default()
    };
    matrix(&path, &models, &middles, &rows.iter().flat_map(shares).collect::<Vec<_>>(), &options)?;
    Ok(path)
}
