//! The golden cases of `ops_tensor` (but the matmuls) and `ops_activations` as graph ops. What an op does is read from its case's
//! name (`sum_02` sums over axes 0 and 2), never from the stored shapes.

use limbic::graph::{Graph, Var};
use std::collections::BTreeMap;

/// Builds `case` over its inputs and returns its outputs by name; `None` where the case is not known here.
pub fn build<'g>(
    case: &str,
    _settings: &serde_json::Value,
    graph: &'g Graph,
    inputs: &BTreeMap<String, Var<'g>>,
) -> Option<Vec<(String, Var<'g>)>> {
    let get = |name: &str| inputs.get(name).copied();
    let y = match case {
        "where" => get("mask")?.where_(get("a")?, get("b")?),
        "embedding" => get("table")?.embedding(get("ids")?),
        // x[:, 1:, ::2]
        "slice" => {
            let x = get("x")?;
            x.slice(1, 1, x.shape().axis(1)).slice_step(2, 0, x.shape().axis(2), 2)
        }
        _ => match get("x") {
            Some(x) => activation(case, x).or_else(|| over_axes(case, x, inputs))?,
            None => of_several(case, graph, inputs)?,
        },
    };
    Some(vec![("y".to_string(), y)])
}

fn activation<'g>(case: &str, x: Var<'g>) -> Option<Var<'g>> {
    Some(match case {
        "relu" => x.relu(),
        "gelu_erf" => x.gelu(),
        "gelu_tanh" => x.gelu_tanh(),
        "sigmoid" => x.sigmoid(),
        "tanh" => x.tanh(),
        "silu" => x.silu(),
        "softplus" => x.softplus(),
        // torch's default slope
        "leaky_relu" => x.leaky_relu(0.01),
        "exp" => x.exp(),
        "erf" => x.erf(),
        _ => return None,
    })
}

/// `sum_02` as `("sum", [0, 2], "")`, `var_3_biased` as `("var", [3], "biased")`.
fn parse(case: &str) -> Option<(&str, Vec<usize>, &str)> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (at, axes) = case.match_indices('_').find_map(|(at, _)| {
        let part = case[at + 1..].split('_').next()?;
        digits(part).then_some((at, part))
    })?;
    let rest = case[at + 1 + axes.len()..].trim_start_matches('_');
    let axes = axes.bytes().map(|byte| usize::from(byte - b'0')).collect();
    Some((&case[..at], axes, rest))
}

fn over_axes<'g>(case: &str, x: Var<'g>, inputs: &BTreeMap<String, Var<'g>>) -> Option<Var<'g>> {
    let (op, axes, rest) = parse(case)?;
    let axis = *axes.first()?;
    Some(match (op, rest) {
        ("sum", "") => x.sum_axes(&axes),
        ("mean", "") => x.mean_axes(&axes),
        ("max", "") => x.max_axes(&axes),
        ("var", "biased") => x.var_axes(&axes, false),
        ("var", "unbiased") => x.var_axes(&axes, true),
        ("logsumexp", "") => x.logsumexp(axis),
        ("l2norm", "") => x.l2_norm(axis),
        ("normalize", "") => x.normalize(axis, 1e-12),
        ("transpose", "") => x.permute(&axes),
        ("flip", "") => x.flip(axis),
        ("cumsum", "") => x.cumsum(axis),
        ("softmax", "") => x.softmax(axis),
        ("log_softmax", "") => x.log_softmax(axis),
        ("gather", "") => x.gather(axis, *inputs.get("index")?),
        _ => return None,
    })
}

fn of_several<'g>(case: &str, graph: &'g Graph, inputs: &BTreeMap<String, Var<'g>>) -> Option<Var<'g>> {
    if let Some(op) = case.strip_prefix("broadcast_") {
        let (a, b) = (*inputs.get("a")?, *inputs.get("b")?);
        return Some(match op {
            "add" => a + b,
            "sub" => a - b,
            "mul" => a * b,
            "div" => a / b,
            "maximum" => a.maximum(b),
            _ => return None,
        });
    }
    let (op, axes, _) = parse(case)?;
    // a, b, c: the map has them in order
    let parts: Vec<Var<'g>> = inputs.values().copied().collect();
    match (op, axes.as_slice()) {
        ("concat", [axis]) => Some(graph.concat(&parts, *axis)),
        ("stack", [axis]) => Some(graph.stack(&parts, *axis)),
        _ => None,
    }
}
