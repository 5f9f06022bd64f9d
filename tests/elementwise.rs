//! Elementwise ops: values and derivatives against f64 over dense ranges, gradients in the middle of a graph, broadcasting.

mod support;

use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{Graph, Shape, Var};
use proptest::prelude::*;
use support::{Value, assert_within, cases, check_gradients, float, noise, run, run_on};

type Build = for<'g> fn(Var<'g>) -> Var<'g>;

/// P(X > t) of a standard normal X, in f64: Kummer's series of erf where it is quick, Laplace's continued fraction beyond.
fn upper_tail(t: f64) -> f64 {
    if t < 0.0 {
        return 1.0 - upper_tail(-t);
    }
    let density = (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if t < 3.0 {
        let (mut term, mut sum) = (t, t);
        for n in 1..200 {
            term *= t * t / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let fraction = (1..200).rev().fold(t, |rest, n| t + f64::from(n) / rest);
    density / fraction
}

fn erf(x: f64) -> f64 {
    let tail = 2.0 * upper_tail(x.abs() * std::f64::consts::SQRT_2);
    // near 0 the difference would cancel
    let series = || {
        let (mut term, mut sum) = (x, x);
        for n in 1..60 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    };
    if x.abs() < 2.0 { series() } else { x.signum() * (1.0 - tail) }
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

fn gelu_tanh(x: f64) -> f64 {
    x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
}

/// A function of one number, with its value and derivative in f64 and the range over which it is checked.
struct Function {
    name: &'static str,
    build: Build,
    value: fn(f64) -> f64,
    derivative: fn(f64) -> f64,
    range: (f64, f64),
    /// Relative error of values and derivatives; `floor` is the size below which it is absolute.
    tolerance: f64,
    floor: f64,
}

const fn function(
    name: &'static str,
    build: Build,
    value: fn(f64) -> f64,
    derivative: fn(f64) -> f64,
    range: (f64, f64),
) -> Function {
    Function { name, build, value, derivative, range, tolerance: 2e-6, floor: 1.0 }
}

fn functions() -> Vec<Function> {
    vec![
        function("relu", |x| x.relu(), |x| x.max(0.0), |x| f64::from(u8::from(x > 0.0)), (-9.0, 9.0)),
        // the tail is small but not zero: errors are relative down to 1e-6
        Function {
            floor: 1e-6,
            tolerance: 4e-6,
            ..function(
                "gelu",
                |x| x.gelu(),
                |x| x * upper_tail(-x),
                |x| upper_tail(-x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt(),
                (-12.0, 12.0),
            )
        },
        function(
            "gelu_tanh",
            |x| x.gelu_tanh(),
            gelu_tanh,
            |x| (gelu_tanh(x + 1e-5) - gelu_tanh(x - 1e-5)) / 2e-5,
            (-12.0, 12.0),
        ),
        Function {
            floor: 1e-3,
            ..function("tanh", |x| x.tanh(), f64::tanh, |x| 1.0 - x.tanh().powi(2), (-40.0, 40.0))
        },
        function("sigmoid", |x| x.sigmoid(), sigmoid, |x| sigmoid(x) * (1.0 - sigmoid(x)), (-100.0, 100.0)),
        function(
            "silu",
            |x| x.silu(),
            |x| x * sigmoid(x),
            |x| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))),
            (-90.0, 90.0),
        ),
        Function {
            floor: 1e-5,
            tolerance: 4e-6,
            ..function("softplus", |x| x.softplus(), |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid, (-90.0, 90.0))
        },
        function(
            "leaky_relu",
            |x| x.leaky_relu(0.1),
            |x| if x > 0.0 { x } else { 0.1 * x },
            |x| if x > 0.0 { 1.0 } else { 0.1 },
            (-9.0, 9.0),
        ),
        // a 24-bit product with log2(e) costs an argument of 20 some bits
        Function { tolerance: 8e-6, floor: 0.0, ..function("exp", |x| x.exp(), f64::exp, f64::exp, (-40.0, 40.0)) },
        function("erf", |x| x.erf(), erf, |x| std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp(), (-9.0, 9.0)),
        function("log", |x| x.log(), f64::ln, |x| 1.0 / x, (1e-3, 90.0)),
        Function { floor: 0.0, ..function("sqrt", |x| x.sqrt(), f64::sqrt, |x| 0.5 / x.sqrt(), (1e-4, 900.0)) },
        function("abs", |x| x.abs(), f64::abs, f64::signum, (-9.0, 9.0)),
        Function { floor: 0.0, ..function("square", |x| x.square(), |x| x * x, |x| 2.0 * x, (-90.0, 90.0)) },
        Function {
            floor: 0.0,
            ..function("reciprocal", |x| x.reciprocal(), |x| 1.0 / x, |x| -1.0 / (x * x), (0.01, 90.0))
        },
        function(
            "huber",
            |x| x.huber(0.5),
            |x| if x.abs() <= 0.5 { 0.5 * x * x } else { 0.5 * (x.abs() - 0.25) },
            |x| x.clamp(-0.5, 0.5),
            (-9.0, 9.0),
        ),
        Function {
            floor: 0.0,
            tolerance: 8e-6,
            ..function("power", |x| x.power(1.7), |x| x.powf(1.7), |x| 1.7 * x.powf(0.7), (0.05, 30.0))
        },
    ]
}

#[test]
fn values_and_derivatives_over_dense_ranges() {
    const POINTS: usize = 20_001;
    for function in functions() {
        let (low, high) = function.range;
        let point = |i: usize| ((low + (high - low) * i as f64 / (POINTS - 1) as f64) / 1.5) as f32;
        let mut values: Vec<f32> = (0..POINTS).map(point).collect();
        if low < 0.0 {
            values.extend([1e-3f32, -1e-3, 1e-5, -1e-5, 1e-8, -1e-8]);
        }
        let shape = Shape::from([values.len()]);
        let outcome = run(&[Value::Float(shape, values.clone())], |_, x| vec![(function.build)(x[0])]).unwrap();
        // the graph multiplies by 1.5; at a kink there is no derivative to compare
        let x: Vec<f64> = values.iter().map(|x| f64::from(x * 1.5)).collect();
        let expected: Vec<f64> = x.iter().map(|x| (function.value)(*x)).collect();
        let sizes = |values: &[f64]| values.iter().map(|v| v.abs().max(function.floor)).collect::<Vec<f64>>();
        assert_within(function.name, &outcome.outputs[0], &expected, &sizes(&expected), function.tolerance);
        let slopes: Vec<f64> = x.iter().map(|x| (function.derivative)(*x)).collect();
        let actual: Vec<f32> = outcome.gradients[0]
            .as_ref()
            .unwrap()
            .iter()
            .zip(noise(values.len(), 1000))
            .zip(&x)
            .zip(&slopes)
            .map(|(((g, c), x), slope)| if *x == 0.0 { *slope as f32 } else { g / (c * 0.75 * 1.5) })
            .collect();
        let sizes: Vec<f64> = sizes(&slopes).iter().map(|size| size.max(0.05)).collect();
        assert_within(&format!("{}'s derivative", function.name), &actual, &slopes, &sizes, 2.0 * function.tolerance);
    }
}

#[test]
fn large_arguments_stay_finite() {
    let values = [-3e38f32, -1e10, -200.0, 200.0, 1e10, 2e38].map(|x| x / 1.5);
    let bounded: [(&str, Build); 5] = [
        ("tanh", |x| x.tanh()),
        ("sigmoid", |x| x.sigmoid()),
        ("erf", |x| x.erf()),
        ("gelu", |x| x.gelu()),
        ("softplus", |x| x.softplus()),
    ];
    for (name, build) in bounded {
        let outcome = run(&[Value::Float(Shape::from([6]), values.to_vec())], |_, x| vec![build(x[0])]).unwrap();
        let all = outcome.outputs[0].iter().chain(outcome.gradients[0].iter().flatten());
        assert!(all.clone().all(|y| y.is_finite()), "{name}: {:?}", all.collect::<Vec<_>>());
    }
}

#[test]
fn gradients_of_unary_functions() {
    // away from zero and from each other's kinks: no step of a difference quotient crosses one
    let values: Vec<f32> = noise(21, 1).iter().map(|x| x.signum() * (0.05 + 0.8 * x.abs())).collect();
    for (name, build) in [
        ("relu", (|x| x.relu()) as Build),
        ("gelu", |x| x.gelu()),
        ("gelu_tanh", |x| x.gelu_tanh()),
        ("tanh", |x| x.tanh()),
        ("sigmoid", |x| x.sigmoid()),
        ("silu", |x| x.silu()),
        ("softplus", |x| x.softplus()),
        ("leaky_relu", |x| x.leaky_relu(0.1)),
        ("exp", |x| x.exp()),
        ("erf", |x| x.erf()),
        ("abs", |x| x.abs()),
        ("square", |x| x.square()),
        ("huber", |x| x.huber(0.6)),
        ("log", |x| x.affine(1.0, 3.0).log()),
        ("sqrt", |x| x.affine(1.0, 3.0).sqrt()),
        ("reciprocal", |x| x.affine(1.0, 3.0).reciprocal()),
        ("power", |x| x.affine(1.0, 3.0).power(1.7)),
        ("affine", |x| x.affine(-2.0, 0.5)),
    ] {
        check_gradients(name, &[Value::Float(Shape::from([3, 7]), values.clone())], |_, x| vec![build(x[0])]);
    }
}

/// A shape of up to six axes, and two that broadcast to it together.
fn broadcasting() -> impl Strategy<Value = (Vec<usize>, Vec<usize>, Vec<usize>)> {
    let size = prop_oneof![4 => 1usize..6, 1 => Just(65), 1 => Just(16), 1 => Just(31)];
    let shape = proptest::collection::vec(size, 0..=6);
    let small = shape.prop_filter("small", |axes| axes.iter().product::<usize>() <= 20_000);
    (small, 0usize..64, 0usize..64, 0usize..7, any::<bool>()).prop_map(|(out, ones_a, ones_b, missing, swap)| {
        let narrow = |ones: usize| {
            let axes = out.iter().enumerate();
            axes.map(|(axis, size)| if ones >> axis & 1 == 1 { 1 } else { *size }).collect::<Vec<usize>>()
        };
        // an axis that is 1 in both would be 1 in the result
        let (a, b) = (narrow(ones_a & !ones_b), narrow(ones_b));
        let b = b[missing.min(b.len())..].to_vec();
        let a: Vec<usize> = (0..a.len()).map(|axis| if axis < missing { out[axis] } else { a[axis] }).collect();
        if swap { (out, b, a) } else { (out, a, b) }
    })
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn functions_of_two_broadcast((out, a, b) in broadcasting(), seed in 0u64..1000) {
        let (out, a, b) = (Shape::new(&out), Shape::new(&a), Shape::new(&b));
        // halves, so that equal pairs occur; never zero, for the quotient
        let grid = |x: &f32| x.signum() * ((x.abs() * 4.0).round() / 2.0 + 0.5);
        let left: Vec<f32> = noise(a.len(), seed).iter().map(grid).collect();
        let right: Vec<f32> = noise(b.len(), seed + 1).iter().map(grid).collect();
        let outcome = run(&[Value::Float(a, left.clone()), Value::Float(b, right.clone())], |_, x| {
            let (a, b) = (x[0], x[1]);
            vec![a + b, a - b, a * b, a / b, a.maximum(b)]
        }).unwrap();
        let source = |shape: Shape, at: usize| -> usize {
            (0..shape.rank()).map(|axis| {
                let own = out.rank() - shape.rank() + axis;
                let index = at / out.strides()[own] % out.axis(own);
                if shape.axis(axis) == 1 { 0 } else { index * shape.strides()[axis] }
            }).sum()
        };
        let (mut da, mut da_size) = (vec![0.0; a.len()], vec![0.0; a.len()]);
        let (mut db, mut db_size) = (vec![0.0; b.len()], vec![0.0; b.len()]);
        let mut expected = vec![Vec::new(); 5];
        let parts: Vec<Vec<f32>> = (1000..1005).map(|seed| noise(out.len(), seed)).collect();
        let cotangents: Vec<Vec<f32>> = (0..out.len()).map(|at| parts.iter().map(|part| part[at]).collect()).collect();
        for (at, cotangents) in cotangents.iter().enumerate() {
            let (ia, ib) = (source(a, at), source(b, at));
            let (x, y) = (f64::from(left[ia]) * 1.5, f64::from(right[ib]) * 1.5);
            let share = if x > y { 1.0 } else if x == y { 0.5 } else { 0.0 };
            let cases = [
                (x + y, 1.0, 1.0), (x - y, 1.0, -1.0), (x * y, y, x), (x / y, 1.0 / y, -x / (y * y)), (x.max(y), share, 1.0 - share),
            ];
            for (which, (value, dx, dy)) in cases.into_iter().enumerate() {
                expected[which].push(value);
                let c = f64::from(cotangents[which]) * 0.75 * 1.5;
                da[ia] += c * dx;
                da_size[ia] += (c * dx).abs();
                db[ib] += c * dy;
                db_size[ib] += (c * dy).abs();
            }
        }
        for (which, expected) in expected.iter().enumerate() {
            let sizes: Vec<f64> = expected.iter().map(|value| value.abs().max(1.0)).collect();
            assert_within(&format!("function {which} of {a} and {b}"), &outcome.outputs[which], expected, &sizes, 3e-7);
        }
        assert_within(&format!("gradient of a, {a} and {b}"), outcome.gradients[0].as_ref().unwrap(), &da, &da_size, 2e-6);
        assert_within(&format!("gradient of b, {a} and {b}"), outcome.gradients[1].as_ref().unwrap(), &db, &db_size, 2e-6);
    }
}

#[test]
fn mistakes_name_the_op_and_the_layer() {
    let graph = Graph::new();
    {
        let _layer = graph.scope("head");
        let _ = graph.input("a", [3, 4]) + graph.input("b", [4, 3]);
    }
    let message = graph.finish().err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.starts_with("add in layer 'head'") && message.contains("[3, 4]"), "{message}");
    let error = run(&[float([3], 1), Value::Integer(Shape::from([3]), vec![0; 3])], |_, x| vec![x[0] * x[1]]).err();
    assert!(error.is_some_and(|error| error.to_string().starts_with("multiply")));
    let error = run(&[Value::Integer(Shape::from([3]), vec![0; 3])], |_, x| vec![x[0].relu()]).err();
    assert!(error.is_some_and(|error| error.to_string().contains("wants a float tensor")));
}

#[test]
fn rounds_and_streams_change_no_bit() {
    let opened = |(rounds, streams): (u32, u32)| {
        let forced = vec![("ElementRounds".to_string(), rounds), ("ElementStreams".to_string(), streams)];
        Gpu::with_options(&GpuOptions { forced, ..GpuOptions::default() })
            .expect("a Vulkan driver; run scripts/setup.sh")
    };
    let gpus = [(1, 1), (4, 1), (1, 4), (8, 2), (64, 4)].map(opened);
    // one element, less than a four, fewer fours than streams, an invocation's and a workgroup's share with some over, many
    for [rows, columns] in [[1, 1], [1, 3], [1, 9], [3, 12], [1, 1031], [70, 4], [257, 260]] {
        let inputs = [float([rows, columns], 1), float([columns], 2)];
        let bits = |gpu: &Gpu| {
            let outcome =
                run_on(gpu, &inputs, |_, x| vec![x[0].gelu(), x[0] * x[1], x[0].dropout(0.3)]).expect("it runs");
            let gradients = outcome.gradients.iter().flatten();
            outcome.outputs.iter().chain(gradients).flatten().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        let [first, others @ ..] = gpus.each_ref().map(bits);
        assert!(others.iter().all(|other| *other == first), "[{rows}, {columns}]");
    }
}
