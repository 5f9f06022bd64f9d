//! The readers of other people's files, on files that numpy and pickle themselves wrote (scripts/make_test_files.py) and
//! on hostile ones.
#![cfg(feature = "data")]

#[path = "../support/cases.rs"]
mod cases;
#[cfg(feature = "csd")]
mod csd;
mod hostile;
mod mmsa;
mod mult;
mod zoo;

use std::path::{Path, PathBuf};

use limbic::data::{Document, pickle};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(file(name)).unwrap()
}

fn parse(bytes: &[u8]) -> limbic::Result<Document> {
    pickle::parse(bytes.to_vec(), Path::new("test.pkl"))
}

/// The message of a failure that must be one.
fn message<T>(result: limbic::Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}
