//! Pooling over time: values and gradients against f64 on every kernel variant, and the laws of masks, bit for bit.

mod support;

use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::ops::pooling::Spread;
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{Outcome, Value, assert_close, cases, check_gradients, float, noise, run, run_on};

/// About two thirds ones; the second sample is padding alone.
fn random_mask(batch: usize, seq: usize, seed: u64) -> Vec<u32> {
    let valid = |(i, v): (usize, &f32)| u32::from(*v > -0.4 && i / seq != 1);
    noise(batch * seq, seed).iter().enumerate().map(valid).collect()
}

fn scaled(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(v * 1.5)).collect()
}

fn cotangent(index: u64, len: usize) -> Vec<f64> {
    noise(len, 1000 + index).iter().map(|c| f64::from(*c) * 0.75).collect()
}

struct Reference {
    y: Vec<f64>,
    dx: Vec<f64>,
    dweights: Vec<f64>,
}

/// The weighted sum over time and its gradients as `run` reports them; without weights the mean.
fn reference(
    [batch, seq, dim]: [usize; 3],
    x: &[f32],
    weights: Option<&[f32]>,
    counts: &dyn Fn(usize) -> bool,
) -> Reference {
    let (x, weights, dy) = (scaled(x), weights.map(scaled), cotangent(0, batch * dim));
    let mut out = Reference { y: vec![0.0; batch * dim], dx: vec![0.0; x.len()], dweights: vec![0.0; batch * seq] };
    for b in 0..batch {
        let steps: Vec<usize> = (b * seq..(b + 1) * seq).filter(|step| counts(*step)).collect();
        for step in &steps {
            let weight = weights.as_ref().map_or(1.0 / steps.len() as f64, |weights| weights[*step]);
            for d in 0..dim {
                out.y[b * dim + d] += weight * x[step * dim + d];
                out.dx[step * dim + d] = 1.5 * weight * dy[b * dim + d];
                out.dweights[*step] += 1.5 * x[step * dim + d] * dy[b * dim + d];
            }
        }
    }
    out
}

fn gradient(outcome: &Outcome, index: usize) -> &[f32] {
    outcome.gradients[index].as_ref().expect("a gradient")
}

fn pool_both(gpu: &limbic::gpu::Gpu, [batch, seq, dim]: [usize; 3], seed: u64) {
    let what = format!("{batch} x {seq} x {dim}");
    let (x, weights) = (noise(batch * seq * dim, seed), noise(batch * seq, seed + 1));
    let mask = random_mask(batch, seq, seed + 2);
    let counts = |step: usize| mask[step] != 0;
    let shape = [batch, seq, dim];
    let inputs = [
        Value::Float(Shape::new(&shape), x.clone()),
        Value::Integer(Shape::new(&[batch, seq]), mask.clone()),
        Value::Float(Shape::new(&[batch, seq]), weights.clone()),
    ];
    let mean = run_on(gpu, &inputs[..2], |_, v| vec![v[0].masked_mean(v[1])]).unwrap();
    let expected = reference(shape, &x, None, &counts);
    assert_close(&format!("{what}: mean"), &mean.outputs[0], &expected.y, 1e-5);
    assert_close(&format!("{what}: dx of the mean"), gradient(&mean, 0), &expected.dx, 1e-4);
    let weighted = run_on(gpu, &inputs, |_, v| vec![v[0].weighted_pool(v[2], v[1])]).unwrap();
    let expected = reference(shape, &x, Some(&weights), &counts);
    assert_close(&format!("{what}: weighted"), &weighted.outputs[0], &expected.y, 1e-5);
    assert_close(&format!("{what}: dx"), gradient(&weighted, 0), &expected.dx, 1e-4);
    assert_close(&format!("{what}: dweights"), gradient(&weighted, 2), &expected.dweights, 1e-4);
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn values_and_gradients_match_f64(
        batch in 1usize..6,
        seq in prop_oneof![1usize..12, Just(64), Just(67)],
        dim in prop_oneof![1usize..12, Just(37), Just(64), Just(300)],
        seed in 0u64..1000,
    ) {
        pool_both(&support::gpu(), [batch, seq, dim], seed);
    }
}

