//! Padded features as toolkits store them: one array `[N, steps, dim]` per modality and split.

use super::array::Array;
use super::corpus::{Modality, Sequence};
use super::document::Item;
use crate::error::Result;

/// One modality of one split: `[N, steps, dim]`.
pub(super) struct Features<'a> {
    pub(super) name: &'static str,
    pub(super) item: Item<'a>,
    array: &'a Array,
    pub(super) steps: usize,
    pub(super) dim: usize,
}

impl<'a> Features<'a> {
    /// The array at `item`, which must have `count` clips, as many as the split's key `labels`.
    pub(super) fn open(item: Item<'a>, name: &'static str, labels: &str, count: usize) -> Result<Self> {
        let array = item.numeric_array(3, "[N, steps, features]")?;
        let &[clips, steps, dim] = array.shape() else { return Err(item.error("expected three axes")) };
        expect_count(&item, clips, labels, count)?;
        if steps == 0 || dim == 0 {
            return Err(item.error(format!("{steps} steps of {dim} features: nothing to learn from")));
        }
        Ok(Features { name, item, array, steps, dim })
    }

    pub(super) fn modality(&self) -> Modality {
        Modality { name: self.name.into(), dim: self.dim }
    }

    /// Checks that the features are those of the training split.
    pub(super) fn expect(&self, modality: &Modality) -> Result<()> {
        if self.dim == modality.dim {
            return Ok(());
        }
        Err(self.item.error(format!("{} features per step, but {} in train", self.dim, modality.dim)))
    }

    /// The first `steps` steps of clip `index`; audio of -inf is 0, as all toolkits have it.
    pub(super) fn clip(&self, index: usize, steps: usize) -> Result<Vec<f64>> {
        let block = self.array.block(index, steps * self.dim);
        let mut values = block.ok_or_else(|| self.item.error(format!("clip {index} is missing")))?;
        if self.name == "audio" {
            values.iter_mut().filter(|v| **v as f32 == f32::NEG_INFINITY).for_each(|v| *v = 0.0);
        }
        Ok(values)
    }

    /// `values`, the steps of clip `index` from `first` on, as a sequence.
    ///
    /// # Errors
    /// Names the place of a value that is not finite.
    pub(super) fn sequence(&self, index: usize, first: usize, values: &[f64]) -> Result<Sequence> {
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let (step, feature) = (first + at / self.dim, at % self.dim);
            let value = values.get(at).copied().unwrap_or_default();
            return Err(self.item.error(format!(
                "the value at [{index}, {step}, {feature}] is {value} in f32; replace it, or drop that clip"
            )));
        }
        Ok(Sequence { len: values.len() / self.dim, values })
    }
}

/// Checks that a key of a split has as many clips as its key `labels`.
pub(super) fn expect_count(item: &Item<'_>, found: usize, labels: &str, count: usize) -> Result<()> {
    if found == count {
        return Ok(());
    }
    Err(item.error(format!("{found} clips, but {labels} has {count}; every key of a split needs the same number")))
}
