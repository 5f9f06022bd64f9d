//! limbic: a small GPU tensor engine with hand-written WGSL kernels and hand-written backprop, and on it the models of
//! human affect. It runs on any Vulkan, Metal or DX12 GPU through wgpu, without Python and without CUDA.
//!
//! A model is written once as a graph of named ops over fixed shapes, differentiated once by each op's own backward rule, and
//! compiled once into a [`plan`]: dispatches with pipelines, bind groups and buffers ready. A training step then is: write the
//! inputs, replay the list, read the loss back without waiting. Peak memory is known before anything is allocated.
//!
//! The tour, from the ground up:
//! - [`gpu`]: the device: adapter choice, capabilities, kernels, readback. Knows no op.
//! - [`graph`]: shapes, nodes, names, parameters. Pure data: knows no GPU.
//! - [`ops`]: one file per op: shape rule, backward rule, which kernel it takes. `ops/x.rs` is `shaders/x*.wgsl`.
//! - [`plan`]: graph -> backward -> rewrites -> memory -> dispatches -> run.
//! - [`nn`]: layers assembled from ops. [`models`]: the systems, each reading like the figure in its paper.
//! - [`train`]: optimisers, schedules, the loop, checkpoints, metrics.
//! - `data`, `viz`, `weights` (features): corpora and file formats, pictures, safetensors.
//!
//! ```no_run
//! use limbic::gpu::Gpu;
//! use limbic::models::msa::{BatchShape, Msa, MsaConfig, Preset, RegressionLoss, training_graph};
//! use limbic::plan::ParameterStore;
//! use limbic::train::{OptimizerConfig, Trainer};
//!
//! # fn main() -> limbic::Result<()> {
//! let gpu = Gpu::new()?;
//! let model = Msa::new(&MsaConfig::preset(Preset::Small, MsaConfig::source_modalities(64)))?;
//! let store = ParameterStore::new(&gpu, model.parameters(), &model.parameters().initial_values(7))?;
//! let shape = BatchShape::full(32, &model.config().modalities);
//! let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.01), 7, |graph| {
//!     training_graph(&model, graph, &shape, RegressionLoss::Mse)
//! })?;
//! # Ok(())
//! # }
//! ```

pub mod error;
pub mod files;
pub mod gpu;
pub mod graph;
pub mod models;
pub mod nn;
pub mod ops;
pub mod plan;
pub mod shaders;
pub mod train;

#[cfg(feature = "data")]
pub mod data;
#[cfg(feature = "viz")]
pub mod viz;
#[cfg(feature = "weights")]
pub mod weights;

pub use error::{Error, Result};
