//! A model's parameters as named tensors, and back.

use super::{Tensor, Tensors};
use crate::error::Result;
use crate::graph::{Parameters, check_values};

impl Tensors {
    /// Adds `values`, one vector per parameter, each under its name after `prefix`.
    pub fn insert_parameters(&mut self, prefix: &str, parameters: &Parameters, values: &[Vec<f32>]) -> Result<()> {
        check_values(parameters, values)?;
        for (spec, values) in parameters.specs().iter().zip(values) {
            for (name, shape, start) in spec.named() {
                let part = values[start..start + shape.len()].to_vec();
                self.insert(format!("{prefix}{name}"), Tensor::f32(shape.axes(), part)?);
            }
        }
        Ok(())
    }

    /// One vector per parameter, each found under its name after `prefix`.
    ///
    /// # Errors
    /// Where one is missing or of another shape.
    pub fn parameters(&self, prefix: &str, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
        let values = |spec: &crate::graph::ParameterSpec| {
            let mut values = Vec::with_capacity(spec.shape.len());
            for (name, shape, _) in spec.named() {
                values.extend_from_slice(self.f32(&format!("{prefix}{name}"), shape.axes())?);
            }
            Ok(values)
        };
        parameters.specs().iter().map(values).collect()
    }

    /// As [`Tensors::parameters`] without a prefix, where nothing else may be there.
    ///
    /// # Errors
    /// Lists what is missing and what is unexpected.
    pub fn exactly_parameters(&self, parameters: &Parameters) -> Result<Vec<Vec<f32>>> {
        let shapes = parameters.named_shapes();
        self.expect(shapes.iter().map(|(name, shape)| (name.as_str(), shape.axes())))?;
        self.parameters("", parameters)
    }
}
