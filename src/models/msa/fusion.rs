//! Fusion at the level of sequences, and the head that pools and weighs the modalities.

use super::MsaConfig;
use super::config::Pooling;
use crate::graph::{Path, Var};
use crate::nn::{Context, CrossAttentionBlock, Linear};
use crate::ops::attention::AttentionOutput;

/// A modality's sequence and its mask on the way through the model.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'g> {
    /// `[batch, seq, model_dim]`.
    pub x: Var<'g>,
    /// `[batch, seq]`, 1 = valid.
    pub mask: Var<'g>,
}

/// Per layer: the anchor attends to each other modality in turn; then, if bidirectional, each of them to the updated anchor.
#[derive(Debug, Clone)]
pub struct CrossModalFusion {
    layers: Vec<FusionLayer>,
}

#[derive(Debug, Clone)]
struct FusionLayer {
    /// `(name, block)`, one per modality after the anchor.
    anchor_from: Vec<(String, CrossAttentionBlock)>,
    to_anchor: Vec<(String, CrossAttentionBlock)>,
}

impl CrossModalFusion {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        let mut place = path.at("fusion");
        let names: Vec<&str> = config.modalities.iter().map(|modality| modality.name.as_str()).collect();
        let (anchor, others) = names.split_first().map_or(("", [].as_slice()), |(anchor, others)| (*anchor, others));
        let mut layer = |index: usize| {
            let mut block = |to: &str, from: &str| {
                let name = format!("{to}_from_{from}.{index}");
                let block = CrossAttentionBlock::new(&mut place, &name, config.block());
                (name, block)
            };
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
            for (other, (name, block)) in layer.anchor_from.iter().enumerate() {
                let context = streams[other + 1];
                let (x, attention) = block.forward(cx, streams[0].x, context.x, Some(context.mask));
                streams[0].x = x;
                attentions.push((name.clone(), attention));
            }
            let anchor = streams[0];
            for (other, (name, block)) in layer.to_anchor.iter().enumerate() {
                let (x, attention) = block.forward(cx, streams[other + 1].x, anchor.x, Some(anchor.mask));
                streams[other + 1].x = x;
                attentions.push((name.clone(), attention));
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
    /// `[batch, modalities]`, each row sums to 1.
    pub weights: Var<'g>,
    /// `[batch, modalities, model_dim]`.
    pub pooled: Var<'g>,
}

/// Pools each modality over its valid steps, weighs the modalities by a softmax of their mean, and sums.
#[derive(Debug, Clone)]
pub struct AdaptiveFusionHead {
    weight1: Linear,
    weight2: Linear,
    /// `(hidden, score)` per modality, for attention pooling.
    pools: Vec<(Linear, Linear)>,
    dropout: f32,
}

impl AdaptiveFusionHead {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig) -> Self {
        let mut place = path.at("adaptive");
        let (dim, count) = (config.model_dim, config.modalities.len());
        let pooled = if config.pooling_method == Pooling::Attention { count } else { 0 };
        AdaptiveFusionHead {
            weight1: Linear::new(&mut place, "weight1", dim, dim / 2),
            weight2: Linear::new(&mut place, "weight2", dim / 2, count),
            pools: (0..pooled)
                .map(|index| {
                    let hidden = Linear::new(&mut place, &format!("pools.{index}.hidden"), dim, dim / 4);
                    (hidden, Linear::new(&mut place, &format!("pools.{index}.score"), dim / 4, 1))
                })
                .collect(),
            dropout: config.dropout,
        }
    }

    /// The fused vector, the modalities' weights and, for attention pooling, the weights over each modality's steps.
    pub fn forward<'g>(&self, cx: Context<'g>, streams: &[Stream<'g>]) -> (Fused<'g>, Vec<Var<'g>>) {
        let _scope = cx.graph.scope("adaptive");
        let mut step_weights = Vec::new();
        let pooled: Vec<Var<'g>> = streams
            .iter()
            .enumerate()
            .map(|(index, stream)| match self.pools.get(index) {
                None => stream.x.masked_mean(stream.mask),
                Some((hidden, score)) => {
                    let scores = score.forward(cx, hidden.forward(cx, stream.x).tanh());
                    let (batch, seq) = (stream.x.shape().axis(0), stream.x.shape().axis(1));
                    let weights = scores.reshape([batch, seq]).masked_softmax(1, stream.mask);
                    step_weights.push(weights);
                    stream.x.weighted_pool(weights, stream.mask)
                }
            })
            .collect();
        let pooled = cx.graph.stack(&pooled, 1);
        let hidden = self.weight1.forward(cx, pooled.mean_axes(&[1])).relu().dropout(cx.dropout(self.dropout));
        let weights = self.weight2.forward(cx, hidden).softmax(1);
        let (batch, count) = (weights.shape().axis(0), weights.shape().axis(1));
        let fused = (pooled * weights.reshape([batch, count, 1])).sum_axes(&[1]);
        (Fused { fused, weights, pooled }, step_weights)
    }
}
