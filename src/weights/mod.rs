//! Named tensors in and out of files: safetensors for values, JSON for configurations.
//!
//! [`pytorch`] and [`keras`] have the weights of those frameworks.
//!
//! A checkpoint of limbic is a folder with a `config.json` and a `model.safetensors`; both are written aside and renamed
//! ([`crate::files::atomic_write`]), so that a crash leaves the last whole one.

mod export;
mod foreign;
mod json;
pub mod keras;
mod parameters;
pub mod pytorch;
mod safetensors_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

pub use export::{EXPORT_VERSION, Export, export, import};
pub use json::{read_json, write_json};
pub use safetensors_file::{Metadata, Precision, read, read_with_metadata, write, write_as};

/// How many names an error lists before it says "and N more".
const NAMES_SHOWN: usize = 5;

/// The values of one tensor, row-major. Files hold more types than these: f16 and bf16 are widened to f32, bool becomes
/// u8 and the smaller integers i64, all without loss.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I64(Vec<i64>),
}

impl TensorData {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            TensorData::F32(values) => values.len(),
            TensorData::U8(values) => values.len(),
            TensorData::I64(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// "F32", "U8" or "I64", as safetensors writes it.
    pub fn dtype(&self) -> &'static str {
        match self {
            TensorData::F32(_) => "F32",
            TensorData::U8(_) => "U8",
            TensorData::I64(_) => "I64",
        }
    }
}

/// A tensor in host memory: a shape and as many values as the shape says.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// A tensor of `shape` (empty for a scalar) with its values in row-major order.
    ///
    /// # Errors
    /// [`Error::Config`] if the number of values is not the product of the shape.
    pub fn new(shape: impl Into<Vec<usize>>, data: TensorData) -> Result<Self> {
        let shape = shape.into();
        let elements = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        if elements != Some(data.len()) {
            return Err(Error::Config(format!("a tensor of shape {shape:?} cannot hold {} values", data.len())));
        }
        Ok(Tensor { shape, data })
    }

    /// A tensor of f32 values; see [`Tensor::new`].
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Result<Self> {
        Tensor::new(shape, TensorData::F32(values))
    }

    /// The size of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// Gives the values away without a copy.
    pub fn into_data(self) -> TensorData {
        self.data
    }

    /// The values if they are f32.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let TensorData::F32(values) = &self.data { Some(values) } else { None }
    }

    /// The values if they are u8: masks, 1 = valid.
    pub fn as_u8(&self) -> Option<&[u8]> {
        if let TensorData::U8(values) = &self.data { Some(values) } else { None }
    }

    /// The values if they are i64: ids and labels.
    pub fn as_i64(&self) -> Option<&[i64]> {
        if let TensorData::I64(values) = &self.data { Some(values) } else { None }
    }
}

/// Tensors by name, in the order of their names.
///
/// What was read from a file remembers the file, so that every later complaint names it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    entries: BTreeMap<String, Tensor>,
    source: Option<PathBuf>,
}

impl Tensors {
    /// No tensors yet.
    pub fn new() -> Self {
        Tensors::default()
    }

