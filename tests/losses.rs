//! Losses: values and gradients against f64, masks and rows without a label, limits, errors. The golden cases hold them against torch.

mod support;

use limbic::graph::{Graph, Shape, Var};
use limbic::ops::loss::{
    Positives, class_balanced_weights, constant, cosine_similarities, infonce_pairs, prototype_distances,
};
use limbic::plan::{Mode, Plan};
use proptest::prelude::*;
use support::{Outcome, Value, assert_close, cases, check_gradients, float, noise, run, run_on};

fn scaled(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(v * 1.5)).collect()
}

/// What a scalar loss's gradient is multiplied with on its way to an input of `run`: its cotangent, and the input's 1.5.
fn incoming(index: u64) -> f64 {
    f64::from(noise(1, 1000 + index)[0]) * 0.75 * 1.5
}

fn gradient(outcome: &Outcome, index: usize) -> &[f32] {
    outcome.gradients[index].as_ref().expect("a gradient")
}

fn close(what: &str, actual: f32, expected: f64, tolerance: f64) {
    assert!(
        (f64::from(actual) - expected).abs() <= tolerance * expected.abs().max(1e-2),
        "{what}: {actual}, {expected}"
    );
}

type PairLoss = for<'g> fn(Var<'g>, Var<'g>, Option<Var<'g>>) -> Var<'g>;

/// The value for a prediction and its target, and the derivative with respect to the prediction.
type PairReference = fn(f64, f64) -> [f64; 2];

