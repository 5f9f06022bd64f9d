//! Personality from pictures: the drawn corpus, files of pictures, batches, and the network on them.
#![cfg(feature = "data")]

mod corpus;
mod features;
mod files;
mod jpeg;
mod network;
#[path = "../support/noop.rs"]
mod noop;
#[path = "../support/mod.rs"]
mod support;
mod training;

/// The message of a failure that must be one.
fn message<T>(result: limbic::Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}
