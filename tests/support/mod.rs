//! What the GPU tests share: one device, one-op graphs, gradient checks against central differences, shapes that bite.
#![allow(dead_code)]

mod cases;

#[allow(unused_imports)]
pub use cases::cases;
use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{Graph, LOSS_SCALE, Parameters, Precision, Shape, Var};
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::{Error, Result};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The machine's adapter, opened once per test binary. There is no way to skip: without an adapter the test fails.
pub fn gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| Gpu::with_options(&GpuOptions::default()).expect("a Vulkan driver; run scripts/setup.sh"))
        .clone()
}

/// The same adapter as one that says it is a discrete GPU without subgroups or any other feature: what portable kernels run on.
pub fn portable_gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pretend_discrete(wgpu::Features::empty())).clone()
}

/// The same adapter as one that says it is a discrete GPU, with all its features.
pub fn discrete_gpu() -> Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pretend_discrete(limbic::gpu::optional_features())).clone()
}

fn pretend_discrete(features: wgpu::Features) -> Gpu {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::PRIMARY,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()));
    let adapter = adapter.expect("a Vulkan driver; run scripts/setup.sh");
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & features,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    let info = wgpu::AdapterInfo { device_type: wgpu::DeviceType::DiscreteGpu, ..adapter.get_info() };
    Gpu::from_wgpu_with(info, device, queue, &GpuOptions::default()).expect("the least limits")
}

/// A store without parameters.
pub fn empty_store() -> ParameterStore {
    ParameterStore::new(&gpu(), &Parameters::new(), &[]).expect("an empty store")
}

/// Reproducible values in about [-1, 1] with two decimals of structure, different for each `seed`.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    };
    (0..8).for_each(|_| {
        next();
    });
    (0..len).map(|_| next()).collect()
}

/// An input of a test graph.
#[derive(Clone, Debug)]
pub enum Value {
    /// Floats whose gradient is checked.
    Float(Shape, Vec<f32>),
    /// Floats without a gradient.
    Fixed(Shape, Vec<f32>),
    /// Masks, ids, labels.
    Integer(Shape, Vec<u32>),
}

pub fn float(shape: impl Into<Shape>, seed: u64) -> Value {
    let shape = shape.into();
    Value::Float(shape, noise(shape.len(), seed))
}

/// What came out of a run: named outputs and the gradients of the float inputs.
pub struct Outcome {
    pub outputs: Vec<Vec<f32>>,
    pub gradients: Vec<Option<Vec<f32>>>,
    pub loss: f32,
    /// The kernels that read or wrote halves.
    pub halving: BTreeSet<&'static str>,
    /// The kernel of each dispatch.
    pub kernels: Vec<&'static str>,
}

/// What losses are scaled by in mixed precision.
pub const SCALE: f32 = 1024.0;

/// Builds `build` over `inputs` in the MIDDLE of a graph: every float input is first multiplied by 1.5 (so an op that ignores the
/// incoming gradient or returns it unscaled is caught), every output is weighted by a fixed random cotangent and by 0.75, and the
/// sum is the loss. Returns outputs, loss and input gradients.
pub fn run<F>(inputs: &[Value], build: F) -> Result<Outcome>
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>,
{
    run_on(&gpu(), inputs, build)
}

/// [`run`] on a given device.
pub fn run_on<F>(gpu: &Gpu, inputs: &[Value], build: F) -> Result<Outcome>
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>,
{
    run_in(Precision::F32, gpu, inputs, build)
}

/// [`run`] in a given precision; the gradients are those of the loss itself.
pub fn run_in<F>(precision: Precision, gpu: &Gpu, inputs: &[Value], build: F) -> Result<Outcome>
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>,
{
    let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
    let mut sizes = Vec::new();
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        graph.set_precision(precision);
        let vars: Vec<Var<'_>> = inputs
            .iter()
            .enumerate()
            .map(|(index, input)| match input {
                Value::Float(shape, _) => graph.input_with_grad(&format!("x{index}"), *shape).scale(1.5),
                Value::Fixed(shape, _) => graph.input(&format!("x{index}"), *shape).scale(1.5),
                Value::Integer(shape, _) => graph.mask_input(&format!("x{index}"), *shape),
            })
            .collect();
        let outputs = build(graph, &vars);
        let mut loss: Option<Var<'_>> = None;
        for (index, output) in outputs.into_iter().enumerate() {
            let output = output.named(&format!("y{index}"));
            sizes.push(output.shape());
            let cotangent = graph.input(&format!("cotangent{index}"), output.shape());
            let part = (output * cotangent).scale(0.75).sum();
            loss = Some(loss.map_or(part, |sum| sum + part));
        }
        loss.ok_or_else(|| Error::Config("no outputs".to_string()))?.as_loss();
        Ok(())
    })?;
    for (index, input) in inputs.iter().enumerate() {
        match input {
            Value::Float(_, values) | Value::Fixed(_, values) => plan.write(&format!("x{index}"), values)?,
            Value::Integer(_, values) => {
                // an input that no kernel reads is still an input
                plan.write_u32(&format!("x{index}"), values)?;
            }
        }
    }
    for (index, shape) in sizes.iter().enumerate() {
        plan.write(&format!("cotangent{index}"), &noise(shape.len(), 1000 + index as u64))?;
    }
    let scale = if precision == Precision::Mixed { SCALE } else { 1.0 };
    if plan.has_input(LOSS_SCALE) {
        plan.write(LOSS_SCALE, &[scale])?;
    }
    plan.run()?;
    let unscaled = |gradient: Vec<f32>| gradient.into_iter().map(|value| value / scale).collect();
    let outputs = (0..sizes.len()).map(|index| plan.read(&format!("y{index}"))).collect::<Result<Vec<_>>>()?;
    let gradients = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            matches!(input, Value::Float(..)).then(|| plan.read(&format!("grad/x{index}")).ok().map(unscaled)).flatten()
        })
        .collect();
    let loss = plan.read("loss")?[0];
    let halving = plan.program().kernels().filter(|key| !key.halves.is_empty()).map(|key| key.shader).collect();
    let kernels = plan.program().kernels().map(|key| key.shader).collect();
    Ok(Outcome { outputs, gradients, loss, halving, kernels })
}

