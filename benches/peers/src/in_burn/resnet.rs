//! ResNet-50 without its classifier, of burn's layers, as torchvision builds it.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, activation, module};

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new([input, output]: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        let half = kernel / 2;
        let conv = Conv2dConfig::new([input, output], [kernel; 2])
            .with_stride([stride; 2])
            .with_padding(PaddingConfig2d::Explicit(half, half, half, half))
            .with_bias(false);
        ConvNorm { conv: conv.init(device), norm: BatchNormConfig::new(output).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Bottleneck {
    convs: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Bottleneck {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut y = x.clone();
        for (index, conv) in self.convs.iter().enumerate() {
            y = conv.forward(y);
            if index + 1 < self.convs.len() {
                y = activation::relu(y);
            }
        }
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        activation::relu(y + shortcut)
    }
}

#[derive(Module, Debug)]
pub struct Resnet {
    stem: ConvNorm,
    blocks: Vec<Bottleneck>,
}

impl Resnet {
    pub fn new(device: &Device) -> Self {
        let mut width = 64;
        let mut blocks = Vec::new();
        for (layer, (filters, count)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate() {
            for block in 0..count {
                let (stride, output) = (if block == 0 && layer > 0 { 2 } else { 1 }, 4 * filters);
                let convs = vec![
                    ConvNorm::new([width, filters], 1, 1, device),
                    ConvNorm::new([filters, filters], 3, stride, device),
                    ConvNorm::new([filters, output], 1, 1, device),
                ];
                let downsample = (block == 0).then(|| ConvNorm::new([width, output], 1, stride, device));
                blocks.push(Bottleneck { convs, downsample });
                width = output;
            }
        }
        Resnet { stem: ConvNorm::new([3, 64], 7, 2, device), blocks }
    }

    /// Images `[batch, 3, height, width]` to features `[batch, 2048]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = activation::relu(self.stem.forward(images));
        let options = MaxPoolOptions { padding: [(1, 1); 2], ..MaxPoolOptions::new([3, 3]).with_stride([2, 2]) };
        let x = self.blocks.iter().fold(module::max_pool2d(x, options), |x, block| block.forward(x));
        let [batch, channels, height, width] = x.dims();
        x.reshape([batch, channels, height * width]).mean_dim(2).reshape([batch, channels])
    }
}
