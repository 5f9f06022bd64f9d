//! Every picture is well-formed, carries its labels, keeps its texts apart, takes odd input and refuses wrong input.
#![cfg(feature = "viz")]

mod activations;
mod gallery;
mod maximise;
mod odd;
mod sheet;
#[path = "../support/mod.rs"]
mod support;
