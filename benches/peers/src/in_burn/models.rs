//! Whole models: inference and training steps.

use super::msa::{Batch, Sentiment};
use super::resnet::Resnet;
use super::{Burn, Peer, Run, repeat};
use crate::rows::msa::{BATCH, configurations, preset};
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Tensor;
use limbic::graph::Parameters;
use limbic::models::msa::{Msa, MsaConfig, Preset};
use limbic::models::personality::{Resnet as LimbicResnet, ResnetConfig};
use limbic::{Error, Result};

/// All of them.
pub fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    for (name, config) in configurations() {
        for clips in [1, BATCH] {
            let config = config.clone();
            peers.push(Peer::new(format!("{name}_infer_b{clips}"), move |burn| infer(burn, &config, clips)));
        }
        peers.push(Peer::new(format!("{name}_train_b{BATCH}"), move |burn| train(burn, &config)));
    }
    let without = MsaConfig { dropout: 0.0, ..preset(Preset::Default) };
    peers.push(Peer::new(format!("msa_default_train_b{BATCH}_dropout0"), move |burn| train(burn, &without)));
    peers.push(Peer::new("resnet50_infer_b1", infer_resnet));
    peers.push(Peer::new("resnet50_train_b2", |burn| train_resnet(burn, 2)));
    peers
}

/// The model must be limbic's: as many values, batch norms' running statistics among them.
fn same(name: &str, burn: usize, limbic: &Parameters) -> Result<()> {
    let limbic: usize = limbic.specs().iter().map(|spec| spec.shape.len()).sum();
    if burn == limbic {
        return Ok(());
    }
    Err(Error::Config(format!("burn's {name} has {burn} parameters, limbic's {limbic}: they are not the same model")))
}

fn infer(burn: &Burn, config: &MsaConfig, clips: usize) -> Result<Run> {
    let model = Sentiment::new(config, &burn.device);
    same("sentiment model", model.num_params(), Msa::new(config)?.parameters())?;
    let batch = Batch::new(&burn.inputs(false), config, clips);
    Ok(repeat(&burn.device, move || model.forward(&batch).into_data()))
}

fn train(burn: &Burn, config: &MsaConfig) -> Result<Run> {
    let model = Sentiment::new(config, &burn.autodiff);
    let inputs = burn.inputs(true);
    let batch = Batch::new(&inputs, config, BATCH);
    let target = inputs.float([BATCH, 1]).detach();
    Ok(steps(burn, model, move |model: &Sentiment| model.forward(&batch) - target.clone()))
}

fn infer_resnet(burn: &Burn) -> Result<Run> {
    let model = Resnet::new(&burn.device);
    let (_, parameters) = LimbicResnet::alone(&ResnetConfig::resnet50())?;
    same("ResNet-50", model.num_params(), &parameters)?;
    let image = burn.inputs(false).float([1, 3, 224, 224]);
    Ok(repeat(&burn.device, move || model.forward(image.clone()).into_data()))
}

fn train_resnet(burn: &Burn, batch: usize) -> Result<Run> {
    let model = Resnet::new(&burn.autodiff);
    let inputs = burn.inputs(true);
    let images = inputs.float([batch, 3, 224, 224]).detach();
    let target = inputs.float([batch, 2048]).detach();
    Ok(steps(burn, model, move |model: &Resnet| model.forward(images.clone()) - target.clone()))
}

/// AdamW steps on the mean square of `error`; the loss comes back. Without clipping, which limbic's rows have.
fn steps<M: Module + 'static>(burn: &Burn, model: M, error: impl Fn(&M) -> Tensor<2> + 'static) -> Run {
    let mut optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(1e-2).init();
    let mut model = Some(model);
    repeat(&burn.device, move || {
        let current = model.take()?;
        let loss = error(&current).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &current);
        model = Some(optimizer.step(1e-4, current, gradients));
        Some(loss.into_data())
    })
}
