//! Layer norm: values and gradients against f64, plain and with its residual sum, on every kernel variant; small variances; errors.

mod support;

use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{Outcome, Value, assert_close, cases, check_gradients, float, noise, run, run_on};

const EPSILON: f32 = 1e-5;

/// The values that the graph computes with: `run` multiplies every float input by 1.5.
fn scaled(value: &Value) -> Vec<f64> {
    match value {
        Value::Float(_, values) | Value::Fixed(_, values) => values.iter().map(|v| f64::from(v * 1.5)).collect(),
        Value::Integer(..) => panic!("not a float"),
    }
}

/// The cotangent of output `index`, as `run` weighs it.
fn cotangent(index: u64, len: usize) -> Vec<f64> {
    noise(len, 1000 + index).iter().map(|c| f64::from(*c) * 0.75).collect()
}

struct Reference {
    y: Vec<f64>,
    dx: Vec<f64>,
    dweight: Vec<f64>,
    dbias: Vec<f64>,
}

/// Layer norm and its gradients in f64, the latter as `run` reports them.
fn reference(x: &[f64], weight: &[f64], bias: &[f64], dy: &[f64], epsilon: f64) -> Reference {
    let columns = weight.len();
    let n = columns as f64;
    let mut out = Reference { y: vec![], dx: vec![], dweight: vec![0.0; columns], dbias: vec![0.0; columns] };
    for (row, dy) in x.chunks(columns).zip(dy.chunks(columns)) {
        let mean = row.iter().sum::<f64>() / n;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let scale = 1.0 / (variance + epsilon).sqrt();
        let h: Vec<f64> = row.iter().map(|v| (v - mean) * scale).collect();
        let g: Vec<f64> = dy.iter().zip(weight).map(|(d, w)| d * w).collect();
        let (average_g, average_gh) =
            (g.iter().sum::<f64>() / n, g.iter().zip(&h).map(|(g, h)| g * h).sum::<f64>() / n);
        for c in 0..columns {
            out.y.push(h[c] * weight[c] + bias[c]);
            out.dx.push(1.5 * scale * (g[c] - average_g - h[c] * average_gh));
            out.dweight[c] += 1.5 * dy[c] * h[c];
            out.dbias[c] += 1.5 * dy[c];
        }
    }
    out
}

fn inputs(rows: usize, columns: usize, seed: u64) -> Vec<Value> {
    vec![float([rows, columns], seed), float([columns], seed + 1), float([columns], seed + 2)]
}

fn compare(what: &str, outcome: &Outcome, inputs: &[Value]) {
    let [x, weight, bias] = [scaled(&inputs[0]), scaled(&inputs[1]), scaled(&inputs[2])];
    let expected = reference(&x, &weight, &bias, &cotangent(0, x.len()), f64::from(EPSILON));
    assert_close(&format!("{what}: y"), &outcome.outputs[0], &expected.y, 1e-5);
    let gradients = [&expected.dx, &expected.dweight, &expected.dbias];
    for (name, (gradient, expected)) in ["x", "weight", "bias"].iter().zip(outcome.gradients.iter().zip(gradients)) {
        // relative to the largest of all: rows of one column have no gradient but rounding
        let scale = gradients.iter().flat_map(|g| g.iter()).fold(0f64, |most, v| most.max(v.abs()));
        let gradient = gradient.as_ref().expect("a gradient");
        for (a, e) in gradient.iter().zip(expected) {
            assert!((f64::from(*a) - e).abs() <= 1e-4 * scale, "{what}: d{name}: {a}, expected {e}");
        }
    }
}

