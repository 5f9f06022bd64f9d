//! ResNet (He et al. 2016) of bottleneck blocks, as torchvision and as Keras build it.

use crate::error::{Error, Result};
use crate::graph::{Parameters, Path, Var};
use crate::nn::{Context, ConvNorm, ConvNormOptions, Linear, Norms, fold};
use crate::ops::batch_norm::BatchNormOptions;
use crate::ops::conv::ConvOptions;
use crate::ops::window_pooling::PoolOptions;

/// A block's output has four times its filters.
const EXPANSION: usize = 4;

/// Whose ResNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum ResnetStyle {
    /// torchvision's v1.5: convolutions without bias, the stride on the 3 x 3.
    Torchvision,
    /// `keras.applications`: convolutions with bias, the stride on the first 1 x 1, and epsilon 1.001e-5.
    Keras,
}

/// Sizes of a [`Resnet`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct ResnetConfig {
    pub style: ResnetStyle,
    /// Filters of the first convolution.
    pub stem: usize,
    /// For each layer its blocks' filters (a quarter of its output) and how many blocks it has; each but the first halves the image.
    pub layers: Vec<(usize, usize)>,
    /// Width of the classifier on top of the features, if there is one.
    pub classes: Option<usize>,
}

impl ResnetConfig {
    /// torchvision's ResNet-50 without its classifier: 23,508,032 trainable parameters, 2048 features.
    pub fn resnet50() -> Self {
        ResnetConfig {
            style: ResnetStyle::Torchvision,
            stem: 64,
            layers: vec![(64, 3), (128, 4), (256, 6), (512, 3)],
            classes: None,
        }
    }

    /// Width of the features.
    pub fn features(&self) -> usize {
        self.layers.last().map_or(self.stem, |(filters, _)| filters * EXPANSION)
    }
}

#[derive(Debug, Clone)]
struct Bottleneck {
    name: String,
    convs: [ConvNorm; 3],
    /// Brings the input to the output's size, where they differ.
    downsample: Option<ConvNorm>,
}

/// Images `[batch, 3, height, width]` to features `[batch, 4 * the last layer's filters]`. Parameters have torchvision's names.
#[derive(Debug, Clone)]
pub struct Resnet {
    config: ResnetConfig,
    stem: ConvNorm,
    layers: Vec<Vec<Bottleneck>>,
    fc: Option<Linear>,
}

impl Resnet {
    /// Makes its parameters under `path`.
    ///
    /// # Errors
    /// Where a size is zero.
    pub fn new(path: &mut Path<'_>, config: &ResnetConfig) -> Result<Self> {
        Self::with_norms(path, config, Norms::Layers)
    }

    /// As [`Resnet::new`], with batch norms as layers or folded.
    pub fn with_norms(path: &mut Path<'_>, config: &ResnetConfig, norms: Norms) -> Result<Self> {
        let sizes = config.layers.iter().flat_map(|(filters, blocks)| [*filters, *blocks]);
        if config.stem == 0 || config.classes == Some(0) || sizes.into_iter().any(|size| size == 0) {
            return Err(Error::Config("stem, filters, blocks and classes of a ResNet must be at least 1".to_string()));
        }
        let build = Build { config, norms };
        let stem = build.conv_norm(path, ["conv1", "bn1"], [3, config.stem], 7, 2);
        let mut width = config.stem;
        let mut layers = Vec::new();
        for (index, (filters, blocks)) in config.layers.iter().enumerate() {
            let mut place = path.at(format!("layer{}", index + 1));
            let stride = if index == 0 { 1 } else { 2 };
            let block = |number: usize| {
                let (input, stride) = if number == 0 { (width, stride) } else { (filters * EXPANSION, 1) };
                build.block(&mut place, number, [input, *filters], stride, number == 0)
            };
            layers.push((0..*blocks).map(block).collect());
            width = filters * EXPANSION;
        }
        let fc = config.classes.map(|classes| Linear::new(path, "fc", width, classes));
        Ok(Resnet { config: config.clone(), stem, layers, fc })
    }

    /// A model of its own, with its parameters.
    pub fn alone(config: &ResnetConfig) -> Result<(Self, Parameters)> {
        let mut parameters = Parameters::new();
        let model = Self::new(&mut parameters.root(), config)?;
        Ok((model, parameters))
    }

    pub fn config(&self) -> &ResnetConfig {
        &self.config
    }

    /// The convolutions with their norms, in an order that the configuration alone decides: what [`fold`] pairs.
    pub fn conv_norms(&self) -> impl Iterator<Item = &ConvNorm> {
        std::iter::once(&self.stem).chain(self.layers.iter().flatten().flat_map(Bottleneck::conv_norms))
    }

