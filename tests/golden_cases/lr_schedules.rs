//! Learning-rate tables against PyTorch's schedulers and the warm-up cosine's formula.

use limbic::train::schedule::{Anneal, OneCycle, Schedule};
use serde_json::Value;

use crate::golden_harness::{Case, Comparison, Outcome};

/// The files hold f64 rates rounded to f32.
const ROUNDED_TO_F32: f64 = 1e-7;

pub fn run(case: &Case<'_>) -> Outcome {
    let settings = case.settings();
    let library = settings.get("library").and_then(Value::as_str).unwrap_or_default();
    let schedule = if settings.get("warmup").is_some() {
        cosine(settings)
    } else if library.contains("OneCycleLR") {
        one_cycle(settings)
    } else {
        Err(format!("no schedule for {settings}"))
    };
    let schedule = match schedule {
        Ok(schedule) => schedule,
        Err(message) => return Outcome::NotCovered(message),
    };
    let mut comparison = Comparison::new(case);
    if let Err(error) = schedule.validate() {
        comparison.problem(error.to_string());
    }
    for (key, expected) in case.tensors() {
        let steps = 0..expected.data().len() as u64;
        let values: Option<Vec<f64>> = match key {
            "lr" => Some(steps.map(|step| schedule.lr(step)).collect()),
            "beta1" => steps.map(|step| schedule.beta1(step)).collect(),
            _ => None,
        };
        // Left alone, a key that is not known here is reported as missing.
        if let Some(values) = values {
            comparison.each_element(key, &[values.len()], &values, ROUNDED_TO_F32);
        }
    }
    comparison.finish()
}

fn number(settings: &Value, key: &str) -> Result<f64, String> {
    settings.get(key).and_then(Value::as_f64).ok_or_else(|| format!("no number '{key}' in {settings}"))
}

fn cosine(settings: &Value) -> Result<Schedule, String> {
    Ok(Schedule::Cosine {
        lr: number(settings, "base_lr")?,
        warmup_steps: number(settings, "warmup")? as u64,
        total_steps: number(settings, "total")? as u64,
        min_lr: 0.0,
    })
}

/// `OneCycleLR`'s own arguments.
fn one_cycle(settings: &Value) -> Result<Schedule, String> {
    let mut cycle = OneCycle::new(number(settings, "max_lr")?, number(settings, "total_steps")? as u64);
    let (mut low, mut high) = cycle.beta1_range.unwrap_or_default();
    for (key, value) in settings.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("library" | "note" | "max_lr" | "total_steps", _) => {}
            ("pct_start", _) => cycle.pct_start = number(settings, key)?,
            ("div_factor", _) => cycle.div_factor = number(settings, key)?,
            ("final_div_factor", _) => cycle.final_div_factor = number(settings, key)?,
            ("base_momentum", _) => low = number(settings, key)?,
            ("max_momentum", _) => high = number(settings, key)?,
            ("three_phase", Value::Bool(three_phase)) => cycle.three_phase = *three_phase,
            ("anneal_strategy", Value::String(name)) if name == "cos" => cycle.anneal = Anneal::Cosine,
            ("anneal_strategy", Value::String(name)) if name == "linear" => cycle.anneal = Anneal::Linear,
            _ => return Err(format!("OneCycleLR with {key} = {value}")),
        }
    }
    cycle.beta1_range = Some((low, high));
    Ok(Schedule::OneCycle(cycle))
}
