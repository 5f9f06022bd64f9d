//! Masks: made, combined, applied; and that padding cleared by `mask_rows` goes nowhere in a stack of layers.

mod support;

use limbic::graph::{Graph, Init, Parameters, Shape, Var};
use limbic::ops::masks::{combine_masks, look_ahead_mask};
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{Value, cases, check_gradients, float, noise, run};

/// Runs a forward graph over one float and one integer input and reads the integer output `mask`.
fn mask_of<F>(x: (Shape, &[f32]), ids: Option<(Shape, &[u32])>, build: F) -> Vec<u32>
where
    F: for<'g> Fn(&'g Graph, Var<'g>, Option<Var<'g>>) -> Var<'g>,
{
    let plan = Plan::new(&support::empty_store(), Mode::Forward, |graph| {
        let x_var = graph.input("x", x.0);
        let ids_var = ids.map(|(shape, _)| graph.mask_input("ids", shape));
        build(graph, x_var, ids_var).named("mask");
        x_var.scale(1.0).named("keeps x in the plan");
        Ok(())
    });
    let plan = plan.unwrap();
    plan.write("x", x.1).unwrap();
    if let Some((_, values)) = ids {
        plan.write_u32("ids", values).unwrap();
    }
    plan.run().unwrap();
    plan.read_u32("mask").unwrap()
}

#[test]
fn a_step_is_real_where_any_feature_differs_from_the_padding_value() {
    let x = [0.0, 0.0, 1e-30, 0.0, -0.0, 0.0, 0.0, f32::NAN, 5.0, 5.0, 5.0, 0.0];
    let shape = Shape::new(&[2, 3, 2]);
    assert_eq!(mask_of((shape, &x), None, |_, x, _| x.padding_mask(0.0)), [0, 1, 0, 1, 1, 1]);
    assert_eq!(mask_of((shape, &x), None, |_, x, _| x.padding_mask(5.0)), [1, 1, 1, 1, 0, 1]);
}

