//! The command line.

use crate::flags::{self, Defaults, TrainingFlags};
use crate::personality::{DataSource, RunConfig, VERSION, video_shape};
use clap::Parser;
use limbic::models::personality::{PersonalityNetwork, PersonalityNetworkConfig};
use limbic::{Error, Result};
use std::path::PathBuf;

/// What a run that goes on takes from its checkpoint, beside [`flags::FIXED`].
const FIXED: [&str; 12] = [
    "data",
    "clips",
    "full",
    "resnet",
    "freeze",
    "tokens",
    "faces",
    "face_size",
    "frames",
    "frame_size",
    "dropout",
    "no_mirror",
];

/// Trains openness, conscientiousness, extraversion, agreeableness and neuroticism from faces (ResNet) and motion (I3D over optical flow).
///
/// Without --data it trains on drawn faces made at run time from a seed, so nothing is downloaded.
#[derive(Debug, Clone, Parser)]
#[command(rename_all = "snake_case")]
pub struct Options {
    /// A folder in the layout of ChaLearn First Impressions. Default: the built-in corpus.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Take only so many clips of each split of --data.
    #[arg(long, requires = "data")]
    pub clips: Option<usize>,
    /// Directory of the checkpoint, history and pictures.
    #[arg(long, value_name = "DIR", default_value = "runs/personality")]
    pub out: PathBuf,
    /// Go on from the checkpoint in --out, with the data and settings it was begun with; --epochs, --patience and
    /// --checkpoint_every may change.
    #[arg(long, conflicts_with_all = FIXED.into_iter().chain(flags::FIXED))]
    pub resume: bool,
    /// ResNet-50 and I3D at full size, 224 and 112 pixels, instead of small ones.
    #[arg(long)]
    pub full: bool,
    /// Start the ResNet from torchvision's weights (resnet50 as safetensors; goes with --full).
    #[arg(long, value_name = "FILE", requires = "full")]
    pub resnet: Option<PathBuf>,
    /// How much of the ResNet stays as it is: 1 its stem, 2 its first layer too, up to 5. Default: 0, with --resnet 3.
    #[arg(long)]
    pub freeze: Option<usize>,
    /// Let places of the face attend to places and times of the motion, instead of one vector to one vector.
    #[arg(long)]
    pub tokens: bool,
    /// Pictures of the face per clip.
    #[arg(long)]
    pub faces: Option<usize>,
    #[arg(long, alias = "face-size")]
    pub face_size: Option<usize>,
    /// Frames per clip that motion is taken from.
    #[arg(long)]
    pub frames: Option<usize>,
    #[arg(long, alias = "frame-size")]
    pub frame_size: Option<usize>,
    /// Dropout of the head and of the motion's features.
    #[arg(long, allow_negative_numbers = true)]
    pub dropout: Option<f32>,
    /// Do not show half of the training clips in a mirror.
    #[arg(long, alias = "no-mirror")]
    pub no_mirror: bool,
    #[command(flatten)]
    pub training: TrainingFlags,
    /// Print GPU time per kernel and layer of a training step, and write it to profile.json in --out: a trace for ui.perfetto.dev.
    #[arg(long)]
    pub profile: bool,
    /// Part of the adapter's name, or its number (see examples/devices).
    #[arg(long)]
    pub adapter: Option<String>,
}

impl Options {
    /// The run that the flags describe.
    pub fn config(&self) -> Result<RunConfig> {
        let data = match &self.data {
            Some(dir) => DataSource::Chalearn { dir: dir.clone(), most: self.clips },
            None => DataSource::Builtin { seed: self.training.seed },
        };
        let model = self.model()?;
        let defaults = Defaults {
            batch_size: 16,
            learning_rate: if self.full { 1e-4 } else { 5e-3 },
            epochs: if self.data.is_none() { 12 } else { 50 },
        };
        let training = self.training.config(&defaults);
        if training.batch_size < 2 {
            let message = "--batch_size must be at least 2, or batch norm has nothing to go by";
            return Err(Error::Config(message.to_string()));
        }
        Ok(RunConfig { version: VERSION, model, data, training, mirror: !self.no_mirror })
    }

    fn model(&self) -> Result<PersonalityNetworkConfig> {
        let base = if self.full { PersonalityNetworkConfig::full() } else { PersonalityNetworkConfig::small() };
        let mut model = PersonalityNetworkConfig {
            tokens: self.tokens,
            frozen_stages: self.freeze.unwrap_or(if self.resnet.is_some() { 3 } else { 0 }),
            faces: self.faces.unwrap_or(base.faces),
            face_size: self.face_size.unwrap_or(base.face_size),
            frames: self.frames.unwrap_or(base.frames),
            frame_size: self.frame_size.unwrap_or(base.frame_size),
            ..base
        };
        if let Some(dropout) = self.dropout {
            (model.i3d.dropout, model.head.dropout) = (dropout, dropout);
        }
        video_shape(&model).check()?;
        PersonalityNetwork::new(&model)?;
        Ok(model)
    }
}
