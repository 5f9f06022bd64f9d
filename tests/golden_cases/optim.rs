//! Optimisers against PyTorch's and Keras': every case starts from shared/initial and is fed shared/grad0, shared/grad1, ...

use super::graph::gpu;
use crate::golden_harness::{Case, Comparison, Outcome};
use limbic::graph::{Init, Parameters, Shape};
use limbic::plan::ParameterStore;
use limbic::train::{
    Clipping, Convention, OneCycle, Optimizer, OptimizerConfig, ParameterGroup, Rule, Schedule, StepSettings,
};
use serde_json::Value;
use std::collections::BTreeMap;

pub fn run(case: &Case<'_>) -> Outcome {
    let mut comparison = Comparison::new(case);
    match try_run(case, &mut comparison) {
        Ok(true) => comparison.finish(),
        Ok(false) => Outcome::NotCovered("limbic does not know this case".to_string()),
        Err(message) => {
            comparison.problem(message);
            comparison.finish()
        }
    }
}

/// What a case asks for.
struct Plan {
    config: OptimizerConfig,
    schedule: Schedule,
    /// Zero betas and rate 1 turn the update into a look at the clipped gradient.
    clipped_only: bool,
}

fn try_run(case: &Case<'_>, comparison: &mut Comparison<'_>) -> Result<bool, String> {
    let Some(plan) = plan(case)? else { return Ok(false) };
    let text = |error: limbic::Error| error.to_string();
    let shared = |key: &str| case.file.get(&format!("shared/{key}"));
    let mut parameters = Parameters::new();
    let mut initial = Vec::new();
    let names = ["a", "b"];
    for name in names {
        let tensor = shared(&format!("initial/{name}")).ok_or("no shared/initial")?;
        parameters.root().parameter(name, Shape::new(tensor.shape()), Init::Zeros);
        initial.push(tensor.as_f32().ok_or("not f32")?.to_vec());
    }
    if plan.clipped_only {
        initial.iter_mut().for_each(|values| values.fill(0.0));
    }
    let gpu = gpu()?;
    let store = ParameterStore::new(&gpu, &parameters, &initial).map_err(text)?;
    let optimizer = Optimizer::new(&store, &[0, 1], plan.config, None).map_err(text)?;
    for step in 0.. {
        let gradients: Option<Vec<Vec<f32>>> =
            names.iter().map(|name| Some(shared(&format!("grad{step}/{name}"))?.as_f32()?.to_vec())).collect();
        let Some(gradients) = gradients.filter(|_| step == 0 || !plan.clipped_only) else { break };
        for (chunk, flat) in store.flatten(&gradients).iter().enumerate() {
            let buffer = store.gradients(chunk).map_err(text)?;
            gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(flat));
        }
        let settings = StepSettings { learning_rate: plan.schedule.lr(step), beta1: plan.schedule.beta1(step) };
        optimizer.prepare(step + 1, settings);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        optimizer.encode(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        let values = store.download().map_err(text)?;
        for ((name, values), spec) in names.iter().zip(&values).zip(parameters.specs()) {
            if plan.clipped_only {
                let clipped: Vec<f32> = values.iter().map(|value| -value).collect();
                comparison.forward(&format!("clipped/{name}"), spec.shape.axes(), &clipped);
            } else {
                comparison.forward(&format!("after{}/{name}", step + 1), spec.shape.axes(), values);
            }
        }
    }
    if plan.clipped_only {
        let (bytes, _) = gpu.read(optimizer.status(), 0, 8).map_err(text)?.wait().map_err(text)?;
        comparison.forward("norm", &[], &bytemuck::pod_collect_to_vec::<u8, f32>(&bytes)[1..2]);
    }
    Ok(true)
}

fn plan(case: &Case<'_>) -> Result<Option<Plan>, String> {
    let settings: BTreeMap<&str, &Value> =
        case.settings().as_object().ok_or("no settings")?.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let number = |key: &str| settings.get(key).and_then(|value| value.as_f64());
    let library = settings.get("library").and_then(|value| value.as_str()).unwrap_or_default();
    let convention = if library == "keras" { Convention::Keras } else { Convention::PyTorch };
    if let (Some(limit), true) = (number("max_norm"), library.contains("clip_grad_norm_")) {
        let config = OptimizerConfig { clipping: Clipping::GlobalNorm(limit as f32), ..OptimizerConfig::sgd(0.0) };
        return Ok(Some(Plan { config, schedule: Schedule::Constant { lr: 1.0 }, clipped_only: true }));
    }
    let class = settings.get("cls").and_then(|value| value.as_str());
    let class = class.unwrap_or("AdamW");
    let betas = settings.get("betas").and_then(|value| value.as_array());
    let beta =
        |index: usize, default: f64| betas.and_then(|betas| betas.get(index)?.as_f64()).unwrap_or(default) as f32;
    let default_epsilon = if convention == Convention::Keras { 1e-7 } else { 1e-8 };
    let epsilon = number("eps").or(number("epsilon")).unwrap_or(default_epsilon) as f32;
    let adam = |decoupled| Rule::Adam { beta1: beta(0, 0.9), beta2: beta(1, 0.999), epsilon, decoupled };
    let rule = match class {
        "AdamW" => adam(true),
        "Adam" => adam(false),
        "SGD" => Rule::Sgd {
            momentum: number("momentum").unwrap_or(0.0) as f32,
            nesterov: settings.get("nesterov").is_some_and(|value| value.as_bool() == Some(true)),
        },
        _ => return Ok(None),
    };
    let default_decay = if class == "AdamW" && convention == Convention::PyTorch { 0.01 } else { 0.0 };
    let clipping = match (number("clipnorm"), number("global_clipnorm")) {
        (Some(limit), _) => Clipping::ParameterNorm(limit as f32),
        (_, Some(limit)) => Clipping::GlobalNorm(limit as f32),
        _ => Clipping::None,
    };
    let mut config = OptimizerConfig {
        rule,
        convention,
        weight_decay: number("weight_decay").unwrap_or(default_decay) as f32,
        clipping,
        groups: Vec::new(),
        accumulation: 1,
    };
    let mut schedule = Schedule::Constant { lr: number("lr").or(number("learning_rate")).unwrap_or(1e-2) };
    if let Some(groups) = settings.get("groups").and_then(|value| value.as_object()) {
        // rates per group are factors of the learning rate: take 1 as the rate
        schedule = Schedule::Constant { lr: 1.0 };
        config.groups = groups
            .iter()
            .map(|(name, group)| ParameterGroup {
                prefixes: vec![name.clone()],
                rate_factor: group["lr"].as_f64().unwrap_or(0.0) as f32,
                weight_decay: group["weight_decay"].as_f64().unwrap_or(0.0) as f32,
            })
            .collect();
    }
    if let (Some(max_lr), Some(total)) = (number("max_lr"), number("total_steps")) {
        schedule = Schedule::OneCycle(OneCycle::new(max_lr, total as u64));
    }
    Ok(Some(Plan { config, schedule, clipped_only: false }))
}
