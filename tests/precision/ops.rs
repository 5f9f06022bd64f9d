//! Every kernel that may read or write halves, in the middle of a graph: outputs and gradients are those of full precision but for
//! rounding. As many kernels must do it here as the policy names.

use crate::support::{Outcome, Value, discrete_gpu, float, gpu, portable_gpu, run_in};
use limbic::gpu::{Cooperative, Gpu};
use limbic::graph::{Graph, Precision, Shape, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use std::collections::BTreeSet;

/// Half the distance of neighbouring halves, relative to them.
const UNIT: f64 = 1.0 / 2048.0;
/// An output is computed from rounded inputs, rounded once or twice on its way, and its magnitude may be a fraction of theirs.
const FORWARD: f64 = 8.0 * UNIT;
/// A gradient is so twice over: through what was kept, and through the gradients on the way.
const GRADIENT: f64 = 16.0 * UNIT;

type Build = for<'g> fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>;

struct Case {
    name: &'static str,
    inputs: Vec<Value>,
    build: Build,
}

fn case(name: &'static str, inputs: Vec<Value>, build: Build) -> Case {
    Case { name, inputs, build }
}

fn ones_and_zeros(shape: impl Into<Shape>, one_of: usize) -> Value {
    let shape = shape.into();
    Value::Integer(shape, (0..shape.len()).map(|index| u32::from(!(index + 1).is_multiple_of(one_of))).collect())
}

fn cases() -> Vec<Case> {
    let x = |seed| float([2, 6, 16], seed);
    vec![
        case("elementwise", vec![x(1), x(2), float([16], 3), float([2, 1, 16], 4)], |_, x| {
            let sum = x[0].gelu() + x[1] * x[2];
            vec![sum * x[3], (x[0] - x[1]).tanh().dropout(0.25)]
        }),
        case("linear", vec![float([12, 24], 1), float([16, 24], 2), float([16], 3), float([12, 16], 4)], |_, x| {
            let plain = x[0].matmul_nt(x[1]) + x[2];
            vec![plain.gelu().dropout(0.25) + x[3], plain, x[0].matmul_nt(x[1]).relu()]
        }),
        case("long product", vec![float([8, 2048], 1), float([2048, 16], 2)], |_, x| vec![x[0].matmul(x[1])]),
        // rows that are no multiple of four: the kernels read halves one by one
        case("odd product", vec![float([2, 5, 8], 1), float([7, 8], 2), float([2, 8, 16], 3)], |_, x| {
            vec![x[0].matmul_nt(x[1]), x[0].matmul(x[2])]
        }),
        case("layer norm", vec![x(1), x(2), float([16], 3), float([16], 4)], |_, x| {
            let (sum, normed) = x[0].layer_norm_residual(x[1], Some(x[2]), Some(x[3]), 1e-5);
            vec![sum, normed, x[0].layer_norm(None, None, 1e-5)]
        }),
        case(
            "attention",
            vec![float([2, 5, 16], 1), float([2, 9, 16], 2), float([2, 9, 16], 3), ones_and_zeros([2, 9], 3)],
            |_, x| {
                let masks = AttentionMasks { key: Some(x[3]), ..Default::default() };
                let options = |dropout| AttentionOptions { heads: 2, scale: None, dropout };
                let separate = Projections::Separate { query: x[0], key: x[1], value: x[2] };
                let with = attention(separate, masks, options(0.0));
                vec![with.output, with.weights(), attention(separate, masks, options(0.2)).output]
            },
        ),
        case("packed attention", vec![float([2, 6, 48], 1)], |_, x| {
            let options = AttentionOptions { heads: 2, scale: None, dropout: 0.0 };
            vec![attention(Projections::Packed(x[0]), AttentionMasks::default(), options).output]
        }),
        case("moving", vec![x(1), x(2)], |graph, x| {
            vec![
                x[0].permute(&[1, 0, 2]),
                x[0].permute(&[0, 2, 1]).slice(1, 2, 9),
                x[0].slice(1, 1, 4),
                x[0].slice(2, 4, 8),
                graph.concat(&[x[0], x[1]], 2),
                graph.concat(&[x[0], x[1].slice(1, 0, 2)], 1),
                x[0].reshape([12, 16]).pad(0, 1, 2),
                x[0].flip(1),
            ]
        }),
        case("masks and pooling", vec![x(1), float([2, 6], 2), ones_and_zeros([2, 6], 3)], |_, x| {
            vec![
                x[0].mask_rows(x[2]),
                x[0].masked_mean(x[2]),
                x[0].attention_pool(x[1], Some(x[2])).0,
                x[0].weighted_pool(x[1], x[2]),
            ]
        }),
        case("sums", vec![x(1)], |_, x| {
            vec![x[0].sum_axes(&[1]), x[0].mean_axes(&[2]), x[0].max_axes(&[0]), x[0].square_sum_axes(&[2])]
        }),
        case("table", vec![float([10, 16], 1), Value::Integer(Shape::from([2, 3]), vec![1, 7, 1, 0, 9, 3])], |_, x| {
            vec![x[0].embedding(x[1]).tanh()]
        }),
    ]
}

/// Outputs go through one more kernel, so that they too are halves.
fn outcome(precision: Precision, gpu: &Gpu, case: &Case) -> Outcome {
    let build = case.build;
    let run = run_in(precision, gpu, &case.inputs, |graph, x| {
        build(graph, x).into_iter().map(|output| output.scale(0.5)).collect()
    });
    run.unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn assert_close(what: &str, mixed: &[f32], full: &[f32], tolerance: f64) {
    let scale = full.iter().fold(1e-30, |most, value| f64::from(value.abs()).max(most));
    for (index, (mixed, full)) in mixed.iter().zip(full).enumerate() {
        let error = (f64::from(*mixed) - f64::from(*full)).abs() / scale;
        assert!(error <= tolerance, "{what}: element {index} is {mixed}, {full} in full precision: {error:.1e} off");
    }
}

/// Compares all cases on `gpu`; the kernels that halves went through.
fn compare(gpu: &Gpu) -> BTreeSet<&'static str> {
    let mut halving = BTreeSet::new();
    for case in cases() {
        let [full, mixed] = [Precision::F32, Precision::Mixed].map(|precision| outcome(precision, gpu, &case));
        assert!(full.halving.is_empty());
        for (index, (mixed, full)) in mixed.outputs.iter().zip(&full.outputs).enumerate() {
            assert_close(&format!("{}, output {index}", case.name), mixed, full, FORWARD);
        }
        for (index, (mixed, full)) in mixed.gradients.iter().zip(&full.gradients).enumerate() {
            let gradients = (mixed.as_deref().unwrap_or_default(), full.as_deref().unwrap_or_default());
            assert_close(&format!("{}, gradient {index}", case.name), gradients.0, gradients.1, GRADIENT);
        }
        halving.extend(mixed.halving);
    }
    halving
}

const EVERYWHERE: [&str; 20] = [
    "attention_delta",
    "attention_weights",
    "binary",
    "binary_broadcast",
    "concat",
    "dropout",
    "embedding",
    "embedding_backward",
    "layer_norm",
    "layer_norm_backward",
    "mask_rows",
    "matmul_epilogue_backward",
    "place",
    "pooling",
    "pooling_backward",
    "reduce_columns",
    "reduce_rows",
    "strided_copy",
    "unary",
    "unary_backward",
];

fn assert_kernels(halving: &BTreeSet<&str>, more: &[&'static str]) {
    let expected: BTreeSet<&str> = EVERYWHERE.iter().chain(more).copied().collect();
    assert_eq!(*halving, expected);
}

#[test]
fn kernels_with_subgroups_are_right_but_for_rounding() {
    let halving = compare(&gpu());
    let capabilities = gpu().capabilities().clone();
    let plain = capabilities.cooperative == Cooperative::Off;
    if plain && capabilities.software && capabilities.fixed_subgroup() == Some(8) {
        let attention =
            ["attention_forward_subgroup", "attention_backward_q_subgroup", "attention_backward_kv_subgroup"];
        assert_kernels(&halving, &[&attention[..], &["matmul_small", "matmul_subgroup"]].concat());
    }
}

#[test]
fn portable_kernels_are_right_but_for_rounding() {
    let attention = ["attention_forward", "attention_backward_q", "attention_backward_kv"];
    assert_kernels(&compare(&portable_gpu()), &[&attention[..], &["matmul", "matmul_reduce"]].concat());
    compare(&discrete_gpu());
}
