//! What personality_train and personality_predict share: what a checkpoint says of itself, and the data it was made with.

use crate::common::{self, TrainingConfig};
use limbic::Result;
use limbic::data::builtin::{Talking, TalkingConfig, generate_talking};
use limbic::data::chalearn;
use limbic::data::video::{VideoClip, VideoCorpus, VideoShape};
use limbic::gpu::Gpu;
use limbic::models::personality::{FlowExtractor, PersonalityNetworkConfig};
use limbic::ops::optical_flow::FlowOptions;
use limbic::train::checkpoint::Checkpoint;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A checkpoint's `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// Changes when the meaning of a field does.
    pub version: u32,
    pub model: PersonalityNetworkConfig,
    pub data: DataSource,
    pub training: TrainingConfig,
    /// Whether half of the training clips are seen in a mirror.
    pub mirror: bool,
}

pub const VERSION: u32 = 1;

/// Clips whose flow is computed at a time.
const FLOW_BATCH: usize = 8;

/// Where the clips come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// The corpus that is made at run time from this seed.
    Builtin { seed: u64 },
    /// A folder in ChaLearn's layout, or so many clips of each of its splits.
    Chalearn { dir: PathBuf, most: Option<usize> },
}

/// The clips, and for the built-in corpus what is known of its rule.
pub struct Data {
    pub corpus: VideoCorpus,
    // personality_predict asks for the clips only
    #[allow(dead_code)]
    pub talking: Option<Talking>,
}

impl DataSource {
    /// The clips at the sizes of `model`, without their flow.
    pub fn load(&self, model: &PersonalityNetworkConfig) -> Result<Data> {
        let shape = video_shape(model);
        match self {
            DataSource::Builtin { seed } => {
                let config = TalkingConfig { seed: *seed, shape, ..TalkingConfig::default() };
                let mut talking = generate_talking(config)?;
                // the clips are needed once only
                let empty = VideoCorpus { train: vec![], valid: vec![], test: vec![], ..talking.corpus.clone() };
                let corpus = std::mem::replace(&mut talking.corpus, empty);
                Ok(Data { corpus, talking: Some(talking) })
            }
            DataSource::Chalearn { dir, most } => {
                Ok(Data { corpus: chalearn::load(dir, &shape, *most)?, talking: None })
            }
        }
    }
}

/// The pictures that a model takes.
pub fn video_shape(model: &PersonalityNetworkConfig) -> VideoShape {
    let PersonalityNetworkConfig { faces, face_size, frames, frame_size, .. } = *model;
    VideoShape { faces, face_size, frames, frame_size }
}

/// Computes the flow of `clips`, which the frames then make room for.
pub fn compute_flow(gpu: &Gpu, shape: &VideoShape, clips: &mut [VideoClip]) -> Result<()> {
    if clips.is_empty() {
        return Ok(());
    }
    let batch = FLOW_BATCH.min(clips.len());
    // a few iterations do for motions of a pixel or two; the default's hundred and more would take longer than the training
    let options = FlowOptions { warps: 2, iterations: 8, ..FlowOptions::default() };
    let extractor = FlowExtractor::new(gpu, batch, shape.frames, shape.frame_size, options)?;
    for clips in clips.chunks_mut(batch) {
        let frames: Vec<&[u8]> = clips.iter().map(|clip| clip.frames.as_slice()).collect();
        let flows = extractor.run(&frames)?;
        for (clip, flow) in clips.iter_mut().zip(flows) {
            (clip.flow, clip.frames) = (flow, Vec::new());
        }
    }
    Ok(())
}

/// The clip at `path`: a folder of JPEG or PNG frames, or a video file.
// personality_train reads corpora only
#[allow(dead_code)]
pub fn read_clip(path: &Path, shape: &VideoShape) -> Result<VideoClip> {
    if !path.is_dir() {
        return VideoClip::from_video(path, shape);
    }
    let pictures = chalearn::pictures(path)?;
    VideoClip::from_files(common::shown(path), &pictures, &pictures, shape)
}

/// The labels of `clips`.
pub fn labels(clips: &[VideoClip]) -> Vec<[f32; 5]> {
    clips.iter().map(|clip| clip.traits).collect()
}

/// Reads a checkpoint's configuration and checks its version.
pub fn read_config(checkpoint: &Checkpoint) -> Result<RunConfig> {
    common::read_config(checkpoint, VERSION, "personality_train")
}
