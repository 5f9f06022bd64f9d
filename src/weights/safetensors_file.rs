//! The safetensors format: an 8-byte header length, a JSON header, then the values.
//! Source: <https://github.com/huggingface/safetensors#format>.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo, TensorView};

use super::{Tensor, TensorData, Tensors};
use crate::files::atomic_write;
use crate::{Error, Result};

/// Free text beside the tensors: the `__metadata__` of the header.
pub type Metadata = BTreeMap<String, String>;

/// What f32 values are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    #[default]
    F32,
    /// Half the bytes, 11 bits of each value: a relative error of at most 2^-11 between 6.1e-5 and 65504, an absolute one of 3e-8 below.
    F16,
}

impl Precision {
    /// As safetensors calls it.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "F32",
            Precision::F16 => "F16",
        }
    }

    /// The precision called so.
    pub fn parse(name: &str) -> Option<Self> {
        [Precision::F32, Precision::F16].into_iter().find(|precision| precision.name() == name)
    }

    /// Refuses values that would become infinite.
    fn check(self, tensors: &Tensors) -> Result<()> {
        let lost = |value: &&f32| value.is_finite() && half::f16::from_f32(**value).is_infinite();
        for (name, tensor) in tensors.iter().filter(|_| self == Precision::F16) {
            if let Some(value) = tensor.as_f32().and_then(|values| values.iter().find(lost)) {
                let message = format!("has the value {value}, more than f16 holds (65504): export it as f32");
                return Err(Error::Tensor { name: name.to_string(), message });
            }
        }
        Ok(())
    }
}

/// Reads every tensor of a safetensors file.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is truncated, is no safetensors file, or holds a
/// type that does not fit f32, u8 or i64 without loss.
pub fn read(path: impl AsRef<Path>) -> Result<Tensors> {
    read_with_metadata(path).map(|(tensors, _)| tensors)
}

/// As [`read`], with the metadata.
pub fn read_with_metadata(path: impl AsRef<Path>) -> Result<(Tensors, Metadata)> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let header_error = |error| Error::format(path, "header", explain(error));
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(header_error)?;
    let file = SafeTensors::deserialize(&bytes).map_err(header_error)?;
    let mut tensors = Tensors { source: Some(path.to_path_buf()), ..Tensors::default() };
    for (name, view) in file.iter() {
        tensors.insert(name, decode(&view).map_err(|message| Error::format(path, name, message))?);
    }
    let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok((tensors, metadata))
}

fn explain(error: SafeTensorError) -> String {
    match error {
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::MetadataIncompleteBuffer => {
            "the file is truncated or is no safetensors file: fetch or save it again".into()
        }
        error => format!("this is no safetensors file: {error}"),
    }
}

/// The values as one of our three types, or why that cannot be.
fn decode(view: &TensorView<'_>) -> Result<Tensor, String> {
    let bytes = view.data();
    let data = match view.dtype() {
        Dtype::F32 => TensorData::F32(each(bytes, f32::from_le_bytes)),
        Dtype::F16 => TensorData::F32(each(bytes, |b| half::f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => TensorData::F32(each(bytes, |b| half::bf16::from_le_bytes(b).to_f32())),
        Dtype::U8 | Dtype::BOOL => TensorData::U8(bytes.to_vec()),
        Dtype::I64 => TensorData::I64(each(bytes, i64::from_le_bytes)),
        Dtype::I32 => TensorData::I64(each(bytes, |b| i32::from_le_bytes(b).into())),
        Dtype::I16 => TensorData::I64(each(bytes, |b| i16::from_le_bytes(b).into())),
        Dtype::I8 => TensorData::I64(each(bytes, |b| i8::from_le_bytes(b).into())),
        other => return Err(format!("has type {other:?}: save it as F32, F16, BF16, I64 or U8")),
    };
    Tensor::new(view.shape(), data).map_err(|error| error.to_string())
}

/// Each group of `N` bytes through `value`.
fn each<const N: usize, T>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| value(chunk)).collect()
}

