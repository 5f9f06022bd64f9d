//! The sentiment model, built of burn's layers by limbic's configuration.

use super::Inputs;
use super::ops::masked_mean;
use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Bool, Device, Distribution, Tensor, activation};
use limbic::models::msa::{MsaConfig, Pooling};

#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    norm2: LayerNorm,
    attention: MultiHeadAttention,
    feed_forward1: Linear,
    feed_forward2: Linear,
    dropout: Dropout,
}

impl Block {
    fn new(config: &MsaConfig, device: &Device) -> Self {
        let (dim, inner, dropout) = (config.model_dim, config.ff_dim, f64::from(config.dropout));
        Block {
            norm1: LayerNormConfig::new(dim).init(device),
            norm2: LayerNormConfig::new(dim).init(device),
            attention: MultiHeadAttentionConfig::new(dim, config.num_heads).with_dropout(dropout).init(device),
            feed_forward1: LinearConfig::new(dim, inner).init(device),
            feed_forward2: LinearConfig::new(inner, dim).init(device),
            dropout: DropoutConfig::new(dropout).init(),
        }
    }

    /// Attends to `context`, or to itself.
    fn forward(&self, x: Tensor<3>, padding: Tensor<2, Bool>, context: Option<Tensor<3>>) -> Tensor<3> {
        let query = self.norm1.forward(x.clone());
        let context = context.unwrap_or_else(|| query.clone());
        let attended = self.attention.forward(MhaInput::new(query, context.clone(), context).mask_pad(padding));
        let x = x + self.dropout.forward(attended.context);
        let hidden = activation::gelu(self.feed_forward1.forward(self.norm2.forward(x.clone())));
        x + self.dropout.forward(self.feed_forward2.forward(self.dropout.forward(hidden)))
    }
}

#[derive(Module, Debug)]
struct Encoder {
    projection: Linear,
    position: Param<Tensor<3>>,
    blocks: Vec<Block>,
    dropout: Dropout,
}

#[derive(Module, Debug)]
struct FusionLayer {
    anchor_from: Vec<Block>,
    to_anchor: Vec<Block>,
}

#[derive(Module, Debug)]
struct AttentionPool {
    hidden: Linear,
    score: Linear,
}

impl AttentionPool {
    fn forward(&self, x: Tensor<3>, padding: Tensor<2, Bool>) -> Tensor<2> {
        let [batch, seq_len, dim] = x.dims();
        let scores = self.score.forward(self.hidden.forward(x.clone()).tanh());
        let weights = activation::softmax(scores.mask_fill(padding.reshape([batch, seq_len, 1]), -1.0e4), 1);
        (x * weights).sum_dim(1).reshape([batch, dim])
    }
}

#[derive(Module, Debug)]
pub struct Sentiment {
    encoders: Vec<Encoder>,
    fusion: Vec<FusionLayer>,
    /// Empty: pooled by the mean.
    pools: Vec<AttentionPool>,
    weight1: Linear,
    weight2: Linear,
    head: Linear,
    dropout: Dropout,
}

impl Sentiment {
    pub fn new(config: &MsaConfig, device: &Device) -> Self {
        let (dim, count) = (config.model_dim, config.modalities.len());
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        let blocks = |count: usize| -> Vec<Block> { (0..count).map(|_| Block::new(config, device)).collect() };
        let dropout = DropoutConfig::new(f64::from(config.dropout)).init();
        let encoder = |(inputs, seq_len)| Encoder {
            projection: linear(inputs, dim),
            position: Param::from_tensor(Tensor::random([1, seq_len, dim], Distribution::Normal(0.0, 0.02), device)),
            blocks: blocks(config.n_layers_mod),
            dropout: dropout.clone(),
        };
        let back = if config.bidirectional_fusion { count - 1 } else { 0 };
        let fusion = |_| FusionLayer { anchor_from: blocks(count - 1), to_anchor: blocks(back) };
        let pools = if config.pooling_method == Pooling::Attention { count } else { 0 };
        let pool = |_| AttentionPool { hidden: linear(dim, dim / 4), score: linear(dim / 4, 1) };
        Sentiment {
            encoders: config.modalities.iter().map(|modality| encoder((modality.dim, modality.seq_len))).collect(),
            fusion: (0..config.n_layers_fuse).map(fusion).collect(),
            pools: (0..pools).map(pool).collect(),
            weight1: linear(dim, dim / 2),
            weight2: linear(dim / 2, count),
            head: linear(dim, 1),
            dropout,
        }
    }

    /// Scores `[batch, 1]`.
    pub fn forward(&self, batch: &Batch) -> Tensor<2> {
        let mut streams = Vec::new();
        for (encoder, (x, padding)) in self.encoders.iter().zip(batch.features.iter().zip(&batch.padding)) {
            let x = encoder.projection.forward(x.clone()) + encoder.position.val();
            let x = encoder.dropout.forward(x);
            streams.push(encoder.blocks.iter().fold(x, |x, block| block.forward(x, padding.clone(), None)));
        }
        for layer in &self.fusion {
            for (other, block) in layer.anchor_from.iter().enumerate() {
                let context = streams[other + 1].clone();
                streams[0] = block.forward(streams[0].clone(), batch.padding[other + 1].clone(), Some(context));
            }
            for (other, block) in layer.to_anchor.iter().enumerate() {
                let (x, anchor) = (streams[other + 1].clone(), streams[0].clone());
                streams[other + 1] = block.forward(x, batch.padding[0].clone(), Some(anchor));
            }
        }
        let pool = |(index, x): (usize, Tensor<3>)| match self.pools.get(index) {
            None => masked_mean(x, batch.keep[index].clone()),
            Some(pool) => pool.forward(x, batch.padding[index].clone()),
        };
        let pooled: Tensor<3> = Tensor::stack(streams.into_iter().enumerate().map(pool).collect(), 1);
        let [clips, count, dim] = pooled.dims();
        let mean = pooled.clone().mean_dim(1).reshape([clips, dim]);
        let hidden = self.dropout.forward(activation::relu(self.weight1.forward(mean)));
        let weights = activation::softmax(self.weight2.forward(hidden), 1).reshape([clips, count, 1]);
        self.head.forward((pooled * weights).sum_dim(1).reshape([clips, dim]))
    }
}

/// A batch on the device.
pub struct Batch {
    features: Vec<Tensor<3>>,
    padding: Vec<Tensor<2, Bool>>,
    keep: Vec<Tensor<2>>,
}

impl Batch {
    pub fn new(inputs: &Inputs, config: &MsaConfig, clips: usize) -> Self {
        let features = config.modalities.iter().map(|modality| {
            let x = inputs.float([clips, modality.seq_len, modality.dim]);
            if inputs.backward { x.detach() } else { x }
        });
        let padding: Vec<Tensor<2, Bool>> = config
            .modalities
            .iter()
            .enumerate()
            .map(|(index, modality)| inputs.padding(clips, modality.seq_len, index + 2))
            .collect();
        let keep = padding.iter().map(|padding| padding.clone().bool_not().float()).collect();
        Batch { features: features.collect(), padding, keep }
    }
}