#[test]
fn portable_and_discrete_kernels_match_f64() {
    for gpu in [support::portable_gpu(), support::discrete_gpu()] {
        for shape in [[3, 5, 4], [2, 67, 33], [2, 3, 264]] {
            pool_both(&gpu, shape, 5);
        }
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let mask = Value::Integer(Shape::new(&[3, 4]), vec![1, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0]);
    let inputs = [float([3, 4, 5], 1), float([3, 4], 2), mask];
    check_gradients("mean", &inputs[..1], |graph, v| {
        let mask = limbic::ops::loss::constant(graph, [3, 4, 1], &[1.0; 12]).padding_mask(0.0);
        vec![v[0].masked_mean(mask)]
    });
    check_gradients("weighted", &inputs, |_, v| vec![v[0].weighted_pool(v[1], v[2])]);
    check_gradients("attention", &inputs, |_, v| {
        let (y, weights) = v[0].attention_pool(v[1], Some(v[2]));
        vec![y, weights]
    });
    check_gradients("attention without a mask", &inputs[..2], |_, v| vec![v[0].attention_pool(v[1], None).0]);
    for spread in [Spread::Variance, Spread::StandardDeviation] {
        check_gradients("statistics", &inputs, |_, v| vec![v[0].attentive_statistics(v[1], Some(v[2]), spread).0]);
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Every pooling of x, scores and mask, as bits: outputs, then the gradients of x and scores.
fn all_poolings(
    shape: [usize; 3],
    x: Vec<f32>,
    scores: Vec<f32>,
    mask: Vec<u32>,
) -> (Vec<Vec<u32>>, Vec<u32>, Vec<u32>) {
    let of_steps = Shape::new(&shape[..2]);
    let inputs = [Value::Float(Shape::new(&shape), x), Value::Float(of_steps, scores), Value::Integer(of_steps, mask)];
    let outcome = run(&inputs, |_, v| {
        vec![
            v[0].masked_mean(v[2]),
            v[0].weighted_pool(v[1], v[2]),
            v[0].attention_pool(v[1], Some(v[2])).0,
            v[0].attentive_statistics(v[1], Some(v[2]), Spread::StandardDeviation).0,
        ]
    });
    let outcome = outcome.unwrap();
    let outputs = outcome.outputs.iter().map(|output| bits(output)).collect();
    (outputs, bits(gradient(&outcome, 0)), bits(gradient(&outcome, 1)))
}

#[test]
fn what_is_padded_is_never_looked_at() {
    let shape = [3, 7, 6];
    let mask = random_mask(3, 7, 8);
    let poisoned = |poison: Option<f32>| {
        let at = |step: usize, value: f32| if mask[step] == 0 { poison.unwrap_or(value) } else { value };
        let x = noise(3 * 7 * 6, 1).into_iter().enumerate().map(|(i, v)| at(i / 6, v)).collect();
        let scores = noise(3 * 7, 2).into_iter().enumerate().map(|(i, v)| at(i, v)).collect();
        all_poolings(shape, x, scores, mask.clone())
    };
    let clean = poisoned(None);
    assert!(clean.0.iter().flatten().any(|bits| *bits != 0));
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38] {
        assert!(poisoned(Some(poison)) == clean, "{poison} in the padding changed something");
    }
}

#[test]
fn a_fully_padded_sample_gives_zeros_and_gets_none() {
    let (outputs, dx, dscores) = all_poolings([2, 3, 5], noise(30, 1), noise(6, 2), vec![1, 0, 1, 0, 0, 0]);
    for output in &outputs[..3] {
        assert!(output[5..].iter().all(|bits| *bits == 0), "{output:?}");
    }
    assert!(dx[15..].iter().chain(&dscores[3..]).all(|bits| bits << 1 == 0));
}

/// Longer sequences and more samples, all padding: the same bits.
#[test]
fn padding_further_changes_no_bit() {
    let (batch, seq, dim) = (3, 5, 6);
    let (x, scores, mask) = (noise(batch * seq * dim, 1), noise(batch * seq, 2), random_mask(batch, seq, 3));
    let narrow = all_poolings([batch, seq, dim], x.clone(), scores.clone(), mask.clone());
    for to in [6, 8, 70] {
        let step = |i: usize| (i % to < seq).then_some(i / to * seq + i % to);
        let wide = all_poolings(
            [batch, to, dim],
            (0..batch * to * dim).map(|i| step(i / dim).map_or(f32::NAN, |s| x[s * dim + i % dim])).collect(),
            (0..batch * to).map(|i| step(i).map_or(f32::NAN, |s| scores[s])).collect(),
            (0..batch * to).map(|i| step(i).map_or(0, |s| mask[s])).collect(),
        );
        assert!(wide.0 == narrow.0, "outputs of seq {to}");
        let kept = |values: &[u32], width: usize| -> Vec<u32> {
            let all = values.iter().enumerate();
            all.filter(|(i, _)| step(i / width).is_some()).map(|(_, bits)| *bits).collect()
        };
        assert!(kept(&wide.1, dim) == narrow.1, "dx of seq {to}");
        assert!(kept(&wide.2, 1) == narrow.2, "dscores of seq {to}");
    }
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let store = ParameterStore::new(&support::gpu(), &Parameters::new(), &[]).unwrap();
    let error = |build: &dyn for<'g> Fn(&'g Graph) -> Var<'g>| {
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            build(graph);
            Ok(())
        });
        plan.expect_err("an error").to_string()
    };
    let flat = error(&|graph| graph.input("x", [2, 6]).masked_mean(graph.mask_input("mask", [2])));
    assert!(flat.contains("mean_pool") && flat.contains("[batch, seq, dim]"), "{flat}");
    let mask = error(&|graph| graph.input("x", [2, 6, 3]).masked_mean(graph.mask_input("mask", [2, 5])));
    assert!(mask.contains("[2, 6]") && mask.contains("[2, 5]"), "{mask}");
    let kind = error(&|graph| graph.input("x", [2, 6, 3]).masked_mean(graph.input("mask", [2, 6])));
    assert!(kind.contains("U32"), "{kind}");
    let weights = error(&|graph| {
        graph.input("x", [2, 6, 3]).weighted_pool(graph.input("w", [2, 3]), graph.mask_input("mask", [2, 6]))
    });
    assert!(weights.contains("weighted_pool") && weights.contains("weights"), "{weights}");
}
