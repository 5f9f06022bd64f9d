//! Who shares memory with whom, and how much there is.

use crate::dag::dags;
use crate::support::cases;
use crate::{calls, noop, noop_gpu, plan_on};
use limbic::Error;
use limbic::gpu::GpuOptions;
use limbic::graph::{Graph, Parameters, TensorId};
use limbic::models::RegressionLoss;
use limbic::models::msa::{BatchShape, Msa, MsaConfig, Preset, SentimentModel, training_graph};
use limbic::models::personality::{PersonalityNetwork, PersonalityNetworkConfig};
use limbic::plan::{Life, Mode, ParameterStore, Plan, assign};
use proptest::prelude::*;
use std::collections::HashMap;

/// First dispatch that writes a tensor and last that reads it (or a view of it); outputs are read at the end.
fn spans(plan: &Plan) -> HashMap<TensorId, (usize, usize)> {
    let recording = plan.recording();
    let mut root: HashMap<TensorId, TensorId> = HashMap::new();
    for node in recording.nodes.iter().filter(|node| node.op.is_view()) {
        let of = root.get(&node.inputs[0]).copied().unwrap_or(node.inputs[0]);
        root.insert(node.outputs[0], of);
    }
    let root_of = |id: &TensorId| root.get(id).copied().unwrap_or(*id);
    let mut spans: HashMap<TensorId, (usize, usize)> = HashMap::new();
    for position in 0..plan.program().len() {
        let nodes = plan.program().describe(position).1.iter().map(|node| &recording.nodes[*node]);
        for id in nodes.flat_map(|node| node.outputs.iter().chain(&node.inputs)).map(root_of) {
            let span = spans.entry(id).or_insert((position, position));
            span.1 = position;
        }
    }
    for (_, id) in &recording.outputs {
        if let Some(span) = spans.get_mut(&root_of(id)) {
            span.1 = usize::MAX;
        }
    }
    spans
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn no_two_live_tensors_share_memory(dag in dags(), every in 0usize..6) {
        let gpu = noop_gpu(&GpuOptions::default());
        let plan = plan_on(&gpu, Mode::Gradients, |graph| dag.build_in_scopes(graph, every)).unwrap();
        let spans = spans(&plan);
        let placed: Vec<_> = spans.iter().filter_map(|(id, span)| Some((id, span, plan.location(*id)?))).collect();
        for (at, (a, a_span, a_place)) in placed.iter().enumerate() {
            for (b, b_span, b_place) in &placed[at + 1..] {
                let apart = a_span.1 < b_span.0 || b_span.1 < a_span.0;
                prop_assert!(apart || !a_place.overlaps(b_place), "{a:?} {a_span:?} and {b:?} {b_span:?} share bytes");
            }
        }
        // no dispatch binds a buffer both to read and to write: the backend that runs nothing checks it
        plan.run().unwrap();
        gpu.check("running").unwrap();
    }

    #[test]
    fn memory_is_reported_before_and_at_least_what_must_be_alive(dag in dags()) {
        let gpu = noop_gpu(&GpuOptions::default());
        let store = ParameterStore::new(&gpu, &Parameters::new(), &[]).unwrap();
        let build = |graph: &Graph| { dag.build(graph); Ok(()) };
        let (measured, created) = calls::created_by(|| Plan::measure(&store, Mode::Gradients, build).unwrap());
        prop_assert!(created.is_empty(), "measuring created {created:?}");
        let plan = Plan::new(&store, Mode::Gradients, build).unwrap();
        prop_assert_eq!(plan.memory(), measured);
        // an independent bound: the tensors that are alive while some dispatch runs
        let spans = spans(&plan);
        let alive_at = |position: usize| {
            let alive = spans.iter().filter(|(_, span)| span.0 <= position && position <= span.1);
            alive.filter_map(|(id, _)| plan.location(*id)).map(|place| place.size).sum::<u64>()
        };
        let most = (0..plan.program().len()).map(alive_at).max();
        prop_assert!(most.unwrap_or(0) <= measured.activations);
        prop_assert!(measured.activations_lower_bound <= measured.activations);
        // inputs may share a buffer, at offsets that can be bound
        let (least, count) = ((dag.len * 4).max(16).next_multiple_of(16) as u64, dag.inputs as u64);
        prop_assert!(least * count <= measured.inputs && measured.inputs <= least.next_multiple_of(256) * count);
    }

    #[test]
    fn lives_that_touch_take_other_bytes(lives in prop::collection::vec(lives(), 0..40)) {
        let slots = assign(&lives, 1000);
        let bytes = |index: usize| slots.offset_of[index]..slots.offset_of[index] + lives[index].bytes;
        for (a, left) in lives.iter().enumerate() {
            prop_assert!(bytes(a).end <= slots.bytes[slots.slot_of[a]]);
            prop_assert!(bytes(a).end <= 1000 || bytes(a).start == 0);
            for (b, right) in lives.iter().enumerate().skip(a + 1) {
                let together = left.first <= right.last && right.first <= left.last;
                let shares = together && slots.slot_of[a] == slots.slot_of[b];
                let apart = bytes(a).end <= bytes(b).start || bytes(b).end <= bytes(a).start;
                prop_assert!(!shares || apart, "{left:?} and {right:?} share bytes");
                let writes = |one: &Life, other: &Life| one.written.iter().any(|level| other.bound.contains(level));
                prop_assert!(!shares || !writes(left, right) && !writes(right, left), "{left:?} disturbs {right:?}");
            }
        }
        prop_assert!(slots.lower_bound <= slots.total());
        prop_assert!(slots.total() <= lives.iter().map(|life| life.bytes).sum());
    }
}

