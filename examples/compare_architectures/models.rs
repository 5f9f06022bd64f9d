//! The models that can be compared, each with the graphs that score with it and train it.

use crate::architecture::{Build, Purpose};
use clap::ValueEnum;
use limbic::Result;
use limbic::graph::{Graph, Parameters, Var};
use limbic::models::msa::{
    BaselineConfig, BatchShape, Msa, MsaBaseline, MsaConfig, Preset, RegressionLoss, SentimentModel, scoring_graph,
    training_graph,
};
use limbic::models::personality::{I3d, I3dConfig, Personality, PersonalityConfig, Resnet, ResnetConfig, TRAITS};
use limbic::nn::Context;

/// Side of images and of clips' frames, pixels.
const SIDE: usize = 224;
/// Frames of a clip.
const FRAMES: usize = 64;
/// Steps of each modality of a sentiment clip.
const SEQ_LEN: usize = 64;
/// Places of a face in a ResNet's last map, and places and times of a clip in an I3D's.
const TOKENS: [usize; 2] = [7 * 7, 8 * 7 * 7];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// The face's network, without classifier.
    Resnet50,
    /// The motion's network, over optical flow.
    I3d,
    /// From one vector of the face and one of the motion to five traits.
    Personality,
    /// The same over tokens of face and motion.
    PersonalityTokens,
    MsaSmall,
    MsaMedium,
    MsaDefault,
    MsaLarge,
    /// Pools each modality before they meet, at the default's sizes.
    MsaBaseline,
}

impl Model {
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// What one example is.
    pub fn example(self) -> String {
        match self {
            Model::Resnet50 => format!("image 3 x {SIDE} x {SIDE}"),
            Model::I3d => format!("flow 2 x {FRAMES} x {SIDE} x {SIDE}"),
            Model::Personality => "vectors 512, 256".to_string(),
            Model::PersonalityTokens => format!("{} tokens of 512, {} of 256", TOKENS[0], TOKENS[1]),
            _ => {
                let modalities = MsaConfig::source_modalities(SEQ_LEN);
                let dims: Vec<String> = modalities.iter().map(|modality| modality.dim.to_string()).collect();
                format!("{SEQ_LEN} steps of {}", dims.join(" / "))
            }
        }
    }

    pub fn build(self) -> Result<(Parameters, Build)> {
        match self {
            Model::Resnet50 => resnet(),
            Model::I3d => i3d(),
            Model::Personality => personality([1, 1]),
            Model::PersonalityTokens => personality(TOKENS),
            Model::MsaSmall => msa(Preset::Small),
            Model::MsaMedium => msa(Preset::Medium),
            Model::MsaDefault => msa(Preset::Default),
            Model::MsaLarge => msa(Preset::Large),
            Model::MsaBaseline => {
                let config = MsaConfig::preset(Preset::Default, MsaConfig::source_modalities(SEQ_LEN));
                sentiment(MsaBaseline::new(&BaselineConfig::like(&config, false))?)
            }
        }
    }
}

/// Keeps `output` and, in training, its squares' mean as the loss: which loss it is changes nothing here.
fn finish(output: Var<'_>, purpose: Purpose) {
    let output = output.named("output");
    if purpose == Purpose::Training {
        output.square().mean().as_loss();
    }
}

fn context<'g>(graph: &'g Graph, parameters: &'g Parameters, purpose: Purpose) -> Context<'g> {
    Context { graph, parameters, training: purpose == Purpose::Training }
}

fn resnet() -> Result<(Parameters, Build)> {
    let (model, parameters) = Resnet::alone(&ResnetConfig::resnet50())?;
    let known = parameters.clone();
    let build = move |graph: &Graph, batch: usize, purpose: Purpose| {
        let cx = context(graph, &known, purpose);
        let map = model.map(cx, graph.input("image", [batch, 3, SIDE, SIDE]));
        finish(model.features(map), purpose);
        Ok(())
    };
    Ok((parameters, Box::new(build)))
}

fn i3d() -> Result<(Parameters, Build)> {
    let (model, parameters) = I3d::alone(&I3dConfig::flow())?;
    let known = parameters.clone();
    let build = move |graph: &Graph, batch: usize, purpose: Purpose| {
        let cx = context(graph, &known, purpose);
        let map = model.map(cx, graph.input("flow", [batch, 2, FRAMES, SIDE, SIDE]));
        finish(model.features(cx, map), purpose);
        Ok(())
    };
    Ok((parameters, Box::new(build)))
}

fn personality([tokens, steps]: [usize; 2]) -> Result<(Parameters, Build)> {
    let config = PersonalityConfig::default();
    let model = Personality::new(&config)?;
    let parameters = model.parameters().clone();
    let build = move |graph: &Graph, batch: usize, purpose: Purpose| {
        let cx = context(graph, model.parameters(), purpose);
        let face = graph.input("face", [batch, tokens, config.static_dim]);
        let motion = graph.input("motion", [batch, steps, config.dynamic_dim]);
        let traits = model.forward_tokens(cx, face, motion, None).traits.named("traits");
        if purpose == Purpose::Training {
            traits.mse_loss(graph.input("target", [batch, TRAITS.len()]), None).as_loss();
        }
        Ok(())
    };
    Ok((parameters, Box::new(build)))
}

fn msa(preset: Preset) -> Result<(Parameters, Build)> {
    sentiment(Msa::new(&MsaConfig::preset(preset, MsaConfig::source_modalities(SEQ_LEN)))?)
}

fn sentiment(model: impl SentimentModel + 'static) -> Result<(Parameters, Build)> {
    let parameters = model.parameters().clone();
    let build = move |graph: &Graph, batch: usize, purpose: Purpose| {
        let shape = BatchShape::full(batch, model.modalities());
        match purpose {
            Purpose::Inference => scoring_graph(&model, graph, &shape),
            Purpose::Training => training_graph(&model, graph, &shape, RegressionLoss::Mse),
        }
    };
    Ok((parameters, Box::new(build)))
}
