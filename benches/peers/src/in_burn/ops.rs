//! Single ops.

use super::{Inputs, Peer, repeat};
use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{GruConfig, LstmConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::ops::{AttentionModuleOptions, AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Bool, Distribution, Int, Tensor, TensorData, activation, module};
use limbic::models::msa::{Msa, Preset};

/// All of them.
pub fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    products(&mut peers);
    convolutions(&mut peers);
    pools(&mut peers);
    attentions(&mut peers);
    recurrences(&mut peers);
    norms(&mut peers);
    losses(&mut peers);
    moves(&mut peers);
    peers.push(Peer::new("adamw_5.5M", |burn| adamw(&burn.autodiff)));
    peers
}

/// One row: `make` gets the inputs and returns the op on them.
fn forward<const D: usize, F: Fn() -> Tensor<D> + 'static>(row: String, make: impl Fn(&Inputs) -> F + 'static) -> Peer {
    Peer::new(row, move |burn| Ok(repeat(&burn.device, make(&burn.inputs(false)))))
}

/// Two rows, `_fwd` and `_fwdbwd`.
fn trained<const D: usize, F: Fn() -> Tensor<D> + 'static>(
    name: &str,
    make: impl Fn(&Inputs) -> F + Clone + 'static,
) -> [Peer; 2] {
    let both = make.clone();
    let both = Peer::new(format!("{name}_fwdbwd"), move |burn| {
        let op = both(&burn.inputs(true));
        Ok(repeat(&burn.device, move || {
            let y = op();
            let gradients = y.backward();
            (y, gradients)
        }))
    });
    [forward(format!("{name}_fwd"), make), both]
}

fn products(peers: &mut Vec<Peer>) {
    for n in [512, 1024, 2048, 4096] {
        peers.push(forward(format!("matmul_{n}"), move |x| {
            let (a, b) = (x.float([n, n]), x.float([n, n]));
            move || a.clone().matmul(b.clone())
        }));
        if n == 4096 {
            continue;
        }
        peers.push(forward(format!("matmul_nt_{n}"), move |x| {
            let (a, b) = (x.float([n, n]), x.float([n, n]));
            move || a.clone().matmul(b.clone().transpose())
        }));
        peers.push(forward(format!("matmul_tn_{n}"), move |x| {
            let (a, b) = (x.float([n, n]), x.float([n, n]));
            move || a.clone().transpose().matmul(b.clone())
        }));
    }
    peers.push(forward("bmm_32x64x64x64".to_string(), |x| {
        let (a, b) = (x.float([32, 64, 64]), x.float([32, 64, 64]));
        move || a.clone().matmul(b.clone())
    }));
    peers.extend(trained("linear_gelu_2048x256x512", |x| {
        let (input, weight, bias) = (x.float([2048, 256]), x.float([256, 512]), x.float([512]));
        move || activation::gelu(module::linear(input.clone(), weight.clone(), Some(bias.clone())))
    }));
}

fn convolutions(peers: &mut Vec<Peer>) {
    peers.extend(trained("conv1d_dil4", |x| {
        let (input, weight) = (x.float([8, 256, 200]), x.float([256, 256, 3]));
        move || module::conv1d(input.clone(), weight.clone(), None, ConvOptions::new([1], [4], [4], 1))
    }));
    let sizes = [
        ("conv2d", [8, 64, 56, 56], [64, 64, 3, 3], 1, 1, 1),
        ("conv2d_1x1", [8, 256, 28, 28], [128, 256, 1, 1], 1, 0, 1),
        ("conv2d_depthwise", [8, 64, 56, 56], [64, 1, 3, 3], 1, 1, 64),
        ("conv2d_stride2", [8, 128, 28, 28], [128, 128, 3, 3], 2, 1, 1),
    ];
    for (name, shape, kernel, stride, padding, groups) in sizes {
        peers.extend(trained(name, move |x| {
            let (input, weight) = (x.float(shape), x.float(kernel));
            let options = move || ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
            move || module::conv2d(input.clone(), weight.clone(), None, options())
        }));
    }
    peers.extend(trained("conv3d", |x| {
        let (input, weight) = (x.float([2, 64, 16, 28, 28]), x.float([64, 64, 3, 3, 3]));
        move || module::conv3d(input.clone(), weight.clone(), None, ConvOptions::new([1; 3], [1; 3], [1; 3], 1))
    }));
}

