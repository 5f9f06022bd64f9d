//! Training as a whole: it learns, it repeats bit for bit, it goes on after an interruption as if there had been none, and what goes
//! wrong is named.

mod checkpoint_scopes;
mod faults;
mod learning;
mod mixed;
mod profile;
mod resume;
mod running;
mod stopping;
#[cfg(feature = "data")]
mod streaming;
#[path = "../support/mod.rs"]
mod support;
mod tiny;
mod updates;
mod weights;
// what a step creates is counted the way the plan tests count it
#[path = "../plan/calls.rs"]
mod calls;
