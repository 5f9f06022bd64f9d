//! numpy's `.npz`: a zip of `.npy` files, read into the same [`Document`] as a pickle, a flat dict of arrays.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use npyz::npz::{NpzArchive, array_name_from_file_name};
use npyz::{DType as NpyDType, NpyHeader, Order};

use super::array::{Array, Buffer, DType, Kind, Layout, element_count};
use super::document::{Document, Id, Value};
use super::pickle;
use crate::error::{Error, Result};

/// numpy itself refuses to parse a longer header.
const MAX_HEADER: usize = 10_000;
/// A plain array's header nests three deep.
const MAX_NESTING: usize = 8;

/// Reads those arrays of the archive at `path` whose name (without `.npy`) `wanted` accepts; the others are not even
/// unpacked. The root is a dict of them by name. Memory grows with what is really unpacked, not with what a header
/// claims; a zip holds at most about a thousand times its own size.
///
/// # Errors
/// [`Error::Io`] where the file cannot be read; [`Error::Format`] naming the array that is damaged, not plain, or of
/// another size than its header says.
pub fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Document> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    parse(BufReader::new(file), path, wanted)
}

/// Reads an archive from memory or any other source; `path` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn parse(source: impl Read + Seek, path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Document> {
    let damaged =
        |key: &str, error: &dyn std::fmt::Display| Error::format(path, key, format!("{error}: the file is damaged"));
    let mut archive = NpzArchive::new(source).map_err(|error| damaged("zip directory", &error))?;
    let archive = archive.zip_archive();
    let mut files: Vec<String> = archive.file_names().map(str::to_owned).collect();
    files.sort();
    let mut values = Vec::new();
    let mut entries = Vec::new();
    for file in files {
        let Some(name) = array_name_from_file_name(&file).filter(|name| wanted(name)) else { continue };
        let mut member = archive.by_name(&file).map_err(|error| damaged(name, &error))?;
        let array = read_npy(&mut member, &mut values, path, name)?;
        let key = push(&mut values, Value::Str(Buffer::owned(name.as_bytes().to_vec())));
        entries.push((key, array));
    }
    let root = push(&mut values, Value::Dict(entries));
    Ok(Document { path: path.to_owned(), values, root })
}

fn push(values: &mut Vec<Value>, value: Value) -> Id {
    let id = values.len() as Id;
    values.push(value);
    id
}

fn read_npy(member: &mut impl Read, values: &mut Vec<Value>, path: &Path, name: &str) -> Result<Id> {
    let error = |message: String| Error::format(path, name, message);
    let header = read_header(member).map_err(error)?;
    let NpyDType::Plain(type_name) = header.dtype() else {
        return Err(error("a structured array is not read; save each field as its own array".into()));
    };
    let dtype = DType::parse(&type_name.to_string()).map_err(error)?;
    let shape: Vec<usize> =
        header.shape().iter().map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX)).collect();
    let count = element_count(&shape).map_err(error)?;
    if dtype.kind == Kind::Object {
        // numpy writes such an array as one pickle.
        let bytes = read_bytes(member, u64::MAX).map_err(error)?;
        return pickle::parse_into(bytes, values).map_err(|fault| fault.into_error(path, &format!("{name}, ")));
    }
    let expected = count.checked_mul(dtype.size).ok_or_else(|| error("the array is larger than memory".into()))?;
    // One byte more than expected, so that a surplus shows and the checksum at the end is compared.
    let bytes = read_bytes(member, (expected as u64).saturating_add(1)).map_err(error)?;
    let layout = if header.order() == Order::Fortran { Layout::Fortran } else { Layout::C };
    let array = Array::new(dtype, &shape, layout, Buffer::owned(bytes)).map_err(error)?;
    Ok(push(values, Value::Array(Box::new(array))))
}

/// Grows with what really comes, whatever was announced.
fn read_bytes(member: &mut impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match member.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{error}: the file is damaged")),
    }
}

/// Parses the header after checks that keep the parser's own arithmetic and recursion within bounds.
fn read_header(member: &mut impl Read) -> Result<NpyHeader, String> {
    let mut start = [0; 10];
    member.read_exact(&mut start).map_err(|error| format!("no npy header: {error}"))?;
    let (mut text, length) = match start {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high] => {
            (start.to_vec(), usize::from(u16::from_le_bytes([low, high])))
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b] => {
            let mut rest = [0; 2];
            member.read_exact(&mut rest).map_err(|error| format!("no npy header: {error}"))?;
            let length = u32::from_le_bytes([a, b, rest[0], rest[1]]);
            ([start.as_slice(), &rest].concat(), usize::try_from(length).unwrap_or(usize::MAX))
        }
        _ => return Err("no npy header of version 1, 2 or 3".into()),
    };
    if length > MAX_HEADER {
        return Err(format!("the npy header claims {length} bytes, more than numpy's {MAX_HEADER}"));
    }
    let before = text.len();
    text.resize(before + length, 0);
    let literal = text.get_mut(before..).unwrap_or_default();
    member.read_exact(literal).map_err(|error| format!("the npy header is cut short: {error}"))?;
    check_literal(literal)?;
    NpyHeader::from_reader(text.as_slice()).map_err(|error| format!("the npy header is not numpy's: {error}"))
}

/// Nesting and the product of all numbers stay far from any limit.
fn check_literal(literal: &[u8]) -> Result<(), String> {
    let mut depth = 0usize;
    for &byte in literal {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err("the npy header nests too deep".into());
        }
    }
    let runs = literal.split(|byte| !byte.is_ascii_digit()).filter(|run| !run.is_empty());
    let numbers = runs.map(|run| std::str::from_utf8(run).ok().and_then(|digits| digits.parse::<u64>().ok()));
    let product = numbers.into_iter().try_fold(1u64, |product, number| product.checked_mul(number?.max(1)));
    match product {
        Some(product) if product < 1 << 60 => Ok(()),
        _ => Err("the npy header claims a shape with more elements than can be counted".into()),
    }
}
