//! Softmax and log-softmax: values and gradients against f64 on every kernel variant, and the laws of masks, bit for bit.

mod support;

use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{Outcome, Value, assert_close, cases, check_gradients, float, noise, run, run_on};

fn values(value: &Value) -> &[f32] {
    match value {
        Value::Float(_, values) | Value::Fixed(_, values) => values,
        Value::Integer(..) => panic!("not a float"),
    }
}

/// Softmax over the middle of `[outer, size, inner]` and its gradient as `run` reports it, in f64. What `counts` leaves out is 0.
fn reference(x: &[f32], around: [usize; 3], log: bool, counts: &dyn Fn(usize) -> bool) -> (Vec<f64>, Vec<f64>) {
    let [outer, size, inner] = around;
    let dy: Vec<f64> = noise(x.len(), 1000).iter().map(|c| f64::from(*c) * 0.75).collect();
    let x: Vec<f64> = x.iter().map(|v| f64::from(v * 1.5)).collect();
    let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    for line in 0..outer * inner {
        let start = line / inner * size * inner + line % inner;
        let line: Vec<usize> = (0..size).map(|k| start + k * inner).filter(|i| counts(*i)).collect();
        let most = line.iter().map(|i| x[*i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = line.iter().map(|i| (x[*i] - most).exp()).sum();
        let p = |i: usize| (x[i] - most).exp() / sum;
        let dot: f64 = line.iter().map(|i| if log { dy[*i] } else { dy[*i] * p(*i) }).sum();
        for i in line {
            y[i] = if log { x[i] - most - sum.ln() } else { p(i) };
            dx[i] = 1.5 * if log { dy[i] - p(i) * dot } else { p(i) * (dy[i] - dot) };
        }
    }
    (y, dx)
}

fn compare(what: &str, outcome: &Outcome, (y, dx): (Vec<f64>, Vec<f64>)) {
    assert_close(&format!("{what}: y"), &outcome.outputs[0], &y, 1e-5);
    let scale = dx.iter().fold(1e-3f64, |most, v| most.max(v.abs()));
    for (a, e) in outcome.gradients[0].as_ref().expect("a gradient").iter().zip(&dx) {
        assert!((f64::from(*a) - e).abs() <= 1e-4 * scale, "{what}: dx {a}, expected {e}");
    }
}

fn soft<'g>(x: Var<'g>, axis: usize, log: bool, mask: Option<Var<'g>>) -> Var<'g> {
    match (log, mask) {
        (false, None) => x.softmax(axis),
        (true, None) => x.log_softmax(axis),
        (false, Some(mask)) => x.masked_softmax(axis, mask),
        (true, Some(mask)) => x.masked_log_softmax(axis, mask),
    }
}

/// About two thirds ones, whole rows of zeros among them.
fn random_mask(len: usize, row: usize, seed: u64) -> Vec<u32> {
    let mask: Vec<u32> = noise(len, seed).iter().map(|v| u32::from(*v > -0.4)).collect();
    mask.chunks(row).enumerate().flat_map(|(i, row)| row.iter().map(move |m| if i % 5 == 1 { 0 } else { *m })).collect()
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 1usize..12, 1 => Just(31), 1 => Just(32), 1 => Just(65), 1 => Just(130)]
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn values_and_gradients_match_f64(
        shape in proptest::collection::vec(sizes(), 1..=3)
            .prop_filter("small", |axes| axes.iter().product::<usize>() <= 20_000),
        axis in 0usize..3,
        log: bool,
        masked: bool,
        seed in 0u64..1000,
    ) {
        let axis = axis % shape.len();
        let shape = Shape::new(&shape);
        let mask = random_mask(shape.len(), shape.from_end(0), seed + 1);
        let inputs = [float(shape, seed), Value::Integer(shape, mask.clone())];
        let count = if masked { 2 } else { 1 };
        let outcome = run(&inputs[..count], |_, v| vec![soft(v[0], axis, log, v.get(1).copied())]).unwrap();
        let counts = |i: usize| !masked || mask[i] != 0;
        compare(&format!("{shape} over {axis}"), &outcome, reference(values(&inputs[0]), shape.around(axis), log, &counts));
    }
}

#[test]
fn every_kernel_variant_matches_f64() {
    let software: &[[usize; 2]] = &[[5, 4], [70, 33], [3, 1100]];
    let others: &[[usize; 2]] = &[[5, 4], [3, 33], [2, 133]];
    let gpus: [(&str, Gpu, &[[usize; 2]]); 3] = [
        ("software", support::gpu(), software),
        ("portable", support::portable_gpu(), others),
        ("discrete", support::discrete_gpu(), others),
    ];
    for (name, gpu, shapes) in gpus {
        for shape in shapes {
            let [rows, columns] = *shape;
            let mask = random_mask(rows * columns, columns, 3);
            let inputs = [float(*shape, 7), Value::Integer(Shape::new(shape), mask.clone())];
            for log in [false, true] {
                let outcome = run_on(&gpu, &inputs, |_, v| vec![soft(v[0], 1, log, Some(v[1]))]).unwrap();
                let counts = |i: usize| mask[i] != 0;
                let expected = reference(values(&inputs[0]), [rows, columns, 1], log, &counts);
                compare(&format!("{name} {rows} x {columns}"), &outcome, expected);
            }
        }
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    for log in [false, true] {
        check_gradients("last axis", &[float([3, 7], 1)], |_, v| vec![soft(v[0], 1, log, None)]);
        check_gradients("middle axis", &[float([2, 5, 3], 1)], |_, v| vec![soft(v[0], 1, log, None)]);
        let mask = Value::Integer(Shape::new(&[2, 7]), vec![1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        check_gradients("keys", &[float([2, 3, 2, 7], 1), mask], |_, v| vec![soft(v[0], 3, log, Some(v[1]))]);
    }
}

/// Masks of fewer axes must do what the same mask written out for every row does.
#[test]
fn masks_repeat_over_heads_and_queries() {
    let (batch, heads, queries, keys) = (3, 2, 4, 5);
    let shape = Shape::new(&[batch, heads, queries, keys]);
    let scores = float(shape, 1);
    let of = |axes: &[usize], pick: &dyn Fn(usize, usize, usize) -> usize| {
        let small = random_mask(axes.iter().product(), keys, 9);
        let whole = (0..shape.len()).map(|i| {
            let (b, q, k) = (i / (heads * queries * keys), i / keys % queries, i % keys);
            small[pick(b, q, k)]
        });
        let whole: Vec<u32> = whole.collect();
        [Value::Integer(Shape::new(axes), small), Value::Integer(shape, whole)]
    };
    for [small, whole] in [
        of(&[batch, keys], &|b, _, k| b * keys + k),
        of(&[batch, 1, 1, keys], &|b, _, k| b * keys + k),
        of(&[batch, queries, keys], &|b, q, k| (b * queries + q) * keys + k),
        of(&[1, queries, keys], &|_, q, k| q * keys + k),
    ] {
        let masked = |mask: Value| run(&[scores.clone(), mask], |_, v| vec![v[0].masked_softmax(3, v[1])]).unwrap();
        let (small, whole) = (masked(small), masked(whole));
        assert_eq!(small.outputs, whole.outputs);
        assert_eq!(small.gradients, whole.gradients);
    }
}

/// NaN and infinity where the mask is 0 change no bit of the rest, neither in the scores nor in the gradient that comes in.
#[test]
fn what_is_masked_is_never_looked_at() {
    for (shape, axis) in [([4, 9], 1), ([4, 64], 1), ([5, 7], 0)] {
        for log in [false, true] {
            let shape = Shape::new(&shape);
            let mask = random_mask(shape.len(), shape.from_end(0), 4);
            let outcome = |poison: Option<f32>| {
                let spoil = |values: Vec<f32>| -> Vec<f32> {
                    let at = |(v, m): (f32, &u32)| if *m == 0 { poison.unwrap_or(v) } else { v };
                    values.into_iter().zip(&mask).map(at).collect()
                };
                let inputs = [
                    Value::Float(shape, spoil(noise(shape.len(), 1))),
                    Value::Integer(shape, mask.clone()),
                    Value::Fixed(shape, spoil(noise(shape.len(), 2))),
                ];
                // the product brings the poison into the incoming gradient; its own output is looked at where it is valid
                let outcome = run(&inputs, |graph, v| {
                    let y = soft(v[0], axis, log, Some(v[1]));
                    vec![y, (y * v[2]).masked(v[1], 0.0) + limbic::ops::elementwise::fill(graph, shape, 0.0)]
                });
                let outcome = outcome.unwrap();
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                (bits(&outcome.outputs[0]), bits(&outcome.outputs[1]), bits(outcome.gradients[0].as_ref().unwrap()))
            };
            let clean = outcome(None);
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
                assert!(
                    outcome(Some(poison)) == clean,
                    "{shape} over {axis}: {poison} in the padding changed something"
                );
            }
        }
    }
}

/// A row of 5 padded to 8, 9, 40 or 1100: the same bits, though other kernels run.
#[test]
fn padding_further_changes_no_bit() {
    let (rows, columns) = (4, 5);
    let (x, mask) = (noise(rows * columns, 1), random_mask(rows * columns, columns, 6));
    let padded = |to: usize, log: bool| {
        let widen = |row: usize, k: usize| (k < columns).then_some(row * columns + k);
        let at = |i: usize| widen(i / to, i % to);
        let shape = Shape::new(&[rows, to]);
        let inputs = [
            Value::Float(shape, (0..rows * to).map(|i| at(i).map_or(f32::NAN, |i| x[i])).collect()),
            Value::Integer(shape, (0..rows * to).map(|i| at(i).map_or(0, |i| mask[i])).collect()),
            Value::Fixed(shape, (0..rows * to).map(|i| at(i).map_or(7.0, |i| x[i] * x[i])).collect()),
        ];
        let outcome = run(&inputs, |_, v| {
            // the same loss whatever the width: its cotangents are those of the first columns
            let y = soft(v[0], 1, log, Some(v[1]));
            vec![(y * v[2]).slice(1, 0, columns)]
        });
        let outcome = outcome.unwrap();
        let dx = outcome.gradients[0].as_ref().unwrap();
        let kept: Vec<u32> = (0..rows * columns).map(|i| dx[i / columns * to + i % columns].to_bits()).collect();
        let y: Vec<u32> = outcome.outputs[0].iter().map(|v| v.to_bits()).collect();
        (y, kept)
    };
    for log in [false, true] {
        let narrow = padded(columns, log);
        for to in [8, 9, 40, 1100] {
            let wide = padded(to, log);
            assert_eq!(wide.0, narrow.0, "log {log}: y padded to {to}");
            assert_eq!(wide.1, narrow.1, "log {log}: dx padded to {to}");
        }
    }
}

#[test]
fn extremes_neither_overflow_nor_vanish() {
    let x = vec![1e4, -1e4, 9.99e3, 0.0, -1.1e38, 1.1e38, 0.0, 1.0];
    let inputs = [Value::Float(Shape::new(&[2, 4]), x.clone())];
    for log in [false, true] {
        let outcome = run(&inputs, |_, v| vec![soft(v[0], 1, log, None)]).unwrap();
        let (y, _) = reference(&x, [2, 4, 1], log, &|_| true);
        assert_close("y", &outcome.outputs[0], &y, 1e-5);
    }
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let store = ParameterStore::new(&support::gpu(), &Parameters::new(), &[]).unwrap();
    let error = |build: &dyn Fn(&Graph)| {
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            build(graph);
            Ok(())
        });
        plan.expect_err("an error").to_string()
    };
    let axis = error(&|graph| {
        graph.input("x", [2, 6]).softmax(2);
    });
    assert!(axis.contains("softmax") && axis.contains("no axis 2"), "{axis}");
    let mask = error(&|graph| {
        graph.input("x", [2, 3, 6]).masked_softmax(2, graph.mask_input("mask", [3, 6]));
    });
    assert!(mask.contains("[3, 6] does not fit [2, 3, 6]"), "{mask}");
    let float_mask = error(&|graph| {
        graph.input("x", [2, 6]).masked_log_softmax(1, graph.input("mask", [2, 6]));
    });
    assert!(float_mask.contains("log_softmax") && float_mask.contains("U32"), "{float_mask}");
    let other_axis = error(&|graph| {
        graph.input("x", [2, 6]).masked_softmax(0, graph.mask_input("mask", [6]));
    });
    assert!(other_axis.contains("the same shape"), "{other_axis}");
}
