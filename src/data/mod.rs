//! Corpora: file formats read and checked, the built-in corpus, and batches with masks.

mod array;
mod batches;
pub mod builtin;
pub mod chalearn;
mod corpus;
#[cfg(feature = "csd")]
pub mod csd;
mod document;
pub mod features;
mod frames;
pub mod image;
pub mod mmsa;
pub mod mult;
pub mod npz;
mod open;
mod padded;
pub mod pickle;
mod prefetch;
pub mod stream;
mod threads;
pub mod video;

pub use array::{Array, DType, Kind};
pub use batches::Batches;
pub use corpus::{Clip, Corpus, Labels, Modality, Sequence, Split};
pub use document::{Document, Item};
pub use frames::{Fill, frame_indices};
pub use open::{LoadOptions, load_corpus, load_corpus_with};
pub use prefetch::{Prefetch, Waits};
