//! A profile says of every dispatch of a step what it is, draws it once, and leaves what it measured as it was.

use crate::support::{gpu, portable_gpu};
use crate::tiny;
use limbic::graph::Parameters;
use limbic::models::msa::{RegressionLoss, training_graph};
use limbic::nn::{Context, Linear};
use limbic::plan::{Mode, ParameterStore, Pass, Plan, Profile};
use limbic::train::{OptimizerConfig, Trainer};
use serde_json::Value;

/// The complete events of a track.
fn events<'a>(trace: &'a Value, track: &str) -> Vec<&'a Value> {
    let all = trace["traceEvents"].as_array().expect("events");
    let named = all.iter().find(|event| event["name"] == "thread_name" && event["args"]["name"] == track);
    let number = &named.expect("the track has a name")["tid"];
    all.iter().filter(|event| event["ph"] == "X" && event["tid"] == *number).collect()
}

fn parsed(profile: &Profile) -> Value {
    serde_json::from_str(&profile.trace()).expect("JSON")
}

/// Events come in order and end before the next begins, up to the rounding of a sum.
fn assert_end_to_end(events: &[&Value]) {
    let mut end = 0.0;
    for event in events {
        let [start, length] = ["ts", "dur"].map(|key| event[key].as_f64().expect("a number"));
        assert!((start - end).abs() <= 1e-9 * end && length >= 0.0, "{event} after {end}");
        end = start + length;
    }
}

#[test]
fn a_trace_holds_every_dispatch_of_a_step_once_and_in_order() {
    let model = tiny::model(0.1);
    let mut trainer = tiny::trainer(&model, &tiny::store(&model, 3), OptimizerConfig::adamw(0.01), 5);
    let profile = trainer.profile(&tiny::batch(0), 1).unwrap();
    let of_plan = trainer.plan().program().len();
    assert_eq!(profile.dispatches.len(), of_plan + trainer.optimizer().dispatches());
    let trace = parsed(&profile);
    let dispatches = events(&trace, "dispatches");
    assert_eq!(dispatches.len(), profile.dispatches.len());
    assert_end_to_end(&dispatches);
    for (index, event) in dispatches.iter().enumerate().take(of_plan) {
        let (label, numbers) = trainer.plan().program().describe(index);
        let nodes: Vec<_> = numbers.iter().map(|number| &trainer.plan().recording().nodes[*number]).collect();
        let op = nodes[0].op.name();
        let layers = nodes.iter().map(|node| node.layer.as_str()).collect::<Vec<_>>().join(", ");
        let name = event["name"].as_str().unwrap();
        assert!(name.starts_with(op) && name.ends_with(&layers), "{name}");
        assert_eq!((&event["args"]["op"], &event["args"]["layer"]), (&op.into(), &layers.into()));
        let shader = event["args"]["kernel"].as_str().unwrap().split(' ').next().unwrap();
        assert!(label.contains(&format!("[{shader}]")), "{label}: {event}");
        assert!(event["args"]["bytes"].as_u64().unwrap() > 0 && event["args"]["workgroups"][0].as_u64().unwrap() > 0);
    }
    let products = dispatches.iter().filter(|event| event["args"]["op_flops"].as_u64() > Some(0));
    assert!(products.count() > 10);
}

#[test]
fn passes_are_told_apart() {
    let model = tiny::model(0.1);
    let mut trainer = Trainer::new(&tiny::store(&model, 3), OptimizerConfig::adamw(0.01), 5, |graph| {
        graph.checkpoint_every(1);
        training_graph(&model, graph, &tiny::shape(), RegressionLoss::Mse)
    })
    .unwrap();
    let profile = trainer.profile(&tiny::batch(0), 1).unwrap();
    let count = |pass: Pass| profile.dispatches.iter().filter(|dispatch| dispatch.pass == pass).count();
    assert_eq!(count(Pass::Recomputed), trainer.plan().work().recomputed_dispatches);
    assert_eq!(count(Pass::Update), trainer.optimizer().dispatches());
    assert!(Pass::ALL.into_iter().all(|pass| count(pass) > 0));
    let backward = profile.dispatches.iter().filter(|dispatch| dispatch.op.ends_with("_backward"));
    assert!(backward.clone().count() > 5 && backward.clone().all(|dispatch| dispatch.pass == Pass::Backward));

    let trace = parsed(&profile);
    let passes = events(&trace, "passes");
    assert_end_to_end(&passes);
    let within: u64 = passes.iter().map(|event| event["args"]["dispatches"].as_u64().unwrap()).sum();
    assert_eq!(within, profile.dispatches.len() as u64);
    assert_eq!((&passes[0]["name"], &passes[passes.len() - 1]["name"]), (&"forward".into(), &"update".into()));
    let table = profile.to_string();
    assert!(["forward", "recomputed", "backward", "update"].iter().all(|pass| table.contains(pass)), "{table}");
}

#[test]
fn names_are_escaped() {
    let mut parameters = Parameters::new();
    let layer = Linear::new(&mut parameters.root(), "a \"layer\"\n\\", 3, 2);
    let store = ParameterStore::new(&gpu(), &parameters, &parameters.initial_values(1)).unwrap();
    let plan = Plan::new(&store, Mode::Forward, |graph| {
        let cx = Context { graph, parameters: &parameters, training: false };
        layer.forward(cx, graph.input("x", [4, 3])).named("y");
        Ok(())
    });
    let trace = parsed(&plan.unwrap().profile(1).unwrap());
    assert!(events(&trace, "dispatches").iter().any(|event| event["args"]["layer"] == "a \"layer\"\n\\"));
}

/// Between two updates, and in mixed precision, where the update also moves the scale.
#[test]
fn training_goes_on_as_if_there_had_been_no_profile() {
    let model = tiny::model(0.1);
    let config = OptimizerConfig { accumulation: 2, ..OptimizerConfig::adamw(0.01) };
    for make in [tiny::trainer, tiny::mixed_trainer] {
        let run = |profiled: bool| {
            let mut trainer = make(&model, &tiny::store(&model, 3), config.clone(), 5);
            tiny::train(&mut trainer, 0..3);
            if profiled {
                trainer.profile(&tiny::batch(7), 2).unwrap();
            }
            (tiny::train(&mut trainer, 3..6), trainer.state().unwrap())
        };
        assert!(run(true) == run(false));
    }
}

#[test]
fn an_adapter_without_timestamps_is_named() {
    let model = tiny::model(0.0);
    let store = tiny::store_on(&portable_gpu(), &model, 3);
    let mut trainer = tiny::trainer(&model, &store, OptimizerConfig::adamw(0.01), 5);
    let message = trainer.profile(&tiny::batch(0), 1).unwrap_err().to_string();
    assert!(message.contains("no timestamp queries") && message.contains(&store.gpu().info().name), "{message}");
}
