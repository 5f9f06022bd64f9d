//! A loss or gradient that is not finite is an error with the step and the layer, and leaves no trace in the weights.

use crate::support::gpu;
use crate::tiny::{batch, model, rate, store, train, trainer, trainer_with, weights, with_value};
use limbic::Error;
use limbic::graph::{Graph, Init, Parameters};
use limbic::models::msa::RegressionLoss;
use limbic::plan::{Batch, ParameterStore};
use limbic::train::{OptimizerConfig, StepSettings, Trainer};

/// Steps over `batches` until one fails; there are more after the faulty one, already under way when it is noticed.
fn fault(trainer: &mut Trainer, batches: impl IntoIterator<Item = Batch>) -> (u64, f32, String) {
    let mut failed = None;
    for batch in batches {
        if let Err(error) = trainer.step(batch, rate(1e-2)) {
            failed = Some(error);
            break;
        }
    }
    match failed.or_else(|| trainer.finish().err()) {
        Some(Error::NonFinite { step, loss, layer }) => (step, loss, layer),
        other => panic!("{other:?}"),
    }
}

#[test]
fn not_a_number_in_an_input_names_the_step_the_layer_and_the_input() {
    let model = model(0.2);
    let config = OptimizerConfig::adamw(0.01);
    let clean = store(&model, 1);
    let mut unbroken = trainer(&model, &clean, config.clone(), 2);
    let (_, before) = train(&mut unbroken, 0..3);

    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, config, 2);
    for bad in [f32::NAN, f32::INFINITY] {
        let batches = (trainer.steps()..6).map(|step| match step {
            3 => with_value(batch(3), "audio", 1, bad),
            step => batch(step),
        });
        let (step, loss, layer) = fault(&mut trainer, batches);
        assert_eq!(step, 3);
        assert!(!loss.is_finite());
        // the very first op that reads the input: what the mask lets through
        assert!(layer.contains("mask_rows") && layer.contains("@ audio_encoder"), "{layer}");
        assert!(layer.contains("'audio'"), "{layer}");
        assert_eq!(weights(&store), before, "the faulty step changed the weights");
        assert_eq!((trainer.steps(), trainer.updates()), (3, 3), "where training can go on");
    }
    // and it does, as if nothing had been
    assert_eq!(train(&mut trainer, 3..6), train(&mut unbroken, 3..6));
}

#[test]
fn values_that_overflow_in_a_layer_name_that_layer() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut values = store.download().unwrap();
    let place = model.parameters().specs().iter().position(|spec| spec.name == "audio_encoder.blocks.0.ffn2.weight");
    values[place.unwrap()].fill(3e38);
    store.upload(&values).unwrap();
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 2);
    // a clip of each batch has no audio: rows without a valid key must not be taken for the fault
    let (step, _, layer) = fault(&mut trainer, (0..3).map(batch));
    assert_eq!(step, 0);
    assert!(layer.contains("@ audio_encoder.blocks.0.ffn2"), "{layer}");
    assert!(!layer.contains("the input"), "{layer}");
    let after: Vec<Vec<u32>> =
        values.iter().map(|values| values.iter().map(|value| value.to_bits()).collect()).collect();
    assert_eq!(weights(&store), after);
}

/// |x| and Huber's loss have finite slopes where x is NaN: the gradients alone would not tell.
#[test]
fn a_loss_that_is_not_finite_applies_no_update_even_where_its_gradient_is() {
    let model = model(0.0);
    for loss in [RegressionLoss::Mae, RegressionLoss::Huber] {
        for accumulation in [1, 2] {
            let store = store(&model, 1);
            let before = weights(&store);
            let config = OptimizerConfig { accumulation, ..OptimizerConfig::adamw(0.01) };
            let mut trainer = trainer_with(&model, &store, config, 2, loss);
            let bad = with_value(batch(0), "target", 1, f32::NAN);
            let (step, _, layer) = fault(&mut trainer, [bad, batch(1), batch(2), batch(3)]);
            assert_eq!(step, 0, "{loss:?}");
            assert!(layer.contains("@ loss") && layer.contains("'target'"), "{layer}");
            assert_eq!(weights(&store), before, "{loss:?}, accumulation {accumulation}");
        }
    }
}

/// The loss is the sum of w x, or of its square roots: at x = 0 those are finite and their gradients are not.
fn of_four_weights(accumulation: u32, roots: bool) -> (ParameterStore, Trainer) {
    let mut parameters = Parameters::new();
    let weight = parameters.root().at("roots").parameter("weight", [4], Init::Ones);
    let store = ParameterStore::new(&gpu(), &parameters, &parameters.initial_values(1)).unwrap();
    let config = OptimizerConfig { accumulation, ..OptimizerConfig::sgd(0.0) };
    let build = |graph: &Graph| {
        let x = graph.input("x", [4]);
        let _scope = graph.scope("roots");
        let product = x * graph.parameter(&parameters, weight);
        if roots { product.sqrt() } else { product }.sum().as_loss();
        Ok(())
    };
    let trainer = Trainer::new(&store, config, 0, build).unwrap();
    (store, trainer)
}

