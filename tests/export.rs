//! Models as files for inference: batch norms folded away, half precision, and files that are not what they should be.

#[path = "support/mod.rs"]
mod support;

use limbic::graph::{Graph, Parameters};
use limbic::models::personality::*;
use limbic::nn::{Context, Norms};
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::weights::{EXPORT_VERSION, Export, Precision, read_with_metadata, write};
use std::path::Path;
use support::{gpu, noise};

fn resnet(style: ResnetStyle) -> NetworkConfig {
    let sizes = ResnetConfig { style, stem: 8, layers: vec![(4, 1), (8, 1)], classes: Some(3) };
    NetworkConfig::Resnet { sizes, norms: Norms::Layers }
}

fn i3d() -> NetworkConfig {
    NetworkConfig::I3d { sizes: I3dConfig { divisor: 16, dropout: 0.0, ..I3dConfig::flow() }, norms: Norms::Layers }
}

/// Weights as they start; everything of norms and biases as training may leave it.
fn values(parameters: &Parameters) -> Vec<Vec<f32>> {
    let mut values = parameters.initial_values(3);
    for (index, (spec, values)) in parameters.specs().iter().zip(&mut values).enumerate() {
        let random = noise(values.len(), index as u64 + 1);
        let change: Option<fn(f32) -> f32> = match spec.name.rsplit('.').next() {
            Some("running_var") => Some(|x| 0.05 + 2.0 * x * x),
            Some("running_mean") => Some(|x| 0.5 * x),
            Some("bias") => Some(|x| 0.3 * x),
            _ if spec.shape.rank() == 1 => Some(|x| 1.0 + 0.5 * x),
            _ => None,
        };
        if let Some(change) = change {
            values.iter_mut().zip(random).for_each(|(value, x)| *value = change(x));
        }
    }
    values
}

/// What the network makes of two examples, and the ops that its plan runs.
fn run(network: &Network, parameters: &Parameters, values: &[Vec<f32>]) -> (Vec<f32>, Vec<&'static str>) {
    let store = ParameterStore::new(&gpu(), parameters, values).unwrap();
    let (name, shape): (_, &[usize]) = match network {
        Network::Resnet(_) => ("x", &[2, 3, 17, 20]),
        Network::I3d(_) => ("x", &[2, 2, 8, 33, 32]),
        Network::Personality(_) => ("x", &[2, 12]),
        Network::Traits(_) => unreachable!("tests/personality exports it"),
    };
    let plan = Plan::new(&store, Mode::Forward, |graph: &Graph| {
        let cx = Context { graph, parameters, training: false };
        let x = graph.input(name, shape);
        match network {
            Network::Resnet(model) => model.classify(cx, model.features(model.map(cx, x))),
            Network::I3d(model) => model.features(cx, model.map(cx, x)),
            Network::Personality(model) => model.forward(cx, x, graph.input("motion", [2, 7])).traits,
            Network::Traits(model) => model.forward(cx, x, graph.input("flow", [2, 2, 4, 16, 16])).traits,
        }
        .named("y");
        Ok(())
    })
    .unwrap();
    plan.write(name, &noise(shape.iter().product(), 77)).unwrap();
    if plan.has_input("motion") {
        plan.write("motion", &noise(14, 78)).unwrap();
    }
    plan.run().unwrap();
    let ops =
        (0..plan.program().len()).map(|index| plan.recording().nodes[plan.program().describe(index).1[0]].op.name());
    (plan.read("y").unwrap(), ops.collect())
}

/// The largest difference over the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    a.iter().zip(b).fold(0.0f32, |most, (x, y)| most.max((x - y).abs())) / largest
}

#[test]
fn folded_networks_say_the_same_without_a_batch_norm() {
    for config in [resnet(ResnetStyle::Torchvision), resnet(ResnetStyle::Keras), i3d()] {
        let (network, parameters) = config.build().unwrap();
        let values = values(&parameters);
        let (plain, plain_ops) = run(&network, &parameters, &values);
        let (folded_config, folded_values) = config.fold(&values).unwrap();
        let (folded_network, folded_parameters) = folded_config.build().unwrap();
        let (folded, folded_ops) = run(&folded_network, &folded_parameters, &folded_values);
        let error = difference(&plain, &folded);
        // f32's rounding, through some 10 layers (ResNet) or 30 (I3D)
        assert!(error < 1e-5, "{config:?}: {error}");
        assert!(plain.iter().any(|x| x.abs() > 1e-3), "{plain:?} says nothing");
        let norms = |ops: &[&str]| ops.iter().filter(|op| **op == "batch_norm").count();
        // a plan for inference takes each batch norm into its convolution; what is folded has not even the parameters
        assert_eq!((norms(&plain_ops), norms(&folded_ops)), (0, 0), "{plain_ops:?}, {folded_ops:?}");
        assert!(folded_ops.len() <= plain_ops.len());
        assert!(folded_parameters.specs().len() + 15 < parameters.specs().len());
        assert_eq!(folded_parameters.find("layer1.0.bn1.running_var"), None);
    }
}

