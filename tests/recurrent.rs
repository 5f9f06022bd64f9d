//! LSTM and GRU: values and gradients against f64 on every kernel variant and at odd sizes, the laws of masks, bit for bit, and errors.
//! (Against PyTorch: the golden cases of `ops_lstm` and `ops_recurrent`.)

mod support;

use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::ops::recurrent::{Cell, MOST_HIDDEN, RecurrentWeights, Steps};
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{Outcome, Value, assert_close, cases, check_gradients, noise, run, run_on};

const CELLS: [Cell; 2] = [Cell::Lstm, Cell::Gru];

/// A layer in one direction.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    cell: Cell,
    reverse: bool,
    batch: usize,
    seq: usize,
    features: usize,
    hidden: usize,
}

/// x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0 (LSTM) as inputs 0 to 6, and the mask behind them.
fn inputs(sizes: &Sizes, mask: Option<&[u32]>, seed: u64) -> Vec<Value> {
    let Sizes { cell, batch, seq, features, hidden, .. } = *sizes;
    let rows = cell.gates() * hidden;
    let shapes: [&[usize]; 5] = [&[batch, seq, features], &[rows, features], &[rows, hidden], &[rows], &[rows]];
    let states = vec![[batch, hidden]; cell.states()];
    let shapes = shapes.into_iter().chain(states.iter().map(|state| state.as_slice()));
    // weights of the size that keeps gates away from their ends
    let scale = |index: usize| if index == 1 || index == 2 { 1.0 / (sizes.hidden as f32).sqrt() } else { 1.0 };
    let value = |(index, shape): (usize, &[usize])| {
        let shape = Shape::new(shape);
        let values = noise(shape.len(), seed + index as u64);
        Value::Float(shape, values.iter().map(|v| v * scale(index)).collect())
    };
    let mut inputs: Vec<Value> = shapes.enumerate().map(value).collect();
    inputs.extend(mask.map(|mask| Value::Integer(Shape::new(&[batch, seq]), mask.to_vec())));
    inputs
}

/// The layer over [`inputs`]: states, then the last state.
fn layer<'g>(sizes: &Sizes, v: &[Var<'g>]) -> Vec<Var<'g>> {
    let end = 5 + sizes.cell.states();
    let weights = RecurrentWeights { input: v[1], hidden: v[2], input_bias: Some(v[3]), hidden_bias: Some(v[4]) };
    let steps = Steps { mask: v.get(end).copied(), reverse: sizes.reverse };
    let (states, last) = v[0].recurrent(sizes.cell, &weights, &v[5..end], steps);
    std::iter::once(states).chain(last).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// [`layer`] in f64, a step and a unit at a time. `v`: the floats of [`inputs`].
fn reference(sizes: &Sizes, v: &[Vec<f64>], mask: Option<&[u32]>) -> Vec<Vec<f64>> {
    let Sizes { cell, reverse, batch, seq, features, hidden } = *sizes;
    let mut states = vec![0.0; batch * seq * hidden];
    let mut last: Vec<Vec<f64>> = v[5..].to_vec();
    for b in 0..batch {
        for n in 0..seq {
            let t = if reverse { seq - 1 - n } else { n };
            if mask.is_some_and(|mask| mask[b * seq + t] == 0) {
                continue;
            }
            let x = &v[0][(b * seq + t) * features..][..features];
            let before: Vec<Vec<f64>> = last.iter().map(|state| state[b * hidden..][..hidden].to_vec()).collect();
            let dot = |weight: &[f64], row: usize, x: &[f64]| -> f64 {
                weight[row * x.len()..][..x.len()].iter().zip(x).map(|(w, x)| w * x).sum()
            };
            for j in 0..hidden {
                let outer = |gate: usize| dot(&v[1], gate * hidden + j, x) + v[3][gate * hidden + j];
                let inner = |gate: usize| dot(&v[2], gate * hidden + j, &before[0]) + v[4][gate * hidden + j];
                let sum = |gate: usize| outer(gate) + inner(gate);
                let h = match cell {
                    Cell::Lstm => {
                        let c = sigmoid(sum(1)) * before[1][j] + sigmoid(sum(0)) * sum(2).tanh();
                        last[1][b * hidden + j] = c;
                        sigmoid(sum(3)) * c.tanh()
                    }
                    Cell::Gru => {
                        let candidate = (outer(2) + sigmoid(sum(0)) * inner(2)).tanh();
                        let z = sigmoid(sum(1));
                        (1.0 - z) * candidate + z * before[0][j]
                    }
                };
                last[0][b * hidden + j] = h;
                states[(b * seq + t) * hidden + j] = h;
            }
        }
    }
    std::iter::once(states).chain(last).collect()
}