/// Writes the tensors as a safetensors file, aside and renamed. The same tensors and metadata give the same bytes.
///
/// # Errors
/// [`Error::Tensor`] for a tensor called `__metadata__`, a name that the format keeps for itself; [`Error::Io`] if the
/// file cannot be written.
pub fn write(path: impl AsRef<Path>, tensors: &Tensors, metadata: &Metadata) -> Result<()> {
    write_as(path, tensors, metadata, Precision::F32)
}

/// As [`write()`], with f32 values stored in `precision`; [`read`] widens them again.
///
/// # Errors
/// Also [`Error::Tensor`] for a finite value that the precision cannot hold.
pub fn write_as(path: impl AsRef<Path>, tensors: &Tensors, metadata: &Metadata, precision: Precision) -> Result<()> {
    if tensors.get("__metadata__").is_some() {
        let message = "safetensors keeps this name for itself: rename the tensor".into();
        return Err(Error::Tensor { name: "__metadata__".into(), message });
    }
    precision.check(tensors)?;
    atomic_write(path, |file| write_to(file, tensors, metadata, precision))
}

/// The safetensors crate would gather the whole file in memory and write the metadata in random order; streaming it
/// takes these lines. Values of eight bytes go first, then floats, then bytes, so that each lies at a multiple of its size.
fn write_to(file: &mut dyn Write, tensors: &Tensors, metadata: &Metadata, precision: Precision) -> io::Result<()> {
    let mut entries: Vec<(&str, &Tensor)> = tensors.iter().collect();
    entries.sort_by_key(|(_, tensor)| match tensor.data {
        TensorData::I64(_) => 0,
        TensorData::F32(_) => 1,
        TensorData::U8(_) => 2,
    });
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert("__metadata__", serde_json::to_value(metadata)?);
    }
    let mut start = 0;
    for (name, tensor) in &entries {
        let (dtype, bytes) = encode(&tensor.data, precision);
        let end = start + bytes.len();
        let info = TensorInfo { dtype, shape: tensor.shape.clone(), data_offsets: (start, end) };
        header.insert(name, serde_json::to_value(info)?);
        start = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    entries.iter().try_for_each(|(_, tensor)| file.write_all(&encode(&tensor.data, precision).1))
}

