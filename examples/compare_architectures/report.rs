//! What is counted of a model, as Markdown and JSON.

use crate::architecture::{Architecture, layer_table, mebibytes, millions, thousands};
use crate::models::Model;
use limbic::gpu::Gpu;
use limbic::{Error, Result};
use serde::Serialize;
use std::fmt::Write;

/// One model's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub model: String,
    /// What one example is.
    pub example: String,
    #[serde(flatten)]
    pub architecture: Architecture,
}

impl Row {
    pub fn of(gpu: &Gpu, model: Model, batch: usize, depth: usize) -> Result<Self> {
        let (parameters, build) = model.build()?;
        let architecture = Architecture::of(gpu, &parameters, &build, batch, depth)?;
        Ok(Row { model: model.name(), example: model.example(), architecture })
    }
}

pub fn json(rows: &[Row]) -> Result<String> {
    serde_json::to_string_pretty(rows).map_err(|error| Error::Config(error.to_string()))
}

pub fn markdown(rows: &[Row], batch: usize, layers: bool) -> String {
    let mut text = format!(
        "| model | example | parameters | trainable | multiply-adds (M) | inference (MiB) | training (MiB) |\n{}\n",
        "|:--|:--|--:|--:|--:|--:|--:|"
    );
    for Row { model, example, architecture } in rows {
        // writing to a string cannot fail
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            model,
            example,
            thousands(architecture.parameters as u64),
            thousands(architecture.trainable as u64),
            millions(architecture.multiply_adds),
            mebibytes(architecture.inference_bytes),
            mebibytes(architecture.training_bytes),
        );
    }
    let _ = write!(
        text,
        "\nMultiply-adds of products (matmul, convolution, attention) for one example, forward. Memory as planned for \
         batches of {batch}: weights, inputs and activations; for training also gradients and Adam's two moments."
    );
    for row in rows.iter().filter(|_| layers) {
        let _ = write!(text, "\n\n## {}\n\n{}", row.model, layer_table(&row.architecture.layers));
    }
    text
}
