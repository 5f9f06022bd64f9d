//! The networks as files for inference.

use super::{
    I3d, I3dConfig, Personality, PersonalityConfig, PersonalityNetwork, PersonalityNetworkConfig, Resnet, ResnetConfig,
};
use crate::error::Result;
use crate::graph::Parameters;
use crate::nn::Norms;
use crate::weights::{self, Export};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which network, and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum NetworkConfig {
    Resnet {
        sizes: ResnetConfig,
        norms: Norms,
    },
    I3d {
        sizes: I3dConfig,
        norms: Norms,
    },
    Personality {
        sizes: PersonalityConfig,
    },
    /// From pictures to traits.
    Traits {
        sizes: PersonalityNetworkConfig,
    },
}

/// A network that stands alone.
#[derive(Debug, Clone)]
pub enum Network {
    Resnet(Resnet),
    I3d(I3d),
    Personality(Personality),
    Traits(Box<PersonalityNetwork>),
}

impl NetworkConfig {
    /// The network and its parameters.
    pub fn build(&self) -> Result<(Network, Parameters)> {
        let mut parameters = Parameters::new();
        let network = match self {
            NetworkConfig::Resnet { sizes, norms } => {
                Network::Resnet(Resnet::with_norms(&mut parameters.root(), sizes, *norms)?)
            }
            NetworkConfig::I3d { sizes, norms } => {
                Network::I3d(I3d::with_norms(&mut parameters.root(), sizes, *norms)?)
            }
            NetworkConfig::Personality { sizes } => {
                let model = Personality::new(sizes)?;
                parameters = model.parameters().clone();
                Network::Personality(model)
            }
            NetworkConfig::Traits { sizes } => {
                let model = PersonalityNetwork::new(sizes)?;
                parameters = model.parameters().clone();
                Network::Traits(Box::new(model))
            }
        };
        Ok((network, parameters))
    }

    /// The configuration and the values of the same network with its batch norms folded into the convolutions before them; what has none
    /// to fold stays as it is.
    pub fn fold(&self, values: &[Vec<f32>]) -> Result<(Self, Vec<Vec<f32>>)> {
        let (network, parameters) = self.build()?;
        match (self, &network) {
            (NetworkConfig::Resnet { sizes, norms: Norms::Layers }, Network::Resnet(resnet)) => {
                let (_, _, values) = resnet.fold(&parameters, values)?;
                Ok((NetworkConfig::Resnet { sizes: sizes.clone(), norms: Norms::Folded }, values))
            }
            (NetworkConfig::I3d { sizes, norms: Norms::Layers }, Network::I3d(i3d)) => {
                let (_, _, values) = i3d.fold(&parameters, values)?;
                Ok((NetworkConfig::I3d { sizes: *sizes, norms: Norms::Folded }, values))
            }
            _ => Ok((self.clone(), values.to_vec())),
        }
    }
}

/// A network read back, ready for a [`crate::plan::ParameterStore`].
#[derive(Debug, Clone)]
pub struct Exported {
    pub about: Export<NetworkConfig>,
    pub network: Network,
    pub parameters: Parameters,
    pub values: Vec<Vec<f32>>,
}

/// Writes `values` of the network that `about` describes.
///
/// # Errors
/// As [`weights::export`].
pub fn export_network(path: impl AsRef<Path>, about: &Export<NetworkConfig>, values: &[Vec<f32>]) -> Result<()> {
    let (_, parameters) = about.model.build()?;
    weights::export(path, about, &parameters, values)
}

/// Reads a network that [`export_network`] wrote.
///
/// # Errors
/// As [`weights::import`], and where the weights are not those of the configuration.
pub fn import_network(path: impl AsRef<Path>) -> Result<Exported> {
    let (about, tensors) = weights::import::<NetworkConfig>(path)?;
    let (network, parameters) = about.model.build()?;
    let values = tensors.exactly_parameters(&parameters)?;
    Ok(Exported { about, network, parameters, values })
}
