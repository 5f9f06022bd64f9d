//! Fusion at the level of sequences, and the head that pools and weighs the modalities.

use super::config::Pooling;
use super::{Fusion, MsaConfig};
use crate::graph::{Path, Var};
use crate::nn::{Context, CrossAttentionBlock, Linear};
use crate::ops::attention::AttentionOutput;
use crate::ops::elementwise::fill;

/// A modality's sequence and its mask on the way through the model.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'g> {
    /// `[batch, seq, model_dim]`.
    pub x: Var<'g>,
    /// `[batch, seq]`, 1 = valid.
    pub mask: Var<'g>,
}

impl<'g> Stream<'g> {
    /// `[batch]`, 1 where the clip has this modality: any valid step.
    pub(super) fn present(&self) -> Var<'g> {
        fill(self.x.graph(), self.mask.shape(), 1.0).masked(self.mask, 0.0).padding_mask(0.0)
    }
}

/// Per layer: the anchor attends to each other modality in turn; then, if bidirectional, each of them to the updated anchor.
#[derive(Debug, Clone)]
pub struct CrossModalFusion {
    layers: Vec<FusionLayer>,
}

#[derive(Debug, Clone)]
struct FusionLayer {
    /// One per modality after the anchor.
    anchor_from: Vec<Crossing>,
    to_anchor: Vec<Crossing>,
}

/// One modality attends to another.
#[derive(Debug, Clone)]
struct Crossing {
    name: String,
    block: CrossAttentionBlock,
    gate: Option<Linear>,
}

impl Crossing {
    fn new(place: &mut Path<'_>, config: &MsaConfig, name: String) -> Self {
        let block = CrossAttentionBlock::new(place, &name, config.block());
        let gate = || Linear::new(place, &format!("gates.{name}"), 2 * config.model_dim, 1);
        Crossing { gate: (config.fusion == Fusion::Gated).then(gate), block, name }
    }

    /// `to`'s sequence after it has attended to `from`. A gate, sigmoid(W [before, after] + b) at every step, shares out what is new.
    fn forward<'g>(&self, cx: Context<'g>, to: Stream<'g>, from: Stream<'g>) -> (Var<'g>, AttentionOutput<'g>) {
        let (x, attention) = self.block.forward(cx, to.x, from.x, Some(from.mask));
        let Some(gate) = &self.gate else { return (x, attention) };
        let gates = gate.forward(cx, cx.graph.concat(&[to.x, x], 2)).sigmoid();
        (to.x + ((x - to.x) * gates).mask_rows(from.present()), attention)
    }
}

impl CrossModalFusion {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        let mut place = path.at("fusion");
        let names: Vec<&str> = config.modalities.iter().map(|modality| modality.name.as_str()).collect();
        let (anchor, others) = names.split_first().map_or(("", [].as_slice()), |(anchor, others)| (*anchor, others));
        let mut layer = |index: usize| {
            let mut block =
                |to: &str, from: &str| Crossing::new(&mut place, config, format!("{to}_from_{from}.{index}"));
            let anchor_from = others.iter().map(|other| block(anchor, other)).collect();
            let back = if config.bidirectional_fusion { others } else { &[] };
            FusionLayer { anchor_from, to_anchor: back.iter().map(|other| block(other, anchor)).collect() }
        };
        CrossModalFusion { layers: (0..config.n_layers_fuse).map(&mut layer).collect() }
    }

    /// The fused sequences in the order of `streams`, and each block's attention by name.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        streams: &[Stream<'g>],
    ) -> (Vec<Stream<'g>>, Vec<(String, AttentionOutput<'g>)>) {
        let _scope = cx.graph.scope("fusion");
        let mut streams = streams.to_vec();
        let mut attentions = Vec::new();
        for layer in &self.layers {
            for (other, crossing) in layer.anchor_from.iter().enumerate() {
                let (x, attention) = crossing.forward(cx, streams[0], streams[other + 1]);
                streams[0].x = x;
                attentions.push((crossing.name.clone(), attention));
            }
            let anchor = streams[0];
            for (other, crossing) in layer.to_anchor.iter().enumerate() {
                let (x, attention) = crossing.forward(cx, streams[other + 1], anchor);
                streams[other + 1].x = x;
                attentions.push((crossing.name.clone(), attention));
            }
        }
        (streams, attentions)
    }
}

/// What the head computed.
#[derive(Debug, Clone, Copy)]
pub struct Fused<'g> {
    /// `[batch, model_dim]`.
    pub fused: Var<'g>,
    /// `[batch, modalities]`: each row sums to 1, or, of gates, each is in [0, 1].
    pub weights: Var<'g>,
    /// `[batch, modalities, model_dim]`.
    pub pooled: Var<'g>,
}

/// From sequences to vectors: `(hidden, score)` per modality for attention pooling, none for means.
#[derive(Debug, Clone)]
struct Pools(Vec<(Linear, Linear)>);

impl Pools {
    fn new(place: &mut Path<'_>, config: &MsaConfig) -> Self {
        let dim = config.model_dim;
        let count = if config.pooling_method == Pooling::Attention { config.modalities.len() } else { 0 };
        let pool = |index: usize| {
            let hidden = Linear::new(place, &format!("pools.{index}.hidden"), dim, dim / 4);
            (hidden, Linear::new(place, &format!("pools.{index}.score"), dim / 4, 1))
        };
        Pools((0..count).map(pool).collect())
    }

