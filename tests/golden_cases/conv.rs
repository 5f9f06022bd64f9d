//! The golden cases of `ops_conv`.

use super::graph::{Inputs, Outputs};
use limbic::graph::Graph;
use limbic::ops::conv::ConvOptions;
use serde_json::Value;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    if !case.starts_with("conv") {
        return None;
    }
    let mut options = ConvOptions::default();
    if let Some(stride) = numbers(&settings["stride"]) {
        options = options.stride(&stride);
    }
    if let Some(padding) = numbers(&settings["padding"]) {
        options = options.padding(&padding);
    }
    if let Some(dilation) = numbers(&settings["dilation"]) {
        options = options.dilation(&dilation);
    }
    if let Some(groups) = settings["groups"].as_u64() {
        options = options.groups(groups as usize);
    }
    if case.ends_with("tf_same") {
        options = options.same();
    }
    let y = inputs.get("x")?.conv(*inputs.get("weight")?, inputs.get("bias").copied(), &options);
    Some(vec![("y".to_string(), y)])
}

/// A setting that is one number or one per axis.
pub fn numbers(value: &Value) -> Option<Vec<usize>> {
    let number = |value: &Value| value.as_u64().map(|number| number as usize);
    match value {
        Value::Array(list) => list.iter().map(number).collect(),
        one => number(one).map(|one| vec![one]),
    }
}
