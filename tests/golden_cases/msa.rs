//! The sentiment models against Keras': every output, weight gradient, input gradient and optimiser step.

use super::graph::gpu;
use super::model::{self, Outcomes, finish, shape_of, text};
use crate::golden_harness::{Case, Comparison, Outcome, loss_scale, precision, write_loss_scale};
use limbic::graph::{Graph, Parameters, Precision, Var};
use limbic::models::msa::{
    BaselineConfig, Encoder, Fusion, ModalityConfig, ModalityInput, Msa, MsaBaseline, MsaConfig, Pooling,
};
use limbic::nn::Context;
use limbic::plan::Batch;
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::train::{Convention, LossScaling, OptimizerState, Trainer};
use limbic::weights::keras::{self, KerasModel};
use limbic::weights::{TensorData, Tensors};
use serde_json::Value;

const MODALITIES: [&str; 3] = ["text", "audio", "video"];
pub fn sequence_level(case: &Case<'_>) -> Outcome {
    finish(case, |comparison| {
        let (config, explicit) = config(case)?;
        let model = Msa::new(&config).map_err(text)?;
        let names = Names(KerasModel { heads: config.num_heads, layer_path: keras::layer_path });
        let build = |graph: &Graph, training_outputs: bool| -> limbic::Result<()> {
            let inputs = inputs(case, graph)?;
            let inputs: Vec<ModalityInput<'_>> = MODALITIES
                .iter()
                .zip(inputs)
                .map(|(name, features)| {
                    let shape = features.shape();
                    let mask =
                        explicit.then(|| graph.mask_input(&format!("{name}_mask"), [shape.axis(0), shape.axis(1)]));
                    ModalityInput { features, mask }
                })
                .collect();
            let cx = Context { graph, parameters: model.parameters(), training: false };
            let output = model.forward(cx, &inputs);
            loss(graph, output.score);
            if training_outputs {
                output.score.named("output/prediction");
                output.fused.weights.named("output/fusion_weights");
                output.fused.fused.named("output/fused");
                output.fused.pooled.named("output/pooled");
                for (index, name) in MODALITIES.iter().enumerate() {
                    output.encoded[index].x.named(&format!("aux/encoded_{name}"));
                    output.sequences[index].x.named(&format!("aux/fused_{name}"));
                    if let Some(weights) = output.step_weights.get(index) {
                        weights.named(&format!("aux/pool_weights_{name}"));
                    }
                }
                for (name, attention) in &output.attentions {
                    attention.weights().named(&format!("aux/attn/{}", dotted(&keras::layer_path(name))));
                }
            }
            Ok(())
        };
        check(case, comparison, model.parameters(), &names, explicit, &build)
    })
}

pub fn baseline(case: &Case<'_>) -> Outcome {
    finish(case, |comparison| {
        let (config, _) = config(case)?;
        let adaptive = case.settings()["config"]["adaptive_fusion"].as_bool().unwrap_or(false);
        let model = MsaBaseline::new(&BaselineConfig::like(&config, adaptive)).map_err(text)?;
        let names = Names(KerasModel { heads: config.num_heads, layer_path: keras::baseline_layer_path });
        let build = |graph: &Graph, training_outputs: bool| -> limbic::Result<()> {
            let inputs = inputs(case, graph)?;
            let cx = Context { graph, parameters: model.parameters(), training: false };
            let (score, weights) = model.forward(cx, &inputs);
            loss(graph, score);
            if training_outputs {
                score.named("output/prediction");
                if let Some(weights) = weights {
                    weights.named("output/fusion_weights");
                }
            }
            Ok(())
        };
        check(case, comparison, model.parameters(), &names, false, &build)
    })
}