/// A life of up to 1600 bytes, bound at up to four levels.
fn lives() -> impl Strategy<Value = Life> {
    (1u64..100, prop::collection::btree_set(0usize..16, 1..5), 1usize..3).prop_map(|(bytes, bound, written)| {
        let bound: Vec<usize> = bound.into_iter().collect();
        let written = bound[..written.min(bound.len())].to_vec();
        Life { bytes: bytes * 16, first: bound[0], last: bound[bound.len() - 1], bound, written }
    })
}

/// A chain whose every tensor is needed only by the next.
fn chain(graph: &Graph) {
    let x = graph.input("x", [1024]);
    (0..20).fold(x, |x, _| x.tanh() * x.sigmoid()).named("y");
}

#[test]
fn a_long_chain_needs_no_more_than_its_widest_place() {
    let gpu = noop_gpu(&GpuOptions::default());
    let memory = plan_on(&gpu, Mode::Forward, chain).unwrap().memory();
    assert_eq!(memory.activations, memory.activations_lower_bound);
    assert_eq!(memory.activations, 3 * 4096, "both factors, and the product before or after them");
}

#[test]
fn the_budget_is_kept_before_anything_is_allocated() {
    let needed = plan_on(&noop_gpu(&GpuOptions::default()), Mode::Forward, chain).unwrap().memory().total();
    let with = |budget| noop_gpu(&GpuOptions { memory_budget: Some(budget), ..GpuOptions::default() });
    plan_on(&with(needed), Mode::Forward, chain).expect("exactly the budget is enough");
    let gpu = with(needed - 1);
    let (plan, created) = calls::created_by(|| plan_on(&gpu, Mode::Forward, chain));
    assert_eq!(created, Vec::<String>::new(), "created before the budget was checked");
    match plan {
        Err(Error::OutOfMemory { needed: told, budget }) => assert_eq!((told, budget), (needed, needed - 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tensor_larger_than_a_binding_is_refused_before_allocation() {
    // 128 MiB and 16 bytes, as an input and as a result; the device allows 128 MiB
    let len = (32 << 20) + 4;
    let too_large: [fn(&Graph, usize); 2] = [
        |graph, len| graph.output("y", graph.input("x", [len])),
        |graph, len| graph.output("y", graph.input("x", [1]).broadcast_to([len])),
    ];
    for build in too_large {
        let gpu = noop_gpu(&GpuOptions::default());
        let (plan, created) = calls::created_by(|| plan_on(&gpu, Mode::Forward, |graph| build(graph, len)));
        assert!(matches!(plan, Err(Error::OutOfMemory { budget: 134_217_728, .. })), "{plan:?}");
        assert_eq!(created, Vec::<String>::new());
    }
}

/// As much of the lower bound as `build` takes for training, on each kind of device.
fn shares(parameters: &Parameters, build: impl Fn(&Graph) -> limbic::Result<()>) -> [f64; 3] {
    let zeros: Vec<Vec<f32>> = parameters.specs().iter().map(|spec| vec![0.0; spec.shape.len()]).collect();
    noop::KINDS.map(|kind| {
        let store = ParameterStore::new(&noop::gpu(kind, &GpuOptions::default()), parameters, &zeros).unwrap();
        let memory = Plan::measure(&store, Mode::Gradients, &build).unwrap();
        memory.activations as f64 / memory.activations_lower_bound as f64
    })
}

#[test]
fn the_models_take_at_most_a_tenth_more_than_the_least_possible() {
    let model = Msa::new(&MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(50))).unwrap();
    let shape = BatchShape::full(32, model.modalities());
    let msa = shares(model.parameters(), |graph| training_graph(&model, graph, &shape, RegressionLoss::Mse));
    let model = PersonalityNetwork::new(&PersonalityNetworkConfig::small()).unwrap();
    let personality = shares(model.parameters(), |graph| {
        limbic::models::personality::training_graph(&model, graph, 16, RegressionLoss::Mse)
    });
    assert!(msa.iter().chain(&personality).all(|share| *share < 1.1), "{msa:.3?} and {personality:.3?}");
}
