//! Values for the inputs of a plan.

use super::Plan;
use crate::error::Result;

/// The values of one input.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Features, targets, weights.
    F32(Vec<f32>),
    /// Masks (1 = valid), ids, labels.
    U32(Vec<u32>),
}

/// Named values for the inputs of a plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    tensors: Vec<(String, Values)>,
    /// How many of the batch's rows are real; the rest is padding that the masks hide.
    pub samples: usize,
}

impl Batch {
    /// An empty batch of `samples` real rows.
    pub fn new(samples: usize) -> Self {
        Batch { tensors: Vec::new(), samples }
    }

    /// Adds float values for the input `name`.
    pub fn float(mut self, name: &str, values: Vec<f32>) -> Self {
        self.tensors.push((name.to_string(), Values::F32(values)));
        self
    }

    /// Adds integer values for the input `name`.
    pub fn integer(mut self, name: &str, values: Vec<u32>) -> Self {
        self.tensors.push((name.to_string(), Values::U32(values)));
        self
    }

    /// Without the values for the inputs `names`: a batch with labels then trains a plan that wants none.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.tensors.retain(|(name, _)| !names.contains(&name.as_str()));
        self
    }

    /// Names and values, in the order in which they were added.
    pub fn tensors(&self) -> &[(String, Values)] {
        &self.tensors
    }

    /// Writes all values to `plan`'s inputs; a name that the plan does not have is an error.
    pub fn write_to(&self, plan: &Plan) -> Result<()> {
        self.write(plan, |_| true)
    }

    /// Writes those values that `plan` has inputs for: a batch with labels serves a plan that scores.
    pub fn write_known_to(&self, plan: &Plan) -> Result<()> {
        self.write(plan, |name| plan.has_input(name))
    }

    fn write(&self, plan: &Plan, wanted: impl Fn(&str) -> bool) -> Result<()> {
        for (name, values) in self.tensors.iter().filter(|(name, _)| wanted(name)) {
            match values {
                Values::F32(values) => plan.write(name, values)?,
                Values::U32(values) => plan.write_u32(name, values)?,
            }
        }
        Ok(())
    }
}
