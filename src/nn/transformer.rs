//! Transformer blocks: attention and a feed-forward network, each with its residual and layer norm.

use super::{Arrival, Context, LayerNorm, Linear, MultiHeadAttention, MultiHeadAttentionConfig};
use crate::graph::{Path, Var};
use crate::ops::attention::{AttentionMasks, AttentionOutput};

/// Whether a layer norm stands before each part or after its residual sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NormOrder {
    /// x + f(norm(x)) (Xiong et al. 2020).
    #[default]
    Pre,
    /// norm(x + f(x)) (Vaswani et al. 2017).
    Post,
}

/// Sizes of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransformerConfig {
    pub model_dim: usize,
    pub heads: usize,
    /// Width of the feed-forward network.
    pub ff_dim: usize,
    pub dropout: f32,
    pub order: NormOrder,
    pub epsilon: f32,
}

/// What both kinds of block share.
#[derive(Debug, Clone)]
struct Block {
    name: String,
    config: TransformerConfig,
    attention: MultiHeadAttention,
    norm1: LayerNorm,
    norm2: LayerNorm,
    feed_forward1: Linear,
    feed_forward2: Linear,
}

impl Block {
    fn new(path: &mut Path<'_>, name: &str, config: TransformerConfig, cross: bool) -> Self {
        let mut place = path.at(name);
        let attention = MultiHeadAttentionConfig {
            dropout: config.dropout,
            ..MultiHeadAttentionConfig::new(config.model_dim, config.heads)
        };
        Block {
            name: name.to_string(),
            config,
            attention: if cross {
                MultiHeadAttention::to_context(&mut place, "attention", attention)
            } else {
                MultiHeadAttention::to_itself(&mut place, "attention", attention)
            },
            norm1: LayerNorm::new(&mut place, "norm1", config.model_dim, config.epsilon),
            norm2: LayerNorm::new(&mut place, "norm2", config.model_dim, config.epsilon),
            feed_forward1: Linear::new(&mut place, "ffn1", config.model_dim, config.ff_dim),
            feed_forward2: Linear::new(&mut place, "ffn2", config.ff_dim, config.model_dim),
        }
    }

    fn forward<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        context: Option<Var<'g>>,
        masks: AttentionMasks<'g>,
    ) -> (Var<'g>, AttentionOutput<'g>) {
        self.around(cx, x, |query| self.attention.forward(cx, query, context, masks))
    }

    /// The block around what attends.
    fn around<'g, T>(&self, cx: Context<'g>, x: Var<'g>, attend: impl FnOnce(Var<'g>) -> (Var<'g>, T)) -> (Var<'g>, T) {
        let _scope = cx.graph.scope(&self.name);
        let dropout = cx.dropout(self.config.dropout);
        let feed_forward = |x: Var<'g>| {
            let hidden = self.feed_forward1.forward(cx, x).gelu().dropout(dropout);
            self.feed_forward2.forward(cx, hidden).dropout(dropout)
        };
        match self.config.order {
            NormOrder::Pre => {
                let (attended, attention) = attend(self.norm1.forward(cx, x));
                let x = x + attended.dropout(dropout);
                (x + feed_forward(self.norm2.forward(cx, x)), attention)
            }
            NormOrder::Post => {
                let (attended, attention) = attend(x);
                let x = self.norm1.forward(cx, x + attended.dropout(dropout));
                (self.norm2.forward(cx, x + feed_forward(x)), attention)
            }
        }
    }
}

/// Self-attention and a GELU feed-forward network: x = x + Att(LN1(x)); x = x + FFN(LN2(x)).
#[derive(Debug, Clone)]
pub struct TransformerBlock(Block);

impl TransformerBlock {
    pub fn new(path: &mut Path<'_>, name: &str, config: TransformerConfig) -> Self {
        TransformerBlock(Block::new(path, name, config, false))
    }

    /// `x [batch, seq, model_dim]`; `mask [batch, seq]`, 1 = valid.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>, mask: Option<Var<'g>>) -> (Var<'g>, AttentionOutput<'g>) {
        self.forward_masked(cx, x, AttentionMasks { key: mask, ..AttentionMasks::default() })
    }

    /// [`TransformerBlock::forward`] with any masks, causal ones among them.
    pub fn forward_masked<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        masks: AttentionMasks<'g>,
    ) -> (Var<'g>, AttentionOutput<'g>) {
        self.0.forward(cx, x, None, masks)
    }

    /// The new steps `x [1, chunk, model_dim]` of a stream under a causal mask, and its keys and values with theirs; see
    /// [`MultiHeadAttention::forward_stream`].
    pub fn forward_stream<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        past: Var<'g>,
        arrival: &Arrival<'g>,
    ) -> (Var<'g>, Var<'g>) {
        self.0.around(cx, x, |query| self.0.attention.forward_stream(cx, query, past, arrival))
    }
}

/// One modality's sequence attends to another's: the query is normalised, the context enters as it is, the residual goes to
/// the query.
#[derive(Debug, Clone)]
pub struct CrossAttentionBlock(Block);

impl CrossAttentionBlock {
    pub fn new(path: &mut Path<'_>, name: &str, config: TransformerConfig) -> Self {
        CrossAttentionBlock(Block::new(path, name, config, true))
    }

    /// `query [batch, query_len, model_dim]`, `context [batch, key_len, model_dim]`, `context_mask [batch, key_len]`. Padded queries
    /// are computed too; pooling drops them.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        query: Var<'g>,
        context: Var<'g>,
        context_mask: Option<Var<'g>>,
    ) -> (Var<'g>, AttentionOutput<'g>) {
        self.0.forward(cx, query, Some(context), AttentionMasks { key: context_mask, ..AttentionMasks::default() })
    }
}
