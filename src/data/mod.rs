//! Corpora: file formats read and checked, the built-in corpus, and batches with masks.

mod array;
mod batches;
pub mod builtin;
pub mod chalearn;
mod corpus;
mod document;
pub mod features;
mod frames;
pub mod image;
pub mod mmsa;
pub mod npz;
mod open;
pub mod pickle;
mod threads;
pub mod video;

pub use array::{Array, DType, Kind};
pub use batches::Batches;
pub use corpus::{Clip, Corpus, Modality, Sequence};
pub use document::{Document, Item};
pub use frames::{Fill, frame_indices};
pub use open::load_corpus;
