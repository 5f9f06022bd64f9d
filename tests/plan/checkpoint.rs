//! Gradient checkpointing: the same bits, less memory, and what is computed twice is counted.

use crate::dag::dags;
use crate::noop_gpu;
use crate::support::{cases, empty_store, gpu, noise};
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{CheckpointScope, Graph, Parameters, Shape, Var};
use limbic::models::RegressionLoss;
use limbic::models::msa::{BatchShape, Msa, MsaConfig, Preset, SentimentModel, training_graph};
use limbic::nn::{Context, LayerNorm, Linear};
use limbic::plan::{MemoryReport, Mode, ParameterStore, Plan, StepUniform};
use proptest::prelude::*;

/// Residual layers of width 512, y = norm(x + dropout(relu(linear(x)))), between an input and an output layer.
struct Stack {
    parameters: Parameters,
    input: Linear,
    layers: Vec<(Linear, LayerNorm)>,
    output: Linear,
}

impl Stack {
    fn new(layers: usize) -> Self {
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let input = Linear::new(&mut root, "input", 512, 512);
        let layer = |index: usize| {
            let mut place = root.at(format!("blocks.{index}"));
            (Linear::new(&mut place, "linear", 512, 512), LayerNorm::new(&mut place, "norm", 512, 1e-5))
        };
        let layers = (0..layers).map(layer).collect();
        let output = Linear::new(&mut parameters.root(), "output", 512, 4);
        Stack { parameters, input, layers, output }
    }

    fn build(&self, graph: &Graph, batch: usize, every: usize) {
        graph.checkpoint_every(every);
        let cx = Context { graph, parameters: &self.parameters, training: true };
        let mut x = self.input.forward(cx, graph.input_with_grad("x", [batch, 512])).relu();
        for (index, (linear, norm)) in self.layers.iter().enumerate() {
            let _scope = graph.scope(format!("blocks.{index}"));
            x = norm.forward(cx, x + linear.forward(cx, x).relu().dropout(0.15));
        }
        self.output.forward(cx, x).square().mean().as_loss();
    }

    fn store(&self, gpu: &Gpu) -> ParameterStore {
        ParameterStore::new(gpu, &self.parameters, &self.parameters.initial_values(3)).unwrap()
    }

    fn plan(&self, store: &ParameterStore, batch: usize, every: usize) -> Plan {
        let build = |graph: &Graph| {
            self.build(graph, batch, every);
            Ok(())
        };
        Plan::new(store, Mode::Gradients, build).unwrap()
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Bits of the loss, of x's gradient and of all parameters' gradients.
fn run(store: &ParameterStore, plan: &Plan) -> Vec<Vec<u32>> {
    plan.set_step(StepUniform { seed: 5, index: 3, ..StepUniform::default() });
    plan.run().unwrap();
    let mut all = vec![plan.read("loss").unwrap(), plan.read("grad/x").unwrap()];
    all.extend(store.download_gradients().unwrap());
    all.iter().map(|values| bits(values)).collect()
}

#[test]
fn a_stack_of_35_layers_has_the_same_gradients_bit_for_bit() {
    let stack = Stack::new(35);
    let store = stack.store(&gpu());
    let of = |every| {
        let plan = stack.plan(&store, 6, every);
        plan.write("x", &noise(6 * 512, 1)).unwrap();
        run(&store, &plan)
    };
    let kept = of(0);
    assert!(kept.iter().flatten().any(|bits| *bits != 0));
    for every in [1, 5, 35] {
        assert_eq!(of(every), kept, "every {every} layers");
    }
}

#[test]
fn a_stack_of_35_layers_takes_less_than_half_the_memory() {
    let stack = Stack::new(35);
    // which launches are grouped differs with what is kept: they are counted apart
    let store = stack.store(&noop_gpu(&GpuOptions { groups: Some(false), ..GpuOptions::default() }));
    let [kept, each, fifth] = [0, 1, 5].map(|every| stack.plan(&store, 256, every));
    let share = |plan: &Plan| plan.memory().activations as f64 / kept.memory().activations as f64;
    assert!(share(&each) < 0.45 && share(&fifth) < 0.35, "{} and {}", share(&each), share(&fifth));
    // the products of the 35 layers; those before and behind them are in no scope
    let forward = 35 * 2 * 256 * 512 * 512;
    assert_eq!(fifth.work().recomputed_flops, forward);
    assert_eq!(fifth.work().flops, kept.work().flops + forward);
    let added = fifth.work().dispatches - kept.work().dispatches;
    assert_eq!(added, fifth.work().recomputed_dispatches);
    assert_eq!((kept.work().recomputed_dispatches, kept.work().recomputed_flops), (0, 0));
    let again = (0..fifth.program().len()).map(|index| fifth.program().describe(index).0);
    let again: Vec<&str> = again.filter(|label| label.contains("(recomputed)")).collect();
    assert_eq!(again.len(), added);
    // from the last scope to the first, each from its first layer on
    assert!(again[0].ends_with("blocks.30.linear") && again[added - 1].ends_with("blocks.4.norm"), "{again:?}");
}

#[test]
fn the_sentiment_model_takes_less_memory() {
    let gpu = noop_gpu(&GpuOptions::default());
    let preset = MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64));
    let model = Msa::new(&MsaConfig { n_layers_mod: 6, ..preset }).unwrap();
    let zeros: Vec<Vec<f32>> = model.parameters().specs().iter().map(|spec| vec![0.0; spec.shape.len()]).collect();
    let store = ParameterStore::new(&gpu, model.parameters(), &zeros).unwrap();
    let shape = BatchShape::full(8, model.modalities());
    let measure = |every: usize| {
        let build = |graph: &Graph| {
            graph.checkpoint_every(every);
            training_graph(&model, graph, &shape, RegressionLoss::Mse)
        };
        Plan::measure(&store, Mode::Gradients, build).unwrap()
    };
    let share = |memory: MemoryReport| memory.activations as f64 / measure(0).activations as f64;
    assert!(share(measure(1)) < 0.5, "{}", share(measure(1)));
}

