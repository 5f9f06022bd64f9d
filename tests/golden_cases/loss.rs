//! The golden cases of `ops_loss`.

use super::graph::{Inputs, Outputs};
use limbic::graph::{Graph, Var};
use limbic::ops::loss::{
    Positives, anchor_logits, class_balanced_weights, constant, cosine_similarities, infonce_pairs, prototype_distances,
};
use serde_json::Value;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, settings: &Value, graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    let number = |name: &str| settings[name].as_f64().map(|number| number as f32);
    let y = match case {
        "mse" => get("p")?.mse_loss(get("t")?, None),
        "mae" => get("p")?.mae_loss(get("t")?, None),
        "rmse" => get("p")?.rmse_loss(get("t")?, 0.0, None),
        "bce_logits" => get("p")?.bce_with_logits(get("t")?, None),
        "infonce_pairs_symmetric" => infonce_pairs(get("a")?, get("b")?, number("temperature")?, None),
        "anchor_clustering" => {
            anchor_logits(get("f")?, get("anchors")?, get("temperature")?).cross_entropy(get("labels")?, None, 0.0)
        }
        "prototype" => prototype_distances(get("f")?, get("prototypes")?).prototype_loss(get("labels")?, 0.5),
        "uncertainty" => get("u")?.sigmoid().uncertainty_loss(get("logits")?, get("labels")?),
        "cross_entropy_none" => get("logits")?.cross_entropy_per_row(get("labels")?, None, 0.0),
        "focal_plain" => get("logits")?.focal_loss(get("labels")?, None, number("gamma")?),
        _ if case.starts_with("rmse_eps") => {
            let eps = case["rmse_eps".len()..].parse().ok()?;
            get("p")?.rmse_loss(get("t")?, eps, None)
        }
        _ if case.starts_with("cross_entropy") => {
            get("logits")?.cross_entropy(get("labels")?, get("weight"), number("smoothing").unwrap_or(0.0))
        }
        _ if case.starts_with("focal_cb") => {
            let weights = balanced(settings, graph)?;
            get("logits")?.focal_loss(get("labels")?, Some(weights), number("gamma")?)
        }
        _ if case.starts_with("infonce_supervised") => {
            let positives = if case.ends_with("_in") { Positives::In } else { Positives::Out };
            let z = get("z")?;
            cosine_similarities(z, z, number("temperature")?).supervised_infonce(get("labels")?, positives)
        }
        _ => return None,
    };
    Some(vec![("y".to_string(), y)])
}

fn balanced<'g>(settings: &Value, graph: &'g Graph) -> Option<Var<'g>> {
    let counts: Option<Vec<u64>> = settings["counts"].as_array()?.iter().map(Value::as_u64).collect();
    let weights = class_balanced_weights(&counts?, settings["beta"].as_f64()?);
    Some(constant(graph, [weights.len()], &weights))
}
