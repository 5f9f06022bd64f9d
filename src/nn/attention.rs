//! Multi-head attention with its projections.

use super::{Arrival, Context, Linear};
use crate::graph::{Path, Var};
use crate::ops::attention::{AttentionMasks, AttentionOptions, AttentionOutput, Projections, attention};

/// Sizes of a [`MultiHeadAttention`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiHeadAttentionConfig {
    /// Width of the queries and of the result.
    pub model_dim: usize,
    /// Width of keys and values as they come in.
    pub context_dim: usize,
    pub heads: usize,
    /// Width of one head; PyTorch's is model_dim / heads, Keras' `key_dim` is free.
    pub head_dim: usize,
    pub bias: bool,
    /// Dropout of the attention weights.
    pub dropout: f32,
}

impl MultiHeadAttentionConfig {
    /// `heads` heads that share `model_dim`, with bias and without dropout.
    pub fn new(model_dim: usize, heads: usize) -> Self {
        let head_dim = model_dim / heads.max(1);
        MultiHeadAttentionConfig { model_dim, context_dim: model_dim, heads, head_dim, bias: true, dropout: 0.0 }
    }
}

/// Whether queries, keys and values come from one sequence or two: it decides what one matmul can project.
#[derive(Debug, Clone)]
enum InputProjections {
    Itself(Linear),
    Context { query: Linear, key_value: Linear },
}

/// Multi-head attention: projections, attention, output projection. Parameters: `query`, `key`, `value`, `output`.
#[derive(Debug, Clone)]
pub struct MultiHeadAttention {
    name: String,
    config: MultiHeadAttentionConfig,
    projections: InputProjections,
    output: Linear,
}

impl MultiHeadAttention {
    /// Attention of a sequence to itself; its three projections are one matmul.
    pub fn to_itself(path: &mut Path<'_>, name: &str, config: MultiHeadAttentionConfig) -> Self {
        let width = config.heads * config.head_dim;
        let mut place = path.at(name);
        let parts = [("query", width), ("key", width), ("value", width)];
        let projections = Linear::packed(&mut place, "query_key_value", &parts, config.model_dim, config.bias);
        Self::build(&mut place, name, config, InputProjections::Itself(projections))
    }

    /// Attention to another sequence; keys and values are one matmul.
    pub fn to_context(path: &mut Path<'_>, name: &str, config: MultiHeadAttentionConfig) -> Self {
        let width = config.heads * config.head_dim;
        let mut place = path.at(name);
        let query = Linear::packed(&mut place, "query", &[("query", width)], config.model_dim, config.bias);
        let parts = [("key", width), ("value", width)];
        let key_value = Linear::packed(&mut place, "key_value", &parts, config.context_dim, config.bias);
        Self::build(&mut place, name, config, InputProjections::Context { query, key_value })
    }

    fn build(
        place: &mut Path<'_>,
        name: &str,
        config: MultiHeadAttentionConfig,
        projections: InputProjections,
    ) -> Self {
        let (width, model_dim) = (config.heads * config.head_dim, config.model_dim);
        let output = if config.bias {
            Linear::new(place, "output", width, model_dim)
        } else {
            Linear::without_bias(place, "output", width, model_dim)
        };
        MultiHeadAttention { name: name.to_string(), config, projections, output }
    }

    /// `query [batch, query_len, model_dim]` attends to `context [batch, key_len, context_dim]` (itself where `None`). Returns the
    /// result and the attention, whose weights can be asked for.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        query: Var<'g>,
        context: Option<Var<'g>>,
        masks: AttentionMasks<'g>,
    ) -> (Var<'g>, AttentionOutput<'g>) {
        let _scope = cx.graph.scope(&self.name);
        let projections = match &self.projections {
            InputProjections::Itself(packed) => {
                if context.is_some() {
                    cx.graph.fail("attention", "this layer attends to its own sequence; it takes no context");
                }
                Projections::Packed(packed.forward(cx, query))
            }
            InputProjections::Context { query: project, key_value } => Projections::KeyValue {
                query: project.forward(cx, query),
                key_value: key_value.forward(cx, context.unwrap_or(query)),
            },
        };
        let options =
            AttentionOptions { heads: self.config.heads, scale: None, dropout: cx.dropout(self.config.dropout) };
        let attended = attention(projections, masks, options);
        (self.output.forward(cx, attended.output), attended)
    }

    /// The new steps `x [1, chunk, model_dim]` of a stream attend to themselves and to all before them. `past [capacity, 2 * heads *
    /// head_dim]` holds keys and values side by side; returned are the result and `past` with those of the new steps.
    pub fn forward_stream<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        past: Var<'g>,
        arrival: &Arrival<'g>,
    ) -> (Var<'g>, Var<'g>) {
        let _scope = cx.graph.scope(&self.name);
        let InputProjections::Itself(packed) = &self.projections else {
            cx.graph.fail("attention", "only attention of a sequence to itself can be streamed");
            return (x, past);
        };
        let width = self.config.heads * self.config.head_dim;
        let parts = packed.forward(cx, x);
        let past = arrival.put(parts.slice(2, width, 3 * width), past);
        let projections = Projections::KeyValue { query: parts.slice(2, 0, width), key_value: past.unsqueeze(0) };
        let masks = AttentionMasks { key: Some(arrival.seen), pair: Some(arrival.pairs), ..AttentionMasks::default() };
        let options = AttentionOptions { heads: self.config.heads, scale: None, dropout: 0.0 };
        (self.output.forward(cx, attention(projections, masks, options).output), past)
    }
}