fn config(case: &Case<'_>) -> Outcomes<(MsaConfig, bool)> {
    let config = &case.settings()["config"];
    let number = |key: &str| config[key].as_u64().map(|value| value as usize);
    let need = |key: &str| number(key).ok_or(format!("the config has no '{key}'"));
    let mut modalities = Vec::new();
    for name in MODALITIES {
        let seq_len = match number("seq_len") {
            Some(seq_len) => seq_len,
            None => case.need(&format!("input/{name}"))?.shape()[1],
        };
        modalities.push(ModalityConfig { name: name.to_string(), dim: need(&format!("{name}_dim"))?, seq_len });
    }
    let attention = config["pooling_method"].as_str() == Some("attention");
    let config = MsaConfig {
        modalities,
        model_dim: need("model_dim")?,
        num_heads: need("num_heads")?,
        ff_dim: need("ff_dim")?,
        encoder: Encoder::Transformer,
        causal: false,
        n_layers_mod: number("n_layers_mod").unwrap_or(2),
        n_layers_fuse: number("n_layers_fuse").unwrap_or(1),
        bidirectional_fusion: config["bidirectional_fusion"].as_bool().unwrap_or(false),
        pooling_method: if attention { Pooling::Attention } else { Pooling::Mean },
        fusion: Fusion::Adaptive,
        emotions: None,
        dropout: 0.0,
        norm_first: config["norm_first"].as_bool().unwrap_or(true),
    };
    let explicit = case.settings()["mask_source"].as_str().is_some_and(|source| source.starts_with("explicit"));
    Ok((config, explicit))
}

fn inputs<'g>(case: &Case<'_>, graph: &'g Graph) -> limbic::Result<Vec<Var<'g>>> {
    let input = |name: &&str| {
        let tensor = case.need(&format!("input/{name}")).map_err(limbic::Error::Config)?;
        Ok(graph.input_with_grad(name, tensor.shape()))
    };
    MODALITIES.iter().map(input).collect()
}

fn loss<'g>(graph: &'g Graph, score: Var<'g>) {
    let target = graph.input("target", score.shape());
    (score - target).square().mean().as_loss();
}

fn batch(case: &Case<'_>, explicit: bool) -> Outcomes<Batch> {
    let mut batch = Batch::new(0);
    for (key, tensor) in case.inputs() {
        batch = match tensor.data() {
            TensorData::F32(values) => batch.float(key, values.clone()),
            TensorData::U8(values) if explicit => batch.integer(key, values.iter().map(|v| u32::from(*v)).collect()),
            _ => batch,
        };
    }
    Ok(batch)
}

