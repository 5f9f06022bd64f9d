//! What a plan promises: memory that nothing overwrites while it is needed and whose size is known before it is allocated, one
//! replay that creates nothing, gradients of tensors that are used many times, and errors that say where and why.

mod calls;
mod checkpoint;
mod dag;
mod errors;
mod groups;
mod memory;
#[path = "../support/noop.rs"]
mod noop;
mod replay;
#[path = "../support/mod.rs"]
mod support;

use limbic::Result;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{Graph, Parameters};
use limbic::plan::{Mode, ParameterStore, Plan};

/// A device that runs nothing, with those options.
fn noop_gpu(options: &GpuOptions) -> Gpu {
    noop::gpu(noop::Kind::Portable, options)
}

/// A plan without parameters.
fn plan_on(gpu: &Gpu, mode: Mode, build: impl FnOnce(&Graph)) -> Result<Plan> {
    let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
    Plan::new(&store, mode, |graph| {
        build(graph);
        Ok(())
    })
}
