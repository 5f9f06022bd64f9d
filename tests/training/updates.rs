//! Which parameters move, and how far: accumulation, clipping, groups, frozen and unused parameters.

use crate::support::{gpu, noise};
use limbic::graph::{Graph, Parameters, Var};
use limbic::nn::{Context, Linear};
use limbic::plan::{Batch, ParameterStore, Values};
use limbic::train::{Clipping, OptimizerConfig, ParameterGroup, Rule, StepReport, StepSettings, Trainer};

const ROWS: usize = 8;

/// Two layers, and a third that no forward pass uses.
struct Net {
    parameters: Parameters,
    hidden: Linear,
    output: Linear,
}

impl Net {
    fn new() -> Self {
        let mut parameters = Parameters::new();
        let hidden = Linear::new(&mut parameters.root(), "hidden", 5, 7);
        let output = Linear::new(&mut parameters.root(), "output", 7, 1);
        Linear::new(&mut parameters.root(), "unused", 3, 2);
        Net { parameters, hidden, output }
    }

    fn forward<'g>(&'g self, graph: &'g Graph, x: Var<'g>) -> Var<'g> {
        let cx = Context { graph, parameters: &self.parameters, training: true };
        self.output.forward(cx, self.hidden.forward(cx, x).tanh())
    }

    fn trainer(&self, config: OptimizerConfig, rows: usize) -> Trainer {
        let store = ParameterStore::new(&gpu(), &self.parameters, &self.parameters.initial_values(2)).expect("a store");
        Trainer::new(&store, config, 1, |graph| {
            let (x, y) = (graph.input("x", [rows, 5]), graph.input("y", [rows, 1]));
            (self.forward(graph, x) - y).square().mean().as_loss();
            Ok(())
        })
        .expect("a trainer")
    }
}

/// Rows `rows` of a fixed batch.
fn rows(rows: std::ops::Range<usize>) -> Batch {
    let x = noise(ROWS * 5, 1)[rows.start * 5..rows.end * 5].to_vec();
    let y = noise(ROWS, 2)[rows.clone()].iter().map(|value| 3.0 * value).collect();
    Batch::new(rows.len()).float("x", x).float("y", y)
}

fn whole() -> Batch {
    rows(0..ROWS)
}

fn steps(trainer: &mut Trainer, batches: impl IntoIterator<Item = Batch>, rate: f64) -> Vec<StepReport> {
    let mut reports = Vec::new();
    for batch in batches {
        reports.extend(trainer.step(batch, StepSettings { learning_rate: rate, beta1: None }).expect("a step"));
    }
    reports.extend(trainer.finish().expect("all steps"));
    reports
}

/// How far each parameter moved, by name.
fn moved(trainer: &Trainer) -> Vec<(String, Vec<f32>)> {
    let parameters = trainer.store().parameters();
    let after = trainer.store().download().expect("the weights");
    let before = parameters.initial_values(2);
    let change = |(after, before): (Vec<f32>, Vec<f32>)| after.iter().zip(before).map(|(a, b)| a - b).collect();
    let changes: Vec<Vec<f32>> = after.into_iter().zip(before).map(change).collect();
    parameters.specs().iter().map(|spec| spec.name.clone()).zip(changes).collect()
}

