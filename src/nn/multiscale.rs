//! Attention at several time scales.

use super::{Context, Linear, TransformerBlock, TransformerConfig};
use crate::graph::{Path, Var};
use crate::ops::attention::AttentionOutput;
use crate::ops::elementwise::fill;

/// Transformer blocks over the same sequence at several time scales, from coarse to fine: at scale `s` the means of every `s` steps attend
/// to each other, and what came of the coarser scale is stretched, projected and added before.
///
/// ```text
/// x -> means of 4 -> block -+
/// x -> means of 2 --------- + -> block -+
/// x -------------------------------- + -> block -> y
/// ```
///
/// Parameters: `scale<s>`, a [`TransformerBlock`] each, and `join<s>`, the projection of what comes from the coarser scale.
#[derive(Debug, Clone)]
pub struct MultiScaleBlock {
    name: String,
    /// Coarsest first; the first has nothing to join.
    scales: Vec<(usize, TransformerBlock, Option<Linear>)>,
}

impl MultiScaleBlock {
    /// `scales` are steps that count as one, from coarse to fine; each is a multiple of the next, and the last is 1.
    pub fn new(path: &mut Path<'_>, name: &str, config: TransformerConfig, scales: &[usize]) -> Self {
        let mut path = path.at(name);
        let scale = |(index, scale): (usize, &usize)| {
            let block = TransformerBlock::new(&mut path, &format!("scale{scale}"), config);
            let join = || Linear::new(&mut path, &format!("join{scale}"), config.model_dim, config.model_dim);
            (*scale, block, (index > 0).then(join))
        };
        MultiScaleBlock { name: name.to_string(), scales: scales.iter().enumerate().map(scale).collect() }
    }

    /// `x [batch, seq, model_dim]`, `mask [batch, seq]`, 1 = valid -> the same shape, and the attention at each scale. A mean is over valid
    /// steps, and a coarse step is valid if any of its steps is.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        mask: Var<'g>,
    ) -> (Var<'g>, Vec<(usize, AttentionOutput<'g>)>) {
        let _scope = cx.graph.scope(&self.name);
        let fits = self.scales.windows(2).all(|pair| pair[1].0 > 0 && pair[0].0.is_multiple_of(pair[1].0));
        if !fits || self.scales.last().is_none_or(|(scale, ..)| *scale != 1) {
            let scales: Vec<usize> = self.scales.iter().map(|(scale, ..)| *scale).collect();
            cx.graph.fail("multiscale", format!("time scales must divide each other down to 1, got {scales:?}"));
            return (x, Vec::new());
        }
        let mut coarser: Option<(usize, Var<'g>)> = None;
        let mut attentions = Vec::with_capacity(self.scales.len());
        for (scale, block, join) in &self.scales {
            let (means, valid) = means_of(x, mask, *scale);
            let input = match (coarser, join) {
                (Some((times, y)), Some(join)) => {
                    means + join.forward(cx, stretched(y, times / scale, means.shape().axis(1)))
                }
                _ => means,
            };
            let (y, attention) = block.forward(cx, input, Some(valid));
            attentions.push((*scale, attention));
            coarser = Some((*scale, y));
        }
        (coarser.map_or(x, |(_, y)| y), attentions)
    }
}

/// The means of every `scale` steps `[batch, ceil(seq / scale), dim]`, and which of them have a valid step.
fn means_of<'g>(x: Var<'g>, mask: Var<'g>, scale: usize) -> (Var<'g>, Var<'g>) {
    if scale == 1 {
        return (x, mask);
    }
    let (batch, seq, dim) = (x.shape().axis(0), x.shape().axis(1), x.shape().axis(2));
    let count = seq.div_ceil(scale);
    let missing = count * scale - seq;
    // masks know no padding of their own: as floats, then 1 where any is not 0
    let real = fill(x.graph(), mask.shape(), 1.0).masked(mask, 0.0).pad(1, 0, missing);
    let of_steps = real.reshape([batch * count, scale, 1]).padding_mask(0.0);
    let means = x.pad(1, 0, missing).reshape([batch * count, scale, dim]).masked_mean(of_steps);
    (means.reshape([batch, count, dim]), real.reshape([batch, count, scale]).padding_mask(0.0))
}

/// Every step of `x [batch, seq, dim]` `times` times, cut to `len` steps.
fn stretched(x: Var<'_>, times: usize, len: usize) -> Var<'_> {
    let (batch, seq, dim) = (x.shape().axis(0), x.shape().axis(1), x.shape().axis(2));
    let long = x.unsqueeze(2).broadcast_to([batch, seq, times, dim]).reshape([batch, seq * times, dim]);
    if seq * times == len { long } else { long.slice(1, 0, len) }
}
