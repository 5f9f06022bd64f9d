//! Personality (OCEAN) from faces and motion: a ResNet looks at the face, an I3D at the optical flow, and the face's features ask the
//! motion's.

#[cfg(feature = "weights")]
mod export;
mod features;
mod fusion;
mod i3d;
mod motion;
mod network;
#[cfg(feature = "weights")]
mod pretrained;
mod resnet;

#[cfg(feature = "weights")]
pub use export::{Exported, Network, NetworkConfig, export_network, import_network};
pub use features::{FeatureExtractor, head_training_graph};
pub use fusion::{CrossAttention, Personality, PersonalityConfig, PersonalityHead, PersonalityOutput, TRAITS};
pub use i3d::{I3d, I3dConfig};
pub use motion::FlowExtractor;
pub use network::{PersonalityNetwork, PersonalityNetworkConfig, TraitScorer, training_graph};
#[cfg(feature = "weights")]
pub use pretrained::load_resnet;
pub use resnet::{Resnet, ResnetConfig, ResnetStyle};
