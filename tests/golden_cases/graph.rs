//! Runs a case that is a graph of ops: its inputs in, every output, and the gradient of sum(output * cotangent) for every input.

use crate::golden_harness::{Case, Comparison, Outcome, precision, write_loss_scale};
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::weights::TensorData;
use limbic::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A case's inputs as tensors of the graph.
pub type Inputs<'g> = BTreeMap<String, Var<'g>>;

/// Named outputs of a case; `None` where the case is not known.
pub type Outputs<'g> = Option<Vec<(String, Var<'g>)>>;

/// The machine's adapter, opened once.
pub fn gpu() -> std::result::Result<Gpu, String> {
    static GPU: OnceLock<std::result::Result<Gpu, String>> = OnceLock::new();
    GPU.get_or_init(|| Gpu::new().map_err(|error| error.to_string())).clone()
}

/// Builds the case's graph with `build`, runs it and compares everything that the file holds.
pub fn run<F>(case: &Case<'_>, build: F) -> Outcome
where
    F: for<'g> Fn(&str, &Value, &'g Graph, &Inputs<'g>) -> Outputs<'g>,
{
    let mut comparison = Comparison::new(case);
    match try_run(case, build, &mut comparison) {
        Ok(true) => comparison.finish(),
        Ok(false) => Outcome::NotCovered("limbic does not know this case".to_string()),
        Err(message) => {
            comparison.problem(message);
            comparison.finish()
        }
    }
}

fn try_run<F>(case: &Case<'_>, build: F, comparison: &mut Comparison<'_>) -> std::result::Result<bool, String>
where
    F: for<'g> Fn(&str, &Value, &'g Graph, &Inputs<'g>) -> Outputs<'g>,
{
    let store = ParameterStore::new(&gpu()?, &Parameters::new(), &[]).map_err(|error| error.to_string())?;
    let name = case.name.unwrap_or_default();
    let cotangents: BTreeMap<&str, Shape> = case.cotangents().map(|(key, t)| (key, Shape::new(t.shape()))).collect();
    let mode = if cotangents.is_empty() { Mode::Forward } else { Mode::Gradients };
    let mut known = true;
    let mut sizes = Vec::new();
    let plan = Plan::new(&store, mode, |graph| {
        graph.set_precision(precision());
        let inputs = declare(case, graph);
        let Some(outputs) = build(name, case.settings(), graph, &inputs) else {
            known = false;
            return Err(Error::Config("not covered".to_string()));
        };
        let mut loss: Option<Var<'_>> = None;
        // a builder may offer more than the file holds
        for (key, output) in outputs.into_iter().filter(|(key, _)| case.get(&format!("output/{key}")).is_some()) {
            sizes.push((key.clone(), output.shape(), output.dtype()));
            let output = output.named(&format!("out/{key}"));
            if let Some(shape) = cotangents.get(key.as_str()) {
                let cotangent = graph.input(&format!("cotangent/{key}"), *shape);
                let part = (output * cotangent).sum();
                loss = Some(loss.map_or(part, |sum| sum + part));
            }
        }
        if let Some(loss) = loss {
            loss.as_loss();
        }
        Ok(())
    });
    if !known {
        return Ok(false);
    }
    let plan = plan.map_err(|error| error.to_string())?;
    let text = |error: Error| error.to_string();
    write_inputs(case, &plan).map_err(text)?;
    write_loss_scale(&plan).map_err(text)?;
    for (key, tensor) in case.cotangents() {
        plan.write(&format!("cotangent/{key}"), tensor.as_f32().unwrap_or_default()).map_err(text)?;
    }
    plan.run().map_err(text)?;
    for (key, shape, dtype) in sizes {
        let key = (format!("out/{key}"), format!("output/{key}"));
        if dtype.is_float() {
            comparison.forward(&key.1, shape.axes(), &plan.read(&key.0).map_err(text)?);
        } else {
            comparison.exact(&key.1, shape.axes(), &plan.read_u32(&key.0).map_err(text)?);
        }
    }
    for (key, tensor) in case.grads() {
        // no path to the outputs: the gradient is zero
        let gradient =
            plan.read(&format!("grad/in/{key}")).unwrap_or_else(|_| vec![0.0; tensor.as_f32().map_or(0, <[f32]>::len)]);
        comparison.gradient(&format!("grad/{key}"), tensor.shape(), &gradient);
    }
    Ok(true)
}

/// Every input of the case as an input of the graph; floats with a gradient where the file holds one.
fn declare<'g>(case: &Case<'_>, graph: &'g Graph) -> Inputs<'g> {
    let declare = |(key, tensor): (&str, &limbic::weights::Tensor)| {
        let (name, shape) = (format!("in/{key}"), Shape::new(tensor.shape()));
        let var = match tensor.data() {
            TensorData::F32(_) if case.get(&format!("grad/{key}")).is_some() => graph.input_with_grad(&name, shape),
            TensorData::F32(_) => graph.input(&name, shape),
            _ => graph.mask_input(&name, shape),
        };
        (key.to_string(), var)
    };
    case.inputs().map(declare).collect()
}

fn write_inputs(case: &Case<'_>, plan: &Plan) -> Result<()> {
    for (key, tensor) in case.inputs() {
        let name = format!("in/{key}");
        match tensor.data() {
            TensorData::F32(values) => plan.write(&name, values)?,
            TensorData::U8(values) => {
                plan.write_u32(&name, &values.iter().map(|v| u32::from(*v)).collect::<Vec<_>>())?
            }
            TensorData::I64(values) => plan.write_u32(&name, &values.iter().map(|v| *v as u32).collect::<Vec<_>>())?,
        }
    }
    Ok(())
}
