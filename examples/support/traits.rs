//! What trainings of the five traits share, on pictures or on features.

use limbic::Result;
use limbic::graph::Parameters;
use limbic::models::RegressionLoss;
use limbic::models::personality::TRAITS;
use limbic::train::fit::Validation;
use limbic::train::metrics::PersonalityMetrics;

/// Has an untrained network predict about each trait's mean: labels lie within a few tenths of it, outputs would not. The head's parameters
/// are called `<prefix>output...`.
pub fn start_at_the_mean(prefix: &str, parameters: &Parameters, values: &mut [Vec<f32>], labels: &[[f32; 5]]) {
    for (spec, values) in parameters.specs().iter().zip(values) {
        match spec.name.strip_prefix(prefix) {
            Some("output.weight") => values.iter_mut().for_each(|value| *value *= 0.1),
            Some("output.bias") => {
                for (index, value) in values.iter_mut().enumerate() {
                    *value = labels.iter().map(|labels| labels[index]).sum::<f32>() / labels.len().max(1) as f32;
                }
            }
            _ => {}
        }
    }
}

/// How well `predicted` fits the labels of held-out clips.
pub fn validation(predicted: &[[f32; 5]], labels: &[[f32; 5]], loss: RegressionLoss) -> Result<Validation> {
    let metrics = PersonalityMetrics::compute(predicted, labels)?.mean;
    let pairs = predicted.iter().flatten().zip(labels.iter().flatten());
    let losses = pairs.map(|(predicted, label)| loss.value(f64::from(predicted - label)));
    let loss = losses.sum::<f64>() / (TRAITS.len() * predicted.len()) as f64;
    let named = |name: &str, value: f64| (name.to_string(), value);
    let metrics = vec![
        named("accuracy", metrics.accuracy),
        named("pearson", metrics.pearson),
        named("concordance", metrics.concordance),
    ];
    Ok(Validation { loss, metrics })
}
