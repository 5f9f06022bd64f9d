//! Dropout: statistics, the same mask backward as forward, another one per step, seed and op, reproducible.

mod support;

use limbic::graph::{Graph, Var};
use limbic::plan::{Mode, Plan, StepUniform};
use proptest::prelude::*;
use support::cases;

/// Two dropouts of the same input, with gradients.
fn plan(len: usize, probability: f32) -> Plan {
    Plan::new(&support::empty_store(), Mode::Gradients, |graph| {
        let x = graph.input_with_grad("x", [len]);
        let (first, second) = (x.dropout(probability).named("first"), x.dropout(probability).named("second"));
        (first + second.scale(2.0)).sum().as_loss();
        Ok(())
    })
    .unwrap()
}

struct Drawn {
    first: Vec<f32>,
    second: Vec<f32>,
    gradient: Vec<f32>,
}

/// What the plan makes of ones.
fn draw(plan: &Plan, len: usize, seed: u32, index: u32) -> Drawn {
    plan.write("x", &vec![1.0; len]).unwrap();
    plan.set_step(StepUniform { seed, index, ..StepUniform::default() });
    plan.run().unwrap();
    let read = |name: &str| plan.read(name).unwrap();
    Drawn { first: read("first"), second: read("second"), gradient: read("grad/x") }
}

/// How many elements differ.
fn differ(a: &[f32], b: &[f32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn elements_are_zero_or_scaled_and_backward_draws_what_forward_drew(
        len in prop_oneof![1usize..70, Just(257), Just(1000)],
        probability in 0.05f32..0.95,
        seed: u32,
    ) {
        let drawn = draw(&plan(len, probability), len, seed, 3);
        let scale = 1.0 / (1.0 - probability);
        for value in &drawn.first {
            prop_assert!(*value == 0.0 || (value - scale).abs() <= 1e-6 * scale, "{value}");
        }
        for i in 0..len {
            let expected = drawn.first[i] + 2.0 * drawn.second[i];
            prop_assert!((drawn.gradient[i] - expected).abs() <= 1e-5 * scale);
        }
    }
}

/// 100000 draws at each probability: the share dropped is within four standard deviations.
#[test]
fn the_share_dropped_is_the_probability() {
    let len = 100_000;
    for probability in [0.1f32, 0.5, 0.9] {
        let drawn = draw(&plan(len, probability), len, 1, 1);
        let dropped = drawn.first.iter().filter(|v| **v == 0.0).count() as f64 / len as f64;
        let deviation = (f64::from(probability) * f64::from(1.0 - probability) / len as f64).sqrt();
        assert!((dropped - f64::from(probability)).abs() < 4.0 * deviation, "{probability}: {dropped}");
    }
}

/// Neighbours, and elements a power of two apart, are dropped independently.
#[test]
fn elements_are_independent_of_each_other() {
    let len = 65_536;
    let drawn = draw(&plan(len, 0.5), len, 9, 4);
    for lag in [1, 2, 3, 4, 5, 8, 64, 256, 1024] {
        let pairs = len - lag;
        let both = (0..pairs).filter(|i| drawn.first[*i] == 0.0 && drawn.first[i + lag] == 0.0).count();
        let share = both as f64 / pairs as f64;
        assert!((share - 0.25).abs() < 4.0 * (0.25 * 0.75 / pairs as f64).sqrt(), "lag {lag}: {share}");
    }
}

#[test]
fn steps_seeds_and_ops_draw_differently_and_the_same_again() {
    let len = 4096;
    let plan = plan(len, 0.5);
    let base = draw(&plan, len, 7, 0);
    // two independent fair masks differ in half of their elements
    let independent = |a: &[f32], b: &[f32]| (differ(a, b) as f64 / len as f64 - 0.5).abs() < 0.04;
    assert!(independent(&base.first, &base.second), "two ops");
    assert!(independent(&base.first, &draw(&plan, len, 7, 1).first), "two steps");
    assert!(independent(&base.first, &draw(&plan, len, 8, 0).first), "two seeds");
    assert!(independent(&base.second, &draw(&plan, len, 7, 1).second), "two steps of the second op");
    let again = draw(&plan, len, 7, 0);
    assert_eq!((again.first, again.second, again.gradient), (base.first, base.second, base.gradient));
}

#[test]
fn a_probability_of_zero_is_the_tensor_itself_and_others_must_be_below_one() {
    let of = |probability: f32| {
        Plan::new(&support::empty_store(), Mode::Forward, move |graph: &Graph| {
            let x: Var<'_> = graph.input("x", [8]);
            x.dropout(probability).sum().named("y");
            Ok(())
        })
    };
    let plain = of(0.0).unwrap();
    let dropouts = |plan: &Plan| plan.recording().nodes.iter().filter(|node| node.op.name() == "dropout").count();
    assert_eq!(dropouts(&plain), 0);
    assert_eq!(dropouts(&of(0.3).unwrap()), 1);
    for probability in [-0.1, 1.0, 1.5, f32::NAN] {
        let error = of(probability).expect_err("an error").to_string();
        assert!(error.contains("dropout") && error.contains("probability"), "{error}");
    }
}
