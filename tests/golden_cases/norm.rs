//! The golden cases of `ops_norm` that are layer norm or batch norm.

use super::graph::{Inputs, Outputs};
use limbic::graph::{Graph, Var};
use limbic::ops::batch_norm::{BatchNormOptions, Running};
use serde_json::Value;

/// torch's default where a case does not say.
const EPSILON: f64 = 1e-5;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    if case.starts_with("bn") || case.starts_with("keras_bn") {
        return batch_norm(case, settings, inputs);
    }
    if !case.starts_with("layer_norm") {
        return None;
    }
    let get = |name: &str| inputs.get(name).copied();
    let epsilon = settings["eps"].as_f64().unwrap_or(EPSILON) as f32;
    Some(vec![("y".to_string(), get("x")?.layer_norm(get("weight"), get("bias"), epsilon))])
}

/// Keras keeps channels last, calls the running statistics moving ones, and gives the weight of the old ones as momentum.
fn batch_norm<'g>(case: &str, settings: &Value, inputs: &Inputs<'g>) -> Outputs<'g> {
    let keras = case.starts_with("keras");
    let names = match keras {
        true => ["gamma", "beta", "moving_mean", "moving_variance"],
        false => ["weight", "bias", "running_mean", "running_var"],
    };
    let [weight, bias, mean, variance] = names.map(|name| inputs.get(name).copied());
    let running = Running { mean: mean?, variance: variance? };
    let setting = |name: &str, default: f32| settings[name].as_f64().map_or(default, |value| value as f32);
    let mut options = if keras { BatchNormOptions::keras() } else { BatchNormOptions::pytorch() };
    options.epsilon = setting("eps", options.epsilon);
    let old = if keras { 1.0 - options.momentum } else { options.momentum };
    options.momentum = setting("momentum", old);
    if keras {
        options.momentum = 1.0 - options.momentum;
    }
    let x = *inputs.get("x")?;
    let x = if keras { channels(x, true) } else { x };
    let (y, running) = match case.ends_with("_eval") {
        true => (x.batch_norm_by_running(weight, bias, running, options.epsilon), running),
        false => x.batch_norm(weight, bias, running, options),
    };
    let y = if keras { channels(y, false) } else { y };
    Some(vec![("y".to_string(), y), (names[2].to_string(), running.mean), (names[3].to_string(), running.variance)])
}

/// The channels of `x` moved from the last axis to the second, or back.
fn channels(x: Var<'_>, forward: bool) -> Var<'_> {
    let rank = x.shape().rank();
    let mut order: Vec<usize> = (0..rank).collect();
    let axis = if forward { order.pop() } else { Some(order.remove(1)) };
    let place = if forward { 1 } else { order.len() };
    order.splice(place..place, axis);
    if rank == 2 { x } else { x.permute(&order) }
}
