//! Reductions over axes: values against f64, gradients in the middle of a graph, accuracy of long sums, errors.

mod support;

use limbic::graph::{Graph, Shape, Var};
use proptest::prelude::*;
use support::{
    Value, assert_close, assert_within, cases, check_gradients, discrete_gpu, float, gpu, noise, portable_gpu, run,
    run_on,
};

/// What `fold` makes of the elements of each group that shares the indices of the axes not in `axes`; row-major.
fn reduce(shape: Shape, values: &[f32], axes: &[usize], fold: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let kept = axes.iter().fold(shape, |shape, axis| shape.with_axis(*axis, 1));
    let (from, to) = (shape.strides(), kept.strides());
    let mut groups = vec![Vec::new(); kept.len()];
    for (at, value) in values.iter().enumerate() {
        let index = |axis: usize| at / from[axis] % shape.axis(axis);
        let group: usize = (0..shape.rank()).filter(|axis| !axes.contains(axis)).map(|a| index(a) * to[a]).sum();
        groups[group].push(f64::from(*value));
    }
    groups.iter().map(|group| fold(group)).collect()
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn mean(values: &[f64]) -> f64 {
    sum(values) / values.len() as f64
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn variance(values: &[f64], less: usize) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - less) as f64
}

fn logsumexp(values: &[f64]) -> f64 {
    let most = max(values);
    most + values.iter().map(|value| (value - most).exp()).sum::<f64>().ln()
}

type Fold = fn(&[f64]) -> f64;

/// Compares a fold of `values` with its value in f64, relative to the fold of their absolute values.
fn check(what: &str, actual: &[f32], shape: Shape, values: &[f32], axes: &[usize], fold: Fold) {
    let expected = reduce(shape, values, axes, fold);
    let absolute: Vec<f32> = values.iter().map(|value| value.abs()).collect();
    let sizes = [reduce(shape, &absolute, axes, fold), reduce(shape, &absolute, axes, max), expected.clone()];
    let magnitude: Vec<f64> =
        (0..expected.len()).map(|at| sizes.iter().map(|s| s[at].abs()).fold(0.0, f64::max)).collect();
    assert_within(what, actual, &expected, &magnitude, 1e-6);
}

/// The values that the graph computes with: `run` multiplies every float input by 1.5.
fn scaled(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value * 1.5).collect()
}

/// Shapes with the sizes that bite: 1, primes, just below and above a workgroup and a vector.
fn shapes(most_rank: usize) -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![3 => 1usize..8, 1 => Just(64), 1 => Just(65), 1 => Just(37), 1 => Just(16), 1 => Just(12)];
    proptest::collection::vec(size, 1..=most_rank).prop_filter("small", |axes| axes.iter().product::<usize>() <= 40_000)
}