/// The loss of `run`.
fn loss(outputs: &[Vec<f64>]) -> f64 {
    let parts = outputs.iter().enumerate().map(|(index, output)| {
        let cotangent = noise(output.len(), 1000 + index as u64);
        output.iter().zip(cotangent).map(|(y, c)| y * f64::from(c) * 0.75).sum::<f64>()
    });
    parts.sum()
}

/// Outputs element by element; each gradient along two directions, against the f64 loss's central differences, which are good to 1e-9.
fn compare(what: &str, sizes: &Sizes, inputs: &[Value], outcome: &Outcome, mask: Option<&[u32]>) {
    let floats: Vec<Vec<f64>> = inputs
        .iter()
        .filter_map(|input| match input {
            Value::Float(_, values) => Some(values.iter().map(|v| f64::from(v * 1.5)).collect()),
            _ => None,
        })
        .collect();
    let expected = reference(sizes, &floats, mask);
    for (index, (actual, expected)) in outcome.outputs.iter().zip(&expected).enumerate() {
        assert_close(&format!("{what}: output {index}"), actual, expected, 1e-5);
    }
    for (index, values) in floats.iter().enumerate() {
        let gradient = outcome.gradients[index].as_ref().expect("a gradient");
        for direction in 0..2 {
            let along = noise(values.len(), 70 + 2 * index as u64 + direction);
            let step = 1e-5;
            let shifted = |sign: f64| {
                let mut moved = floats.clone();
                moved[index].iter_mut().zip(&along).for_each(|(v, d)| *v += sign * step * f64::from(*d));
                loss(&reference(sizes, &moved, mask))
            };
            let expected = 1.5 * (shifted(1.0) - shifted(-1.0)) / (2.0 * step);
            let terms = || gradient.iter().zip(&along).map(|(g, d)| f64::from(*g) * f64::from(*d));
            let (actual, size) = (terms().sum::<f64>(), terms().map(|term| term * term).sum::<f64>().sqrt());
            let error = (actual - expected).abs();
            assert!(error <= 1e-4 * size.max(1e-2), "{what}: gradient {index}: {actual}, expected {expected}");
        }
    }
}

fn check(gpu: &Gpu, sizes: &Sizes, mask: Option<&[u32]>, seed: u64) {
    let inputs = inputs(sizes, mask, seed);
    let outcome = run_on(gpu, &inputs, |_, v| layer(sizes, v)).unwrap();
    compare(&format!("{sizes:?}"), sizes, &inputs, &outcome, mask);
}

/// Right-padded sequences of the given lengths.
fn right_padded(lens: &[usize], seq: usize) -> Vec<u32> {
    lens.iter().flat_map(|len| (0..seq).map(move |t| u32::from(t < *len))).collect()
}

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn values_and_gradients_match_f64(
        lstm in any::<bool>(),
        reverse in any::<bool>(),
        masked in any::<bool>(),
        batch in prop_oneof![1usize..7, Just(17)],
        seq in 1usize..7,
        features in 1usize..6,
        hidden in prop_oneof![1usize..14, Just(35), Just(72)],
        seed in 0u64..1000,
    ) {
        let cell = if lstm { Cell::Lstm } else { Cell::Gru };
        let sizes = Sizes { cell, reverse, batch, seq, features, hidden };
        // holes too: a step that is missing in the middle hands the state on
        let mask: Vec<u32> = noise(batch * seq, seed + 50).iter().map(|v| u32::from(*v > -0.3)).collect();
        check(&support::gpu(), &sizes, masked.then_some(&mask), seed);
    }
}

