//! Mistakes come back as errors that name the layer, the op or the tensor; none panics.

use crate::{noop_gpu, plan_on};
use limbic::Error;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{DType, Graph, Init, Parameters};
use limbic::plan::{Mode, ParameterStore, Plan};

fn fails(mode: Mode, build: impl FnOnce(&Graph)) -> Error {
    plan_on(&noop_gpu(&GpuOptions::default()), mode, build).expect_err("the graph is wrong")
}

fn simple(gpu: &Gpu) -> Plan {
    plan_on(gpu, Mode::Forward, |graph| {
        let x = graph.input("x", [2, 3]);
        x.mask_rows(graph.mask_input("mask", [2])).named("y");
    })
    .unwrap()
}

/// The tensor that an error is about, and its message.
fn about_tensor(error: Error) -> (String, String) {
    match error {
        Error::Tensor { name, message } => (name, message),
        other => panic!("{other}"),
    }
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    let plan = simple(&noop_gpu(&GpuOptions::default()));
    let (name, message) = about_tensor(plan.write("z", &[]).unwrap_err());
    assert_eq!((name.as_str(), message.as_str()), ("z", "the plan has no such input; it has mask, x"));
    for error in
        [plan.read("x").unwrap_err(), plan.output_location("x").unwrap_err(), plan.output_shape("x").unwrap_err()]
    {
        let (name, message) = about_tensor(error);
        assert_eq!((name.as_str(), message.as_str()), ("x", "the plan has no such output; it has y"));
    }
    assert_eq!(about_tensor(plan.input_location("y").unwrap_err()).0, "y");
}

#[test]
fn values_must_fit_the_input() {
    let plan = simple(&noop_gpu(&GpuOptions::default()));
    for (error, expected) in [
        (plan.write("x", &[0.0; 5]), "the plan wants 6 values of F32 [2, 3], got 5 of F32"),
        (plan.write("x", &[0.0; 7]), "the plan wants 6 values of F32 [2, 3], got 7 of F32"),
        (plan.write_u32("x", &[0; 6]), "the plan wants 6 values of F32 [2, 3], got 6 of U32"),
        (plan.write("mask", &[0.0; 2]), "the plan wants 2 values of U32 [2], got 2 of F32"),
    ] {
        assert_eq!(about_tensor(error.unwrap_err()).1, expected);
    }
}

#[test]
fn a_shape_error_names_op_and_layer_and_the_first_one_counts() {
    let error = fails(Mode::Forward, |graph| {
        let x = graph.input("x", [2, 3]);
        let _model = graph.scope("text_encoder");
        let wrong = {
            let _block = graph.scope(format!("blocks.{}", 1));
            x + graph.input("y", [2, 4])
        };
        // the model's code goes on with a stand-in
        (wrong.tanh() + graph.input("z", [7])).named("out");
    });
    let expected = "add in layer 'text_encoder.blocks.1': shapes [2, 3] and [2, 4] do not broadcast: axes must be equal \
                    or 1, counted from the last";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn inputs_need_names_of_their_own_and_axes_of_at_least_one() {
    let twice = fails(Mode::Forward, |graph| {
        let _scope = graph.scope("encoder");
        graph.input("x", [2]);
        graph.mask_input("x", [2]).named("y");
    });
    assert_eq!(twice.to_string(), "input in layer 'encoder': two inputs are called 'x'");
    let outputs = fails(Mode::Forward, |graph| {
        let x = graph.input("x", [2]);
        x.tanh().named("y");
        x.exp().named("y");
    });
    assert!(outputs.to_string().contains("two outputs are called 'y'"), "{outputs}");
    let empty = fails(Mode::Forward, |graph| {
        let x = graph.input("x", [2, 0, 3]);
        (x.gelu() + graph.input("b", [3])).sum().named("y");
    });
    assert!(empty.to_string().contains("'x' has the shape [2, 0, 3]: every axis must be at least 1"), "{empty}");
}

#[test]
fn element_types_must_fit() {
    let error = fails(Mode::Forward, |graph| {
        let x = graph.input("x", [2]);
        (x + graph.typed_input("ids", [2], DType::U32)).named("y");
    });
    assert!(error.to_string().contains("wants float tensors, got F32 and U32"), "{error}");
}

#[test]
fn differentiating_needs_one_number_called_loss() {
    let none = fails(Mode::Gradients, |graph| graph.output("y", graph.input_with_grad("x", [2])));
    assert!(none.to_string().contains("needs an output called 'loss'"), "{none}");
    let many = fails(Mode::Gradients, |graph| graph.output("loss", graph.input_with_grad("x", [2]).tanh()));
    assert!(many.to_string().contains("the loss must be one number, its shape is [2]"), "{many}");
}

#[test]
fn a_tensor_of_another_graph_is_refused() {
    let other = Graph::new();
    // further along than anything in the graph that gets it
    let foreign = (0..9).fold(other.input("far", [2]), |x, _| x.tanh());
    let operand = fails(Mode::Forward, |graph| {
        let _scope = graph.scope("decoder");
        ((graph.input("x", [2]) + foreign).tanh() * foreign).named("y");
    });
    assert_eq!(operand.to_string(), "add in layer 'decoder': an operand is a tensor of another graph");
    let output = fails(Mode::Forward, |graph| graph.output("y", foreign));
    assert_eq!(output.to_string(), "output: 'y' is a tensor of another graph");
}

#[test]
fn parameters_of_another_model_are_refused() {
    let gpu = noop_gpu(&GpuOptions::default());
    let mut ours = Parameters::new();
    ours.root().parameter("weight", [4], Init::Zeros);
    let mut theirs = Parameters::new();
    theirs.root().parameter("weight", [2], Init::Zeros);
    let bias = theirs.root().parameter("bias", [2], Init::Zeros);
    let weight = theirs.find("weight").unwrap();
    let store = ParameterStore::new(&gpu, &ours, &ours.initial_values(0)).unwrap();
    for parameter in [bias, weight] {
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            graph.parameter(&theirs, parameter).tanh().named("y");
            Ok(())
        });
        let message = plan.expect_err("the store is another model's").to_string();
        assert!(message.contains("parameter"), "{message}");
    }
}

#[test]
fn parameter_values_must_fit_their_shapes() {
    let gpu = noop_gpu(&GpuOptions::default());
    let mut parameters = Parameters::new();
    parameters.root().at("layer").parameter("weight", [2, 3], Init::Ones);
    let wrong = ParameterStore::new(&gpu, &parameters, &[vec![0.0; 5]]).unwrap_err();
    assert_eq!(wrong.to_string(), "tensor 'layer.weight': has 5 values but its shape is [2, 3]");
    assert!(ParameterStore::new(&gpu, &parameters, &[]).is_err());
    let store = ParameterStore::new(&gpu, &parameters, &[vec![0.0; 6]]).unwrap();
    assert!(store.upload(&[vec![0.0; 7]]).is_err());
}