#[test]
fn a_plan_without_gradients_is_not_changed() {
    let stack = Stack::new(3);
    let store = stack.store(&noop_gpu(&GpuOptions::default()));
    let labels = |every| {
        let build = |graph: &Graph| {
            stack.build(graph, 4, every);
            Ok(())
        };
        let plan = Plan::new(&store, Mode::Forward, build).unwrap();
        (0..plan.program().len()).map(|index| plan.program().describe(index).0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(labels(1), labels(0));
}

/// Opens a checkpoint scope, or does not.
type Scopes<'a, 'g> = &'a dyn Fn() -> Option<CheckpointScope<'g>>;

/// Asserts that outputs and gradients of `build` over [6, 8] inputs are the same bits with its scopes as without; returns what is computed
/// again.
fn assert_same(inputs: usize, outputs: &[&str], build: impl for<'g> Fn(&[Var<'g>], Scopes<'_, 'g>)) -> usize {
    let plan = |scopes: bool| {
        Plan::new(&empty_store(), Mode::Gradients, |graph| {
            let shape = Shape::new(&[6, 8]);
            let x: Vec<Var<'_>> = (0..inputs).map(|index| graph.input_with_grad(&format!("x{index}"), shape)).collect();
            build(&x, &|| scopes.then(|| graph.checkpoint()));
            Ok(())
        })
        .unwrap()
    };
    let (kept, again) = (plan(false), plan(true));
    let gradients = (0..inputs).map(|index| format!("grad/x{index}")).collect::<Vec<_>>();
    for plan in [&kept, &again] {
        (0..inputs).for_each(|index| plan.write(&format!("x{index}"), &noise(48, index as u64)).unwrap());
        plan.set_step(StepUniform { seed: 9, index: 1, ..StepUniform::default() });
        plan.run().unwrap();
    }
    for name in outputs.iter().copied().chain(gradients.iter().map(String::as_str)) {
        // an input that the loss does not depend on has no gradient
        let (Ok(kept), Ok(again)) = (kept.read(name), again.read(name)) else { continue };
        assert!(kept.iter().any(|value| *value != 0.0), "{name} is zero");
        assert_eq!(bits(&again), bits(&kept), "{name}");
    }
    again.work().recomputed_dispatches
}