fn layer_norm<'g>(_: &'g Graph, v: &[Var<'g>]) -> Vec<Var<'g>> {
    vec![v[0].layer_norm(Some(v[1]), Some(v[2]), EPSILON)]
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn values_and_gradients_match_f64(
        rows in prop_oneof![1usize..20, Just(67), Just(131)],
        columns in prop_oneof![2usize..40, Just(64), Just(127), Just(256), Just(260)],
        seed in 0u64..1000,
    ) {
        let inputs = inputs(rows, columns, seed);
        compare(&format!("{rows} x {columns}"), &run(&inputs, layer_norm).unwrap(), &inputs);
    }
}

/// Rows of every kind of team: one lane, a tail in the last lane, one tile, several tiles; more rows than teams.
#[test]
fn every_kernel_variant_matches_f64() {
    let software: &[(usize, usize)] = &[(3, 1), (5, 4), (9, 100), (300, 33), (3, 1028)];
    let portable: &[(usize, usize)] = &[(3, 1), (70, 12), (5, 33), (2, 2051)];
    let discrete: &[(usize, usize)] = &[(70, 12), (9, 100), (3, 260)];
    let gpus: [(&str, Gpu, _); 3] = [
        ("software", support::gpu(), software),
        ("portable", support::portable_gpu(), portable),
        ("discrete", support::discrete_gpu(), discrete),
    ];
    for (name, gpu, shapes) in gpus {
        for (rows, columns) in shapes.iter().copied() {
            let inputs = inputs(rows, columns, 7);
            let outcome = run_on(&gpu, &inputs, layer_norm).unwrap();
            compare(&format!("{name} {rows} x {columns}"), &outcome, &inputs);
        }
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    check_gradients("layer_norm", &inputs(6, 10, 1), layer_norm);
    check_gradients("no parameters", &[float([2, 3, 8], 1)], |_, v| vec![v[0].layer_norm(None, None, EPSILON)]);
    check_gradients("weight only", &[float([5, 8], 1), float([8], 2)], |_, v| {
        vec![v[0].layer_norm(Some(v[1]), None, EPSILON)]
    });
    let with_residual = vec![float([5, 9], 1), float([5, 9], 2), float([9], 3), float([9], 4)];
    check_gradients("residual", &with_residual, |_, v| {
        let (sum, y) = v[0].layer_norm_residual(v[1], Some(v[2]), Some(v[3]), EPSILON);
        vec![sum, y]
    });
    check_gradients("residual, y alone", &with_residual, |_, v| {
        vec![v[0].layer_norm_residual(v[1], Some(v[2]), Some(v[3]), EPSILON).1]
    });
    check_gradients("residual, sum alone", &with_residual[..2], |_, v| {
        vec![v[0].layer_norm_residual(v[1], None, None, EPSILON).0]
    });
}

/// x, weight, bias and their sum written out: the fused form must be the plain one of the sum, bit for bit.
#[test]
fn the_residual_form_is_the_plain_form_of_the_sum() {
    let inputs = [float([3, 7, 64], 1), float([3, 7, 64], 2), float([64], 3), float([64], 4)];
    let fused = run(&inputs, |_, v| {
        let (sum, y) = v[0].layer_norm_residual(v[1], Some(v[2]), Some(v[3]), EPSILON);
        vec![sum, y]
    })
    .unwrap();
    let plain = run(&inputs, |_, v| {
        let sum = v[0] + v[1];
        vec![sum, sum.layer_norm(Some(v[2]), Some(v[3]), EPSILON)]
    })
    .unwrap();
    assert_eq!(fused.outputs, plain.outputs);
    assert_eq!(fused.gradients[2..], plain.gradients[2..]);
    for (a, b) in fused.gradients[..2].iter().zip(&plain.gradients[..2]) {
        let expected: Vec<f64> = b.as_ref().unwrap().iter().map(|v| f64::from(*v)).collect();
        assert_close("dx", a.as_ref().unwrap(), &expected, 1e-6);
    }
}

/// A mean a hundred thousand times the spread: the variance must not come from a difference of squares.
#[test]
fn small_variances_survive_a_large_mean() {
    let (rows, columns) = (4, 48);
    let x: Vec<f32> = noise(rows * columns, 3).iter().map(|v| 100.0 + 0.01 * v).collect();
    let value = Value::Float(Shape::new(&[rows, columns]), x);
    let outcome = run(std::slice::from_ref(&value), |_, v| vec![v[0].layer_norm(None, None, EPSILON)]).unwrap();
    let x = scaled(&value);
    let dy = cotangent(0, x.len());
    let expected = reference(&x, &vec![1.0; columns], &vec![0.0; columns], &dy, f64::from(EPSILON));
    // the inputs themselves are f32: the mean is known to 150 * 2^-24, against a spread of 0.015
    assert_close("y", &outcome.outputs[0], &expected.y, 2e-3);
    assert_close("dx", outcome.gradients[0].as_ref().unwrap(), &expected.dx, 5e-3);
}

#[test]
fn a_frozen_weight_gets_no_gradient_and_x_still_does() {
    let inputs = [float([5, 8], 1), Value::Fixed(Shape::new(&[8]), noise(8, 2))];
    let outcome = run(&inputs, |_, v| vec![v[0].layer_norm(Some(v[1]), None, EPSILON)]).unwrap();
    assert!(outcome.gradients[0].is_some() && outcome.gradients[1].is_none());
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let store = ParameterStore::new(&support::gpu(), &Parameters::new(), &[]).unwrap();
    let error = |build: &dyn Fn(&Graph)| {
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            let _layer = graph.scope("encoder");
            build(graph);
            Ok(())
        });
        plan.expect_err("an error").to_string()
    };
    let wrong_weight = error(&|graph| {
        let (x, weight) = (graph.input("x", [2, 6]), graph.input("weight", [5]));
        x.layer_norm(Some(weight), None, EPSILON);
    });
    assert!(wrong_weight.contains("layer_norm in layer 'encoder'") && wrong_weight.contains("[6]"), "{wrong_weight}");
    let scalar = error(&|graph| {
        graph.input("x", []).layer_norm(None, None, EPSILON);
    });
    assert!(scalar.contains("at least one axis"), "{scalar}");
    let mask = error(&|graph| {
        graph.mask_input("x", [2, 6]).layer_norm(None, None, EPSILON);
    });
    assert!(mask.contains("float"), "{mask}");
    let residual = error(&|graph| {
        graph.input("x", [2, 6]).layer_norm_residual(graph.input("r", [6]), None, None, EPSILON);
    });
    assert!(residual.contains("residual"), "{residual}");
}
