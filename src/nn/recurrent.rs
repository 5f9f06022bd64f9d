//! LSTM and GRU layers.

use super::Context;
use crate::graph::{Init, Parameter, Path, Shape, Var};
use crate::ops::recurrent::{Cell, RecurrentWeights};

/// Sizes of a [`Recurrent`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecurrentConfig {
    pub cell: Cell,
    /// Features of a step.
    pub inputs: usize,
    /// Units of a direction, at most [`crate::ops::recurrent::MOST_HIDDEN`].
    pub hidden: usize,
    pub layers: usize,
    /// A second direction runs from the last valid step to the first; its states follow the first's.
    pub bidirectional: bool,
    /// Dropout between layers.
    pub dropout: f32,
}

impl RecurrentConfig {
    /// One layer in one direction.
    pub fn new(cell: Cell, inputs: usize, hidden: usize) -> Self {
        RecurrentConfig { cell, inputs, hidden, layers: 1, bidirectional: false, dropout: 0.0 }
    }
}

/// A layer's weights for one direction.
#[derive(Debug, Clone, Copy)]
struct Direction {
    weight_ih: Parameter,
    weight_hh: Parameter,
    bias_ih: Parameter,
    bias_hh: Parameter,
}

/// PyTorch's `LSTM` or `GRU` (batch first) with its parameter names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, and the same
/// with `_reverse`. Uniform start in +-1 / sqrt(hidden), as there.
#[derive(Debug, Clone)]
pub struct Recurrent {
    name: String,
    config: RecurrentConfig,
    layers: Vec<Vec<Direction>>,
}

impl Recurrent {
    pub fn new(path: &mut Path<'_>, name: &str, config: RecurrentConfig) -> Self {
        let mut path = path.at(name);
        let init = Init::Uniform { bound: 1.0 / (config.hidden.max(1) as f32).sqrt() };
        let rows = config.cell.gates() * config.hidden;
        let endings: &[&str] = if config.bidirectional { &["", "_reverse"] } else { &[""] };
        let mut layer = |depth: usize| {
            let inputs = if depth == 0 { config.inputs } else { endings.len() * config.hidden };
            let direction = |ending: &&str| {
                let mut parameter =
                    |name: &str, shape: &[usize]| path.parameter(&format!("{name}_l{depth}{ending}"), shape, init);
                Direction {
                    weight_ih: parameter("weight_ih", &[rows, inputs]),
                    weight_hh: parameter("weight_hh", &[rows, config.hidden]),
                    bias_ih: parameter("bias_ih", &[rows]),
                    bias_hh: parameter("bias_hh", &[rows]),
                }
            };
            endings.iter().map(direction).collect()
        };
        let layers = (0..config.layers).map(&mut layer).collect();
        Recurrent { name: name.to_string(), config, layers }
    }

    /// How many tensors its state is, and their shape for `batch` sequences.
    pub fn state(&self, batch: usize) -> (usize, Shape) {
        let directions = self.layers.iter().map(Vec::len).sum::<usize>();
        (self.config.cell.states(), Shape::new(&[directions, batch, self.config.hidden]))
    }

    /// `x [batch, seq, inputs]`, `mask [batch, seq]` (1 = valid; padded steps are never looked at) and the state before the first step:
    /// none (zeros), or an LSTM's h and c, a GRU's h, `[layers * directions, batch, hidden]` each. Returns the last layer's states
    /// `[batch, seq, directions * hidden]`, zeros at padded steps, and all layers' state after the last step, shaped as the first.
    pub fn forward<'g>(
        &self,
        cx: Context<'g>,
        x: Var<'g>,
        mask: Option<Var<'g>>,
        start: &[Var<'g>],
    ) -> (Var<'g>, Vec<Var<'g>>) {
        let _scope = cx.graph.scope(&self.name);
        let weights = |direction: &Direction| {
            let Direction { weight_ih, weight_hh, bias_ih, bias_hh } = *direction;
            let [input, hidden, input_bias, hidden_bias] =
                [weight_ih, weight_hh, bias_ih, bias_hh].map(|parameter| cx.graph.parameter(cx.parameters, parameter));
            RecurrentWeights { input, hidden, input_bias: Some(input_bias), hidden_bias: Some(hidden_bias) }
        };
        let layers: Vec<Vec<_>> = self.layers.iter().map(|layer| layer.iter().map(weights).collect()).collect();
        x.recurrent_layers(self.config.cell, &layers, start, mask, cx.dropout(self.config.dropout))
    }
}
