//! One modality's encoder: projection, positions, transformer blocks; no pooling.

use super::MsaConfig;
use super::config::ModalityConfig;
use crate::graph::{Init, Parameter, Path, Var};
use crate::nn::{Context, Linear, TransformerBlock};
use crate::ops::attention::AttentionOutput;

/// Adds a trainable vector to each position. The table may be longer than the sequence.
#[derive(Debug, Clone)]
pub struct LearnablePositionalEmbedding {
    embeddings: Parameter,
}

impl LearnablePositionalEmbedding {
    pub fn new(path: &mut Path<'_>, name: &str, seq_len: usize, model_dim: usize) -> Self {
        let init = Init::Glorot { fan_in: seq_len, fan_out: model_dim };
        LearnablePositionalEmbedding { embeddings: path.at(name).parameter("embeddings", [seq_len, model_dim], init) }
    }

    /// `x [batch, seq, model_dim]`, seq at most the table's length.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let (seq_len, rows) = (x.shape().axis(1), self.embeddings.shape().axis(0));
        if seq_len > rows {
            let message = format!("the sequence has {seq_len} steps but the position table only {rows}: raise seq_len");
            cx.graph.fail("position", message);
            return x;
        }
        let table = cx.graph.parameter(cx.parameters, self.embeddings);
        x + if seq_len < rows { table.slice(0, 0, seq_len) } else { table }
    }
}

/// Projection to the model's width, positions, dropout, transformer blocks.
#[derive(Debug, Clone)]
pub struct ModalityEncoder {
    name: String,
    projection: Linear,
    position: LearnablePositionalEmbedding,
    blocks: Vec<TransformerBlock>,
    dropout: f32,
}

impl ModalityEncoder {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig, modality: &ModalityConfig) -> Self {
        let name = format!("{}_encoder", modality.name);
        let mut place = path.at(&name);
        let block = |place: &mut Path<'_>, index: usize| {
            TransformerBlock::new(place, &format!("blocks.{index}"), config.block())
        };
        ModalityEncoder {
            projection: Linear::new(&mut place, "projection", modality.dim, config.model_dim),
            position: LearnablePositionalEmbedding::new(&mut place, "position", modality.seq_len, config.model_dim),
            blocks: (0..config.n_layers_mod).map(|index| block(&mut place, index)).collect(),
            dropout: config.dropout,
            name,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `x [batch, seq, dim]`, `mask [batch, seq]` -> `[batch, seq, model_dim]`, with the attention of each block.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>, mask: Var<'g>) -> (Var<'g>, Vec<AttentionOutput<'g>>) {
        let _scope = cx.graph.scope(&self.name);
        let x = self.position.forward(cx, self.projection.forward(cx, x));
        let mut x = x.dropout(cx.dropout(self.dropout));
        let mut attentions = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let (next, attention) = block.forward(cx, x, Some(mask));
            x = next;
            attentions.push(attention);
        }
        (x, attentions)
    }
}
