//! Whole models against PyTorch's and Keras': every output, weight gradient, input gradient, running statistic and optimiser step.

use super::graph::gpu;
use crate::golden_harness::{Case, Comparison, Outcome};
use limbic::graph::{Graph, Parameters, Shape};
use limbic::plan::{Batch, Mode, ParameterStore, Plan};
use limbic::train::{Clipping, Convention, OptimizerConfig, Rule, StepSettings, Trainer};
use limbic::weights::{TensorData, keras};
use serde_json::Value;

pub type Outcomes<T> = Result<T, String>;

pub fn text(error: limbic::Error) -> String {
    error.to_string()
}

/// Runs `work` over the case's comparison; what it returns as an error fails the case.
pub fn finish(case: &Case<'_>, work: impl FnOnce(&mut Comparison<'_>) -> Outcomes<()>) -> Outcome {
    let mut comparison = Comparison::new(case);
    if let Err(message) = work(&mut comparison) {
        comparison.problem(message);
    }
    comparison.finish()
}

/// An optimiser as a model's file describes it.
pub fn optimizer(settings: &Value, convention: Convention) -> Outcomes<(OptimizerConfig, StepSettings)> {
    let number = |key: &str| settings[key].as_f64();
    let epsilon = if convention == Convention::Keras { 1e-7 } else { 1e-8 };
    let rule = match settings["kind"].as_str() {
        Some("adamw") => Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon, decoupled: true },
        Some("adam") => Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon, decoupled: false },
        Some("sgd") => Rule::Sgd { momentum: number("momentum").unwrap_or(0.0) as f32, nesterov: false },
        other => return Err(format!("the optimiser {other:?} is not known")),
    };
    let config = OptimizerConfig {
        rule,
        convention,
        weight_decay: number("weight_decay").unwrap_or(0.0) as f32,
        clipping: number("clip").map_or(Clipping::None, |limit| Clipping::GlobalNorm(limit as f32)),
        groups: Vec::new(),
        accumulation: 1,
    };
    let learning_rate = number("lr").ok_or("an optimiser without lr")?;
    Ok((config, StepSettings { learning_rate, beta1: None }))
}

/// The file's shape of a tensor (Keras keeps heads and head width as two axes); empty where it does not hold it.
pub fn shape_of<'a>(case: &Case<'a>, key: &str) -> &'a [usize] {
    case.get(key).map_or(&[], |tensor| tensor.shape())
}

/// A model of ours and how its file calls things.
pub struct Model<'a> {
    pub parameters: &'a Parameters,
    /// Whose conventions the file follows.
    pub convention: Convention,
    /// The file's name of our tensor.
    pub name: &'a dyn Fn(&str) -> String,
    /// Builds the graph: inputs by their names in the file, a loss, and everything that the file holds as an output of its key.
    pub build: &'a dyn Fn(&Graph) -> limbic::Result<()>,
    /// Whether running statistics move.
    pub training: bool,
}

