//! The sentiment models as a whole: sizes, any number of modalities, the masking laws bit for bit, errors that name what is wrong.

mod counts;
mod emotions;
mod encoders;
mod errors;
mod gates;
mod masks;
mod modalities;
mod model;
mod pretraining;
mod scales;
mod stream;
#[path = "../support/mod.rs"]
mod support;
