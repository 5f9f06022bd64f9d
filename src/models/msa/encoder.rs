//! One modality's encoder: projection, then transformer blocks with positions, recurrent layers or convolutions; no pooling.

use super::config::{ModalityConfig, TIME_SCALES};
use super::stream::Carried;
use super::{Encoder, MsaConfig};
use crate::graph::{Init, Parameter, Path, Var};
use crate::nn::{
    Arrival, Context, Linear, MultiScaleBlock, Recurrent, RecurrentConfig, TemporalConvConfig, TemporalConvNet,
    TransformerBlock,
};
use crate::ops::attention::{AttentionMasks, AttentionOutput};
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

    /// `x [1, chunk, model_dim]` whose steps stand at `positions [chunk]`.
    fn at<'g>(&self, cx: Context<'g>, x: Var<'g>, positions: Var<'g>) -> Var<'g> {
        x + cx.graph.parameter(cx.parameters, self.embeddings).embedding(positions)
    }
}

/// Projection to the model's width, dropout, and what the configuration names. Recurrence and convolution know the order of the steps by
/// themselves; a transformer gets positions.
#[derive(Debug, Clone)]
pub struct ModalityEncoder {
    name: String,
    projection: Linear,
    sequence: Sequence,
    causal: bool,
    dropout: f32,
}

#[derive(Debug, Clone)]
enum Sequence {
    Attention(LearnablePositionalEmbedding, Vec<Block>),
    Recurrent(Recurrent),
    Convolution(TemporalConvNet),
}

#[derive(Debug, Clone)]
enum Block {
    Plain(Box<TransformerBlock>),
    MultiScale(MultiScaleBlock),
}

impl Block {
    fn new(place: &mut Path<'_>, config: &MsaConfig, name: &str) -> Self {
        match config.encoder {
            Encoder::Multiscale => Block::MultiScale(MultiScaleBlock::new(place, name, config.block(), &TIME_SCALES)),
            _ => Block::Plain(Box::new(TransformerBlock::new(place, name, config.block()))),
        }
    }

    /// The sequence, and each attention with what tells it from the block's others.
    fn forward<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        mask: Var<'g>,
        causal: bool,
    ) -> (Var<'g>, Vec<(String, AttentionOutput<'g>)>) {
        match self {
            Block::Plain(block) => {
                let masks = AttentionMasks { key: Some(mask), causal, ..AttentionMasks::default() };
                let (x, attention) = block.forward_masked(cx, x, masks);
                (x, vec![(String::new(), attention)])
            }
            Block::MultiScale(block) => {
                let (x, attentions) = block.forward(cx, x, mask);
                let named = |(scale, attention)| (format!(".scale{scale}"), attention);
                (x, attentions.into_iter().map(named).collect())
            }
        }
    }
}

impl Sequence {
    fn new(place: &mut Path<'_>, config: &MsaConfig, modality: &ModalityConfig) -> Self {
        let (dim, layers, dropout) = (config.model_dim, config.n_layers_mod, config.dropout);
        let (bidirectional, hidden) = (!config.causal, if config.causal { dim } else { dim / 2 });
        let recurrent =
            |cell| RecurrentConfig { layers, bidirectional, dropout, ..RecurrentConfig::new(cell, dim, hidden) };
        match config.encoder {
            Encoder::Transformer | Encoder::Multiscale => {
                let position = LearnablePositionalEmbedding::new(place, "position", modality.seq_len, dim);
                let block = |index| Block::new(place, config, &format!("blocks.{index}"));
                Sequence::Attention(position, (0..layers).map(block).collect())
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
            causal: config.causal,
            dropout: config.dropout,
            name,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `x [batch, seq, dim]`, `mask [batch, seq]` -> `[batch, seq, model_dim]`, with the attentions of the blocks by name: `blocks.0`, or
    /// `blocks.0.scale2` of one time scale.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        mask: Var<'g>,
    ) -> (Var<'g>, Vec<(String, AttentionOutput<'g>)>) {
        let _scope = cx.graph.scope(&self.name);
        let dropout = cx.dropout(self.dropout);
        let x = self.projection.forward(cx, x);
        match &self.sequence {
            Sequence::Attention(position, blocks) => {
                let mut x = position.forward(cx, x).dropout(dropout);
                let mut attentions = Vec::with_capacity(blocks.len());
                for (index, block) in blocks.iter().enumerate() {
                    let (next, made) = block.forward(cx, x, mask, self.causal);
                    x = next;
                    attentions
                        .extend(made.into_iter().map(|(part, attention)| (format!("blocks.{index}{part}"), attention)));
                }
                (x, attentions)
            }
            Sequence::Recurrent(layers) => (layers.forward(cx, x.dropout(dropout), Some(mask), &[]).0, Vec::new()),
            Sequence::Convolution(layers) => (layers.forward(cx, x.dropout(dropout), Some(mask)), Vec::new()),
        }
    }

    /// What [`ModalityEncoder::forward`] makes of the new steps `x [1, chunk, dim]` of a stream, `[1, chunk, model_dim]`, for a causal
    /// configuration; what it needs of earlier steps is `carried`.
    pub(super) fn forward_stream<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        arrival: &Arrival<'g>,
        carried: &mut Carried<'g>,
    ) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let x = self.projection.forward(cx, x);
        match &self.sequence {
            Sequence::Attention(position, blocks) => {
                let width = 2 * x.shape().axis(2);
                let mut x = position.at(cx, x, arrival.positions);
                for (index, block) in blocks.iter().enumerate() {
                    let Block::Plain(block) = block else { return not_causal(x) };
                    let name = format!("blocks.{index}");
                    let past = carried.take(&name, [arrival.source.shape().axis(0), width].into());
                    let (next, past) = block.forward_stream(cx, x, past, arrival);
                    carried.keep(&name, past);
                    x = next;
                }
                x
            }
            Sequence::Recurrent(layers) => {
                let (count, shape) = layers.state(1);
                let names: Vec<String> = (0..count).map(|index| format!("state.{index}")).collect();
                let start: Vec<Var<'g>> = names.iter().map(|name| carried.take(name, shape)).collect();
                let (x, last) = layers.forward(cx, x, Some(arrival.mask), &start);
                names.iter().zip(last).for_each(|(name, state)| carried.keep(name, state));
                x
            }
            Sequence::Convolution(_) => not_causal(x),
        }
    }
}

/// The configuration's check does not let this happen.
fn not_causal(x: Var<'_>) -> Var<'_> {
    x.graph().fail("stream", "this encoder looks ahead: it cannot score a stream");
    x
}
