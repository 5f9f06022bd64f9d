//! LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014) over `[batch, seq, features]`, with PyTorch's weights and gate order.
//!
//! One matmul projects the inputs of all steps; one kernel then walks through the steps, and one walks back. The
//! gradient of `weight_hh` is a matmul again, of the gates' gradients and the states before each step.

mod kernel;

use super::elementwise::fill;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::Lower;
pub use kernel::MOST_HIDDEN;
use kernel::Walk;

/// Which recurrence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// Gates i, f, g, o; its state is h and c.
    Lstm,
    /// Gates r, z, n, the reset gate applied to W_hh h + b_hh as PyTorch does; its state is h.
    Gru,
}

impl Cell {
    /// Gates, and with that rows of the weights per hidden unit.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// Tensors of its state.
    pub fn states(self) -> usize {
        match self {
            Cell::Lstm => 2,
            Cell::Gru => 1,
        }
    }
}

/// What the backward pass needs of a step, per hidden unit (shaders/recurrent.wgsl).
const SAVED: usize = 5;

/// Inputs: projected inputs `[batch, seq, gates * hidden]`; `weight_hh [gates * hidden, hidden]`, and the same as the kernel reads it;
/// the first state `[states, batch, hidden]`; then a GRU's `bias_hh`, and the mask `[batch, seq]` where there is one. Outputs: h after
/// each step `[batch, seq, hidden]`, the last state, what the backward pass needs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Recurrence {
    cell: Cell,
    reverse: bool,
    masked: bool,
}

impl Recurrence {
    const START: usize = 3;
    const BIAS: usize = 4;

    fn biased(&self) -> bool {
        self.cell == Cell::Gru
    }

    fn mask_index(&self) -> usize {
        Self::BIAS + usize::from(self.biased())
    }
}

impl Op for Recurrence {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }

    fn output_count(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [projected, weight, _, start, ..] = inputs else {
            return Err("wants inputs, a weight, a state".to_string());
        };
        let [batch, seq, rows] = *projected.shape.axes() else {
            return Err(format!("wants projected inputs [batch, seq, gates * hidden], got {}", projected.shape));
        };
        let (gates, states) = (self.cell.gates(), self.cell.states());
        let hidden = weight.shape.from_end(0);
        if weight.shape != Shape::new(&[gates * hidden, hidden]) || rows != gates * hidden {
            let (weight, projected) = (weight.shape, projected.shape);
            return Err(format!(
                "wants weight_hh [{gates} * hidden, hidden] and weight_ih of as many rows, got {weight} and inputs projected to {projected}"
            ));
        }
        if hidden > MOST_HIDDEN {
            return Err(format!("{hidden} hidden units: take at most {MOST_HIDDEN}, or several layers"));
        }
        let state = Shape::new(&[states, batch, hidden]);
        if start.shape != state {
            return Err(format!(
                "the first state must be {states} tensors of [{batch}, {hidden}], got {}",
                start.shape
            ));
        }
        if let Some(bias) = inputs.get(Self::BIAS).filter(|_| self.biased())
            && bias.shape != Shape::new(&[rows])
        {
            return Err(format!("bias_hh must be [{rows}], got {}", bias.shape));
        }
        let floats = &inputs[..self.mask_index()];
        if let Some(odd) = floats.iter().find(|tensor| tensor.dtype != DType::F32) {
            return Err(format!("wants float tensors, got {:?}", odd.dtype));
        }
        if let Some(mask) = inputs.get(self.mask_index()).filter(|_| self.masked)
            && (mask.shape != Shape::new(&[batch, seq]) || mask.dtype != DType::U32)
        {
            return Err(format!("the mask must be U32 [{batch}, {seq}], got {:?} {}", mask.dtype, mask.shape));
        }
        let shapes = [Shape::new(&[batch, seq, hidden]), state, Shape::new(&[batch, seq, SAVED, hidden])];
        Ok(shapes.map(|shape| (shape, DType::F32)).to_vec())
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let (dstates, dlast) = (cx.grad(0), cx.grad(1));
        if dstates.is_none() && dlast.is_none() {
            return gradients;
        }
        let op = RecurrenceBackward { forward: *self, dstates: dstates.is_some(), dlast: dlast.is_some() };
        let mut inputs = vec![cx.output(2), kernel::along_rows(cx.input(1))];
        inputs.extend(self.masked.then(|| cx.input(self.mask_index())));
        inputs.extend(dstates.into_iter().chain(dlast));
        let made = cx.graph().apply(op, &inputs);
        let dhidden = if self.biased() { made[2] } else { made[0] };
        gradients[0] = Some(made[0]);
        gradients[Self::START] = Some(made[1]);
        if cx.needs(1) {
            let before = self.states_before(cx.output(0), cx.input(Self::START));
            let flat = |x: Var<'g>| x.reshape([x.shape().axis(0) * x.shape().axis(1), x.shape().axis(2)]);
            gradients[1] = Some(flat(dhidden).matmul_tn(flat(before)));
        }
        if self.biased() && cx.needs(Self::BIAS) {
            gradients[Self::BIAS] = Some(dhidden.sum_axes(&[0, 1]));
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (save, last) = (cx.output_used(2), cx.output_used(1));
        let flags = [("SAVE", u32::from(save)), ("LAST", u32::from(last))];
        let mut dispatch = self
            .walk(cx.output_shape(2))
            .forward(cx.capabilities(), &flags)
            .bind("weight", cx.input(2))
            .bind("inputs", cx.input(0))
            .bind("start", cx.input(Self::START))
            .bind("states", cx.output(0));
        if self.biased() {
            dispatch = dispatch.bind("bias", cx.input(Self::BIAS));
        }
        if self.masked {
            dispatch = dispatch.bind("mask", cx.input(self.mask_index()));
        }
        if last {
            dispatch = dispatch.bind("last", cx.output(1));
        }
        if save {
            dispatch = dispatch.bind("saved", cx.output(2));
        }
        cx.emit(dispatch);
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], _: &[Tensor]) -> u64 {
        2 * (inputs[0].shape.len() * inputs[1].shape.from_end(0)) as u64
    }
}

