//! Models for inference: weights alone, with what they are the weights of.
//!
//! An exported model is one safetensors file. Its metadata says how to build the model: `limbic_export` (the version of this format),
//! `limbic_version`, `model` (its configuration as JSON), `source` (where the weights come from) and `precision`.

use super::{Metadata, Precision, Tensors, read_with_metadata, write_as};
use crate::error::{Error, Result};
use crate::graph::Parameters;
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// The version of the format that this limbic writes and reads. It changes when the meaning of an entry does.
pub const EXPORT_VERSION: u32 = 1;

const VERSION: &str = "limbic_export";
const LIMBIC: &str = "limbic_version";
const MODEL: &str = "model";
const SOURCE: &str = "source";
const PRECISION: &str = "precision";

/// What an exported file says of its model.
#[derive(Debug, Clone, PartialEq)]
pub struct Export<C> {
    /// Everything that is needed to build the model.
    pub model: C,
    /// Where the weights come from, in words: a run, a file, a paper.
    pub source: String,
    /// What values are stored as.
    pub precision: Precision,
    /// The limbic that wrote it; what is given when writing is ignored.
    pub limbic: String,
}

impl<C> Export<C> {
    /// In full precision.
    pub fn new(model: C, source: impl Into<String>) -> Self {
        let limbic = env!("CARGO_PKG_VERSION").to_string();
        Export { model, source: source.into(), precision: Precision::F32, limbic }
    }
}

/// Writes the model `export` with its `values`, whole or not at all.
///
/// # Errors
/// Where the values do not fit `parameters`, a value does not fit the precision, or the file cannot be written.
pub fn export<C: Serialize>(
    path: impl AsRef<Path>,
    export: &Export<C>,
    parameters: &Parameters,
    values: &[Vec<f32>],
) -> Result<()> {
    let mut tensors = Tensors::new();
    tensors.insert_parameters("", parameters, values)?;
    let model = serde_json::to_string(&export.model).map_err(|error| Error::Config(error.to_string()))?;
    let entries = [
        ("format", "pt".to_string()),
        (VERSION, EXPORT_VERSION.to_string()),
        (LIMBIC, env!("CARGO_PKG_VERSION").to_string()),
        (MODEL, model),
        (SOURCE, export.source.clone()),
        (PRECISION, export.precision.name().to_string()),
    ];
    let metadata: Metadata = entries.map(|(key, value)| (key.to_string(), value)).into();
    write_as(path, &tensors, &metadata, export.precision)
}

/// Reads a file that [`export`] wrote: what it says of the model, and its tensors ([`Tensors::exactly_parameters`] makes values of
/// them once the model is built).
///
/// # Errors
/// Where it is no such file, of another version of the format, or of another kind of model than `C`.
pub fn import<C: DeserializeOwned>(path: impl AsRef<Path>) -> Result<(Export<C>, Tensors)> {
    let path = path.as_ref();
    let (tensors, metadata) = read_with_metadata(path)?;
    let entry = |key: &str| {
        let missing = || Error::format(path, key, "is missing: this is no model that limbic exported");
        metadata.get(key).cloned().ok_or_else(missing)
    };
    let (version, limbic) = (entry(VERSION)?, entry(LIMBIC)?);
    if version != EXPORT_VERSION.to_string() {
        let message = format!(
            "is {version}, this limbic reads {EXPORT_VERSION}: export it again, or read it with limbic {limbic}, which wrote it"
        );
        return Err(Error::format(path, VERSION, message));
    }
    let model = serde_json::from_str(&entry(MODEL)?)
        .map_err(|error| Error::format(path, MODEL, format!("is no configuration of such a model: {error}")))?;
    let precision = entry(PRECISION)?;
    let precision = Precision::parse(&precision)
        .ok_or_else(|| Error::format(path, PRECISION, format!("is '{precision}', not F32 or F16")))?;
    Ok((Export { model, source: entry(SOURCE)?, precision, limbic }, tensors))
}