#[test]
fn folding_is_exact_where_the_arithmetic_is() {
    // one filter by hand: gamma 3, beta 0.5, mean 2, variance + epsilon 4 scale the weights by 1.5 and move them by -2.5
    let (network, parameters) = resnet(ResnetStyle::Keras).build().unwrap();
    let mut values: Vec<Vec<f32>> = parameters.specs().iter().map(|spec| vec![1.0; spec.shape.len()]).collect();
    let mut set = |name: &str, value: f32| {
        let index = parameters.specs().iter().position(|spec| spec.name == name).unwrap();
        values[index].fill(value);
    };
    set("conv1.weight", 8.0);
    set("conv1.bias", 0.25);
    set("bn1.weight", 3.0);
    set("bn1.bias", 0.5);
    set("bn1.running_mean", 2.0);
    set("bn1.running_var", 4.0 - 1.001e-5);
    let Network::Resnet(network) = network else { unreachable!() };
    let (_, folded, folded_values) = network.fold(&parameters, &values).unwrap();
    let of = |name: &str| {
        let index = folded.specs().iter().position(|spec| spec.name == name).unwrap();
        folded_values[index][0]
    };
    assert!((of("conv1.weight") - 12.0).abs() < 1e-5, "{}", of("conv1.weight"));
    assert!((of("conv1.bias") - ((0.25 - 2.0) * 1.5 + 0.5)).abs() < 1e-5, "{}", of("conv1.bias"));
    assert_eq!(of("fc.weight"), 1.0, "what has no norm is kept");
}

fn exported(folder: &Path, config: &NetworkConfig, values: &[Vec<f32>], precision: Precision) -> std::path::PathBuf {
    let path = folder.join(format!("model-{}.safetensors", precision.name()));
    let about = Export { precision, ..Export::new(config.clone(), "a test") };
    export_network(&path, &about, values).unwrap();
    path
}

#[test]
fn an_exported_network_comes_back_whole_and_in_half_the_bytes_if_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = PersonalityConfig { static_dim: 12, dynamic_dim: 7, fusion_dim: 8, ..PersonalityConfig::default() };
    for config in [resnet(ResnetStyle::Torchvision), NetworkConfig::Personality { sizes }] {
        let (_, parameters) = config.build().unwrap();
        let (config, values) = config.fold(&values(&parameters)).unwrap();
        let path = exported(folder.path(), &config, &values, Precision::F32);
        let back = import_network(&path).unwrap();
        assert_eq!((&back.about.model, &back.values), (&config, &values));
        assert_eq!((back.about.source.as_str(), back.about.limbic.as_str()), ("a test", env!("CARGO_PKG_VERSION")));

        let half = exported(folder.path(), &config, &values, Precision::F16);
        let bytes = |path: &Path| std::fs::metadata(path).unwrap().len();
        let (full, halved) = (bytes(&path), bytes(&half));
        let header = full - 4 * back.parameters.count() as u64;
        assert!(halved < 2 * back.parameters.count() as u64 + header + 8, "{halved} of {full} bytes");
        let narrow = import_network(&half).unwrap();
        assert_eq!(narrow.about.precision, Precision::F16);
        let (one, _) = run(&back.network, &back.parameters, &back.values);
        let (other, _) = run(&narrow.network, &narrow.parameters, &narrow.values);
        // weights are off by 2^-11 at most, and the errors of many partly cancel
        let error = difference(&one, &other);
        assert!(error > 0.0 && error < 5e-3, "{config:?}: {error}");
    }
}

#[test]
fn values_that_half_precision_cannot_hold_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = resnet(ResnetStyle::Torchvision);
    let (_, parameters) = config.build().unwrap();
    let mut values = parameters.initial_values(1);
    values[0][5] = -70_000.0;
    let about = Export { precision: Precision::F16, ..Export::new(config, "a test") };
    let message = export_network(folder.path().join("x"), &about, &values).unwrap_err().to_string();
    assert!(message.contains("conv1.weight") && message.contains("-70000") && message.contains("f32"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let config = resnet(ResnetStyle::Torchvision);
    let (_, parameters) = config.build().unwrap();
    let path = exported(folder.path(), &config, &parameters.initial_values(1), Precision::F32);
    let (tensors, metadata) = read_with_metadata(&path).unwrap();
    let changed = folder.path().join("changed.safetensors");
    let refused = |key: &str, value: Option<&str>| {
        let mut metadata = metadata.clone();
        match value {
            Some(value) => metadata.insert(key.to_string(), value.to_string()),
            None => metadata.remove(key),
        };
        write(&changed, &tensors, &metadata).unwrap();
        let message = import_network(&changed).unwrap_err().to_string();
        assert!(message.contains("changed.safetensors"), "{message}");
        message
    };
    let newer = (EXPORT_VERSION + 1).to_string();
    assert!(
        refused("limbic_export", Some(&newer)).contains(&format!("is {newer}, this limbic reads {EXPORT_VERSION}"))
    );
    assert!(refused("limbic_export", None).contains("no model that limbic exported"));
    assert!(refused("source", None).contains("source"));
    assert!(refused("precision", Some("I4")).contains("'I4', not F32 or F16"));
    assert!(refused("model", Some("{\"kind\":\"vgg\"}")).contains("no configuration of such a model"));
    assert!(refused("model", Some("{")).contains("no configuration of such a model"));
    let other = serde_json::to_string(&i3d()).unwrap();
    assert!(refused("model", Some(&other)).contains("missing"), "weights of another network");
    let zero = serde_json::to_string(&config).unwrap().replace("\"stem\":8", "\"stem\":0");
    let mut of_nothing = metadata.clone();
    of_nothing.insert("model".to_string(), zero);
    write(&changed, &tensors, &of_nothing).unwrap();
    assert!(import_network(&changed).unwrap_err().to_string().contains("at least 1"));

    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&changed, &bytes[..bytes.len() / 2]).unwrap();
    assert!(import_network(&changed).unwrap_err().to_string().contains("truncated"));
    assert!(import_network(folder.path().join("nothing")).unwrap_err().to_string().contains("nothing"));
}