/// Pooling in three dimensions is not among burn's ops; over the image and then over time it is.
fn pools(peers: &mut Vec<Peer>) {
    fn maximum(x: Tensor<4>, kernel: [usize; 2], stride: usize) -> Tensor<4> {
        let padding = kernel.map(|kernel| (kernel / 2, kernel / 2));
        module::max_pool2d(x, MaxPoolOptions { padding, ..MaxPoolOptions::new(kernel).with_stride([stride; 2]) })
    }
    fn mean(x: Tensor<4>, kernel: [usize; 2], stride: usize) -> Tensor<4> {
        let padding = kernel.map(|kernel| (kernel / 2, kernel / 2));
        module::avg_pool2d(x, AvgPoolOptions { padding, ..AvgPoolOptions::new(kernel).with_stride([stride; 2]) })
    }
    type Pool = fn(Tensor<4>, [usize; 2], usize) -> Tensor<4>;
    for (name, pool) in [("maxpool", maximum as Pool), ("avgpool", mean)] {
        peers.extend(trained(&format!("{name}2d"), move |x| {
            let input = x.float([8, 64, 112, 112]);
            move || pool(input.clone(), [3, 3], 2)
        }));
        peers.extend(trained(&format!("{name}3d"), move |x| {
            let input = x.float([2, 64, 16, 28, 28]);
            move || {
                let images = pool(input.clone().reshape([2 * 64, 16, 28, 28]), [3, 3], 1);
                pool(images.reshape([2, 64, 16, 28 * 28]), [3, 1], 1).reshape([2, 64, 16, 28, 28])
            }
        }));
    }
}

fn attentions(peers: &mut Vec<Peer>) {
    for (batch, heads, seq_len, head_dim) in [(32, 4, 64, 64), (4, 8, 512, 64), (1, 8, 2048, 64)] {
        let name = format!("attn_b{batch}h{heads}s{seq_len}d{head_dim}");
        let shape = [batch, heads, seq_len, head_dim];
        let fused = trained(&name, move |x| {
            let [query, key, value] = [x.float(shape), x.float(shape), x.float(shape)];
            let padding = x.padding(batch, seq_len, 2).reshape([batch, 1, 1, seq_len]);
            let mask = padding.expand([batch, heads, seq_len, seq_len]);
            move || {
                let options = AttentionModuleOptions::default();
                let mask = Some(mask.clone());
                module::attention(query.clone(), key.clone(), value.clone(), mask, None, options)
            }
        });
        let manual = trained(&name, move |x| {
            let [query, key, value] = [x.float(shape), x.float(shape), x.float(shape)];
            let padding = x.padding(batch, seq_len, 2).reshape([batch, 1, 1, seq_len]);
            move || attention(query.clone(), key.clone(), value.clone(), padding.clone())
        });
        peers.extend(fused.map(|peer| peer.way("one op")));
        peers.extend(manual.map(|peer| peer.way("matmul, softmax, matmul")));
    }
}

fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, padding: Tensor<4, Bool>) -> Tensor<4> {
    let scale = (query.dims()[3] as f32).sqrt();
    let scores = query.matmul(key.transpose()).div_scalar(scale).mask_fill(padding, -1.0e4);
    activation::softmax(scores, 3).matmul(value)
}

fn recurrences(peers: &mut Vec<Peer>) {
    peers.extend(trained("lstm_b32s64h128", |x| {
        let (layer, input) = (LstmConfig::new(128, 128, true).init(&x.device), x.float([32, 64, 128]));
        move || layer.forward(input.clone(), None).0
    }));
    peers.extend(trained("gru_b32s64h128", |x| {
        let (layer, input) = (GruConfig::new(128, 128, true).init(&x.device), x.float([32, 64, 128]));
        move || layer.forward(input.clone(), None)
    }));
}

fn norms(peers: &mut Vec<Peer>) {
    for (rows, columns) in [(2048, 256), (8192, 1024)] {
        peers.extend(trained(&format!("layernorm_{rows}x{columns}"), move |x| {
            let (input, weight, bias) = (x.float([rows, columns]), x.float([columns]), x.float([columns]));
            move || module::layer_norm(input.clone(), weight.clone(), Some(bias.clone()), 1e-5)
        }));
    }
    peers.extend(trained("batchnorm_8x64x56x56", |x| {
        let (input, weight, bias) = (x.float([8, 64, 56, 56]), x.float([64]), x.float([64]));
        move || module::batch_norm_train(input.clone(), weight.clone(), bias.clone(), 1e-5).output
    }));
    peers.extend(trained("gelu_4M", |x| {
        let input = x.float([1 << 22]);
        move || activation::gelu(input.clone())
    }));
    peers.push(forward("add_bias_2048x2048".to_string(), |x| {
        let (input, bias) = (x.float([2048, 2048]), x.float([1, 2048]));
        move || input.clone() + bias.clone()
    }));
}