impl Recurrence {
    /// `saved [batch, seq, SAVED, hidden]`.
    fn walk(&self, saved: Shape) -> Walk {
        let [batch, seq, hidden] = [0, 1, 3].map(|axis| saved.axis(axis));
        Walk { cell: self.cell, masked: self.masked, reverse: self.reverse, batch, seq, hidden }
    }

    /// h before each step: the states moved on by one, behind the first.
    fn states_before<'g>(&self, states: Var<'g>, start: Var<'g>) -> Var<'g> {
        let [batch, seq, hidden] = [0, 1, 2].map(|axis| states.shape().axis(axis));
        let first = start.slice(0, 0, 1).reshape([batch, 1, hidden]);
        match (seq, self.reverse) {
            (1, _) => first,
            (_, false) => states.graph().concat(&[first, states.slice(1, 0, seq - 1)], 1),
            (_, true) => states.graph().concat(&[states.slice(1, 1, seq), first], 1),
        }
    }
}

/// Inputs: what the forward pass saved, the weight, the mask if there, then the gradients of the states and of the last state where
/// wanted. Outputs: the gradients of the projected inputs, of the first state and, for a GRU, of W_hh h + b_hh.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RecurrenceBackward {
    forward: Recurrence,
    dstates: bool,
    dlast: bool,
}

impl Op for RecurrenceBackward {
    fn name(&self) -> &'static str {
        match self.forward.cell {
            Cell::Lstm => "lstm_backward",
            Cell::Gru => "gru_backward",
        }
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn output_count(&self) -> usize {
        2 + usize::from(self.forward.biased())
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let saved = inputs.first().ok_or("wants what was saved")?.shape;
        let [batch, seq, _, hidden] = *saved.axes() else { return Err(format!("got {saved}")) };
        let cell = self.forward.cell;
        let gates = Shape::new(&[batch, seq, cell.gates() * hidden]);
        let mut outputs = vec![gates, Shape::new(&[cell.states(), batch, hidden])];
        outputs.extend(self.forward.biased().then_some(gates));
        Ok(outputs.into_iter().map(|shape| (shape, DType::F32)).collect())
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let flags = [("DSTATES", u32::from(self.dstates)), ("DLAST", u32::from(self.dlast))];
        let mut dispatch = self
            .forward
            .walk(cx.input_shape(0))
            .backward(cx.capabilities(), &flags)
            .bind("saved", cx.input(0))
            .bind("weight", cx.input(1))
            .bind("dinputs", cx.output(0))
            .bind("dstart", cx.output(1));
        let optional = [("mask", self.forward.masked), ("dstates", self.dstates), ("dlast", self.dlast)];
        for (index, (name, _)) in optional.into_iter().filter(|(_, there)| *there).enumerate() {
            dispatch = dispatch.bind(name, cx.input(2 + index));
        }
        if self.forward.biased() {
            dispatch = dispatch.bind("dhidden", cx.output(2));
        }
        cx.emit(dispatch);
        Ok(())
    }

    fn flops(&self, inputs: &[Tensor], outputs: &[Tensor]) -> u64 {
        2 * (outputs[0].shape.len() * inputs[0].shape.from_end(0)) as u64
    }
}

