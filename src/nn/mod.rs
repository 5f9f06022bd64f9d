//! Layers assembled from ops. A layer holds its parameters' handles; `forward` writes the graph.

mod attention;
mod conv;
mod conv_norm;
mod linear;
mod multiscale;
mod norm;
mod position;
mod recurrent;
mod stream;
mod temporal;
mod transformer;

pub use attention::{MultiHeadAttention, MultiHeadAttentionConfig};
pub use conv::Conv;
pub use conv_norm::{ConvNorm, ConvNormOptions, Norms, fold};
pub use linear::{Embedding, Linear};
pub use multiscale::MultiScaleBlock;
pub use norm::{BatchNorm, LayerNorm};
pub use position::sinusoidal_positions;
pub use recurrent::{Recurrent, RecurrentConfig};
pub use stream::Arrival;
pub use temporal::{TemporalConvConfig, TemporalConvNet};
pub use transformer::{CrossAttentionBlock, NormOrder, TransformerBlock, TransformerConfig};

use crate::graph::{Graph, Parameters};

/// Where a layer writes its graph: the graph, the parameters, and whether dropout is on.
#[derive(Clone, Copy)]
pub struct Context<'g> {
    pub graph: &'g Graph,
    pub parameters: &'g Parameters,
    /// True while training: dropout draws.
    pub training: bool,
}

impl<'g> Context<'g> {
    /// The probability while training, else 0.
    pub fn dropout(&self, probability: f32) -> f32 {
        if self.training { probability } else { 0.0 }
    }
}