/// The mean over the steps that `keep [batch, seq]` holds 1 at.
pub fn masked_mean(x: Tensor<3>, keep: Tensor<2>) -> Tensor<2> {
    let [batch, seq_len, dim] = x.dims();
    let count = keep.clone().sum_dim(1).clamp_min(1.0);
    (x * keep.reshape([batch, seq_len, 1])).sum_dim(1).reshape([batch, dim]) / count
}

fn losses(peers: &mut Vec<Peer>) {
    peers.extend(trained("maskmeanpool_32x64x256", |x| {
        let (input, keep) = (x.float([32, 64, 256]), x.padding(32, 64, 2).bool_not().float());
        move || masked_mean(input.clone(), keep.clone())
    }));
    let (rows, classes) = (2048usize, 512usize);
    peers.extend(trained("softmax_2048x512", move |x| {
        let input = x.float([rows, classes]);
        move || activation::softmax(input.clone(), 1)
    }));
    peers.extend(trained("cross_entropy_2048x512", move |x| {
        let loss = CrossEntropyLossConfig::new().init(&x.device);
        let (input, targets) = (x.float([rows, classes]), ids(x, rows, classes));
        move || loss.forward(input.clone(), targets.clone())
    }));
    peers.push(forward("column_sums_8192x1024".to_string(), |x| {
        let input = x.float([8192, 1024]);
        move || input.clone().sum_dim(0)
    }));
    peers.push(forward("sum_8M".to_string(), |x| {
        let input = x.float([8192, 1024]);
        move || input.clone().sum()
    }));
}

/// Scattered numbers below `below`, as limbic's rows have them.
fn ids(x: &Inputs, count: usize, below: usize) -> Tensor<1, Int> {
    let ids: Vec<i32> = (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) % below as u32) as i32).collect();
    Tensor::from_data(TensorData::new(ids, [count]), &x.device)
}

fn moves(peers: &mut Vec<Peer>) {
    peers.extend(trained("embedding_8192x256_2048", |x| {
        let (table, ids) = (x.float([8192, 256]), ids(x, 2048, 8192).reshape([32, 64]));
        move || module::embedding(table.clone(), ids.clone())
    }));
    peers.push(forward("concat_3x32x64x256".to_string(), |x| {
        let parts: Vec<Tensor<3>> = (0..3).map(|_| x.float([32, 64, 256])).collect();
        move || Tensor::cat(parts.clone(), 1)
    }));
}

/// Parameters of any shapes, as matrices.
#[derive(Module, Debug)]
struct Flat {
    parameters: Vec<Param<Tensor<2>>>,
}

/// The update of parameters as large and as many as the default sentiment model's.
fn adamw(device: &burn::tensor::Device) -> limbic::Result<super::Run> {
    let model = Msa::new(&crate::rows::msa::preset(Preset::Default))?;
    let shapes = model.parameters().specs().iter().map(|spec| {
        let last = spec.shape.axes().last().copied().unwrap_or(1);
        [spec.shape.len() / last, last]
    });
    let plain = device.clone().inner();
    let random = |shape: [usize; 2], device| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), device);
    let shapes: Vec<[usize; 2]> = shapes.collect();
    let parameters: Vec<_> = shapes.iter().map(|shape| Param::from_tensor(random(*shape, device))).collect();
    let gradients: Vec<_> =
        parameters.iter().zip(&shapes).map(|(parameter, shape)| (parameter.id, random(*shape, &plain))).collect();
    let mut optimizer = AdamWConfig::new().with_weight_decay(1e-2).init();
    let mut module = Some(Flat { parameters });
    Ok(repeat(&plain, move || {
        let mut step = GradientsParams::new();
        gradients.iter().for_each(|(id, gradient)| step.register(*id, gradient.clone()));
        module = module.take().map(|module| optimizer.step(1e-4, module, step));
    }))
}