    /// This network, made by [`Resnet::alone`], with its batch norms folded: for inference. `values` are those of `parameters`; returns
    /// the folded network with its own.
    pub fn fold(&self, parameters: &Parameters, values: &[Vec<f32>]) -> Result<(Self, Parameters, Vec<Vec<f32>>)> {
        let mut to = Parameters::new();
        let folded = Self::with_norms(&mut to.root(), &self.config, Norms::Folded)?;
        let values = fold(parameters, values, &to, self.conv_norms().zip(folded.conv_norms()))?;
        Ok((folded, to, values))
    }

    /// The last layer's activations, `[batch, features, height / 32, width / 32]` of four layers: what Grad-CAM looks at.
    pub fn map<'g>(&self, cx: Context<'g>, image: Var<'g>) -> Var<'g> {
        let x = self.stem.forward(cx, image).relu();
        let mut x = x.max_pool(&PoolOptions::new(&[3]).stride(&[2]).padding(&[1]));
        for (index, layer) in self.layers.iter().enumerate() {
            let _scope = cx.graph.scope(format!("layer{}", index + 1));
            x = layer.iter().fold(x, |x, block| block.forward(cx, x));
        }
        x
    }

    /// Features `[batch, features]`: the mean of `map`, an output of [`Resnet::map`], over the image.
    pub fn features<'g>(&self, map: Var<'g>) -> Var<'g> {
        map.mean_axes(&[2, 3])
    }

    /// Logits `[batch, classes]` where there is a classifier, else `features` as they are.
    pub fn classify<'g>(&self, cx: Context<'g>, features: Var<'g>) -> Var<'g> {
        self.fc.as_ref().map_or(features, |fc| fc.forward(cx, features))
    }
}

struct Build<'a> {
    config: &'a ResnetConfig,
    norms: Norms,
}

impl Build<'_> {
    fn conv_norm(
        &self,
        path: &mut Path<'_>,
        names: [&str; 2],
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> ConvNorm {
        let (bias, norm) = match self.config.style {
            ResnetStyle::Torchvision => (false, BatchNormOptions::pytorch()),
            ResnetStyle::Keras => (true, BatchNormOptions { epsilon: 1.001e-5, ..BatchNormOptions::keras() }),
        };
        let conv = ConvOptions::default().stride(&[stride]).padding(&[kernel / 2]);
        let options = ConvNormOptions { names, channels, kernel: &[kernel; 2], conv, bias, norm };
        ConvNorm::new(path, self.norms, options)
    }

    /// `first`: the block changes the number of channels or the size of the image.
    fn block(
        &self,
        path: &mut Path<'_>,
        number: usize,
        [input, filters]: [usize; 2],
        stride: usize,
        first: bool,
    ) -> Bottleneck {
        let mut path = path.at(number);
        let path = &mut path;
        let output = filters * EXPANSION;
        let (of_first, of_second) = match self.config.style {
            ResnetStyle::Torchvision => (1, stride),
            ResnetStyle::Keras => (stride, 1),
        };
        let convs = [
            self.conv_norm(path, ["conv1", "bn1"], [input, filters], 1, of_first),
            self.conv_norm(path, ["conv2", "bn2"], [filters, filters], 3, of_second),
            self.conv_norm(path, ["conv3", "bn3"], [filters, output], 1, 1),
        ];
        // torchvision leaves it out where nothing changes; Keras' first block of a layer always has it
        let needed = first && (self.config.style == ResnetStyle::Keras || stride != 1 || input != output);
        let downsample =
            needed.then(|| self.conv_norm(path, ["downsample.0", "downsample.1"], [input, output], 1, stride));
        Bottleneck { name: number.to_string(), convs, downsample }
    }
}

impl Bottleneck {
    fn conv_norms(&self) -> impl Iterator<Item = &ConvNorm> {
        self.convs.iter().chain(&self.downsample)
    }

    fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let [first, second, third] = &self.convs;
        let y = third.forward(cx, second.forward(cx, first.forward(cx, x).relu()).relu());
        let shortcut = self.downsample.as_ref().map_or(x, |downsample| downsample.forward(cx, x));
        (y + shortcut).relu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resnet50_has_torchvisions_parameters() {
        let (_, parameters) = Resnet::alone(&ResnetConfig::resnet50()).unwrap();
        assert_eq!(parameters.trainable_count(), 23_508_032);
        let with_classes = ResnetConfig { classes: Some(1000), ..ResnetConfig::resnet50() };
        assert_eq!(Resnet::alone(&with_classes).unwrap().1.trainable_count(), 25_557_032);
        assert!(parameters.find("layer3.5.bn2.running_var").is_some());
        assert!(parameters.find("layer2.0.downsample.0.weight").is_some());
    }

    #[test]
    fn sizes_of_nothing_are_errors() {
        assert!(Resnet::alone(&ResnetConfig { stem: 0, ..ResnetConfig::resnet50() }).is_err());
    }
}