#[test]
fn look_ahead_masks_are_lower_triangles_and_combine_with_padding() {
    let (shape, x) = (Shape::new(&[1]), [0.0]);
    for size in [1, 2, 9, 67] {
        let mask = mask_of((shape, &x), None, |graph, _, _| look_ahead_mask(graph, size));
        assert!((0..size * size).all(|i| mask[i] == u32::from(i % size <= i / size)), "{size}");
    }
    let padding = [1, 1, 0, 0, 1, 1];
    let both = mask_of((shape, &x), Some((Shape::new(&[2, 3]), &padding)), |graph, _, padding| {
        combine_masks(padding.unwrap(), look_ahead_mask(graph, 3))
    });
    assert_eq!(both, [1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1]);
    let batched = mask_of((shape, &x), Some((Shape::new(&[2, 3]), &padding)), |graph, _, padding| {
        let pair = combine_masks(padding.unwrap(), look_ahead_mask(graph, 3));
        combine_masks(padding.unwrap(), pair)
    });
    assert_eq!(batched, both);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn masked_rows_are_zeros_and_the_others_untouched(
        rows in 1usize..80,
        columns in prop_oneof![1usize..9, Just(64), Just(65)],
        seed in 0u64..1000,
    ) {
        let mask: Vec<u32> = noise(rows, seed).iter().map(|v| u32::from(*v > 0.0)).collect();
        let x: Vec<f32> = noise(rows * columns, seed + 1).iter().enumerate()
            .map(|(i, v)| if mask[i / columns] == 0 { f32::NAN } else { *v }).collect();
        let inputs = [
            Value::Float(Shape::new(&[rows, columns]), x.clone()),
            Value::Integer(Shape::new(&[rows]), mask.clone()),
        ];
        let outcome = run(&inputs, |_, v| vec![v[0].mask_rows(v[1])]).unwrap();
        let cotangent = noise(rows * columns, 1000);
        let dx = outcome.gradients[0].as_ref().unwrap();
        for i in 0..rows * columns {
            let real = mask[i / columns] != 0;
            prop_assert_eq!(outcome.outputs[0][i], if real { x[i] * 1.5 } else { 0.0 });
            prop_assert_eq!(dx[i], if real { cotangent[i] * 0.75 * 1.5 } else { 0.0 });
        }
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let mask = Value::Integer(Shape::new(&[2, 3]), vec![1, 0, 1, 0, 1, 1]);
    check_gradients("mask_rows", &[float([2, 3, 4], 1), mask.clone()], |_, v| vec![v[0].mask_rows(v[1])]);
    check_gradients("odd", &[float([2, 3, 5], 1), mask], |_, v| vec![v[0].mask_rows(v[1]).tanh()]);
}

/// NaN in padded features of a small encoder - projection, residual sum, layer norm, tanh, pooling - changes no bit of its
/// output, nor of any gradient: of the input, the weights, the norm's gain and shift.
#[test]
fn padding_goes_nowhere_in_a_stack_of_layers() {
    let (batch, seq, features, dim) = (3, 6, 5, 8);
    let mut parameters = Parameters::new();
    let init = Init::Uniform { bound: 0.5 };
    let mut root = parameters.root();
    let weight = root.parameter("weight", [dim, features], init);
    let [bias, gain, shift] = ["bias", "gain", "shift"].map(|name| root.parameter(name, [dim], init));
    let store = ParameterStore::new(&support::gpu(), &parameters, &parameters.initial_values(3)).unwrap();
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        let x = graph.input_with_grad("x", [batch, seq, features]);
        let mask = graph.mask_input("mask", [batch, seq]);
        let get = |parameter| graph.parameter(&parameters, parameter);
        let hidden = x.mask_rows(mask).matmul_nt(get(weight)) + get(bias);
        let (sum, normed) = hidden.layer_norm_residual(hidden, Some(get(gain)), Some(get(shift)), 1e-5);
        let scores = normed.mean_axes(&[2]);
        let (attended, _) = (sum * normed).tanh().attention_pool(scores, Some(mask));
        let pooled = attended + normed.masked_mean(mask);
        pooled.named("pooled").square().sum().as_loss();
        Ok(())
    });
    let plan = plan.unwrap();
    let mask = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1];
    plan.write_u32("mask", &mask).unwrap();
    let run = |poison: f32| {
        let x: Vec<f32> = noise(batch * seq * features, 5);
        let x: Vec<f32> =
            x.iter().enumerate().map(|(i, v)| if mask[i / features] == 0 { poison } else { *v }).collect();
        plan.write("x", &x).unwrap();
        plan.run().unwrap();
        let mut all = vec![plan.read("pooled").unwrap(), plan.read("grad/x").unwrap()];
        all.extend(store.download_gradients().unwrap());
        all.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u32>>()
    };
    let clean = run(0.25);
    assert!(clean.iter().all(|bits| f32::from_bits(*bits).is_finite()));
    for poison in [f32::NAN, f32::INFINITY, 3e38] {
        assert!(run(poison) == clean, "{poison} in the padding changed something");
    }
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
    let rows = error(&|graph| graph.input("x", [2, 6, 3]).mask_rows(graph.mask_input("mask", [6])));
    assert!(rows.contains("mask_rows") && rows.contains("first axes"), "{rows}");
    let float_mask = error(&|graph| graph.input("x", [2, 6, 3]).mask_rows(graph.input("mask", [2, 6])));
    assert!(float_mask.contains("U32"), "{float_mask}");
    let ids = error(&|graph| graph.mask_input("x", [2, 6]).padding_mask(0.0));
    assert!(ids.contains("padding_mask") && ids.contains("floats"), "{ids}");
    let empty = error(&|graph| look_ahead_mask(graph, 0));
    assert!(empty.contains("at least one"), "{empty}");
    let keys = error(&|graph| combine_masks(graph.mask_input("padding", [2, 4]), look_ahead_mask(graph, 3)));
    assert!(keys.contains("combine_masks") && keys.contains("[2, 4]"), "{keys}");
}