/// Forward and gradients, then each optimiser's steps from the file's weights.
fn check(
    case: &Case<'_>,
    comparison: &mut Comparison<'_>,
    parameters: &Parameters,
    names: &Names,
    explicit: bool,
    build: &dyn Fn(&Graph, bool) -> limbic::Result<()>,
) -> Outcomes<()> {
    let gpu = gpu()?;
    let initial = names.values(case, parameters, "param")?;
    let store = ParameterStore::new(&gpu, parameters, &initial).map_err(text)?;
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        graph.set_precision(precision());
        build(graph, true)
    });
    let plan = plan.map_err(text)?;
    batch(case, explicit)?.write_to(&plan).map_err(text)?;
    write_loss_scale(&plan).map_err(text)?;
    plan.run().map_err(text)?;
    comparison.forward("loss/total", &[], &plan.read("loss").map_err(text)?);
    let held: Vec<String> = case.expected().map(str::to_string).collect();
    for key in held.iter().filter(|key| key.starts_with("output/") || key.starts_with("aux/")) {
        let shape = plan.output_shape(key).map_err(text)?;
        let values = plan.read(key).map_err(text)?;
        compare_valid(case, comparison, key, shape.axes(), &values)?;
    }
    let gradients = store.download_gradients().map_err(text)?;
    names.each(parameters, &gradients, |name, values| {
        let key = format!("grad/param/{name}");
        comparison.gradient(&key, shape_of(case, &key), values);
    })?;
    for name in MODALITIES {
        let key = format!("grad/input/{name}");
        let gradient = plan.read(&format!("grad/{name}")).map_err(text)?;
        comparison.gradient(&key, case.need(&key)?.shape(), &gradient);
    }
    for settings in case.settings()["optimizers"].as_array().into_iter().flatten() {
        optimizer_steps(case, comparison, settings, &store, &initial, names, explicit, build)?;
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn optimizer_steps(
    case: &Case<'_>,
    comparison: &mut Comparison<'_>,
    settings: &Value,
    store: &ParameterStore,
    initial: &[Vec<f32>],
    names: &Names,
    explicit: bool,
    build: &dyn Fn(&Graph, bool) -> limbic::Result<()>,
) -> Outcomes<()> {
    let name = settings["name"].as_str().ok_or("an optimiser without a name")?;
    let (config, step) = model::optimizer(settings, Convention::Keras)?;
    store.upload(initial).map_err(text)?;
    let trainer = Trainer::new(store, config, 0, |graph| {
        graph.set_precision(precision());
        build(graph, false)
    });
    let mut trainer = trainer.map_err(text)?;
    if precision() == Precision::Mixed {
        // the scale that runs begin with is found too large, and steps are skipped until it is not
        let scaling = Some(LossScaling { scale: loss_scale(), ..LossScaling::default() });
        let state = OptimizerState { scaling, ..trainer.state().map_err(text)? };
        trainer.resume(0, 0, &state).map_err(text)?;
    }
    let key = format!("steps/{name}/loss");
    let length = case.need(&key)?.shape()[0];
    let mut losses = Vec::new();
    let mut after = None;
    for index in 0..length {
        if index + 1 == length {
            after = Some(store.download().map_err(text)?);
        }
        let mut reports = trainer.step(batch(case, explicit)?, step).map_err(text)?;
        reports.extend(trainer.finish().map_err(text)?);
        losses.extend(reports.iter().map(|report| report.loss));
    }
    comparison.forward(&key, &[length], &losses);
    let after = after.ok_or("no steps")?;
    names.each(store.parameters(), &after, |parameter, values| {
        comparison.after_steps(name, parameter, shape_of(case, &format!("after/{name}/{parameter}")), values);
    })
}

/// Values of padded steps are whatever the library computes; only valid ones matter to the outputs, and only they are compared.
fn compare_valid(
    case: &Case<'_>,
    comparison: &mut Comparison<'_>,
    key: &str,
    shape: &[usize],
    values: &[f32],
) -> Outcomes<()> {
    let sequence = key.strip_prefix("aux/encoded_").or(key.strip_prefix("aux/fused_"));
    let attention = key.strip_prefix("aux/attn/");
    let Some(name) = sequence.or(attention.map(queries_of)) else {
        comparison.forward(key, shape, values);
        return Ok(());
    };
    let mask = case.need(&format!("input/{name}_mask"))?.as_u8().ok_or("the mask is not u8")?;
    let (outer, seq, inner) = match *shape {
        [_, seq, dim] => (1, seq, dim),
        [_, heads, seq, keys] => (heads, seq, keys),
        _ => return Err(format!("{key} has the shape {shape:?}")),
    };
    let valid = |index: usize| {
        let (sample, step) = (index / (outer * seq * inner), index / inner % seq);
        mask[sample * seq + step] != 0
    };
    comparison.forward_where(key, shape, values, valid);
    Ok(())
}

/// The modality whose steps are the queries of a block.
fn queries_of(block: &str) -> &str {
    let name = block.strip_prefix("fusion.").unwrap_or(block);
    MODALITIES.into_iter().find(|modality| name.starts_with(modality)).unwrap_or("text")
}

/// The files have dots where Keras' paths have slashes.
fn dotted(path: &str) -> String {
    path.replace('/', ".")
}

/// Which of our tensors is which of Keras'.
struct Names(KerasModel);

impl Names {
    /// Our parameters' values from the file's tensors under `group`.
    fn values(&self, case: &Case<'_>, parameters: &Parameters, group: &str) -> Outcomes<Vec<Vec<f32>>> {
        let tensors: Tensors = case.group(group).map(|(key, tensor)| (key.replace('.', "/"), tensor.clone())).collect();
        self.0.import(&tensors, parameters).map_err(text)
    }

    /// Each of our tensors in Keras' layout, under Keras' name.
    fn each(&self, parameters: &Parameters, values: &[Vec<f32>], mut visit: impl FnMut(&str, &[f32])) -> Outcomes<()> {
        let tensors = self.0.export(parameters, values).map_err(text)?;
        for (path, tensor) in tensors.iter() {
            visit(&dotted(path), tensor.as_f32().ok_or("not f32")?);
        }
        Ok(())
    }
}