    /// `[batch, model_dim]` of each modality, zeros where a clip has no valid step of it; and the weights over the steps.
    fn forward<'g>(&self, cx: Context<'g>, streams: &[Stream<'g>]) -> (Vec<Var<'g>>, Vec<Var<'g>>) {
        let mut step_weights = Vec::new();
        let pool = |(index, stream): (usize, &Stream<'g>)| match self.0.get(index) {
            None => stream.x.masked_mean(stream.mask),
            Some((hidden, score)) => {
                let scores = score.forward(cx, hidden.forward(cx, stream.x).tanh());
                let (batch, seq) = (stream.x.shape().axis(0), stream.x.shape().axis(1));
                let weights = scores.reshape([batch, seq]).masked_softmax(1, stream.mask);
                step_weights.push(weights);
                stream.x.weighted_pool(weights, stream.mask)
            }
        };
        (streams.iter().enumerate().map(pool).collect(), step_weights)
    }
}

/// The sum of `pooled [batch, modalities, model_dim]` under `weights [batch, modalities]`.
fn weigh<'g>(pooled: Var<'g>, weights: Var<'g>) -> Fused<'g> {
    Fused { fused: (pooled * weights.unsqueeze(2)).sum_axes(&[1]), weights, pooled }
}

/// Pools each modality over its valid steps, weighs the modalities by a softmax of their mean, and sums.
#[derive(Debug, Clone)]
pub struct AdaptiveFusionHead {
    weight1: Linear,
    weight2: Linear,
    pools: Pools,
    dropout: f32,
}

impl AdaptiveFusionHead {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        let mut place = path.at("adaptive");
        let (dim, count) = (config.model_dim, config.modalities.len());
        AdaptiveFusionHead {
            weight1: Linear::new(&mut place, "weight1", dim, dim / 2),
            weight2: Linear::new(&mut place, "weight2", dim / 2, count),
            pools: Pools::new(&mut place, config),
            dropout: config.dropout,
        }
    }

    /// The fused vector, the modalities' weights and, for attention pooling, the weights over each modality's steps.
    pub fn forward<'g>(&self, cx: Context<'g>, streams: &[Stream<'g>]) -> (Fused<'g>, Vec<Var<'g>>) {
        let _scope = cx.graph.scope("adaptive");
        let (pooled, step_weights) = self.pools.forward(cx, streams);
        let pooled = cx.graph.stack(&pooled, 1);
        let hidden = self.weight1.forward(cx, pooled.mean_axes(&[1])).relu().dropout(cx.dropout(self.dropout));
        (weigh(pooled, self.weight2.forward(cx, hidden).softmax(1)), step_weights)
    }
}

/// Pools each modality over its valid steps and sums them under gates, which are a sigmoid of a small network over all modalities side
/// by side (after the gated multimodal unit of Arevalo et al. 2017). A modality without a valid step has a gate of 0.
#[derive(Debug, Clone)]
pub struct GatedFusionHead {
    gate1: Linear,
    gate2: Linear,
    pools: Pools,
    dropout: f32,
}

impl GatedFusionHead {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        let mut place = path.at("gated");
        let (dim, count) = (config.model_dim, config.modalities.len());
        GatedFusionHead {
            gate1: Linear::new(&mut place, "gate1", count * dim, dim / 2),
            gate2: Linear::new(&mut place, "gate2", dim / 2, count),
            pools: Pools::new(&mut place, config),
            dropout: config.dropout,
        }
    }

    /// As [`AdaptiveFusionHead::forward`]; the weights are the gates.
    pub fn forward<'g>(&self, cx: Context<'g>, streams: &[Stream<'g>]) -> (Fused<'g>, Vec<Var<'g>>) {
        let _scope = cx.graph.scope("gated");
        let (pooled, step_weights) = self.pools.forward(cx, streams);
        let present: Vec<Var<'g>> = streams.iter().map(Stream::present).collect();
        let hidden = self.gate1.forward(cx, cx.graph.concat(&pooled, 1)).relu().dropout(cx.dropout(self.dropout));
        let gates = self.gate2.forward(cx, hidden).sigmoid().masked(cx.graph.stack(&present, 1), 0.0);
        (weigh(cx.graph.stack(&pooled, 1), gates), step_weights)
    }
}

/// The head of a configuration.
#[derive(Debug, Clone)]
pub(super) enum FusionHead {
    Adaptive(AdaptiveFusionHead),
    Gated(GatedFusionHead),
}

impl FusionHead {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        match config.fusion {
            Fusion::Adaptive => FusionHead::Adaptive(AdaptiveFusionHead::new(path, config)),
            Fusion::Gated => FusionHead::Gated(GatedFusionHead::new(path, config)),
        }
    }

    pub(super) fn forward<'g>(&self, cx: Context<'g>, streams: &[Stream<'g>]) -> (Fused<'g>, Vec<Var<'g>>) {
        match self {
            FusionHead::Adaptive(head) => head.forward(cx, streams),
            FusionHead::Gated(head) => head.forward(cx, streams),
        }
    }
}