fn norm<'a>(values: impl IntoIterator<Item = &'a Vec<f32>>) -> f64 {
    values.into_iter().flatten().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// Means of halves are means of the whole; only the order of additions differs.
#[test]
fn two_half_batches_accumulated_are_one_whole_batch() {
    let net = Net::new();
    for config in [OptimizerConfig::sgd(0.9), OptimizerConfig::adamw(0.01)] {
        let mut one = net.trainer(config.clone(), ROWS);
        let mut two = net.trainer(OptimizerConfig { accumulation: 2, ..config }, ROWS / 2);
        steps(&mut one, [whole(), whole(), whole()], 0.05);
        let halves = (0..3).flat_map(|_| [rows(0..ROWS / 2), rows(ROWS / 2..ROWS)]);
        let reports = steps(&mut two, halves, 0.05);
        assert_eq!((two.steps(), two.updates(), one.updates()), (6, 3, 3));
        assert_eq!(reports.len(), 6);
        for ((name, one), (_, two)) in moved(&one).iter().zip(moved(&two)) {
            let scale = one.iter().fold(1e-6f32, |most, value| most.max(value.abs()));
            for (a, b) in one.iter().zip(two) {
                assert!((a - b).abs() <= 1e-4 * scale, "{name}: {a} and {b}");
            }
        }
    }
}

/// The first micro-batch of an update begins a new sum: nothing of the update before is left.
#[test]
fn nothing_moves_until_the_last_micro_batch() {
    let net = Net::new();
    let mut trainer = net.trainer(OptimizerConfig { accumulation: 3, ..OptimizerConfig::sgd(0.0) }, ROWS);
    for (step, moves) in [(0, false), (1, false), (2, true)] {
        steps(&mut trainer, [whole()], 0.1);
        assert_eq!(moved(&trainer).iter().any(|(_, change)| change.iter().any(|value| *value != 0.0)), moves, "{step}");
    }
}

#[test]
fn clipping_limits_the_update_and_reports_the_length_before() {
    let net = Net::new();
    let length = |clipping| {
        let mut trainer = net.trainer(OptimizerConfig { clipping, ..OptimizerConfig::sgd(0.0) }, ROWS);
        let reports = steps(&mut trainer, [whole()], 1.0);
        (f64::from(reports[0].gradient_norm), norm(moved(&trainer).iter().map(|(_, change)| change)))
    };
    let (told, free) = length(Clipping::None);
    assert!((told - free).abs() < 1e-5 * free, "an unclipped step at rate 1 is the gradient: {told} and {free}");
    let limit = free / 4.0;
    let (told, clipped) = length(Clipping::GlobalNorm(limit as f32));
    assert!((told - free).abs() < 1e-5 * free, "the length before clipping is told: {told} instead of {free}");
    assert!((clipped - limit).abs() < 1e-4 * limit, "{clipped} instead of {limit}");
    let (_, above) = length(Clipping::GlobalNorm(2.0 * free as f32));
    assert!((above - free).abs() < 1e-5 * free, "a limit that is not reached changes nothing: {above} and {free}");

    let limit = 0.01f32;
    let mut each =
        net.trainer(OptimizerConfig { clipping: Clipping::ParameterNorm(limit), ..OptimizerConfig::sgd(0.0) }, ROWS);
    steps(&mut each, [whole()], 1.0);
    for (name, change) in moved(&each).iter().filter(|(name, _)| !name.starts_with("unused")) {
        let length = norm([change]);
        assert!((length - f64::from(limit)).abs() < 1e-4 * f64::from(limit), "{name}: {length} instead of {limit}");
    }
}

#[test]
fn groups_have_rates_and_decays_of_their_own() {
    let net = Net::new();
    let group = |prefix: &str, rate_factor, weight_decay| ParameterGroup {
        prefixes: vec![prefix.to_string()],
        rate_factor,
        weight_decay,
    };
    let groups = vec![group("hidden.weight", 0.1, 0.0), group("hidden", 0.0, 0.0), group("output", 1.0, 0.5)];
    let mut plain = net.trainer(OptimizerConfig::sgd(0.0), ROWS);
    let mut grouped = net.trainer(OptimizerConfig { groups, ..OptimizerConfig::sgd(0.0) }, ROWS);
    steps(&mut plain, [whole()], 0.1);
    steps(&mut grouped, [whole()], 0.1);
    let (plain, grouped) = (moved(&plain), moved(&grouped));
    let start = net.parameters.initial_values(2);
    for (index, ((name, plain), (_, grouped))) in plain.iter().zip(&grouped).enumerate() {
        for ((plain, grouped), start) in plain.iter().zip(grouped).zip(&start[index]) {
            let expected = match name.as_str() {
                "hidden.weight" => 0.1 * plain,
                "hidden.bias" => 0.0,
                // torch's SGD decays through the gradient
                "output.weight" | "output.bias" => plain - 0.1 * 0.5 * start,
                _ => *plain,
            };
            assert!((grouped - expected).abs() <= 2e-7, "{name}: {grouped} instead of {expected}");
        }
    }
}

#[test]
fn a_parameter_without_a_gradient_is_left_alone_even_by_decay() {
    let net = Net::new();
    let nesterov = OptimizerConfig {
        rule: Rule::Sgd { momentum: 0.9, nesterov: true },
        weight_decay: 0.3,
        ..OptimizerConfig::sgd(0.9)
    };
    for config in [OptimizerConfig::adamw(0.5), nesterov] {
        let mut trainer = net.trainer(config, ROWS);
        steps(&mut trainer, [whole(), whole(), whole()], 0.1);
        let state = trainer.state().unwrap();
        for (index, (name, change)) in moved(&trainer).iter().enumerate() {
            let still = change.iter().all(|value| *value == 0.0);
            assert_eq!(still, name.starts_with("unused"), "{name}");
            let no_moments = state.first[index].iter().chain(&state.second[index]).all(|value| *value == 0.0);
            assert_eq!(no_moments, name.starts_with("unused"), "{name}");
        }
    }
}

#[test]
fn frozen_parameters_do_not_move_and_cost_no_backward() {
    let mut net = Net::new();
    let mut free = net.trainer(OptimizerConfig::adamw(0.5), ROWS);
    assert_eq!(net.parameters.set_trainable(&["hidden."], false), 5 * 7 + 7);
    let mut frozen = net.trainer(OptimizerConfig::adamw(0.5), ROWS);
    steps(&mut free, [whole(), whole()], 0.1);
    let reports = steps(&mut frozen, [whole(), whole()], 0.1);
    assert!(reports[1].loss < reports[0].loss, "the rest still learns");
    for (name, change) in moved(&frozen) {
        let still = change.iter().all(|value| *value == 0.0);
        assert_eq!(still, !name.starts_with("output"), "{name}");
    }
    let dispatches = |trainer: &Trainer| trainer.plan().program().len();
    // at least the slope of tanh, and the gradients of hidden's weight and bias
    assert!(dispatches(&frozen) + 3 <= dispatches(&free), "{} and {}", dispatches(&frozen), dispatches(&free));
    let labels: Vec<&str> = (0..dispatches(&frozen)).map(|index| frozen.plan().program().describe(index).0).collect();
    let hidden = labels.iter().filter(|label| label.ends_with("@ hidden")).count();
    assert_eq!(hidden, 1, "only the forward matmul: {labels:?}");
    assert!(frozen.memory().1 < free.memory().1, "no optimiser state for what is frozen");
    assert_eq!(frozen.plan().trained().len(), 2);
}

#[test]
fn a_loss_without_anything_to_train_is_still_a_run() {
    let mut net = Net::new();
    net.parameters.set_trainable(&["hidden", "output"], false);
    let mut trainer = net.trainer(OptimizerConfig::adamw(0.5), ROWS);
    let reports = steps(&mut trainer, [whole(), whole()], 0.1);
    assert_eq!(reports[0].loss, reports[1].loss);
    assert_eq!(reports[0].gradient_norm, 0.0);
}

/// What the batches of these tests hold is what they say.
#[test]
fn halves_are_halves() {
    let (Values::F32(all), Values::F32(half)) = (&whole().tensors()[0].1.clone(), &rows(4..8).tensors()[0].1.clone())
    else {
        panic!("floats")
    };
    assert_eq!(all[20..], half[..]);
}
