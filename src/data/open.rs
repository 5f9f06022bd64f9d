//! Real data from a path a user gives: says what the file is, or what it should have been.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::corpus::Corpus;
use super::mmsa::{self, MmsaOptions};
use super::mult::{self, Emotion};
use super::pickle;
use crate::error::{Error, Result};

/// What some formats need to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LoadOptions {
    /// Which emotion of an IEMOCAP file is learnt.
    pub emotion: Option<Emotion>,
    /// Which video of a folder of `.csd` files is in which split; its `folds.txt` where this is not given.
    pub folds: Option<PathBuf>,
}

/// [`load_corpus_with`] of the default options.
pub fn load_corpus(path: impl AsRef<Path>) -> Result<Corpus> {
    load_corpus_with(path, &LoadOptions::default())
}

/// Loads a corpus from a file of any known format; its content decides, not its name: an MMSA pickle or `.npz` ([`mmsa`]), a MulT pickle
/// ([`mult`]). Or from a folder of the CMU SDK's `.csd` files (`csd`, with the feature of that name).
///
/// # Errors
/// [`Error::Io`] where there is no such file, it is a directory or cannot be read; [`Error::Format`] where its format
/// is unknown or its content is not what the format asks for.
pub fn load_corpus_with(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Corpus> {
    let path = path.as_ref();
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::io(path, "there is no such file; check the path"),
        _ => Error::io(path, error),
    })?;
    if metadata.is_dir() && has_csd(path) {
        return without_emotion(load_csd(path, options)?, options);
    }
    if let Some(folds) = &options.folds {
        return Err(Error::Config(format!(
            "the folds {} were given, but {} is no folder of .csd files, and its splits are its own: leave them out",
            folds.display(),
            path.display()
        )));
    }
    if metadata.is_dir() {
        return Err(Error::io(path, "this is a directory; give the file in it, for example aligned_50.pkl"));
    }
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| Error::io(path, error))?;
    file.take(8).read_to_end(&mut start).map_err(|error| Error::io(path, error))?;
    match foreign_format(&start) {
        None if start.starts_with(b"PK") => without_emotion(mmsa::load(path, &MmsaOptions::default())?, options),
        None => {
            let document = pickle::read(path)?;
            if mult::is_mult(&document) {
                return mult::from_pickle(&document, options.emotion);
            }
            without_emotion(mmsa::from_pickle(document, &MmsaOptions::default())?, options)
        }
        Some(found) => {
            let message = format!(
                "{found}; known formats are the MMSA pickle (.pkl), its arrays as .npz, and the MulT pickle (.pkl)"
            );
            Err(Error::format(path, "format", message))
        }
    }
}

/// Whether a folder holds a `.csd` file.
fn has_csd(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.path().extension().is_some_and(|ending| ending == "csd"))
}

#[cfg(feature = "csd")]
fn load_csd(folder: &Path, options: &LoadOptions) -> Result<Corpus> {
    super::csd::load(folder, options.folds.as_deref())
}

#[cfg(not(feature = "csd"))]
fn load_csd(folder: &Path, _: &LoadOptions) -> Result<Corpus> {
    Err(Error::io(folder, "this is a folder of .csd files, which this build does not read: build with --features csd"))
}

/// Refuses an emotion where there is none to choose.
fn without_emotion(corpus: Corpus, options: &LoadOptions) -> Result<Corpus> {
    match options.emotion {
        None => Ok(corpus),
        Some(emotion) => Err(Error::Config(format!(
            "the emotion '{}' was chosen, but {} has sentiment labels: choose none",
            emotion.name(),
            corpus.name
        ))),
    }
}

/// Names what a file is that cannot be a pickle or an npz; `None` where it can.
fn foreign_format(start: &[u8]) -> Option<&'static str> {
    match start {
        [] => Some("the file is empty"),
        [b'P', b'K', 3 | 5, ..] | [0x80, 0..=5, ..] | [b'(' | b'}' | b']' | b'c', ..] => None,
        [0x89, b'H', b'D', b'F', ..] => {
            Some("this is HDF5; of .csd files give the folder that holds them, others are not read")
        }
        [0x1f, 0x8b, ..] => Some("this is gzip; unpack it first"),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            Some("this is one array (.npy); save all splits with numpy's savez")
        }
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' '] => {
            Some("this is a Git LFS pointer, not the file itself; run git lfs pull")
        }
        [b'<', ..] => Some("this looks like a web page, perhaps a failed download"),
        _ => Some("the format is unknown"),
    }
}