/// A layer's weights for one direction, as PyTorch has them.
#[derive(Debug, Clone, Copy)]
pub struct RecurrentWeights<'g> {
    /// `weight_ih [gates * hidden, features]`.
    pub input: Var<'g>,
    /// `weight_hh [gates * hidden, hidden]`.
    pub hidden: Var<'g>,
    /// `bias_ih [gates * hidden]`.
    pub input_bias: Option<Var<'g>>,
    /// `bias_hh [gates * hidden]`.
    pub hidden_bias: Option<Var<'g>>,
}

/// Which steps are real, and in which order they are gone through.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps<'g> {
    /// `[batch, seq]`, 1 = valid.
    pub mask: Option<Var<'g>>,
    /// From the last valid step to the first.
    pub reverse: bool,
}

impl<'g> Var<'g> {
    /// One direction of one layer over `[batch, seq, features]`: h after each step `[batch, seq, hidden]`, zeros at padded steps, and the
    /// state after the last, h and an LSTM's c, `[batch, hidden]` each.
    ///
    /// `start` is the state before the first step, as many tensors of that shape; zeros if empty. Padded steps are never looked at and
    /// hand the state on, so that right-padded sequences give what PyTorch's packed ones do.
    pub fn recurrent(
        self,
        cell: Cell,
        weights: &RecurrentWeights<'g>,
        start: &[Var<'g>],
        steps: Steps<'g>,
    ) -> (Var<'g>, Vec<Var<'g>>) {
        let graph = self.graph();
        let hidden = weights.hidden.shape().from_end(0);
        let op = Recurrence { cell, reverse: steps.reverse, masked: steps.mask.is_some() };
        // NaN times a gate's gradient of zero would reach the gradient of weight_ih
        let x = steps.mask.map_or(self, |mask| self.mask_rows(mask));
        // an LSTM's biases act as one; a GRU's second stands inside the reset product
        let bias = match (weights.input_bias, weights.hidden_bias.filter(|_| !op.biased())) {
            (Some(input), Some(hidden)) => Some(input + hidden),
            (one, other) => one.or(other),
        };
        let projected = x.matmul_nt(weights.input);
        let projected = bias.map_or(projected, |bias| projected + bias);
        let batch = projected.shape().axis(0);
        let start = match start {
            [] => fill(graph, [cell.states(), batch, hidden], 0.0),
            given => graph.stack(given, 0),
        };
        let mut inputs = vec![projected, weights.hidden, kernel::along_columns(weights.hidden), start];
        if op.biased() {
            let none = || fill(graph, [cell.gates() * hidden], 0.0);
            inputs.push(weights.hidden_bias.unwrap_or_else(none));
        }
        inputs.extend(steps.mask);
        let made = graph.apply(op, &inputs);
        let states = steps.mask.map_or(made[0], |mask| made[0].mask_rows(mask));
        let last = (0..cell.states()).map(|index| made[1].slice(0, index, index + 1).reshape([batch, hidden]));
        (states, last.collect())
    }

    /// Layers over `[batch, seq, features]`, each with one direction or two (the second runs backward, and its states follow the
    /// first's): what a PyTorch `LSTM` or `GRU` computes from packed sequences. `layers[layer][direction]`; `start` and the last states are
    /// [`Cell::states`] tensors `[layers * directions, batch, hidden]`, `start` zeros if empty; `dropout` falls between layers.
    pub fn recurrent_layers(
        self,
        cell: Cell,
        layers: &[Vec<RecurrentWeights<'g>>],
        start: &[Var<'g>],
        mask: Option<Var<'g>>,
        dropout: f32,
    ) -> (Var<'g>, Vec<Var<'g>>) {
        let graph = self.graph();
        let mut x = self;
        let mut last: Vec<Vec<Var<'g>>> = vec![Vec::new(); cell.states()];
        for (depth, directions) in layers.iter().enumerate() {
            if depth > 0 {
                x = x.dropout(dropout);
            }
            let mut outputs = Vec::with_capacity(directions.len());
            for (direction, weights) in directions.iter().enumerate() {
                let index = last[0].len();
                let start: Vec<Var<'g>> =
                    start.iter().map(|state| state.slice(0, index, index + 1).squeeze(0)).collect();
                let (states, end) = x.recurrent(cell, weights, &start, Steps { mask, reverse: direction == 1 });
                outputs.push(states);
                last.iter_mut().zip(end).for_each(|(all, state)| all.push(state));
            }
            x = graph.concat(&outputs, 2);
        }
        (x, last.iter().filter(|states| !states.is_empty()).map(|states| graph.stack(states, 0)).collect())
    }
}
