//! The image and motion encoders of the personality model: ResNet-50 and I3D over optical flow, unfolded as other libraries run them
//! and folded as this one does.

use super::kernels::floats;
use super::model::{inference, trainer, training, work};
use super::{Running, Subject};
use limbic::Result;
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Var};
use limbic::models::personality::{I3d, I3dConfig, Resnet, ResnetConfig};
use limbic::nn::Context;
use limbic::plan::Batch;

/// All of them. Training sizes are those that end in seconds on two processor cores.
pub fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    for (ending, folded) in [("", false), ("_folded", true)] {
        subjects.push(Subject::new(format!("resnet50_infer_b1{ending}"), move |gpu| infer(gpu, resnet()?, folded)));
        subjects.push(Subject::new(format!("i3d_infer_b1_16x224{ending}"), move |gpu| infer(gpu, i3d(224)?, folded)));
    }
    subjects.push(Subject::new("resnet50_train_b2", |gpu| train(gpu, resnet()?, 2)));
    subjects.push(Subject::new("i3d_train_b1_16x112", |gpu| train(gpu, i3d(112)?, 1)));
    subjects
}

enum Net {
    Resnet(Box<Resnet>),
    I3d(Box<I3d>),
}

struct Encoder {
    net: Net,
    parameters: Parameters,
    /// Of one input.
    input: Vec<usize>,
    features: usize,
}

fn resnet() -> Result<Encoder> {
    let config = ResnetConfig::resnet50();
    let (net, parameters) = Resnet::alone(&config)?;
    Ok(Encoder { net: Net::Resnet(Box::new(net)), parameters, input: vec![3, 224, 224], features: config.features() })
}

fn i3d(size: usize) -> Result<Encoder> {
    let config = I3dConfig::flow();
    let (net, parameters) = I3d::alone(&config)?;
    Ok(Encoder {
        net: Net::I3d(Box::new(net)),
        parameters,
        input: vec![2, 16, size, size],
        features: config.features(),
    })
}

impl Encoder {
    fn forward<'g>(&'g self, graph: &'g Graph, batch: usize, training: bool) -> Var<'g> {
        let cx = Context { graph, parameters: &self.parameters, training };
        let x = graph.input("x", [&[batch], &self.input[..]].concat().as_slice());
        match &self.net {
            Net::Resnet(net) => net.features(net.map(cx, x)),
            Net::I3d(net) => net.features(cx, net.map(cx, x)),
        }
    }

    fn named_features(&self, graph: &Graph, batch: usize, training: bool) -> Result<()> {
        self.forward(graph, batch, training).named("features");
        Ok(())
    }

    fn batch(&self, batch: usize) -> Batch {
        Batch::new(batch).float("x", floats(batch * self.input.iter().product::<usize>()))
    }

    /// With its batch norms in its convolutions, and the values of its parameters.
    fn fold(self, values: &[Vec<f32>]) -> Result<(Self, Vec<Vec<f32>>)> {
        let (net, parameters, values) = match &self.net {
            Net::Resnet(net) => {
                let (net, parameters, values) = net.fold(&self.parameters, values)?;
                (Net::Resnet(Box::new(net)), parameters, values)
            }
            Net::I3d(net) => {
                let (net, parameters, values) = net.fold(&self.parameters, values)?;
                (Net::I3d(Box::new(net)), parameters, values)
            }
        };
        Ok((Encoder { net, parameters, ..self }, values))
    }
}

/// The features come back.
fn infer(gpu: &Gpu, encoder: Encoder, folded: bool) -> Result<Running> {
    let values = encoder.parameters.initial_values(1);
    let (encoder, values) = if folded { encoder.fold(&values)? } else { (encoder, values) };
    inference(gpu, (&encoder.parameters, &values), &encoder.batch(1), "features", |graph| {
        encoder.named_features(graph, 1, false)
    })
}

/// Mean squared error of the features.
fn train(gpu: &Gpu, encoder: Encoder, batch: usize) -> Result<Running> {
    let forward = work(|graph| encoder.named_features(graph, batch, true))?;
    let target = [batch, encoder.features];
    let data = encoder.batch(batch).float("target", floats(target.iter().product()));
    let trainer = trainer(gpu, &encoder.parameters, &data, |graph| {
        let features = encoder.forward(graph, batch, true);
        (features - graph.input("target", target)).square().mean().as_loss();
        Ok(())
    })?;
    Ok(training(trainer, forward))
}
