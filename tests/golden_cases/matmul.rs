//! Products against PyTorch's.

use super::graph::{Inputs, Outputs};
use limbic::graph::Graph;
use serde_json::Value;

pub fn build<'g>(case: &str, _: &Value, _: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let get = |name: &str| inputs.get(name).copied();
    let y = match case {
        "linear" => get("x")?.matmul_nt(get("weight")?) + get("bias")?,
        "linear_nobias" => get("x")?.matmul_nt(get("weight")?),
        _ if case.starts_with("bmm") => get("a")?.matmul(get("b")?),
        _ => return None,
    };
    Some(vec![("y".to_string(), y)])
}
