//! The golden cases of `ops_pool`: windows and adaptive windows in one to three dimensions.

use super::conv::numbers;
use super::graph::{Inputs, Outputs};
use limbic::graph::Graph;
use limbic::ops::window_pooling::PoolOptions;
use serde_json::Value;

/// Builds `case` over its inputs; `None` where it is not known here.
pub fn build<'g>(case: &str, settings: &Value, _graph: &'g Graph, inputs: &Inputs<'g>) -> Outputs<'g> {
    let x = *inputs.get("x")?;
    let y = if let Some(rest) = case.strip_prefix("adaptive_") {
        let sizes = numbers(&settings["output_size"])?;
        if rest.starts_with("max") { x.adaptive_max_pool(&sizes) } else { x.adaptive_avg_pool(&sizes) }
    } else {
        // the case of ties says what it does in words only
        let ties = case.ends_with("_relu_ties");
        let x = if ties { x.relu() } else { x };
        let options = options(settings, &numbers(&settings["kernel_size"]).or(ties.then_some(vec![2]))?);
        match &case[..3] {
            "max" => x.max_pool(&options),
            "avg" => x.avg_pool(&options),
            _ => return None,
        }
    };
    Some(vec![("y".to_string(), y)])
}

fn options(settings: &Value, kernel: &[usize]) -> PoolOptions {
    let mut options = PoolOptions::new(kernel);
    if let Some(stride) = numbers(&settings["stride"]) {
        options = options.stride(&stride);
    }
    if let Some(padding) = numbers(&settings["padding"]) {
        options = options.padding(&padding);
    }
    if let Some(dilation) = numbers(&settings["dilation"]) {
        options = options.dilation(&dilation);
    }
    options.ceil_mode = settings["ceil_mode"].as_bool().unwrap_or(false);
    options.count_padding = settings["count_include_pad"].as_bool().unwrap_or(true);
    options
}