#[test]
fn a_gradient_that_is_not_finite_is_traced_to_its_micro_batch() {
    let good = || Batch::new(4).float("x", vec![1.0, 2.0, 3.0, 4.0]);
    let bad = || Batch::new(4).float("x", vec![1.0, 0.0, 3.0, 4.0]);
    for (accumulation, batches, expected) in [
        (1, vec![good(), bad(), good()], 1),
        // found with the update at step 3, caused by the micro-batch before
        (2, vec![good(), good(), bad(), good(), good()], 2),
        (3, vec![bad(), good(), good()], 0),
    ] {
        let (store, mut trainer) = of_four_weights(accumulation, true);
        let (step, loss, layer) = fault(&mut trainer, batches);
        assert_eq!(step, expected, "accumulation {accumulation}");
        assert!(loss.is_finite() && layer.contains("@ roots"), "{loss}: {layer}");
        let updates = expected / u64::from(accumulation);
        assert_eq!((trainer.steps(), trainer.updates()), (updates * u64::from(accumulation), updates));
        assert!(store.download().unwrap()[0].iter().all(|value| value.is_finite()));
    }
}

#[test]
fn gradients_whose_squares_overflow_say_so() {
    let (_, mut trainer) = of_four_weights(1, false);
    let (step, _, layer) = fault(&mut trainer, [Batch::new(4).float("x", vec![1e25, 1.0, 1.0, 1.0])]);
    assert_eq!(step, 0);
    assert!(layer.contains("the gradient norm"), "{layer}");
}

#[test]
fn a_learning_rate_that_is_no_rate_is_refused_before_anything_moves() {
    let model = model(0.0);
    let store = store(&model, 1);
    let before = weights(&store);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 2);
    for learning_rate in [f64::NAN, f64::INFINITY, -1e-3] {
        let result = trainer.step(batch(0), rate(learning_rate));
        assert!(matches!(&result, Err(Error::Config(message)) if message.contains("learning rate")), "{result:?}");
    }
    let result = trainer.step(batch(0), StepSettings { learning_rate: 1e-3, beta1: Some(1.0) });
    assert!(matches!(&result, Err(Error::Config(message)) if message.contains("beta1")), "{result:?}");
    assert_eq!((trainer.steps(), weights(&store)), (0, before));
}

#[test]
fn a_batch_of_another_shape_is_an_error_and_the_next_step_goes_on() {
    let model = model(0.0);
    let store = store(&model, 1);
    let mut trainer = trainer(&model, &store, OptimizerConfig::adamw(0.01), 2);
    let wrong = [batch(0).float("colour", vec![1.0]), Batch::new(4).float("text", vec![0.0; 7])];
    for (wrong, name) in wrong.into_iter().zip(["'colour'", "'text'"]) {
        let error = trainer.step(wrong, rate(1e-2)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(trainer.steps(), 0);
    assert_eq!(train(&mut trainer, 0..2).0.len(), 2);
}

#[test]
fn settings_that_cannot_be_are_errors() {
    let model = model(0.0);
    let store = store(&model, 1);
    let base = || OptimizerConfig::adamw(0.01);
    let group = |rate_factor, weight_decay| limbic::train::ParameterGroup {
        prefixes: vec!["text".to_string()],
        rate_factor,
        weight_decay,
    };
    use limbic::train::{Clipping, Rule};
    let adam = |beta1, beta2, epsilon| Rule::Adam { beta1, beta2, epsilon, decoupled: true };
    for config in [
        OptimizerConfig { accumulation: 0, ..base() },
        OptimizerConfig { clipping: Clipping::GlobalNorm(0.0), ..base() },
        OptimizerConfig { clipping: Clipping::ParameterNorm(f32::NAN), ..base() },
        OptimizerConfig { weight_decay: f32::NAN, ..base() },
        OptimizerConfig { weight_decay: -0.1, ..base() },
        OptimizerConfig { groups: vec![group(f32::INFINITY, 0.0)], ..base() },
        OptimizerConfig { groups: vec![group(1.0, f32::NAN)], ..base() },
        OptimizerConfig { rule: adam(1.0, 0.9, 1e-8), ..base() },
        OptimizerConfig { rule: adam(0.9, f32::NAN, 1e-8), ..base() },
        OptimizerConfig { rule: adam(0.9, 0.9, 0.0), ..base() },
        OptimizerConfig::sgd(-0.5),
    ] {
        let shape = crate::tiny::shape();
        let result = Trainer::new(&store, config.clone(), 0, |graph| {
            limbic::models::msa::training_graph(&model, graph, &shape, RegressionLoss::Mse)
        });
        assert!(matches!(result.map(drop), Err(Error::Config(_))), "{config:?}");
    }
}