/// The loss of [`run`] in f64, recomputed from its f32 outputs.
fn loss_of(outcome: &Outcome) -> f64 {
    let parts = outcome.outputs.iter().enumerate().map(|(index, output)| {
        let cotangent = noise(output.len(), 1000 + index as u64);
        output.iter().zip(cotangent).map(|(y, c)| f64::from(*y) * f64::from(c) * 0.75).sum::<f64>()
    });
    parts.sum()
}

/// Compares every float input's gradient with central differences of the same graph along `directions` random directions.
/// f32 limits a difference quotient to about 1e-3 of the loss's scale; step and tolerance say so.
pub fn check_gradients<F>(name: &str, inputs: &[Value], build: F)
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>,
{
    let base = run(inputs, &build).unwrap_or_else(|error| panic!("{name}: {error}"));
    for (index, input) in inputs.iter().enumerate() {
        let Value::Float(shape, values) = input else { continue };
        let gradient =
            base.gradients[index].as_ref().unwrap_or_else(|| panic!("{name}: no gradient for input {index}"));
        assert_eq!(gradient.len(), shape.len(), "{name}: gradient of input {index}");
        for direction in 0..2u64 {
            let step = 4e-3f32;
            let along: Vec<f32> = noise(values.len(), 77 + direction + 10 * index as u64);
            let shifted = |sign: f32| {
                let mut inputs = inputs.to_vec();
                let moved = values.iter().zip(&along).map(|(value, d)| value + sign * step * d).collect();
                inputs[index] = Value::Float(*shape, moved);
                loss_of(&run(&inputs, &build).unwrap_or_else(|error| panic!("{name}: {error}")))
            };
            let measured = (shifted(1.0) - shifted(-1.0)) / (2.0 * f64::from(step));
            let expected: f64 = gradient.iter().zip(&along).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let scale: f64 =
                gradient.iter().zip(&along).map(|(g, d)| (f64::from(*g) * f64::from(*d)).powi(2)).sum::<f64>().sqrt();
            let tolerance = 1e-2 * scale.max(expected.abs()) + 2e-3 * base_scale(&base);
            assert!(
                (measured - expected).abs() <= tolerance,
                "{name}: input {index}, direction {direction}: gradient says {expected}, differences say {measured} (tolerance {tolerance})"
            );
        }
    }
}

fn base_scale(base: &Outcome) -> f64 {
    let squares: f64 = base.outputs.iter().flatten().map(|y| f64::from(*y).powi(2)).sum();
    squares.sqrt() * 1e-1
}

/// Asserts that `actual` is within `tolerance` of `expected`, relative to the largest expected value.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(1e-30f64, |most, value| most.max(value.abs()));
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*a) - e).abs() / scale;
        assert!(
            error <= tolerance,
            "{what}: element {index} is {a}, expected {e}: relative error {error:.2e} > {tolerance:.0e}"
        );
    }
}

/// Asserts that each element of `actual` is within `tolerance` times its `magnitude` of `expected`. For sums the magnitude is the
/// sum of the terms' absolute values: where terms cancel, the result's own size says nothing of the error.
pub fn assert_within(what: &str, actual: &[f32], expected: &[f64], magnitude: &[f64], tolerance: f64) {
    assert_eq!((actual.len(), actual.len()), (expected.len(), magnitude.len()), "{what}: lengths");
    for (index, (a, (e, m))) in actual.iter().zip(expected.iter().zip(magnitude)).enumerate() {
        let error = (f64::from(*a) - e).abs();
        assert!(
            error <= tolerance * m,
            "{what}: element {index} is {a}, expected {e}: error {error:.2e}, magnitude {m:.2e}"
        );
    }
}
