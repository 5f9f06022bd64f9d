//! The golden cases of `ops_lstm` and `ops_recurrent`: PyTorch's layers, packed sequences among them, and Keras' LSTM.

use super::graph::{Inputs, Outputs};
use limbic::graph::{Graph, Var};
use limbic::ops::recurrent::{Cell, RecurrentWeights, Steps};
use serde_json::Value;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, _settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    if let Some(kernel) = get("kernel") {
        return keras(case, kernel, inputs);
    }
    let layer = |layer: usize, ending: &str| {
        let get = |name: &str| get(&format!("{name}_l{layer}{ending}"));
        Some(RecurrentWeights {
            input: get("weight_ih")?,
            hidden: get("weight_hh")?,
            input_bias: get("bias_ih"),
            hidden_bias: get("bias_hh"),
        })
    };
    let directions = |index| [layer(index, ""), layer(index, "_reverse")].into_iter().flatten().collect::<Vec<_>>();
    let layers: Vec<_> = (0..).map(directions).take_while(|directions| !directions.is_empty()).collect();
    let gates = get("weight_ih_l0")?.shape().axis(0) / get("weight_hh_l0")?.shape().axis(1);
    let cell = if gates == Cell::Lstm.gates() { Cell::Lstm } else { Cell::Gru };
    let start: Vec<Var<'g>> = [get("h0"), get("c0")].into_iter().flatten().collect();
    let (y, last) = get("x")?.recurrent_layers(cell, &layers, &start, get("mask"), 0.0);
    let last = ["h", "c"].map(str::to_string).into_iter().zip(last);
    Some(std::iter::once(("y".to_string(), y)).chain(last).collect())
}

/// Keras keeps its weights the other way round and has one bias; its gates stand in PyTorch's order.
fn keras<'g>(case: &str, kernel: Var<'g>, inputs: &Inputs<'g>) -> Outputs<'g> {
    let weights = RecurrentWeights {
        input: kernel.transpose(0, 1),
        hidden: inputs.get("recurrent_kernel")?.transpose(0, 1),
        input_bias: inputs.get("bias").copied(),
        hidden_bias: None,
    };
    let (y, _) = inputs.get("x")?.recurrent(Cell::Lstm, &weights, &[], Steps::default());
    (case == "keras_return_sequences").then(|| vec![("y".to_string(), y)])
}
