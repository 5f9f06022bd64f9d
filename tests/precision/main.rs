//! Mixed precision: how halves are rounded, what ops make of them, and how much memory they save. What training and masks make of it
//! is in `tests/training/mixed.rs` and `tests/msa/masks.rs`.

mod memory;
mod ops;
mod rounding;

#[path = "../support/noop.rs"]
mod noop;
#[path = "../support/mod.rs"]
mod support;