/// The losses of pairs, with what they should be.
const PAIRS: [(&str, PairLoss, PairReference); 4] = [
    ("mse", |p, t, m| p.mse_loss(t, m), |p, t| [(p - t).powi(2), 2.0 * (p - t)]),
    ("mae", |p, t, m| p.mae_loss(t, m), |p, t| [(p - t).abs(), if p == t { 0.0 } else { (p - t).signum() }]),
    (
        "huber",
        |p, t, m| p.huber_loss(t, 0.5, m),
        |p, t| {
            let d: f64 = p - t;
            if d.abs() <= 0.5 { [0.5 * d * d, d] } else { [0.5 * (d.abs() - 0.25), 0.5 * d.signum()] }
        },
    ),
    (
        "bce",
        |p, t, m| p.bce_with_logits(t, m),
        |p, t| {
            let sigmoid = 1.0 / (1.0 + (-p).exp());
            [p.max(0.0) - p * t + (-p.abs()).exp().ln_1p(), sigmoid - t]
        },
    ),
];

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn pair_losses_match_f64(
        rows in prop_oneof![1usize..9, Just(67)],
        columns in prop_oneof![1usize..9, Just(65), Just(200)],
        masked: bool,
        seed in 0u64..1000,
    ) {
        let shape = Shape::new(&[rows, columns]);
        let (p, t) = (noise(shape.len(), seed), noise(shape.len(), seed + 1));
        let mask: Vec<u32> = noise(rows, seed + 2).iter().map(|v| u32::from(!masked || *v > -0.3)).collect();
        let poisoned = |values: &[f32]| -> Vec<f32> {
            values.iter().enumerate().map(|(i, v)| if mask[i / columns] == 0 { f32::NAN } else { *v }).collect()
        };
        let inputs = [
            Value::Float(shape, poisoned(&p)),
            Value::Float(shape, poisoned(&t)),
            Value::Integer(Shape::new(&[rows]), mask.clone()),
        ];
        let outcome = run(&inputs, |_, v| {
            PAIRS.iter().map(|(_, loss, _)| loss(v[0], v[1], masked.then_some(v[2]))).collect()
        }).unwrap();
        let (p, t) = (scaled(&p), scaled(&t));
        let valid: Vec<usize> = (0..shape.len()).filter(|i| mask[i / columns] != 0).collect();
        let mut dp = vec![0.0; shape.len()];
        // of the terms, which may cancel
        let mut scale = 1e-6f64;
        for (index, (name, _, reference)) in PAIRS.iter().enumerate() {
            let sum: f64 = valid.iter().map(|i| reference(p[*i], t[*i])[0]).sum();
            close(name, outcome.outputs[index][0], sum / valid.len().max(1) as f64, 1e-5);
            for i in &valid {
                let term = incoming(index as u64) * reference(p[*i], t[*i])[1] / valid.len() as f64;
                dp[*i] += term;
                scale = scale.max(term.abs());
            }
        }
        for (a, e) in gradient(&outcome, 0).iter().zip(&dp) {
            prop_assert!((f64::from(*a) - e).abs() <= 1e-4 * scale, "{} {}", a, e);
        }
        prop_assert!(gradient(&outcome, 1).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn class_losses_match_f64(
        rows in prop_oneof![1usize..9, Just(67)],
        classes in prop_oneof![1usize..9, Just(16), Just(17), Just(65), Just(300)],
        seed in 0u64..1000,
    ) {
        class_losses(&support::gpu(), rows, classes, seed);
    }
}

#[test]
fn portable_and_discrete_class_losses_match_f64() {
    for gpu in [support::portable_gpu(), support::discrete_gpu()] {
        class_losses(&gpu, 70, 5, 1);
        class_losses(&gpu, 3, 77, 2);
        class_losses(&gpu, 9, 8, 3);
    }
}

/// Every third row has no label.
fn labels(rows: usize, classes: usize, seed: u64) -> Vec<u32> {
    let pick = |(i, v): (usize, &f32)| if i % 3 == 2 { u32::MAX } else { ((v + 1.0) * 0.5 * classes as f32) as u32 };
    let all: Vec<u32> = noise(rows, seed).iter().enumerate().map(pick).collect();
    all.into_iter().map(|label| if label == u32::MAX { label } else { label.min(classes as u32 - 1) }).collect()
}

/// Weighted cross entropy with smoothing, and focal loss, of the same logits.
fn class_losses(gpu: &limbic::gpu::Gpu, rows: usize, classes: usize, seed: u64) {
    let what = format!("{rows} x {classes}");
    let logits: Vec<f32> = noise(rows * classes, seed).iter().map(|v| v * 4.0).collect();
    let weights: Vec<f32> = noise(classes, seed + 1).iter().map(|v| v * 0.5 + 1.0).collect();
    let labels = labels(rows, classes, seed + 2);
    let inputs = [
        Value::Float(Shape::new(&[rows, classes]), logits.clone()),
        Value::Integer(Shape::new(&[rows]), labels.clone()),
        Value::Fixed(Shape::new(&[classes]), weights.clone()),
    ];
    let (smoothing, gamma) = (0.2, 1.5);
    let outcome = run_on(gpu, &inputs, |_, v| {
        vec![
            v[0].cross_entropy(v[1], Some(v[2]), smoothing as f32),
            v[0].focal_loss(v[1], Some(v[2]), gamma as f32),
            v[0].cross_entropy_per_row(v[1], None, 0.0),
        ]
    });
    let outcome = outcome.unwrap();
    let (x, w) = (scaled(&logits), scaled(&weights));
    let plain_cotangent = noise(rows, 1002);
    let real: Vec<usize> = (0..rows).filter(|row| (labels[*row] as usize) < classes).collect();
    let total_weight: f64 = real.iter().map(|row| w[labels[*row] as usize]).sum();
    let (mut smooth, mut focal, mut plain) = (0.0, 0.0, vec![0.0; rows]);
    let mut dx = vec![0.0; x.len()];
    // of the terms: with a single class they cancel, and rounding is all that is left
    let mut scale = 1e-6f64;
    for row in &real {
        let (row, y) = (*row, labels[*row] as usize);
        let line = &x[row * classes..(row + 1) * classes];
        let most = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + line.iter().map(|v| (v - most).exp()).sum::<f64>().ln();
        let log_p = |c: usize| line[c] - log_sum;
        let target = |c: usize| {
            let hard = if c == y { 1.0 - smoothing } else { 0.0 };
            w[c] * (hard + smoothing / classes as f64)
        };
        smooth += (0..classes).map(|c| -target(c) * log_p(c)).sum::<f64>() / total_weight;
        let (p, others) = (log_p(y).exp(), (0..classes).filter(|c| *c != y).map(|c| log_p(c).exp()).sum::<f64>());
        focal += w[y] * others.powf(gamma) * -log_p(y) / real.len() as f64;
        plain[row] = -log_p(y);
        let all: f64 = (0..classes).map(target).sum();
        // d focal / d log p
        let slope = if others > 0.0 {
            w[y] * (gamma * others.powf(gamma - 1.0) * p * log_p(y) - others.powf(gamma))
        } else {
            0.0
        };
        for c in 0..classes {
            let own = if c == y { 1.0 } else { 0.0 };
            let q = log_p(c).exp();
            let to_smooth = incoming(0) / total_weight;
            let to_focal = incoming(1) * slope / real.len() as f64;
            let to_plain = f64::from(plain_cotangent[row]) * 0.75 * 1.5;
            let with_q = [to_smooth * all * q, -to_focal * q, to_plain * q];
            let without = [-to_smooth * target(c), to_focal * own, -to_plain * own];
            dx[row * classes + c] = with_q.iter().chain(&without).sum();
            scale = with_q.iter().chain(&without).fold(scale, |most, term| most.max(term.abs()));
        }
    }
    close(&format!("{what}: cross entropy"), outcome.outputs[0][0], smooth, 1e-5);
    close(&format!("{what}: focal"), outcome.outputs[1][0], focal, 1e-5);
    for (loss, expected) in outcome.outputs[2].iter().zip(&plain) {
        close(&format!("{what}: per row"), *loss, *expected, 1e-5);
    }
    for (a, e) in gradient(&outcome, 0).iter().zip(&dx) {
        assert!((f64::from(*a) - e).abs() <= 1e-4 * scale, "{what}: dlogits {a}, expected {e}");
    }
}

fn fixed_labels(labels: &[u32]) -> Value {
    Value::Integer(Shape::new(&[labels.len()]), labels.to_vec())
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let pair = [float([5, 3], 1), float([5, 3], 2)];
    for (name, loss, _) in PAIRS {
        check_gradients(name, &pair, |_, v| vec![loss(v[0], v[1], None)]);
    }
    check_gradients("rmse", &pair, |_, v| vec![v[0].rmse_loss(v[1], 1e-6, None)]);
    let labelled = [float([6, 4], 1), fixed_labels(&[3, 0, 9, 1, 1, 2])];
    check_gradients("cross entropy", &labelled, |_, v| vec![v[0].cross_entropy(v[1], None, 0.1)]);
    check_gradients("focal", &labelled, |graph, v| {
        let weights = constant(graph, [4], &class_balanced_weights(&[800, 310, 120, 45], 0.9999));
        vec![v[0].focal_loss(v[1], Some(weights), 2.0)]
    });
    let logits = Value::Fixed(Shape::new(&[6, 4]), noise(24, 2));
    let unsure = [float([6, 1], 1), logits, fixed_labels(&[3, 0, 1, 1, 1, 2])];
    check_gradients("uncertainty", &unsure, |_, v| vec![v[0].sigmoid().uncertainty_loss(v[1], v[2])]);
    let embedded = [float([6, 5], 3), fixed_labels(&[0, 1, 0, 2, 1, 0])];
    for positives in [Positives::In, Positives::Out] {
        check_gradients("supervised infonce", &embedded, |_, v| {
            vec![cosine_similarities(v[0], v[0], 0.5).supervised_infonce(v[1], positives)]
        });
    }
    let pairs = [float([4, 5], 1), float([4, 5], 2), fixed_labels(&[1, 0, 1, 1])];
    check_gradients("pairs", &pairs[..2], |_, v| vec![infonce_pairs(v[0], v[1], 0.5, None)]);
    check_gradients("masked pairs", &pairs, |_, v| vec![infonce_pairs(v[0], v[1], 0.5, Some(v[2]))]);
    check_gradients("prototypes", &[float([6, 5], 1), float([3, 5], 2), fixed_labels(&[0, 1, 0, 2, 1, 0])], |_, v| {
        vec![prototype_distances(v[0], v[1]).prototype_loss(v[2], 0.5)]
    });
}

/// Many blocks, their sums added by a second kernel; a target that is shared with nothing.
#[test]
fn long_losses_sum_in_blocks() {
    let len = 3 * 4096 + 17;
    let inputs = [float([len], 1), float([len], 2)];
    let outcome = run(&inputs, |_, v| vec![v[0].mse_loss(v[1], None)]).unwrap();
    let (p, t) = (scaled(&noise(len, 1)), scaled(&noise(len, 2)));
    let expected = p.iter().zip(&t).map(|(p, t)| (p - t).powi(2)).sum::<f64>() / len as f64;
    close("mse", outcome.outputs[0][0], expected, 1e-6);
    let dp: Vec<f64> = p.iter().zip(&t).map(|(p, t)| incoming(0) * 2.0 * (p - t) / len as f64).collect();
    assert_close("dp", gradient(&outcome, 0), &dp, 1e-5);
    assert_close("dt", gradient(&outcome, 1), &dp.iter().map(|v| -v).collect::<Vec<_>>(), 1e-5);
}

/// Where nothing counts the loss and its gradients are zero, not 0 / 0.
#[test]
fn nothing_valid_costs_nothing() {
    let inputs = [float([2, 3], 1), float([2, 3], 2), fixed_labels(&[0, 0]), fixed_labels(&[7, 7])];
    let outcome = run(&inputs, |_, v| {
        vec![v[0].mse_loss(v[1], Some(v[2])), v[0].cross_entropy(v[3], None, 0.1), v[1].focal_loss(v[3], None, 2.0)]
    });
    let outcome = outcome.unwrap();
    assert!(outcome.outputs.iter().all(|loss| loss[0] == 0.0));
    assert!((0..2).all(|index| gradient(&outcome, index).iter().all(|v| *v == 0.0)));
    let alone = [float([3, 4], 1), fixed_labels(&[0, 1, 2])];
    let outcome =
        run(&alone, |_, v| vec![cosine_similarities(v[0], v[0], 0.1).supervised_infonce(v[1], Positives::In)]).unwrap();
    assert!(outcome.outputs[0][0] == 0.0 && gradient(&outcome, 0).iter().all(|v| *v == 0.0));
}

/// Pairs that do not count are as if they were not there.
#[test]
fn pairs_are_contrasted_with_those_that_count() {
    let (rows, mask) = (5, [1, 0, 1, 1, 0]);
    let kept = |values: &[f32]| -> Vec<f32> {
        values.chunks(6).zip(mask).filter(|(_, counts)| *counts == 1).flat_map(|(row, _)| row.to_vec()).collect()
    };
    let (a, b) = (noise(rows * 6, 1), noise(rows * 6, 2));
    let of = |rows: usize, values: Vec<f32>| Value::Float(Shape::new(&[rows, 6]), values);
    let some = [of(3, kept(&a)), of(3, kept(&b))];
    let expected = run(&some, |_, v| vec![infonce_pairs(v[0], v[1], 0.2, None)]).unwrap();
    let rows = |row: &dyn Fn(&[f32]) -> Vec<f32>| [row(&a), row(&b)].map(|values| of(5, values));
    for poison in [0.5, f32::NAN] {
        let hidden = |values: &[f32]| {
            let row = |(row, counts): (&[f32], u32)| if counts == 1 { row.to_vec() } else { vec![poison; 6] };
            values.chunks(6).zip(mask).flat_map(row).collect()
        };
        let all = [rows(&hidden).to_vec(), vec![fixed_labels(&mask)]].concat();
        let found = run(&all, |_, v| vec![infonce_pairs(v[0], v[1], 0.2, Some(v[2]))]).unwrap();
        close("loss", found.outputs[0][0], f64::from(expected.outputs[0][0]), 1e-6);
        for index in 0..2 {
            let (found, expected) = (gradient(&found, index), gradient(&expected, index));
            let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
            assert_close("gradient", &kept(found), &expected, 1e-6);
            let others = found.chunks(6).zip(mask).filter(|(_, counts)| *counts == 0);
            assert!(others.flat_map(|(row, _)| row).all(|value| *value == 0.0));
        }
    }
    let none = [float([3, 6], 1), float([3, 6], 2), fixed_labels(&[0, 0, 0])];
    let none = run(&none, |_, v| vec![infonce_pairs(v[0], v[1], 0.2, Some(v[2]))]).unwrap();
    assert!(none.outputs[0][0] == 0.0 && (0..2).all(|index| gradient(&none, index).iter().all(|v| *v == 0.0)));
}

/// NaN in rows that do not count, and more such rows, change no bit.
#[test]
fn rows_that_do_not_count_are_never_looked_at() {
    let (rows, columns) = (5, 4);
    let mask = [1, 0, 1, 1, 0];
    let labels = [1, 9, 3, 0, 9];
    let losses = |more: usize, poison: f32| {
        let all = rows + more;
        let real = |row: usize| row < rows && mask[row] == 1;
        let of = |seed: u64| -> Vec<f32> {
            let values = noise(rows * columns, seed);
            (0..all * columns).map(|i| if real(i / columns) { values[i] } else { poison }).collect()
        };
        let shape = Shape::new(&[all, columns]);
        let inputs = [
            Value::Float(shape, of(1)),
            Value::Float(shape, of(2)),
            fixed_labels(&(0..all).map(|row| u32::from(real(row))).collect::<Vec<_>>()),
            fixed_labels(&(0..all).map(|row| if row < rows { labels[row] } else { 9 }).collect::<Vec<_>>()),
        ];
        let outcome = run(&inputs, |_, v| {
            let mut losses: Vec<_> = PAIRS.iter().map(|(_, loss, _)| loss(v[0], v[1], Some(v[2]))).collect();
            losses.push(v[0].cross_entropy(v[3], None, 0.1));
            losses.push(v[1].focal_loss(v[3], None, 2.0));
            losses
        });
        let outcome = outcome.unwrap();
        let mut bits: Vec<u32> = outcome.outputs.iter().flatten().map(|v| v.to_bits()).collect();
        for index in 0..2 {
            bits.extend(gradient(&outcome, index)[..rows * columns].iter().map(|v| v.to_bits()));
        }
        bits
    };
    let clean = losses(0, 0.5);
    for (more, poison) in [(0, f32::NAN), (0, f32::INFINITY), (3, f32::NAN), (300, f32::NAN)] {
        assert!(losses(more, poison) == clean, "{more} more rows of {poison} changed something");
    }
}

#[test]
fn sure_predictions_neither_overflow_nor_lose_their_gradient() {
    let logits = [200.0, -200.0, 0.0, -200.0, 200.0, 0.0, 30.0, 0.0, 0.0];
    let inputs = [Value::Float(Shape::new(&[3, 3]), logits.to_vec()), fixed_labels(&[0, 0, 0])];
    let outcome =
        run(&inputs, |_, v| vec![v[0].cross_entropy_per_row(v[1], None, 0.0), v[0].focal_loss(v[1], None, 2.0)]);
    let outcome = outcome.unwrap();
    assert_close("rows", &outcome.outputs[0], &[0.0, 600.0, 2.0 * (-45f64).exp()], 1e-6);
    assert!(outcome.outputs[1][0].is_finite() && gradient(&outcome, 0).iter().all(|v| v.is_finite()));
    let logits = [float([1, 1], 1), Value::Fixed(Shape::new(&[4]), vec![1e4, -1e4, 60.0, -60.0])];
    let outcome = run(&logits, |graph, v| {
        let target = constant(graph, [4], &[1.0, 0.0, 0.0, 1.0]);
        vec![v[1].bce_with_logits(target, None) + v[0].sum()]
    });
    let x0 = f64::from(noise(1, 1)[0] * 1.5);
    close("bce", outcome.unwrap().outputs[0][0], 45.0 + x0, 1e-5);
}

/// log(1 + e) of a tiny e, which a driver that simplifies (1 + e) - 1 would lose.
#[test]
fn a_nearly_sure_logit_keeps_its_loss() {
    for logit in [6f32, 8.0, 11.0, 13.0] {
        let inputs = [float([1, 1], 1), Value::Fixed(Shape::new(&[1]), vec![logit])];
        let outcome =
            run(&inputs, |graph, v| vec![v[1].bce_with_logits(constant(graph, [1], &[1.0]), None), v[0].sum()]);
        let expected = (-1.5 * f64::from(logit)).exp().ln_1p();
        let found = f64::from(outcome.unwrap().outputs[0][0]);
        assert!((found - expected).abs() < 1e-5 * expected, "{logit}: {found:e}, expected {expected:e}");
    }
}

#[test]
fn balanced_weights_favour_rare_classes_and_average_one() {
    let weights = class_balanced_weights(&[800, 310, 120, 45], 0.9999);
    assert!(weights.windows(2).all(|pair| pair[0] < pair[1]));
    assert!((weights.iter().sum::<f32>() - 4.0).abs() < 1e-5);
    assert_close("weights", &weights, &[0.14766725, 0.37193766, 0.95178615, 2.52860894], 1e-6);
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let error = |build: &dyn for<'g> Fn(&'g Graph) -> Var<'g>| {
        let plan = Plan::new(&support::empty_store(), Mode::Forward, |graph| {
            build(graph);
            Ok(())
        });
        plan.expect_err("an error").to_string()
    };
    let shapes = error(&|graph| graph.input("p", [4, 1]).mse_loss(graph.input("t", [4]), None));
    assert!(shapes.contains("mse_loss") && shapes.contains("[4, 1]") && shapes.contains("[4]"), "{shapes}");
    let delta = error(&|graph| graph.input("p", [4]).huber_loss(graph.input("t", [4]), 0.0, None));
    assert!(delta.contains("huber_loss") && delta.contains("delta"), "{delta}");
    let mask = error(&|graph| graph.input("p", [4]).mae_loss(graph.input("t", [4]), Some(graph.mask_input("m", [3]))));
    assert!(mask.contains("mae_loss") && mask.contains("first axes"), "{mask}");
    let labels = error(&|graph| graph.input("x", [4, 3]).cross_entropy(graph.mask_input("y", [3]), None, 0.0));
    assert!(labels.contains("cross_entropy") && labels.contains("[4]"), "{labels}");
    let kind = error(&|graph| graph.input("x", [4, 3]).cross_entropy(graph.input("y", [4]), None, 0.0));
    assert!(kind.contains("U32"), "{kind}");
    let smoothing = error(&|graph| graph.input("x", [4, 3]).cross_entropy(graph.mask_input("y", [4]), None, 1.5));
    assert!(smoothing.contains("smoothing"), "{smoothing}");
    let weights = error(&|graph| {
        graph.input("x", [4, 3]).focal_loss(graph.mask_input("y", [4]), Some(graph.input("w", [4])), 2.0)
    });
    assert!(weights.contains("focal_loss") && weights.contains("[3]"), "{weights}");
    let square = error(&|graph| graph.input("s", [4, 3]).supervised_infonce(graph.mask_input("y", [4]), Positives::In));
    assert!(square.contains("contrast") && square.contains("[4, 3]"), "{square}");
    let pairs = error(&|graph| infonce_pairs(graph.input("a", [4, 3]), graph.input("b", [5, 3]), 0.1, None));
    assert!(pairs.contains("infonce_pairs") && pairs.contains("[5, 3]"), "{pairs}");
    let values = error(&|graph| constant(graph, [3], &[1.0]));
    assert!(values.contains("constant") && values.contains("[3]"), "{values}");
}
