//! The case families: what limbic runs against which golden file.

mod attention;
mod conv;
pub mod graph;
mod loss;
mod lr_schedules;
mod matmul;
mod metrics;
mod model;
mod msa;
mod norm;
mod optim;
mod personality;
mod pool;
mod recurrent;
mod seqpool;
mod tensor;

use crate::golden_harness::{GoldenFile, Run};

/// What runs the cases of `file`; none for what limbic does not have.
pub fn family(file: &GoldenFile) -> Option<Run> {
    match file.kind() {
        "metrics" => Some(metrics::run),
        "ops_attention" => Some(|case| graph::run(case, attention::build)),
        "ops_conv" => Some(|case| graph::run(case, conv::build)),
        "ops_loss" => Some(|case| graph::run(case, loss::build)),
        "ops_norm" => Some(|case| graph::run(case, norm::build)),
        "ops_pool" => Some(|case| graph::run(case, pool::build)),
        "ops_lstm" | "ops_recurrent" => Some(|case| graph::run(case, recurrent::build)),
        "ops_seqpool" => Some(seqpool::run),
        "ops_lr_schedules" => Some(lr_schedules::run),
        "ops_optim" => Some(optim::run),
        "ops_activations" => Some(|case| graph::run(case, tensor::build)),
        "ops_tensor" => Some(|case| {
            graph::run(case, |name, settings, graph, inputs| {
                matmul::build(name, settings, graph, inputs).or_else(|| tensor::build(name, settings, graph, inputs))
            })
        }),
        _ => match file.meta["model"].as_str().unwrap_or_default() {
            "MSASeqLevelModel" => Some(msa::sequence_level),
            model if model.starts_with("MSAModel") => Some(msa::baseline),
            "CompletePersonalityModel" => Some(personality::head),
            model if model.contains("ResNet") => Some(personality::resnet),
            model if model.starts_with("I3D") => Some(personality::i3d),
            _ => None,
        },
    }
}