/// Eight rows a workgroup down to one, several rounds of units, and sizes at the limit of workgroup memory.
#[test]
fn every_kernel_variant_matches_f64() {
    let software: &[[usize; 3]] = &[[16, 3, 128], [9, 2, 132], [2, 2, 300]];
    let portable: &[[usize; 3]] = &[[5, 3, 7], [3, 2, 260]];
    let discrete: &[[usize; 3]] = &[[300, 2, 12]];
    let gpus = [
        ("software", support::gpu(), software),
        ("portable", support::portable_gpu(), portable),
        ("discrete", support::discrete_gpu(), discrete),
    ];
    for (name, gpu, shapes) in gpus {
        for [batch, seq, hidden] in shapes.iter().copied() {
            for (cell, reverse) in CELLS.into_iter().zip([false, true]) {
                println!("{name}: {batch} x {seq} x {hidden}");
                let sizes = Sizes { cell, reverse, batch, seq, features: 3, hidden };
                let lens: Vec<usize> = (0..batch).map(|b| b % (seq + 1)).collect();
                check(&gpu, &sizes, Some(&right_padded(&lens, seq)), 5);
            }
        }
    }
}

#[test]
fn the_widest_layer_matches_f64() {
    for cell in CELLS {
        let sizes = Sizes { cell, reverse: false, batch: 1, seq: 2, features: 2, hidden: MOST_HIDDEN };
        let inputs = inputs(&sizes, None, 3);
        let outcome = run(&inputs, |_, v| layer(&sizes, v)).unwrap();
        let floats = |value: &Value| match value {
            Value::Float(_, values) => values.iter().map(|v| f64::from(v * 1.5)).collect(),
            _ => Vec::new(),
        };
        let expected = reference(&sizes, &inputs.iter().map(floats).collect::<Vec<Vec<f64>>>(), None);
        for (actual, expected) in outcome.outputs.iter().zip(&expected) {
            assert_close("widest", actual, expected, 1e-5);
        }
        assert!(outcome.gradients.iter().flatten().flatten().all(|value| value.is_finite()));
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let mask = right_padded(&[3, 1, 4], 4);
    for cell in CELLS {
        let sizes = Sizes { cell, reverse: true, batch: 3, seq: 4, features: 2, hidden: 5 };
        let inputs = inputs(&sizes, Some(&mask), 9);
        check_gradients("states and last", &inputs, |_, v| layer(&sizes, v));
        check_gradients("states alone", &inputs[..3], |_, v| {
            let weights = RecurrentWeights { input: v[1], hidden: v[2], input_bias: None, hidden_bias: None };
            vec![v[0].recurrent(cell, &weights, &[], Steps::default()).0]
        });
        check_gradients("last alone", &inputs, |_, v| layer(&sizes, v)[1..].to_vec());
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Outputs and gradients of a bidirectional layer pair over `x`, as bits.
fn two_layers(
    cell: Cell,
    [batch, seq, features]: [usize; 3],
    x: Vec<f32>,
    mask: &[u32],
) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    const HIDDEN: usize = 6;
    let rows = cell.gates() * HIDDEN;
    let mut inputs = vec![
        Value::Float(Shape::new(&[batch, seq, features]), x),
        Value::Integer(Shape::new(&[batch, seq]), mask.to_vec()),
    ];
    for layer in 0..2 {
        let width = if layer == 0 { features } else { 2 * HIDDEN };
        for direction in 0..2 {
            for (index, shape) in
                [Shape::new(&[rows, width]), Shape::new(&[rows, HIDDEN]), Shape::new(&[rows])].into_iter().enumerate()
            {
                inputs.push(Value::Float(shape, noise(shape.len(), 10 + 6 * layer + 3 * direction + index as u64)));
            }
        }
    }
    let outcome = run(&inputs, |_, v| {
        let weights = |at: usize| RecurrentWeights {
            input: v[at],
            hidden: v[at + 1],
            input_bias: Some(v[at + 2]),
            hidden_bias: Some(v[at + 2]),
        };
        let layers = [vec![weights(2), weights(5)], vec![weights(8), weights(11)]];
        let (y, last) = v[0].recurrent_layers(cell, &layers, &[], Some(v[1]), 0.0);
        // cotangents that fall on the states alone would depend on how long the padding is
        [y.detach(), y.masked_mean(v[1])].into_iter().chain(last).collect()
    });
    let outcome = outcome.unwrap();
    let gradients = outcome.gradients.iter().flatten().map(|gradient| bits(gradient)).collect();
    (outcome.outputs.iter().map(|output| bits(output)).collect(), gradients)
}

const LENS: [usize; 4] = [5, 2, 0, 4];

#[test]
fn what_is_padded_is_never_looked_at() {
    let shape = [4, 5, 3];
    let mask = right_padded(&LENS, 5);
    for cell in CELLS {
        let with = |poison: f32| {
            let x = noise(60, 1).into_iter().enumerate().map(|(i, v)| if mask[i / 3] == 0 { poison } else { v });
            two_layers(cell, shape, x.collect(), &mask)
        };
        let clean = with(0.5);
        assert!(clean.0.iter().flatten().any(|bits| *bits != 0));
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
            assert!(with(poison) == clean, "{cell:?}: {poison} in the padding changed something");
        }
        // padded steps give zeros and get none
        let zero = |values: &[u32], width: usize| {
            values.chunks(width).zip(&mask).all(|(row, valid)| *valid == 1 || row.iter().all(|bits| bits << 1 == 0))
        };
        assert!(zero(&clean.0[0], 12) && zero(&clean.1[0], 3), "{cell:?}");
    }
}

/// Longer sequences, all padding: the same bits in the states, the last state and the gradient of x.
#[test]
fn padding_further_changes_no_bit() {
    let (x, seq) = (noise(60, 1), 5);
    for cell in CELLS {
        let near = two_layers(cell, [4, seq, 3], x.clone(), &right_padded(&LENS, seq));
        for to in [6, 9, 33] {
            let step = |i: usize| (i % to < seq).then_some(i / to * seq + i % to);
            let wide = (0..4 * to * 3).map(|i| step(i / 3).map_or(f32::NAN, |s| x[s * 3 + i % 3])).collect();
            let far = two_layers(cell, [4, to, 3], wide, &right_padded(&LENS, to));
            let kept = |values: &[u32], width: usize| -> Vec<u32> {
                let all = values.iter().enumerate();
                all.filter(|(i, _)| step(i / width).is_some()).map(|(_, bits)| *bits).collect()
            };
            assert!(kept(&far.0[0], 12) == near.0[0], "{cell:?}: states at {to}");
            assert!(far.0[1..] == near.0[1..], "{cell:?}: last state at {to}");
            assert!(kept(&far.1[0], 3) == near.1[0], "{cell:?}: dx at {to}");
        }
    }
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let store = ParameterStore::new(&support::gpu(), &Parameters::new(), &[]).unwrap();
    let error = |cell: Cell, hidden: usize, rows: usize, state: usize, mask: usize| {
        let plan = Plan::new(&store, Mode::Forward, |graph: &Graph| {
            let weights = RecurrentWeights {
                input: graph.input("weight_ih", [rows, 3]),
                hidden: graph.input("weight_hh", [rows, hidden]),
                input_bias: None,
                hidden_bias: None,
            };
            let start = vec![graph.input("state", [2, state]); cell.states()];
            let steps = Steps { mask: Some(graph.mask_input("mask", [2, mask])), reverse: false };
            graph.input("x", [2, 7, 3]).recurrent(cell, &weights, &start, steps).0.named("y");
            Ok(())
        });
        plan.err().map_or(String::new(), |error| error.to_string())
    };
    assert_eq!(error(Cell::Lstm, 5, 20, 5, 7), "");
    let rows = error(Cell::Gru, 5, 20, 5, 7);
    assert!(rows.contains("gru") && rows.contains("[3 * hidden, hidden]"), "{rows}");
    let state = error(Cell::Lstm, 5, 20, 4, 7);
    assert!(state.contains("lstm") && state.contains("[2, 5]"), "{state}");
    let mask = error(Cell::Lstm, 5, 20, 5, 6);
    assert!(mask.contains("[2, 6]"), "{mask}");
    let wide = error(Cell::Lstm, 1028, 4112, 1028, 7);
    assert!(wide.contains("at most 1024"), "{wide}");
}
