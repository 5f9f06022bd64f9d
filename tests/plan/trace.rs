//! The trace of a profile: which op ran when, and in which layer.

use super::{noop_gpu, plan_on};
use limbic::gpu::GpuOptions;
use limbic::plan::{Mode, Plan};
use serde_json::Value;

/// Two ops in a layer whose name wants escaping, then one in none.
fn plan() -> Plan {
    plan_on(&noop_gpu(&GpuOptions::default()), Mode::Forward, |graph| {
        let x = graph.input("x", [4, 8]);
        let weight = graph.input("weight", [8, 8]);
        let scope = graph.scope("the \"first\" layer");
        let y = x.matmul(weight).softmax(1);
        drop(scope);
        y.sum_axes(&[0]).named("y");
    })
    .unwrap()
}

#[test]
fn dispatches_follow_each_other_and_layers_span_theirs() {
    let plan = plan();
    let program = plan.program();
    // exact in binary, all different
    let times: Vec<f64> = (0..program.len()).map(|index| 1.0 + 0.25 * index as f64).collect();
    let trace: Value = serde_json::from_str(&program.trace(&times).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |lane: u32| events.iter().filter(move |event| event["ph"] == "X" && event["tid"] == lane);

    let mut start = 0.0;
    assert_eq!(of(1).count(), program.len());
    for (index, event) in of(1).enumerate() {
        let (label, _) = program.describe(index);
        assert!(label.starts_with(event["name"].as_str().unwrap()), "{label}: {event}");
        assert_eq!((event["ts"].as_f64(), event["dur"].as_f64()), (Some(start), Some(times[index])), "{label}");
        assert_eq!(event["args"]["layer"] == "the \"first\" layer", label.contains(" @ "), "{label}");
        start += times[index];
    }
    let layered = (0..program.len()).filter(|index| program.describe(*index).0.contains(" @ "));
    let length: f64 = layered.map(|index| times[index]).sum();
    let layers: Vec<&Value> = of(2).collect();
    assert_eq!(layers.len(), 1, "{layers:?}");
    assert_eq!((layers[0]["ts"].as_f64(), layers[0]["dur"].as_f64()), (Some(0.0), Some(length)));
}

#[test]
fn times_of_another_program_are_an_error() {
    let error = plan().program().trace(&[1.0]).unwrap_err().to_string();
    assert!(error.contains("1 times"), "{error}");
}
