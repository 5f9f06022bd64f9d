//! The personality system's models: the head against Keras', ResNet against torchvision's and Keras', I3D against PyTorch's.

use super::model::{Model, Outcomes, finish, text};
use crate::golden_harness::{Case, Outcome};
use limbic::graph::{Graph, Var};
use limbic::models::personality::{I3d, I3dConfig, Personality, PersonalityConfig, Resnet, ResnetConfig, ResnetStyle};
use limbic::nn::Context;
use limbic::train::Convention;
use serde_json::Value;

fn training(case: &Case<'_>) -> bool {
    case.settings()["mode"].as_str().is_some_and(|mode| mode.starts_with("train"))
}

/// An input of the file, with its gradient.
fn input<'g>(case: &Case<'_>, graph: &'g Graph, name: &str) -> limbic::Result<Var<'g>> {
    let tensor = case.need(&format!("input/{name}")).map_err(limbic::Error::Config)?;
    Ok(graph.input_with_grad(name, tensor.shape()))
}

fn number(value: &Value) -> Outcomes<usize> {
    value.as_u64().map(|value| value as usize).ok_or_else(|| format!("{value} is not a size"))
}

pub fn head(case: &Case<'_>) -> Outcome {
    finish(case, |comparison| {
        let config = &case.settings()["config"];
        let config = PersonalityConfig {
            static_dim: number(&config["static_dim"])?,
            dynamic_dim: number(&config["dynamic_dim"])?,
            fusion_dim: number(&config["fusion_dim"])?,
            num_heads: number(&config["num_heads"])?,
            hidden: number(&config["hidden"])?,
            dropout: config["dropout_rate"].as_f64().unwrap_or(0.0) as f32,
            ..PersonalityConfig::default()
        };
        let model = Personality::new(&config).map_err(text)?;
        let training = training(case);
        let build = |graph: &Graph| -> limbic::Result<()> {
            let cx = Context { graph, parameters: model.parameters(), training };
            let [face, motion] = ["static", "dynamic"].map(|name| input(case, graph, name));
            let target = input(case, graph, "target")?;
            let output = model.forward(cx, face?, motion?);
            output.traits.mse_loss(target, None).as_loss();
            output.traits.mae_loss(target, None).named("loss/mae");
            output.traits.named("output/ocean");
            output.fused.named("output/cross_attention");
            output.attention.weights().named("aux/attention");
            Ok(())
        };
        let name = |ours: &str| {
            let name = ours.replace("running_mean", "moving_mean").replace("running_var", "moving_variance");
            let name = name.replace(".attention.output.", ".attention.attention_output.");
            if name.contains("norm.") {
                return name.replace(".weight", ".gamma").replace(".bias", ".beta");
            }
            name.replace(".weight", ".kernel")
        };
        let convention = Convention::Keras;
        Model { parameters: model.parameters(), convention, name: &name, build: &build, training }
            .check(case, comparison)
    })
}

pub fn resnet(case: &Case<'_>) -> Outcome {
    finish(case, |comparison| {
        let config = &case.settings()["config"];
        let keras = config.get("stacks").is_some();
        let stem = number(&config["stem"])?;
        let list = |key: &str| config[key].as_array().ok_or_else(|| format!("the config has no '{key}'"));
        let config = if keras {
            let layer = |stack: &Value| Ok((number(&stack[0])?, number(&stack[1])?));
            let layers = list("stacks")?.iter().map(layer).collect::<Outcomes<_>>()?;
            ResnetConfig { style: ResnetStyle::Keras, stem, layers, classes: None }
        } else {
            let layer = |(index, blocks): (usize, &Value)| Ok((stem << index, number(blocks)?));
            let layers = list("layers")?.iter().enumerate().map(layer).collect::<Outcomes<_>>()?;
            let classes = Some(number(&config["classes"])?);
            ResnetConfig { style: ResnetStyle::Torchvision, stem, layers, classes }
        };
        let (model, parameters) = Resnet::alone(&config).map_err(text)?;
        let training = training(case);
        let build = |graph: &Graph| -> limbic::Result<()> {
            let cx = Context { graph, parameters: &parameters, training };
            let image = input(case, graph, "image")?;
            let image = if keras { image.permute(&[0, 3, 1, 2]) } else { image };
            let features = model.features(model.map(cx, image)).named("output/features");
            if keras {
                let cotangent = graph.input("cotangent", features.shape());
                (features * cotangent).sum().as_loss();
            } else {
                let logits = model.classify(cx, features).named("output/logits");
                let labels = graph.typed_input("labels", [features.shape().axis(0)], limbic::graph::DType::U32);
                logits.cross_entropy(labels, None, 0.0).as_loss();
            }
            Ok(())
        };
        let name = |ours: &str| if keras { keras_block(ours) } else { ours.to_string() };
        let convention = if keras { Convention::Keras } else { Convention::PyTorch };
        Model { parameters: &parameters, convention, name: &name, build: &build, training }.check(case, comparison)
    })
}

/// `layer1.0.conv2.weight` is Keras' `conv2_block1_2_conv.kernel`, `layer1.0.downsample.1.running_mean` its
/// `conv2_block1_0_bn.moving_mean`.
fn keras_block(ours: &str) -> String {
    let (front, ending) = ours.rsplit_once('.').unwrap_or(("", ours));
    let is_conv =
        front.ends_with("downsample.0") || front.rsplit('.').next().is_some_and(|last| last.starts_with("conv"));
    let kind = if is_conv { "conv" } else { "bn" };
    let ending = match (ending, is_conv) {
        ("weight", true) => "kernel",
        ("weight", false) => "gamma",
        ("bias", false) => "beta",
        ("running_mean", _) => "moving_mean",
        ("running_var", _) => "moving_variance",
        (other, _) => other,
    };
    let parts: Vec<&str> = front.split('.').collect();
    match parts[..] {
        [layer, block, rest, ..] => {
            let layer: usize = layer.trim_start_matches("layer").parse().unwrap_or(0);
            let block: usize = block.parse().unwrap_or(0);
            let place = if rest == "downsample" { "0" } else { rest.trim_start_matches(char::is_alphabetic) };
            format!("conv{}_block{}_{place}_{kind}.{ending}", layer + 1, block + 1)
        }
        _ => format!("conv1_{kind}.{ending}"),
    }
}

pub fn i3d(case: &Case<'_>) -> Outcome {
    finish(case, |comparison| {
        let config = &case.settings()["config"];
        let config = I3dConfig {
            channels: number(&config["in_channels"])?,
            divisor: number(&config["div"])?,
            dropout: 0.0,
            ..I3dConfig::flow()
        };
        let (model, parameters) = I3d::alone(&config).map_err(text)?;
        let training = training(case);
        let build = |graph: &Graph| -> limbic::Result<()> {
            let cx = Context { graph, parameters: &parameters, training };
            let map = model.map(cx, input(case, graph, "flow")?).named("aux/mixed_5c");
            let features = model.features(cx, map).named("output/features");
            let cotangent = graph.input("cotangent", features.shape());
            (features * cotangent).sum().as_loss();
            Ok(())
        };
        let name = |ours: &str| ours.to_string();
        let convention = Convention::PyTorch;
        Model { parameters: &parameters, convention, name: &name, build: &build, training }.check(case, comparison)
    })
}
