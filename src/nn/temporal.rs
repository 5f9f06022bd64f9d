//! Convolution over time.

use super::{BatchNorm, Context, Conv};
use crate::graph::{Path, Var};
use crate::ops::batch_norm::BatchNormOptions;
use crate::ops::conv::ConvOptions;

/// Sizes of a [`TemporalConvNet`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TemporalConvConfig {
    /// Features of a step.
    pub inputs: usize,
    /// Filters of every layer.
    pub hidden: usize,
    /// Layer `i` has dilation 2^i.
    pub layers: usize,
    pub dropout: f32,
}

/// A temporal convolutional network (after Bai, Kolter and Koltun 2018, not causal): layers of a convolution with three taps, 1, 2, 4, ..
/// steps apart, batch norm, ReLU and dropout, each added to its input where the widths agree. Parameters: `convs.<i>`, `norms.<i>`.
#[derive(Debug, Clone)]
pub struct TemporalConvNet {
    name: String,
    config: TemporalConvConfig,
    layers: Vec<(Conv, BatchNorm)>,
}

impl TemporalConvNet {
    pub fn new(path: &mut Path<'_>, name: &str, config: TemporalConvConfig) -> Self {
        let mut path = path.at(name);
        let layer = |index: usize| {
            let channels = if index == 0 { config.inputs } else { config.hidden };
            let apart = [1 << index];
            let options = ConvOptions::default().padding(&apart).dilation(&apart);
            let conv = Conv::new(&mut path, &format!("convs.{index}"), [channels, config.hidden], &[3], options);
            (conv, BatchNorm::new(&mut path, &format!("norms.{index}"), config.hidden, BatchNormOptions::pytorch()))
        };
        TemporalConvNet { name: name.to_string(), config, layers: (0..config.layers).map(layer).collect() }
    }

    /// `x [batch, seq, inputs]`, `mask [batch, seq]` (1 = valid) -> `[batch, seq, hidden]`, zeros at padded steps. Padding is zeroed before
    /// every convolution, and the norms' statistics are those of the valid steps alone.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>, mask: Option<Var<'g>>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let dropout = cx.dropout(self.config.dropout);
        // [batch, 1, seq], to broadcast over channels
        let mask = mask.map(|mask| mask.unsqueeze(1));
        let clean = |x: Var<'g>| mask.map_or(x, |mask| x.masked(mask, 0.0));
        let mut x = clean(x.transpose(1, 2));
        for (conv, norm) in &self.layers {
            let convolved = conv.forward(cx, x);
            let normed = match mask {
                Some(mask) => norm.forward_masked(cx, convolved, mask),
                None => norm.forward(cx, convolved),
            };
            let y = normed.relu().dropout(dropout);
            x = clean(if x.shape() == y.shape() { x + y } else { y });
        }
        x.transpose(1, 2)
    }
}
