//! One error type. Each variant carries what it is about - the op and its shapes, the file and its key, the adapter - and
//! reads as a sentence that says what to do.

use std::path::PathBuf;

/// What every fallible call of limbic returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter fits; the text lists what was found and why each was passed over.
    #[error("no usable GPU adapter: {0}")]
    Adapter(String),
    /// The device lacks something that this work needs.
    #[error("the adapter '{adapter}' cannot do this: {why}")]
    Unsupported { adapter: String, why: String },
    /// The driver refused or failed: validation, out of memory, a lost device.
    #[error("the GPU driver reported an error during {during}: {message}")]
    Device { during: String, message: String },
    /// The planned memory does not fit the budget; nothing was allocated.
    #[error(
        "the plan needs {needed} bytes of GPU memory but the budget is {budget}: use a smaller batch, a shorter sequence or raise the budget"
    )]
    OutOfMemory { needed: u64, budget: u64 },
    /// Shapes do not fit an op. `layer` is the path of the layer that was being built.
    #[error("{op}{}: {message}", in_layer(.layer))]
    Shape { op: &'static str, layer: String, message: String },
    /// A configuration value is out of range or contradicts another.
    #[error("configuration: {0}")]
    Config(String),
    /// A loss or activation stopped being finite.
    #[error(
        "step {step}: the loss is {loss}; the first value that is not finite appeared in {layer}. Lower the learning rate, clip gradients, or check the input"
    )]
    NonFinite { step: u64, loss: f32, layer: String },
    /// A tensor by that name is missing, unexpected or of another shape.
    #[error("tensor '{name}': {message}")]
    Tensor { name: String, message: String },
    /// A file cannot be read or written.
    #[error("{path}: {message}")]
    Io { path: PathBuf, message: String },
    /// A file was read but its content is not what it should be. `key` names the place inside it.
    #[error("{path}: {key}: {message}")]
    Format { path: PathBuf, key: String, message: String },
    /// A shader does not parse, validate or bind; a defect of limbic, not of its user.
    #[error("shader {shader}: {message}")]
    Shader { shader: String, message: String },
}

impl Error {
    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl Into<PathBuf>, error: impl std::fmt::Display) -> Self {
        Error::Io { path: path.into(), message: error.to_string() }
    }

    /// An [`Error::Format`] about the place `key` in `path`.
    pub fn format(path: impl Into<PathBuf>, key: impl Into<String>, message: impl std::fmt::Display) -> Self {
        Error::Format { path: path.into(), key: key.into(), message: message.to_string() }
    }
}

fn in_layer(layer: &str) -> String {
    if layer.is_empty() { String::new() } else { format!(" in layer '{layer}'") }
}