/// The values as the format stores them; every GPU host is little-endian, where that is the memory itself.
fn encode(data: &TensorData, precision: Precision) -> (Dtype, Cow<'_, [u8]>) {
    fn little_endian<T: bytemuck::NoUninit, const N: usize>(values: &[T], bytes: fn(T) -> [u8; N]) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            Cow::Borrowed(bytemuck::cast_slice(values))
        } else {
            Cow::Owned(values.iter().flat_map(|&value| bytes(value)).collect())
        }
    }
    match data {
        TensorData::F32(values) if precision == Precision::F16 => {
            let narrow = |value: &f32| half::f16::from_f32(*value).to_le_bytes();
            (Dtype::F16, Cow::Owned(values.iter().flat_map(narrow).collect()))
        }
        TensorData::F32(values) => (Dtype::F32, little_endian(values, f32::to_le_bytes)),
        TensorData::U8(values) => (Dtype::U8, Cow::Borrowed(values)),
        TensorData::I64(values) => (Dtype::I64, little_endian(values, i64::to_le_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Tensors, Metadata) {
        let mut tensors = Tensors::new();
        // NaN has its own test below: it is not equal to itself.
        tensors
            .insert("b.weight", Tensor::f32([2, 3], vec![0.0, -0.0, 1.5, f32::MIN_POSITIVE, f32::MAX, 1e-45]).unwrap());
        tensors.insert("a.mask", Tensor::new([3], TensorData::U8(vec![1, 0, 1])).unwrap());
        tensors.insert("c.ids", Tensor::new([2], TensorData::I64(vec![i64::MIN, 7])).unwrap());
        tensors.insert("scalar", Tensor::f32([], vec![2.5]).unwrap());
        tensors.insert("empty", Tensor::f32([0, 4], vec![]).unwrap());
        let pairs = [("meta", "{\"case\": \"ünïcode\"}"), ("format", "pt"), ("a", "1"), ("b", "2")];
        (tensors, pairs.map(|(key, value)| (key.to_string(), value.to_string())).into())
    }

    #[test]
    fn what_is_written_comes_back_and_the_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let (tensors, metadata) = sample();
        let paths = ["one", "two"].map(|name| folder.path().join(name));
        for path in &paths {
            write(path, &tensors, &metadata).unwrap();
        }
        let (back, back_metadata) = read_with_metadata(&paths[0]).unwrap();
        assert_eq!(back.entries, tensors.entries);
        assert_eq!(back_metadata, metadata);
        assert_eq!(back.source(), Some(paths[0].as_path()));
        assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
        let zero = back.f32("b.weight", &[2, 3]).unwrap()[1];
        assert!(zero == 0.0 && zero.is_sign_negative());
    }

    #[test]
    fn not_a_number_keeps_its_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nan");
        let odd = f32::from_bits(0x7fc0_1234);
        let tensors: Tensors = [("x".to_string(), Tensor::f32([1], vec![odd]).unwrap())].into_iter().collect();
        write(&path, &tensors, &Metadata::new()).unwrap();
        assert_eq!(read(&path).unwrap().f32("x", &[1]).unwrap()[0].to_bits(), odd.to_bits());
    }

    /// A file as another library would write it: one tensor of two elements of `dtype`.
    fn foreign(folder: &Path, dtype: Dtype, bytes: &[u8]) -> std::path::PathBuf {
        let path = folder.join(format!("{dtype:?}"));
        let view = TensorView::new(dtype, vec![2], bytes).unwrap();
        std::fs::write(&path, safetensors::serialize([("x", view)], None).unwrap()).unwrap();
        path
    }

    #[test]
    fn other_types_widen_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let halves: Vec<u8> = [0.333f32, -65504.0].iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
        let brains: Vec<u8> = [0.5f32, 3e38].iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect();
        let ints: Vec<u8> = [-1i32, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
        let cases = [
            (Dtype::F16, halves, TensorData::F32(vec![half::f16::from_f32(0.333).to_f32(), -65504.0])),
            (Dtype::BF16, brains, TensorData::F32(vec![0.5, half::bf16::from_f32(3e38).to_f32()])),
            (Dtype::I32, ints, TensorData::I64(vec![-1, 5])),
            (Dtype::I8, vec![0xff, 3], TensorData::I64(vec![-1, 3])),
            (Dtype::BOOL, vec![1, 0], TensorData::U8(vec![1, 0])),
        ];
        for (dtype, bytes, expected) in cases {
            let read = read(foreign(folder.path(), dtype, &bytes)).unwrap();
            assert_eq!(read.get("x").unwrap().data(), &expected, "{dtype:?}");
        }
        let message = read(foreign(folder.path(), Dtype::F64, &[0; 16])).unwrap_err().to_string();
        assert!(message.contains("x: has type F64: save it as F32"), "{message}");
    }

    #[test]
    fn missing_and_truncated_files_and_files_of_another_kind_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert!(matches!(read(&path), Err(Error::Io { .. })));
        let (tensors, metadata) = sample();
        write(&path, &tensors, &metadata).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(read(&path), Err(Error::Format { .. })), "cut to {length} bytes");
        }
        let mut longer = whole.clone();
        longer.push(0);
        std::fs::write(&path, longer).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("truncated or is no safetensors file"));
        std::fs::write(&path, "<!DOCTYPE html><html><body>404, the model is not here</body></html>").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("no safetensors file"));
    }

    #[test]
    fn the_reserved_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors: Tensors = [("__metadata__".into(), Tensor::f32([1], vec![1.0]).unwrap())].into_iter().collect();
        assert!(write(&path, &tensors, &Metadata::new()).is_err());
        assert!(!path.exists());
    }
}