    /// The file that these came from.
    pub fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a tensor; gives back the one that had the name before.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        self.entries.insert(name.into(), tensor)
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.entries.remove(name)
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.get(name)
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The f32 values of `name`, which must have `shape`.
    ///
    /// # Errors
    /// The tensor is missing, of another type or of another shape; the error names the file, the tensor and both shapes.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        self.typed(name, shape, "F32", Tensor::as_f32)
    }

    /// The u8 values of `name`; see [`Tensors::f32`].
    pub fn u8(&self, name: &str, shape: &[usize]) -> Result<&[u8]> {
        self.typed(name, shape, "U8", Tensor::as_u8)
    }

    /// The i64 values of `name`; see [`Tensors::f32`].
    pub fn i64(&self, name: &str, shape: &[usize]) -> Result<&[i64]> {
        self.typed(name, shape, "I64", Tensor::as_i64)
    }

    fn typed<'a, T: ?Sized>(
        &'a self,
        name: &str,
        shape: &[usize],
        dtype: &str,
        values: impl Fn(&'a Tensor) -> Option<&'a T>,
    ) -> Result<&'a T> {
        let tensor = self.get(name).ok_or_else(|| self.error(name, "is missing"))?;
        self.check_shape(name, tensor, shape)?;
        values(tensor)
            .ok_or_else(|| self.error(name, format!("has type {}, but {dtype} is needed", tensor.data.dtype())))
    }

    fn check_shape(&self, name: &str, tensor: &Tensor, shape: &[usize]) -> Result<()> {
        if tensor.shape == shape {
            return Ok(());
        }
        Err(self.error(name, format!("has shape {:?}, but {shape:?} is needed", tensor.shape)))
    }

    /// Checks that these are exactly the expected f32 tensors: every name there, none else, each of its shape.
    ///
    /// # Errors
    /// Lists up to five missing and five unexpected names with their counts, else the first tensor whose shape or type
    /// differs.
    pub fn expect<'a>(&self, expected: impl IntoIterator<Item = (&'a str, &'a [usize])>) -> Result<()> {
        self.expect_besides(expected, |_| false)
    }

    /// As [`Tensors::expect`], but names that are `ignored` may be there too.
    pub(crate) fn expect_besides<'a>(
        &self,
        expected: impl IntoIterator<Item = (&'a str, &'a [usize])>,
        ignored: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let expected: BTreeMap<&str, &[usize]> = expected.into_iter().collect();
        let missing: Vec<&str> = expected.keys().copied().filter(|name| self.get(name).is_none()).collect();
        let unexpected: Vec<&str> =
            self.iter().map(|(name, _)| name).filter(|name| !expected.contains_key(name) && !ignored(name)).collect();
        if !missing.is_empty() || !unexpected.is_empty() {
            let parts = [some_names("missing", &missing), some_names("unexpected", &unexpected)];
            let message = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
            return Err(self.error("tensor names", message + ". Is it a checkpoint of another configuration?"));
        }
        expected.into_iter().try_for_each(|(name, shape)| self.f32(name, shape).map(|_| ()))
    }

    fn error(&self, name: &str, message: impl Into<String>) -> Error {
        match &self.source {
            Some(path) => Error::format(path, name, message.into()),
            None => Error::Tensor { name: name.into(), message: message.into() },
        }
    }
}

impl FromIterator<(String, Tensor)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> Self {
        Tensors { entries: entries.into_iter().collect(), source: None }
    }
}

/// "7 missing: a, b, c, d, e and 2 more"; nothing for no names.
fn some_names(what: &str, names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).copied().collect();
    let more = match names.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("{} {what}: {}{more}", names.len(), shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(names: &[&str]) -> Tensors {
        names.iter().map(|name| (name.to_string(), Tensor::f32([2], vec![1.0, 2.0]).unwrap())).collect()
    }

    #[test]
    fn a_tensor_holds_what_its_shape_says() {
        assert!(Tensor::f32([2, 3], vec![0.0; 6]).is_ok());
        assert!(Tensor::f32([], vec![1.0]).is_ok(), "a scalar has one value");
        assert!(Tensor::f32([2, 3], vec![0.0; 5]).is_err());
        assert!(Tensor::f32([usize::MAX, 2], vec![]).is_err(), "the product overflows");
    }

    #[test]
    fn values_come_out_only_with_the_right_shape_and_type() {
        let tensors = tensors(&["weight"]);
        assert_eq!(tensors.f32("weight", &[2]).unwrap(), [1.0, 2.0]);
        let text = |result: Result<&[f32]>| result.unwrap_err().to_string();
        assert!(text(tensors.f32("bias", &[2])).contains("'bias': is missing"));
        let shapes = text(tensors.f32("weight", &[1, 2]));
        assert!(shapes.contains("weight") && shapes.contains("[2]") && shapes.contains("[1, 2]"), "{shapes}");
        assert!(tensors.i64("weight", &[2]).unwrap_err().to_string().contains("type F32, but I64"));
    }

    #[test]
    fn expect_lists_five_names_and_counts_the_rest() {
        let here = tensors(&["a", "x1", "x2", "x3", "x4", "x5", "x6", "x7"]);
        let shape: &[usize] = &[2];
        let message = here.expect([("a", shape), ("b", shape), ("c", shape)]).unwrap_err().to_string();
        assert!(message.contains("2 missing: b, c; 7 unexpected: x1, x2, x3, x4, x5 and 2 more"), "{message}");
        assert!(tensors(&["a"]).expect([("a", shape)]).is_ok());
        assert!(tensors(&["a"]).expect([("a", &[3][..])]).unwrap_err().to_string().contains("[2], but [3]"));
    }
}
