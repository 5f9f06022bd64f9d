//! Every kernel on its op, through the public API: a graph of that op alone, compiled as any plan is.

use super::cases::{Case, Inputs, cases};
use super::roof::submit;
use super::seed::seed;
use super::{Running, Subject, Work};
use limbic::Result;
use limbic::gpu::Gpu;
use limbic::graph::{DType, Parameters, Shape};
use limbic::models::msa::{Msa, MsaConfig, Preset};
use limbic::plan::{Mode, ParameterStore, Plan};
use limbic::train::{Clipping, Optimizer, OptimizerConfig, StepSettings};
use std::rc::Rc;

/// All ops, then the optimiser.
pub fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for case in cases() {
        let case = Rc::new(case);
        let directions = [(case.forward, false, "_fwd"), (case.both, true, "_fwdbwd")];
        for (work, backward, ending) in directions {
            let Some(work) = work else { continue };
            let name = if case.both.is_some() { format!("{}{ending}", case.name) } else { case.name.clone() };
            let case = case.clone();
            subjects.push(Subject::new(name, move |gpu| {
                let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
                let plan = plan(&store, &case, backward)?;
                let (dispatches, memory) = (Some(plan.program().len()), Some(plan.memory().total()));
                Ok(Running { run: Box::new(move |replays| replay(&plan, replays)), work, dispatches, memory })
            }));
        }
    }
    subjects.push(Subject::new(ADAMW, adamw));
    subjects
}

/// Compiles `case` alone and fills its inputs.
fn plan(store: &ParameterStore, case: &Case, backward: bool) -> Result<Plan> {
    let mode = if backward { Mode::Gradients } else { Mode::Forward };
    let plan = Plan::new(store, mode, |graph| {
        let out = (case.build)(Inputs { graph, backward });
        if backward {
            seed(out, graph.input("incoming gradient", out.shape())).as_loss();
        } else {
            out.named("out");
        }
        Ok(())
    })?;
    let inputs: Vec<(String, Shape, DType)> =
        plan.input_names().map(|(name, shape, dtype)| (name.to_string(), shape, dtype)).collect();
    for (name, shape, dtype) in inputs {
        match dtype {
            DType::U32 => plan.write_u32(&name, &integers(&name, shape))?,
            _ => plan.write(&name, &floats(shape.len()))?,
        }
    }
    Ok(plan)
}

/// Replays a plan in one submission and waits.
fn replay(plan: &Plan, replays: u32) -> Result<()> {
    submit(plan.gpu(), |encoder| (0..replays).for_each(|_| plan.encode(encoder)))
}

/// Values in [-1, 1), none of them special.
pub fn floats(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// A padding mask whose rows hold from all to `1 - 1 / divisor` of their steps, as in the peers' programs.
pub fn padding(batch: usize, seq_len: usize, divisor: usize) -> Vec<u32> {
    let len = |row: usize| (seq_len - row * seq_len / (divisor * batch)).max(1);
    (0..batch).flat_map(|row| (0..seq_len).map(move |step| u32::from(step < len(row)))).collect()
}

/// What [`Inputs::ids`] (a bound for a name) and [`Inputs::mask`] ask for.
fn integers(name: &str, shape: Shape) -> Vec<u32> {
    match name.parse::<u32>() {
        Ok(below) => (0..shape.len() as u32).map(|i| i.wrapping_mul(2_654_435_761) % below).collect(),
        Err(_) => padding(shape.axis(0), shape.axis(1), 2),
    }
}

/// Named after the parameters of the default sentiment model.
const ADAMW: &str = "adamw_5.5M";

/// The update of all parameters of the default sentiment model, with the norm that clipping and the search for values that are
/// not finite need.
fn adamw(gpu: &Gpu) -> Result<Running> {
    let model = Msa::new(&MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(64)))?;
    let parameters = model.parameters();
    let store = ParameterStore::new(gpu, parameters, &parameters.initial_values(1))?;
    for (index, chunk) in store.chunks().iter().enumerate() {
        gpu.queue().write_buffer(store.gradients(index)?, 0, bytemuck::cast_slice(&floats(chunk.len)));
    }
    let all: Vec<usize> = (0..parameters.specs().len()).collect();
    let config = OptimizerConfig { clipping: Clipping::GlobalNorm(1.0), ..OptimizerConfig::adamw(0.01) };
    let optimizer = Optimizer::new(&store, &all, config, None)?;
    optimizer.prepare(1, StepSettings { learning_rate: 1e-4, beta1: None });
    let (dispatches, memory) = (Some(optimizer.dispatches()), Some(2 * store.bytes() + optimizer.bytes()));
    // parameter, gradient and two moments in; parameter and moments out
    let work = Work::bytes(7.0 * 4.0 * parameters.trainable_count() as f64);
    let gpu = gpu.clone();
    let run = move |replays| submit(&gpu, |encoder| (0..replays).for_each(|_| optimizer.encode(encoder)));
    Ok(Running { run: Box::new(run), work, dispatches, memory })
}
