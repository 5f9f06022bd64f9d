//! I3D (Carreira and Zisserman 2017): Inception-v1 inflated to three dimensions, here over optical flow.

use crate::error::{Error, Result};
use crate::graph::{Parameters, Path, Var};
use crate::nn::{Context, ConvNorm, ConvNormOptions, Norms, fold};
use crate::ops::batch_norm::BatchNormOptions;
use crate::ops::conv::ConvOptions;
use crate::ops::window_pooling::PoolOptions;

/// What comes after the stem, in order: the channels of a module's six convolutions, or a pooling's window (its stride as well).
#[derive(Debug, Clone, Copy)]
enum Stage {
    Mixed(&'static str, [usize; 6]),
    Pool([usize; 3]),
}

const STAGES: [Stage; 11] = [
    Stage::Mixed("Mixed_3b", [64, 96, 128, 16, 32, 32]),
    Stage::Mixed("Mixed_3c", [128, 128, 192, 32, 96, 64]),
    Stage::Pool([3, 3, 3]),
    Stage::Mixed("Mixed_4b", [192, 96, 208, 16, 48, 64]),
    Stage::Mixed("Mixed_4c", [160, 112, 224, 24, 64, 64]),
    Stage::Mixed("Mixed_4d", [128, 128, 256, 24, 64, 64]),
    Stage::Mixed("Mixed_4e", [112, 144, 288, 32, 64, 64]),
    Stage::Mixed("Mixed_4f", [256, 160, 320, 32, 128, 128]),
    Stage::Pool([2, 2, 2]),
    Stage::Mixed("Mixed_5b", [256, 160, 320, 32, 128, 128]),
    Stage::Mixed("Mixed_5c", [384, 192, 384, 48, 128, 128]),
];

/// Sizes of an [`I3d`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct I3dConfig {
    /// 2 for optical flow, 3 for colour.
    pub channels: usize,
    /// Every width is divided by this; 1 is the source's.
    pub divisor: usize,
    /// How many of the source's 11 modules and poolings after the stem there are.
    pub stages: usize,
    /// Dropout of the features.
    pub dropout: f32,
    /// Weight of a batch in the batch norms' running statistics: the source's 0.01, or more for short trainings.
    pub momentum: f32,
}

impl I3dConfig {
    /// The source's over optical flow: 12,265,312 trainable parameters, 1024 features.
    pub fn flow() -> Self {
        I3dConfig { channels: 2, divisor: 1, stages: STAGES.len(), dropout: 0.5, momentum: 0.01 }
    }

    fn width(&self, width: usize) -> usize {
        (width / self.divisor).max(1)
    }

    /// Width of the features.
    pub fn features(&self) -> usize {
        let modules = STAGES.iter().take(self.stages).rev();
        let last =
            modules.filter_map(|stage| if let Stage::Mixed(_, widths) = stage { Some(*widths) } else { None }).next();
        last.map_or(self.width(192), |widths| outputs(widths.map(|width| self.width(width))))
    }
}

/// Channels that a module of these widths makes.
fn outputs([w0, _, w1b, _, w2b, w3]: [usize; 6]) -> usize {
    w0 + w1b + w2b + w3
}

/// What all batch norms have in common.
#[derive(Debug, Clone, Copy)]
struct Normed {
    norms: Norms,
    momentum: f32,
}

/// Convolution, batch norm, ReLU; padded as TensorFlow pads.
#[derive(Debug, Clone)]
struct Unit {
    name: String,
    conv: ConvNorm,
}

impl Unit {
    fn new(
        path: &mut Path<'_>,
        normed: Normed,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Self {
        let mut path = path.at(name);
        let options = ConvNormOptions {
            names: ["conv3d", "bn"],
            channels,
            kernel: &[kernel; 3],
            conv: ConvOptions::default().stride(&[stride]).same(),
            bias: false,
            norm: BatchNormOptions { epsilon: 1e-3, momentum: normed.momentum, unbiased: true },
        };
        Unit { name: name.to_string(), conv: ConvNorm::new(&mut path, normed.norms, options) }
    }

    fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        self.conv.forward(cx, x).relu()
    }
}

/// Four branches side by side: 1; 1 then 3; 1 then 3; maximum pooling then 1.
#[derive(Debug, Clone)]
struct Inception {
    name: String,
    units: [Unit; 6],
}

impl Inception {
    fn new(
        path: &mut Path<'_>,
        normed: Normed,
        name: &str,
        input: usize,
        [w0, w1a, w1b, w2a, w2b, w3]: [usize; 6],
    ) -> Self {
        let mut path = path.at(name);
        let mut unit = |name, channels, kernel| Unit::new(&mut path, normed, name, channels, kernel, 1);
        let units = [
            unit("b0", [input, w0], 1),
            unit("b1a", [input, w1a], 1),
            unit("b1b", [w1a, w1b], 3),
            unit("b2a", [input, w2a], 1),
            unit("b2b", [w2a, w2b], 3),
            unit("b3b", [input, w3], 1),
        ];
        Inception { name: name.to_string(), units }
    }

    fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.graph.scope(&self.name);
        let [b0, b1a, b1b, b2a, b2b, b3b] = &self.units;
        let branches = [
            b0.forward(cx, x),
            b1b.forward(cx, b1a.forward(cx, x)),
            b2b.forward(cx, b2a.forward(cx, x)),
            b3b.forward(cx, x.max_pool(&PoolOptions::new(&[3]).stride(&[1]).same())),
        ];
        cx.graph.concat(&branches, 1)
    }
}

#[derive(Debug, Clone)]
enum Layer {
    Mixed(Box<Inception>),
    Pool([usize; 3]),
}

impl Layer {
    fn units(&self) -> &[Unit] {
        match self {
            Layer::Mixed(module) => &module.units,
            Layer::Pool(_) => &[],
        }
    }
}

/// Clips `[batch, channels, frames, height, width]` to features `[batch, features]`.
#[derive(Debug, Clone)]
pub struct I3d {
    config: I3dConfig,
    stem: [Unit; 3],
    layers: Vec<Layer>,
}

impl I3d {
    /// Makes its parameters under `path`.
    ///
    /// # Errors
    /// Where a size is zero, dropout not in [0, 1), or momentum not in [0, 1].
    pub fn new(path: &mut Path<'_>, config: &I3dConfig) -> Result<Self> {
        Self::with_norms(path, config, Norms::Layers)
    }

    /// As [`I3d::new`], with batch norms as layers or folded.
    pub fn with_norms(path: &mut Path<'_>, config: &I3dConfig, norms: Norms) -> Result<Self> {
        let rates = (0.0..1.0).contains(&config.dropout) && (0.0..=1.0).contains(&config.momentum);
        if config.channels == 0 || config.divisor == 0 || !rates {
            let message = "an I3D wants a channel or more, a divisor of at least 1, dropout and momentum of 0 to 1";
            return Err(Error::Config(message.to_string()));
        }
        let width = |width| config.width(width);
        let normed = Normed { norms, momentum: config.momentum };
        let stem = [
            Unit::new(path, normed, "Conv3d_1a_7x7", [config.channels, width(64)], 7, 2),
            Unit::new(path, normed, "Conv3d_2b_1x1", [width(64), width(64)], 1, 1),
            Unit::new(path, normed, "Conv3d_2c_3x3", [width(64), width(192)], 3, 1),
        ];
        let mut channels = width(192);
        let mut layers = Vec::new();
        for stage in STAGES.into_iter().take(config.stages) {
            layers.push(match stage {
                Stage::Pool(window) => Layer::Pool(window),
                Stage::Mixed(name, widths) => {
                    let widths = widths.map(width);
                    let module = Inception::new(path, normed, name, channels, widths);
                    channels = outputs(widths);
                    Layer::Mixed(Box::new(module))
                }
            });
        }
        Ok(I3d { config: *config, stem, layers })
    }

    /// A model of its own, with its parameters.
    pub fn alone(config: &I3dConfig) -> Result<(Self, Parameters)> {
        let mut parameters = Parameters::new();
        let model = Self::new(&mut parameters.root(), config)?;
        Ok((model, parameters))
    }

    pub fn config(&self) -> &I3dConfig {
        &self.config
    }

    /// The convolutions with their norms, in an order that the configuration alone decides: what [`fold`] pairs.
    pub fn conv_norms(&self) -> impl Iterator<Item = &ConvNorm> {
        self.stem.iter().chain(self.layers.iter().flat_map(Layer::units)).map(|unit| &unit.conv)
    }

    /// This network, made by [`I3d::alone`], with its batch norms folded: for inference. `values` are those of `parameters`; returns the
    /// folded network with its own.
    pub fn fold(&self, parameters: &Parameters, values: &[Vec<f32>]) -> Result<(Self, Parameters, Vec<Vec<f32>>)> {
        let mut to = Parameters::new();
        let folded = Self::with_norms(&mut to.root(), &self.config, Norms::Folded)?;
        let values = fold(parameters, values, &to, self.conv_norms().zip(folded.conv_norms()))?;
        Ok((folded, to, values))
    }

    /// The last module's activations, `[batch, features, frames / 8, height / 32, width / 32]`.
    pub fn map<'g>(&self, cx: Context<'g>, clip: Var<'g>) -> Var<'g> {
        let of_images = |x: Var<'g>| x.max_pool(&PoolOptions::new(&[1, 3, 3]).stride(&[1, 2, 2]).same());
        let [first, second, third] = &self.stem;
        let x = of_images(first.forward(cx, clip));
        let x = of_images(third.forward(cx, second.forward(cx, x)));
        self.layers.iter().fold(x, |x, layer| match layer {
            Layer::Mixed(module) => module.forward(cx, x),
            Layer::Pool(window) => x.max_pool(&PoolOptions::new(window).stride(&[2]).same()),
        })
    }

    /// Features `[batch, features]`: the mean of `map`, an output of [`I3d::map`], over space and time, with dropout in training.
    pub fn features<'g>(&self, cx: Context<'g>, map: Var<'g>) -> Var<'g> {
        map.mean_axes(&[2, 3, 4]).dropout(cx.dropout(self.config.dropout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_sources_parameters() {
        let (model, parameters) = I3d::alone(&I3dConfig::flow()).unwrap();
        assert_eq!(parameters.trainable_count(), 12_265_312);
        assert_eq!(model.config().features(), 1024);
    }
}