/// A shape and a choice of its axes.
fn shape_and_axes() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    shapes(6).prop_flat_map(|shape| {
        let axes: Vec<usize> = (0..shape.len()).collect();
        let chosen = proptest::sample::subsequence(axes, 1..=shape.len()).prop_shuffle();
        (Just(shape), chosen)
    })
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn sums_means_extremes_and_variances_match_f64((shape, axes) in shape_and_axes(), seed in 0u64..1000) {
        let shape = Shape::new(&shape);
        let values = noise(shape.len(), seed);
        let outcome = run(&[Value::Float(shape, values.clone())], |_, x| vec![
            x[0].sum_axes(&axes), x[0].mean_axes_keep(&axes), x[0].max_axes(&axes), x[0].min_axes_keep(&axes),
            x[0].var_axes(&axes, false), x[0].sum(), x[0].mean(),
        ]).unwrap();
        let values = scaled(&values);
        let folds: [Fold; 5] = [sum, mean, max, min, |values| variance(values, 0)];
        for (index, fold) in folds.into_iter().enumerate() {
            check(&format!("fold {index} of {shape} over {axes:?}"), &outcome.outputs[index], shape, &values, &axes, fold);
        }
        let all: Vec<usize> = (0..shape.rank()).collect();
        check("sum of all", &outcome.outputs[5], shape, &values, &all, sum);
        check("mean of all", &outcome.outputs[6], shape, &values, &all, mean);
    }

    #[test]
    fn gradients_of_sums_and_maxima_match_f64((shape, axes) in shape_and_axes(), seed in 0u64..1000) {
        let shape = Shape::new(&shape);
        // few distinct values, so that maxima have ties
        let values: Vec<f32> = noise(shape.len(), seed).iter().map(|value| (value * 3.0).round() / 4.0).collect();
        for (index, name) in ["mean", "max", "min", "sum_of_squares"].into_iter().enumerate() {
            let outcome = run(&[Value::Float(shape, values.clone())], |_, x| vec![match index {
                0 => x[0].mean_axes(&axes),
                1 => x[0].max_axes_keep(&axes),
                2 => x[0].min_axes(&axes),
                _ => x[0].square_sum_axes(&axes),
            }]).unwrap();
            let x = scaled(&values);
            let cotangent: Vec<f64> = noise(outcome.outputs[0].len(), 1000).iter().map(|c| f64::from(*c) * 0.75 * 1.5).collect();
            let count = (shape.len() / cotangent.len()) as f64;
            let most = reduce(shape, &x, &axes, if index == 1 { max } else { min });
            let kept = axes.iter().fold(shape, |shape, axis| shape.with_axis(*axis, 1));
            let group = |at: usize| -> usize {
                let index = |axis: usize| at / shape.strides()[axis] % shape.axis(axis);
                (0..shape.rank()).filter(|axis| !axes.contains(axis)).map(|axis| index(axis) * kept.strides()[axis]).sum()
            };
            let mut ties = vec![0.0; most.len()];
            (0..x.len()).for_each(|at| ties[group(at)] += f64::from(u8::from(f64::from(x[at]) == most[group(at)])));
            let expected: Vec<f64> = (0..x.len()).map(|at| {
                let (group, value) = (group(at), f64::from(x[at]));
                cotangent[group] * match index {
                    0 => 1.0 / count,
                    3 => 2.0 * value,
                    _ if value == most[group] => 1.0 / ties[group],
                    _ => 0.0,
                }
            }).collect();
            assert_close(&format!("gradient of {name} of {shape} over {axes:?}"), outcome.gradients[0].as_ref().unwrap(), &expected, 3e-6);
        }
    }

    #[test]
    fn rows_of_norms_and_logsumexps_match_f64(shape in shapes(4), pick in 0usize..4, seed in 0u64..1000) {
        let shape = Shape::new(&shape);
        let axis = pick % shape.rank();
        let values = noise(shape.len(), seed);
        let outcome = run(&[Value::Float(shape, values.clone())], |_, x| vec![
            x[0].logsumexp(axis), x[0].l2_norm(axis), x[0].normalize(axis, 1e-12),
        ]).unwrap();
        let values = scaled(&values);
        check("logsumexp", &outcome.outputs[0], shape, &values, &[axis], logsumexp);
        check("l2_norm", &outcome.outputs[1], shape, &values, &[axis], norm);
        let norms = reduce(shape, &values, &[axis], norm);
        let [_, n, inner] = shape.around(axis);
        let unit: Vec<f64> = values.iter().enumerate().map(|(at, value)| {
            f64::from(*value) / norms[at / (n * inner) * inner + at % inner]
        }).collect();
        assert_close("normalize", &outcome.outputs[2], &unit, 2e-6);
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    type Build = for<'g> fn(Var<'g>) -> Var<'g>;
    let ops: [(&str, Build); 12] = [
        ("sum_axes", |x| x.sum_axes(&[1])),
        ("sum_axes apart", |x| x.sum_axes(&[0, 2])),
        ("mean_axes", |x| x.mean_axes(&[1, 2])),
        ("max_axis", |x| x.max_axis(1)),
        ("max_axes apart", |x| x.max_axes(&[2, 0])),
        ("min_axes", |x| x.min_axes_keep(&[2])),
        ("var biased", |x| x.var_axes(&[2], false)),
        ("var unbiased", |x| x.var_axes_keep(&[0, 2], true)),
        ("logsumexp", |x| x.logsumexp(1)),
        ("l2_norm", |x| x.l2_norm(2)),
        ("normalize", |x| x.normalize(1, 1e-12)),
        ("mean", |x| x.mean() * x.sum()),
    ];
    // far enough apart that no step of a difference quotient changes which element is the largest
    let apart: Vec<f32> = (0..105).map(|i| (i * 47 % 105) as f32 * 0.02 - 1.0).collect();
    for (name, op) in ops {
        let input = Value::Float(Shape::from([3, 5, 7]), apart.clone());
        check_gradients(name, &[input], |_, x| vec![op(x[0])]);
    }
}

#[test]
fn both_stages_and_every_width_of_the_kernels() {
    let gpus = [gpu(), portable_gpu(), discrete_gpu()];
    // column sums that are split over workgroups, rows that are, tails of a single row, narrow columns, several columns an invocation
    for (shape, axes) in [
        (vec![700, 1152], vec![0]),
        (vec![3, 11, 640], vec![1]),
        (vec![2048, 256], vec![0]),
        (vec![1999, 33], vec![0]),
        (vec![5003, 2], vec![0]),
        (vec![4001, 4], vec![0]),
        (vec![3, 700, 8], vec![1]),
        (vec![9000, 17, 3], vec![1]),
        (vec![40_003], vec![0]),
        (vec![3], vec![0]),
        (vec![3, 20_000], vec![1]),
        (vec![300, 67], vec![1]),
        (vec![2, 9001], vec![1]),
    ] {
        let shape = Shape::new(&shape);
        let values = noise(shape.len(), 11);
        let x = scaled(&values);
        let inputs = [Value::Float(shape, values)];
        for gpu in &gpus {
            let outcome = run_on(gpu, &inputs, |_, x| {
                vec![x[0].sum_axes(&axes), x[0].max_axes(&axes), x[0].square_sum_axes(&axes)]
            })
            .unwrap();
            let kind = gpu.capabilities();
            let what = format!("{shape} over {axes:?}, software {}, discrete {}", kind.software, kind.discrete);
            check(&what, &outcome.outputs[0], shape, &x, &axes, sum);
            assert_close(&what, &outcome.outputs[1], &reduce(shape, &x, &axes, max), 0.0);
            check(&what, &outcome.outputs[2], shape, &x, &axes, |values| norm(values).powi(2));
        }
    }
}

