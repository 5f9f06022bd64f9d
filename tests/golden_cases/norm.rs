//! The golden cases of `ops_norm` that are layer norm.

use super::graph::{Inputs, Outputs};
use limbic::graph::Graph;
use serde_json::Value;

/// torch's default where a case does not say.
const EPSILON: f64 = 1e-5;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    if !case.starts_with("layer_norm") {
        return None;
    }
    let get = |name: &str| inputs.get(name).copied();
    let epsilon = settings["eps"].as_f64().unwrap_or(EPSILON) as f32;
    Some(vec![("y".to_string(), get("x")?.layer_norm(get("weight"), get("bias"), epsilon))])
}
