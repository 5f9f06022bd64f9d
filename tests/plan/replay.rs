//! Running: nothing created, and the right numbers every time.

use crate::dag::dags;
use crate::support::{assert_close, cases, empty_store, gpu, noise};
use crate::{calls, noop_gpu, plan_on};
use limbic::gpu::GpuOptions;
use limbic::plan::{Mode, Plan, StepUniform};
use proptest::prelude::*;

#[test]
fn a_run_creates_a_command_encoder_and_nothing_else() {
    let gpu = noop_gpu(&GpuOptions::default());
    let (plan, created) = calls::created_by(|| {
        plan_on(&gpu, Mode::Gradients, |graph| {
            let x = graph.input_with_grad("x", [33]);
            (x.tanh() * x + x).dropout(0.5).sum().as_loss();
        })
    });
    let plan = plan.unwrap();
    // the counter works: a plan has buffers and bind groups
    for kind in ["buffer", "bind_group"] {
        assert!(created.iter().any(|name| name == kind), "{kind} not among {created:?}");
    }
    for run in 0..3 {
        let ((), created) = calls::created_by(|| {
            plan.write("x", &[0.5; 33]).unwrap();
            plan.set_step(StepUniform { index: run, ..StepUniform::default() });
            plan.run().unwrap();
        });
        assert_eq!(created, ["command_encoder"]);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    /// If a slot were reused too early, a value or a gradient would be another's.
    #[test]
    fn random_graphs_compute_what_f64_says(dag in dags(), seed in 0u64..1000) {
        let store = empty_store();
        let plan = Plan::new(&store, Mode::Gradients, |graph| { dag.build(graph); Ok(()) }).unwrap();
        for run in 0..2 {
            let inputs: Vec<Vec<f32>> =
                (0..dag.inputs).map(|input| noise(dag.len, seed + 10 * input as u64 + 100 * run)).collect();
            for (input, values) in inputs.iter().enumerate() {
                plan.write(&format!("x{input}"), values).unwrap();
            }
            plan.run().unwrap();
            let wide: Vec<Vec<f64>> =
                inputs.iter().map(|values| values.iter().map(|value| f64::from(*value)).collect()).collect();
            let expected = dag.evaluate(&wide);
            for output in dag.output_tensors() {
                assert_close("output", &plan.read(&format!("y{output}")).unwrap(), &expected[output], 1e-5);
            }
            check_gradient(&plan, &dag, &wide);
        }
    }
}

/// The gradients along one direction against f64 central differences of the same graph.
fn check_gradient(plan: &Plan, dag: &crate::dag::Dag, inputs: &[Vec<f64>]) {
    const STEP: f64 = 1e-5;
    let along: Vec<Vec<f32>> = (0..dag.inputs).map(|input| noise(dag.len, 7 + input as u64)).collect();
    let shifted = |sign: f64| {
        let moved = inputs.iter().zip(&along).map(|(values, along)| {
            values.iter().zip(along).map(|(value, d)| value + sign * STEP * f64::from(*d)).collect()
        });
        dag.loss(&moved.collect::<Vec<Vec<f64>>>())
    };
    let expected = (shifted(1.0) - shifted(-1.0)) / (2.0 * STEP);
    let (mut sum, mut scale) = (0.0, 1e-3);
    for (input, along) in along.iter().enumerate() {
        // an input that the loss does not depend on has no gradient
        let Ok(gradient) = plan.read(&format!("grad/x{input}")) else { continue };
        for (g, d) in gradient.iter().zip(along) {
            sum += f64::from(*g) * f64::from(*d);
            scale += (f64::from(*g) * f64::from(*d)).abs();
        }
    }
    assert!((sum - expected).abs() <= 1e-5 * scale + 1e-7, "gradient {sum}, differences {expected}");
}

#[test]
fn a_tensor_that_is_used_three_times_gets_the_sum_of_three_gradients() {
    let store = empty_store();
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        let x = graph.input_with_grad("x", [5]);
        // x^2 + 3 x: once on both sides of a product, once more alone
        (x * x + x.scale(3.0)).sum().as_loss();
        Ok(())
    })
    .unwrap();
    let x = [-2.0, -0.5, 0.0, 1.0, 4.0f32];
    plan.write("x", &x).unwrap();
    plan.run().unwrap();
    let expected: Vec<f32> = x.iter().map(|x| 2.0 * x + 3.0).collect();
    assert_eq!(plan.read("grad/x").unwrap(), expected);
}

#[test]
fn what_no_output_needs_is_not_computed() {
    let gpu = noop_gpu(&GpuOptions::default());
    let plan = plan_on(&gpu, Mode::Forward, |graph| {
        let x = graph.input("x", [4]);
        x.exp().log().sqrt();
        x.tanh().named("y");
    })
    .unwrap();
    assert_eq!(plan.program().len(), 1);
    assert!(plan.program().describe(0).0.starts_with("unary"));
}

#[test]
fn independent_branches_stand_side_by_side() {
    let gpu = noop_gpu(&GpuOptions { groups: Some(false), ..GpuOptions::default() });
    let plan = plan_on(&gpu, Mode::Forward, |graph| {
        for branch in ["text", "audio", "video"] {
            let _scope = graph.scope(branch);
            graph.input(branch, [64]).tanh().exp().named(branch);
        }
    })
    .unwrap();
    let labels: Vec<&str> = (0..6).map(|index| plan.program().describe(index).0).collect();
    let layers: Vec<&str> = labels.iter().map(|label| label.rsplit(' ').next().unwrap_or_default()).collect();
    assert_eq!(layers, ["text", "audio", "video", "text", "audio", "video"]);
}

#[test]
fn a_plan_records_into_an_encoder_among_other_commands() {
    let gpu = gpu();
    let store = empty_store();
    let plan = Plan::new(&store, Mode::Forward, |graph| {
        graph.input("x", [8]).scale(2.0).named("y");
        Ok(())
    })
    .unwrap();
    let (input, (output, _)) = (plan.input_location("x").unwrap(), plan.output_location("y").unwrap());
    plan.write("x", &[1.0; 8]).unwrap();
    // twice in one encoder, the second time over the first's result
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    plan.encode(&mut encoder);
    encoder.copy_buffer_to_buffer(&output.buffer, output.offset, &input.buffer, input.offset, 32);
    plan.encode(&mut encoder);
    gpu.queue().submit([encoder.finish()]);
    assert_eq!(plan.read("y").unwrap(), [4.0; 8]);
}