#[test]
fn a_million_terms_stay_accurate() {
    // all positive, so the relative error of the sum is that of the order of adding
    let values: Vec<f32> = noise(1_000_000, 5).iter().map(|value| value.abs() + 0.1).collect();
    let exact: f64 = values.iter().map(|value| f64::from(*value) * 1.5).sum();
    for shape in [Shape::from([1_000_000]), Shape::from([1_000_000, 1])] {
        let outcome =
            run(&[Value::Fixed(shape, values.clone()), float([1], 1)], |_, x| vec![x[0].sum(), x[1]]).unwrap();
        assert_close("sum of a million", &outcome.outputs[0], &[exact], 1e-6);
    }
    for columns in [4, 128, 256] {
        let column = Shape::from([values.len() / columns, columns]);
        let values = values[..column.len()].to_vec();
        let sums = reduce(column, &scaled(&values), &[0], sum);
        let outcome =
            run(&[Value::Fixed(column, values), float([1], 1)], |_, x| vec![x[0].sum_axes(&[0]), x[1]]).unwrap();
        assert_close(&format!("{columns} column sums"), &outcome.outputs[0], &sums, 1e-6);
    }
}

#[test]
fn degenerate_rows_are_finite() {
    let zeros = Value::Float(Shape::from([2, 5]), vec![0.0; 10]);
    let outcome = run(std::slice::from_ref(&zeros), |_, x| vec![x[0].l2_norm(1), x[0].normalize(1, 1e-12)]).unwrap();
    assert!(outcome.outputs.iter().flatten().all(|y| *y == 0.0));
    let outcome = run(&[zeros], |_, x| vec![x[0].l2_norm(1)]).unwrap();
    assert_eq!(outcome.gradients[0], Some(vec![0.0; 10]));
    let low = Value::Float(Shape::from([1, 3]), vec![f32::NEG_INFINITY, -3e38 / 1.5, 1e3]);
    let outcome = run(&[low], |_, x| vec![x[0].logsumexp(1), x[0].max_axis(1)]).unwrap();
    assert_close("logsumexp", &outcome.outputs[0], &[1500.0], 1e-7);
    assert_eq!(outcome.outputs[1], [1500.0]);
    let all_low = Value::Float(Shape::from([1, 3]), vec![f32::NEG_INFINITY; 3]);
    let outcome = run(&[all_low], |_, x| vec![x[0].max_axis(1), x[0].logsumexp(1)]).unwrap();
    assert_eq!(outcome.outputs[0], [f32::NEG_INFINITY]);
    assert_eq!(outcome.outputs[1], [f32::NEG_INFINITY]);
}

#[test]
fn summing_to_an_equal_shape_costs_nothing() {
    let graph = Graph::new();
    let x = graph.input("x", [3, 4]);
    let before = graph.input("y", [1]).sum_to(Shape::from([1]));
    assert_eq!(x.sum_to(Shape::from([3, 4])).shape(), x.shape());
    assert_eq!(before.shape(), Shape::from([1]));
    assert_eq!(x.sum_to(Shape::from([1, 4])).shape(), Shape::from([1, 4]));
    assert_eq!(x.sum_to(Shape::from([4])).shape(), Shape::from([4]));
    assert_eq!(x.sum_to(Shape::default()).shape(), Shape::default());
    let nodes = graph.finish().unwrap().nodes;
    let kernels = nodes.iter().filter(|node| !node.op.is_view()).count();
    assert_eq!(kernels, 3);
}

#[test]
fn mistakes_name_the_op_and_the_layer() {
    type Build = for<'g> fn(Var<'g>) -> Var<'g>;
    let mistakes: [(&str, Build); 7] = [
        ("sum_axes", |x| x.sum_axes(&[2])),
        ("mean_axes", |x| x.mean_axes(&[0, 0])),
        ("max_axes", |x| x.max_axis(9)),
        ("min_axes", |x| x.min_axes(&[])),
        ("var_axes", |x| x.var_axes(&[5], true)),
        ("logsumexp", |x| x.logsumexp(3)),
        ("sum_to", |x| x.sum_to(Shape::from([5]))),
    ];
    for (op, mistake) in mistakes {
        let error = run(&[float([3, 4], 1)], |graph, x| {
            let _layer = graph.scope("encoder");
            vec![mistake(x[0])]
        });
        let message = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(&format!("{op} in layer 'encoder'")), "{op}: {message}");
    }
    let graph = Graph::new();
    graph.mask_input("mask", [3, 4]).sum_axes(&[0]);
    assert!(graph.finish().is_err());
}
