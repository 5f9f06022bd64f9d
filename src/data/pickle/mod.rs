//! A restricted reader of Python pickles, protocols 0 to 5, from Python 2 and 3, that executes nothing.
//!
//! It understands plain containers, text, bytes, numbers, and the names under which numpy writes its arrays. These names
//! are recognised, never called; any other name is refused where it is read, before anything is built from it. Arrays
//! stay ranges of the file's bytes. What is kept grows no faster than the file that was read: lengths are checked
//! against the bytes that remain before anything is allocated, and copies are counted. Nothing recurses.
//!
//! Opcodes follow the standard library's `pickletools`, array states numpy's `ndarray.__reduce__`.

mod literals;
mod machine;
mod numpy;

use std::path::Path;
use std::sync::Arc;

use super::document::{Document, Id, Value};
use crate::error::{Error, Result};

/// Where and why reading stopped.
#[derive(Debug)]
pub(crate) struct Fault {
    at: usize,
    message: String,
}

impl Fault {
    pub(crate) fn into_error(self, path: &Path, inside: &str) -> Error {
        Error::format(path, format!("{inside}byte {}", self.at), self.message)
    }
}

/// Reads the pickle at `path`.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Format`] naming the byte where it is cut short, corrupt, or asks for
/// anything but data.
pub fn read(path: &Path) -> Result<Document> {
    parse(std::fs::read(path).map_err(|error| Error::io(path, error))?, path)
}

/// Reads a pickle from memory; `path` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: Vec<u8>, path: &Path) -> Result<Document> {
    let mut values = Vec::new();
    let root = parse_into(bytes, &mut values).map_err(|fault| fault.into_error(path, ""))?;
    Ok(Document { path: path.to_owned(), values, root })
}

/// Appends the values of a pickle to `values` and returns the outermost one.
pub(crate) fn parse_into(bytes: Vec<u8>, values: &mut Vec<Value>) -> Result<Id, Fault> {
    let bytes = Arc::new(bytes);
    machine::Machine::new(&bytes, values).run()
}
