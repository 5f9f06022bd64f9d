//! Weights that others trained.

use crate::error::{Error, Result};
use crate::graph::Parameters;
use crate::weights;
use std::path::Path;

/// Names of torchvision's file that a ResNet without classes has no use for.
fn is_extra(name: &str) -> bool {
    name.starts_with("fc.") || name.ends_with(".num_batches_tracked")
}

/// Puts torchvision's ResNet weights, a safetensors file with its names (`conv1.weight`, `layer1.0.bn1.running_mean`, ...), into those of
/// `values` whose parameters are called `<prefix>.` and that name. Returns how many numbers that were.
///
/// # Errors
/// Where the file cannot be read, lacks a tensor, has one of another shape, or is of a deeper network.
pub fn load_resnet(path: &Path, parameters: &Parameters, prefix: &str, values: &mut [Vec<f32>]) -> Result<usize> {
    crate::graph::check_values(parameters, values)?;
    let tensors = weights::read(path)?;
    let start = format!("{prefix}.");
    let mut loaded = 0;
    for (spec, values) in parameters.specs().iter().zip(values) {
        let Some(name) = spec.name.strip_prefix(&start) else { continue };
        values.copy_from_slice(tensors.f32(name, spec.shape.axes())?);
        loaded += values.len();
    }
    let known = |name: &str| parameters.find(&format!("{start}{name}")).is_some();
    match tensors.iter().find(|(name, _)| !known(name) && !is_extra(name)) {
        Some((name, _)) => {
            Err(Error::format(path, name, "the model has no such tensor: is it a ResNet of other sizes?"))
        }
        None => Ok(loaded),
    }
}