impl Model<'_> {
    /// Compares all that the file holds.
    pub fn check(&self, case: &Case<'_>, comparison: &mut Comparison<'_>) -> Outcomes<()> {
        let initial = self.values(case)?;
        let store = ParameterStore::new(&gpu()?, self.parameters, &initial).map_err(text)?;
        let plan = Plan::new(&store, Mode::Gradients, self.build).map_err(text)?;
        let batch = || batch(case);
        batch().write_to(&plan).map_err(text)?;
        plan.run().map_err(text)?;
        comparison.forward("loss/total", &[], &plan.read("loss").map_err(text)?);
        let held: Vec<String> = case.expected().map(str::to_string).collect();
        let made = |key: &&String| ["output/", "aux/", "loss/"].iter().any(|group| key.starts_with(group));
        for key in held.iter().filter(made).filter(|key| *key != "loss/total") {
            let shape = plan.output_shape(key).map_err(text)?;
            comparison.forward(key, shape.axes(), &plan.read(key).map_err(text)?);
        }
        let gradients = store.download_gradients().map_err(text)?;
        self.each(&gradients, |ours, values| {
            let key = format!("grad/param/{ours}");
            // buffers have none
            if case.get(&key).is_some() {
                comparison.gradient(&key, shape_of(case, &key), &values);
            }
        });
        for key in held.iter().filter(|key| key.starts_with("grad/input/")) {
            let gradient = plan.read(&key.replace("grad/input/", "grad/")).map_err(text)?;
            comparison.gradient(key, shape_of(case, key), &gradient);
        }
        for (index, spec) in self.parameters.specs().iter().enumerate().filter(|(_, spec)| spec.buffer) {
            let key = format!("after_forward/{}", (self.name)(&spec.name));
            let after = if self.training { plan.read(&format!("update/{index}")) } else { Ok(initial[index].clone()) };
            if case.get(&key).is_some() {
                comparison.forward(&key, shape_of(case, &key), &after.map_err(text)?);
            }
        }
        for settings in case.settings()["optimizers"].as_array().into_iter().flatten() {
            self.optimizer_steps(case, comparison, settings, &store, &initial)?;
        }
        Ok(())
    }

    fn optimizer_steps(
        &self,
        case: &Case<'_>,
        comparison: &mut Comparison<'_>,
        settings: &Value,
        store: &ParameterStore,
        initial: &[Vec<f32>],
    ) -> Outcomes<()> {
        let name = settings["name"].as_str().ok_or("an optimiser without a name")?;
        let key = format!("steps/{name}/loss");
        // a file may describe an optimiser and hold no steps of it
        let Some(length) = case.get(&key).map(|losses| losses.shape()[0]) else { return Ok(()) };
        let (config, step) = optimizer(settings, self.convention)?;
        store.upload(initial).map_err(text)?;
        let mut trainer = Trainer::new(store, config, 0, self.build).map_err(text)?;
        let mut losses = Vec::new();
        let mut after = None;
        for index in 0..length {
            if index + 1 == length {
                after = Some(store.download().map_err(text)?);
            }
            let mut reports = trainer.step(batch(case), step).map_err(text)?;
            reports.extend(trainer.finish().map_err(text)?);
            losses.extend(reports.iter().map(|report| report.loss));
        }
        comparison.forward(&key, &[length], &losses);
        self.each(&after.ok_or("no steps")?, |ours, values| {
            let key = format!("after/{name}/{ours}");
            if case.get(&key).is_some() {
                comparison.after_steps(name, ours, shape_of(case, &key), &values);
            }
        });
        store.upload(initial).map_err(text)
    }

    /// Our parameters' values from the file's tensors.
    fn values(&self, case: &Case<'_>) -> Outcomes<Vec<Vec<f32>>> {
        let mut used = 0;
        let mut all = Vec::new();
        for spec in self.parameters.specs() {
            let group = if spec.buffer { "buffer" } else { "param" };
            let mut values = Vec::with_capacity(spec.shape.len());
            for (ours, shape, _) in spec.named() {
                let tensor = case.need(&format!("{group}/{}", (self.name)(&ours)))?;
                let len = tensor.shape().iter().product::<usize>();
                if len != shape.len() {
                    return Err(format!("{ours} is {shape}, the file's is {:?}", tensor.shape()));
                }
                values.extend(self.in_ours(tensor.as_f32().ok_or("not f32")?, shape));
                used += 1;
            }
            all.push(values);
        }
        let extra = |key: &str| !key.ends_with("num_batches_tracked");
        let held = ["param", "buffer"].map(|group| case.group(group).filter(|(key, _)| extra(key)).count());
        let held = held[0] + held[1];
        if used != held {
            Err(format!("the file has {held} parameters and buffers, the model {used}"))
        } else {
            Ok(all)
        }
    }

    /// Each tensor in the file's layout, under the file's name.
    fn each(&self, values: &[Vec<f32>], mut visit: impl FnMut(&str, Vec<f32>)) {
        for (spec, values) in self.parameters.specs().iter().zip(values) {
            for (ours, shape, start) in spec.named() {
                visit(&(self.name)(&ours), self.in_its_layout(&values[start..start + shape.len()], shape));
            }
        }
    }

    /// Keras' dense kernels are [in, out], its convolutions' [.., in, out]; ours are [out, in, ..].
    fn in_its_layout(&self, values: &[f32], ours: Shape) -> Vec<f32> {
        if self.is_kernel(ours) { keras::to_kernel(values, ours) } else { values.to_vec() }
    }

    fn in_ours(&self, values: &[f32], ours: Shape) -> Vec<f32> {
        if self.is_kernel(ours) { keras::from_kernel(values, ours) } else { values.to_vec() }
    }

    fn is_kernel(&self, ours: Shape) -> bool {
        self.convention == Convention::Keras && ours.axes().len() > 1
    }
}

/// Every input of the file, labels as integers.
fn batch(case: &Case<'_>) -> Batch {
    case.inputs().fold(Batch::new(0), |batch, (key, tensor)| match tensor.data() {
        TensorData::F32(values) => batch.float(key, values.clone()),
        TensorData::U8(values) => batch.integer(key, values.iter().map(|v| u32::from(*v)).collect()),
        TensorData::I64(values) => batch.integer(key, values.iter().map(|v| *v as u32).collect()),
    })
}
