//! One modality's encoder: projection, then transformer blocks with positions, recurrent layers or convolutions; no pooling.

use super::config::ModalityConfig;
use super::{Encoder, MsaConfig};
use crate::graph::{Init, Parameter, Path, Var};
use crate::nn::{Context, Linear, Recurrent, RecurrentConfig, TemporalConvConfig, TemporalConvNet, TransformerBlock};
use crate::ops::attention::AttentionOutput;
use crate::ops::recurrent::Cell;

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

/// Projection to the model's width, dropout, and what the configuration names. Recurrence and convolution know the order of the steps by
/// themselves; a transformer gets positions.
#[derive(Debug, Clone)]
pub struct ModalityEncoder {
    name: String,
    projection: Linear,
    sequence: Sequence,
    dropout: f32,
}

#[derive(Debug, Clone)]
enum Sequence {
    Transformer(LearnablePositionalEmbedding, Vec<TransformerBlock>),
    Recurrent(Recurrent),
    Convolution(TemporalConvNet),
}

impl Sequence {
    fn new(place: &mut Path<'_>, config: &MsaConfig, modality: &ModalityConfig) -> Self {
        let (dim, layers, dropout) = (config.model_dim, config.n_layers_mod, config.dropout);
        let recurrent =
            |cell| RecurrentConfig { layers, bidirectional: true, dropout, ..RecurrentConfig::new(cell, dim, dim / 2) };
        match config.encoder {
            Encoder::Transformer => {
                let position = LearnablePositionalEmbedding::new(place, "position", modality.seq_len, dim);
                let block = |index| TransformerBlock::new(place, &format!("blocks.{index}"), config.block());
                Sequence::Transformer(position, (0..layers).map(block).collect())
            }
            Encoder::Lstm => Sequence::Recurrent(Recurrent::new(place, "lstm", recurrent(Cell::Lstm))),
            Encoder::Gru => Sequence::Recurrent(Recurrent::new(place, "gru", recurrent(Cell::Gru))),
            Encoder::Tcn => {
                let sizes = TemporalConvConfig { inputs: dim, hidden: dim, layers, dropout };
                Sequence::Convolution(TemporalConvNet::new(place, "tcn", sizes))
            }
        }
    }
}

impl ModalityEncoder {
    pub(super) fn new(path: &mut Path<'_>, config: &MsaConfig, modality: &ModalityConfig) -> Self {
        let name = format!("{}_encoder", modality.name);
        let mut place = path.at(&name);
        ModalityEncoder {
            projection: Linear::new(&mut place, "projection", modality.dim, config.model_dim),
            sequence: Sequence::new(&mut place, config, modality),
            dropout: config.dropout,
            name,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `x [batch, seq, dim]`, `mask [batch, seq]` -> `[batch, seq, model_dim]`, with the attention of each transformer block.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>, mask: Var<'g>) -> (Var<'g>, Vec<AttentionOutput<'g>>) {
        let _scope = cx.graph.scope(&self.name);
        let dropout = cx.dropout(self.dropout);
        let x = self.projection.forward(cx, x);
        match &self.sequence {
            Sequence::Transformer(position, blocks) => {
                let mut x = position.forward(cx, x).dropout(dropout);
                let mut attentions = Vec::with_capacity(blocks.len());
                for block in blocks {
                    let (next, attention) = block.forward(cx, x, Some(mask));
                    x = next;
                    attentions.push(attention);
                }
                (x, attentions)
            }
            Sequence::Recurrent(layers) => (layers.forward(cx, x.dropout(dropout), Some(mask), &[]).0, Vec::new()),
            Sequence::Convolution(layers) => (layers.forward(cx, x.dropout(dropout), Some(mask)), Vec::new()),
        }
    }
}
