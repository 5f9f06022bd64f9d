//! Personality (OCEAN) from faces and motion: a ResNet looks at the face, an I3D at the optical flow, and the face's features ask the
//! motion's.

mod fusion;
mod i3d;
mod resnet;

pub use fusion::{CrossAttention, Personality, PersonalityConfig, PersonalityOutput, TRAITS};
pub use i3d::{I3d, I3dConfig};
pub use resnet::{Resnet, ResnetConfig, ResnetStyle};