#[test]
fn a_scope_with_several_inputs_and_outputs_that_are_used_twice() {
    let again = assert_same(3, &["loss"], |x, scopes| {
        let scope = scopes();
        let inner = (x[0] * x[1]).tanh();
        let (a, b) = (inner.exp() * x[2].sigmoid(), inner.square() * x[2]);
        drop(scope);
        ((a * b).sum() + (a.tanh() * b.sigmoid()).sum()).as_loss();
    });
    assert!(again > 0);
}

#[test]
fn outputs_inside_a_scope_stay_readable_and_are_not_made_again() {
    let again = assert_same(1, &["loss", "inside"], |x, scopes| {
        let scope = scopes();
        let y = x[0].tanh().named("inside").sigmoid().dropout(0.5).exp();
        drop(scope);
        y.sum().as_loss();
    });
    // the sigmoid and the exponential with the dropout between them
    assert_eq!(again, 3);
}

#[test]
fn a_scope_around_everything_a_scope_inside_another_and_one_that_needs_no_gradient() {
    let again = assert_same(2, &["loss"], |x, scopes| {
        let outer = scopes();
        let y = x[0].tanh().exp();
        let inner = scopes();
        let y = (y * x[0]).sigmoid();
        drop(inner);
        let z = x[1].detach().exp().tanh();
        (y.square() * z).sum().as_loss();
        drop(outer);
    });
    assert!(again > 0);
    let again = assert_same(2, &["loss"], |x, scopes| {
        let scope = scopes();
        let z = x[1].detach().exp().tanh();
        drop(scope);
        (x[0] * z).sum().as_loss();
    });
    assert_eq!(again, 0, "nothing of a scope without gradients is read again");
}

#[test]
fn a_path_out_of_a_scope_and_back_into_it() {
    let again = assert_same(1, &["loss"], |x, scopes| {
        let graph = x[0].graph();
        graph.checkpoint_every(usize::from(scopes().is_some()));
        let layer = graph.scope("blocks.0");
        let y = x[0].tanh().exp();
        drop(layer);
        let between = y.sigmoid().square();
        let layer = graph.scope("blocks.0");
        let z = (between * y).tanh().exp();
        drop(layer);
        (z * y).sum().as_loss();
    });
    assert!(again > 0);
}

#[test]
fn parameters_that_scopes_share_get_the_sum_of_their_gradients() {
    let mut parameters = Parameters::new();
    let linear = Linear::new(&mut parameters.root(), "shared", 8, 8);
    let store = ParameterStore::new(&gpu(), &parameters, &parameters.initial_values(2)).unwrap();
    let of = |scopes: bool| {
        let plan = Plan::new(&store, Mode::Gradients, |graph| {
            let cx = Context { graph, parameters: &parameters, training: true };
            let x = graph.input_with_grad("x", [5, 8]);
            let y = (0..3).fold(x, |x, _| {
                let _scope = scopes.then(|| graph.checkpoint());
                linear.forward(cx, linear.forward(cx, x).gelu()).dropout(0.2) + x
            });
            y.square().sum().as_loss();
            Ok(())
        })
        .unwrap();
        plan.write("x", &noise(40, 4)).unwrap();
        (run(&store, &plan), plan.work().recomputed_dispatches)
    };
    let ((kept, none), (again, some)) = (of(false), of(true));
    assert_eq!(again, kept);
    assert!(none == 0 && some > 0);
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn random_graphs_in_scopes_compute_the_same_bits(dag in dags(), every in 1usize..6, seed in 0u64..1000) {
        let store = empty_store();
        let plan = |every| {
            Plan::new(&store, Mode::Gradients, |graph| { dag.build_in_scopes(graph, every); Ok(()) }).unwrap()
        };
        let (kept, again) = (plan(0), plan(every));
        for plan in [&kept, &again] {
            for input in 0..dag.inputs {
                plan.write(&format!("x{input}"), &noise(dag.len, seed + input as u64)).unwrap();
            }
            plan.run().unwrap();
        }
        let outputs = dag.output_tensors().into_iter().map(|output| format!("y{output}"));
        for name in outputs.chain((0..dag.inputs).map(|input| format!("grad/x{input}"))) {
            let of = |plan: &Plan| plan.read(&name).ok().map(|values| bits(&values));
            prop_assert_eq!(of(&again), of(&kept), "{}", name);
        }
    }
}
