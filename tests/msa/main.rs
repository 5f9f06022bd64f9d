//! The sentiment models as a whole: sizes, any number of modalities, the masking laws bit for bit, errors that name what is wrong.

mod counts;
mod encoders;
mod errors;
mod masks;
mod modalities;
mod model;
#[path = "../support/mod.rs"]
mod support;
