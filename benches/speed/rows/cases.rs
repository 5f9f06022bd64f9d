//! Which ops at which sizes, and the least work of each. Rows that other libraries' programs have too bear their names.

use super::Work;
use limbic::graph::{DType, Graph, Shape, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use limbic::ops::batch_norm::{BatchNormOptions, Running};
use limbic::ops::conv::ConvOptions;
use limbic::ops::optical_flow::FlowOptions;
use limbic::ops::recurrent::{Cell, RecurrentWeights, Steps};
use limbic::ops::window_pooling::PoolOptions;

/// Where a case gets its inputs; their gradients are wanted in the rows that go backward.
#[derive(Clone, Copy)]
pub struct Inputs<'g> {
    pub graph: &'g Graph,
    pub backward: bool,
}

impl<'g> Inputs<'g> {
    fn float(self, name: &str, shape: impl Into<Shape>) -> Var<'g> {
        if self.backward { self.graph.input_with_grad(name, shape) } else { self.graph.input(name, shape) }
    }

    /// A key padding mask.
    fn mask(self, shape: impl Into<Shape>) -> Var<'g> {
        self.graph.mask_input("mask", shape)
    }

    /// Numbers below `below`, which the input is named after.
    fn ids(self, below: usize, shape: impl Into<Shape>) -> Var<'g> {
        self.graph.typed_input(&below.to_string(), shape, DType::U32)
    }
}

/// An op at one size, with its least work forward, and forward and backward together.
pub struct Case {
    pub name: String,
    pub forward: Option<Work>,
    pub both: Option<Work>,
    pub build: Box<dyn for<'g> Fn(Inputs<'g>) -> Var<'g>>,
}

impl Case {
    fn new(name: impl Into<String>, build: impl for<'g> Fn(Inputs<'g>) -> Var<'g> + 'static) -> Self {
        Case { name: name.into(), forward: None, both: None, build: Box::new(build) }
    }

    /// One row, of the op forward, under the bare name.
    fn forward(self, work: Work) -> Self {
        Case { forward: Some(work), ..self }
    }

    /// Two rows: `_fwd` and `_fwdbwd`.
    fn trained(self, forward: Work, both: Work) -> Self {
        Case { forward: Some(forward), both: Some(both), ..self }
    }
}

/// All of them, in the table's order.
pub fn cases() -> Vec<Case> {
    let groups = [products(), convolutions(), window_pools(), attentions(), recurrences(), norms(), activations()];
    groups.into_iter().flatten().chain(pooling_and_losses()).chain(moves()).collect()
}

/// Bytes of `count` floats.
fn floats(count: usize) -> f64 {
    4.0 * count as f64
}

fn products() -> Vec<Case> {
    type Product = for<'g> fn(Var<'g>, Var<'g>) -> Var<'g>;
    let layouts: [(&str, Product); 3] =
        [("", |a, b| a.matmul(b)), ("nt_", |a, b| a.matmul_nt(b)), ("tn_", |a, b| a.matmul_tn(b))];
    let mut cases = Vec::new();
    for n in [512usize, 1024, 2048, 4096] {
        let work = Work { flops: 2.0 * (n as f64).powi(3), bytes: floats(3 * n * n) };
        // the largest in the plain layout alone: it takes seconds
        for (layout, product) in layouts.into_iter().take(if n < 4096 { 3 } else { 1 }) {
            let build =
                Case::new(format!("matmul_{layout}{n}"), move |x| product(x.float("a", [n, n]), x.float("b", [n, n])));
            cases.push(build.forward(work));
        }
    }
    let batched = Case::new("bmm_32x64x64x64", |x| x.float("a", [32, 64, 64]).matmul(x.float("b", [32, 64, 64])));
    let work = Work { flops: 2.0 * 32.0 * 64f64.powi(3), bytes: floats(3 * 32 * 64 * 64) };
    cases.push(batched.forward(work));
    // the first half of a feed-forward layer, with bias and activation in the product's epilogue
    let (rows, inner, outer) = (2048, 256, 512);
    let linear = Case::new("linear_gelu_2048x256x512", move |x| {
        let weight = x.float("weight", [outer, inner]);
        (x.float("x", [rows, inner]).matmul_nt(weight) + x.float("bias", [outer])).gelu()
    });
    let (values, sums) = (rows * inner + outer * inner + rows * outer, 2.0 * (rows * inner * outer) as f64);
    let forward = Work { flops: sums, bytes: floats(values) };
    cases.push(linear.trained(forward, forward.times(3.0)));
    cases
}

fn convolutions() -> Vec<Case> {
    let case = |name: &'static str, x: &'static [usize], weight: &'static [usize], options: ConvOptions| {
        // all of these keep the spatial sizes or divide them by the stride
        let strides: usize = x[2..].iter().map(|_| options.windows.stride[0]).product();
        let outputs = x[0] * x[2..].iter().product::<usize>() / strides;
        let values: [usize; 3] = [x.iter().product(), weight.iter().product(), outputs * weight[0]];
        let flops = 2.0 * (outputs * values[1]) as f64;
        let forward = Work { flops, bytes: floats(values.iter().sum()) };
        let case =
            Case::new(name, move |inputs| inputs.float("x", x).conv(inputs.float("weight", weight), None, &options));
        case.trained(forward, forward.times(3.0))
    };
    let options = |padding: usize| ConvOptions::default().padding(&[padding]);
    vec![
        case("conv1d_dil4", &[8, 256, 200], &[256, 256, 3], options(4).dilation(&[4])),
        case("conv2d", &[8, 64, 56, 56], &[64, 64, 3, 3], options(1)),
        case("conv2d_1x1", &[8, 256, 28, 28], &[128, 256, 1, 1], options(0)),
        case("conv2d_depthwise", &[8, 64, 56, 56], &[64, 1, 3, 3], options(1).groups(64)),
        case("conv2d_stride2", &[8, 128, 28, 28], &[128, 128, 3, 3], options(1).stride(&[2])),
        case("conv3d", &[2, 64, 16, 28, 28], &[64, 64, 3, 3, 3], options(1)),
    ]
}

/// Those of a ResNet's stem and of an I3D's modules.
fn window_pools() -> Vec<Case> {
    let case = |name: &str, maximum: bool, x: &'static [usize], options: PoolOptions| {
        let places: usize = options.windows.stride.iter().map(|stride| stride.pow(x.len() as u32 - 2)).product();
        let input = x.iter().product::<usize>();
        let values = input + input / places;
        let case = Case::new(name, move |inputs| {
            let x = inputs.float("x", x);
            if maximum { x.max_pool(&options) } else { x.avg_pool(&options) }
        });
        case.trained(Work::bytes(floats(values)), Work::bytes(floats(2 * values)))
    };
    let halving = || PoolOptions::new(&[3]).stride(&[2]).padding(&[1]);
    let keeping = || PoolOptions::new(&[3]).stride(&[1]).padding(&[1]);
    let (image, clip) = (&[8, 64, 112, 112], &[2, 64, 16, 28, 28]);
    vec![
        case("maxpool2d", true, image, halving()),
        case("avgpool2d", false, image, halving()),
        case("maxpool3d", true, clip, keeping()),
        case("avgpool3d", false, clip, keeping()),
    ]
}

fn attentions() -> Vec<Case> {
    let case = |(batch, heads, seq_len, head_dim): (usize, usize, usize, usize)| {
        let name = format!("attn_b{batch}h{heads}s{seq_len}d{head_dim}");
        let shape = [batch, seq_len, heads * head_dim];
        let case = Case::new(name, move |x| {
            let [query, key, value] = ["query", "key", "value"].map(|name| x.float(name, shape));
            let masks = AttentionMasks { key: Some(x.mask([batch, seq_len])), ..AttentionMasks::default() };
            let options = AttentionOptions { heads, scale: None, dropout: 0.0 };
            attention(Projections::Separate { query, key, value }, masks, options).output
        });
        // two products forward and four backward; what recomputing the scores costs is not counted, nor is padding subtracted
        let flops = 4.0 * (batch * heads * seq_len * seq_len * head_dim) as f64;
        let values = batch * seq_len * heads * head_dim;
        let forward = Work { flops, bytes: floats(4 * values) };
        case.trained(forward, Work { flops: 3.0 * flops, bytes: floats(12 * values) })
    };
    [(32, 4, 64, 64), (4, 8, 512, 64), (1, 8, 2048, 64)].map(case).into()
}

/// A layer in one direction, its input projection included.
fn recurrences() -> Vec<Case> {
    let case = |(cell, name, hidden): (Cell, &str, usize)| {
        let (batch, seq_len, rows) = (32, 64, cell.gates() * hidden);
        let case = Case::new(format!("{name}_b{batch}s{seq_len}h{hidden}"), move |x| {
            let weights = RecurrentWeights {
                input: x.float("weight_ih", [rows, hidden]),
                hidden: x.float("weight_hh", [rows, hidden]),
                input_bias: Some(x.float("bias_ih", [rows])),
                hidden_bias: Some(x.float("bias_hh", [rows])),
            };
            x.float("x", [batch, seq_len, hidden]).recurrent(cell, &weights, &[], Steps::default()).0
        });
        let (steps, weights) = (batch * seq_len, 2 * rows * hidden);
        let values = steps * (2 * hidden + rows) + weights;
        let forward = Work { flops: 2.0 * (steps * weights) as f64, bytes: floats(values) };
        case.trained(forward, forward.times(3.0))
    };
    [(Cell::Lstm, "lstm", 128), (Cell::Gru, "gru", 128)].map(case).into()
}

fn norms() -> Vec<Case> {
    let case = |(rows, columns): (usize, usize)| {
        let case = Case::new(format!("layernorm_{rows}x{columns}"), move |x| {
            let (weight, bias) = (x.float("weight", [columns]), x.float("bias", [columns]));
            x.float("x", [rows, columns]).layer_norm(Some(weight), Some(bias), 1e-5)
        });
        let values = rows * columns;
        case.trained(Work::bytes(floats(2 * values)), Work::bytes(floats(5 * values)))
    };
    let mut cases: Vec<Case> = [(2048, 256), (8192, 1024)].map(case).into();
    let (x, channels) = ([8, 64, 56, 56], 64);
    let batch_norm = Case::new("batchnorm_8x64x56x56", move |inputs| {
        let (weight, bias) = (inputs.float("weight", [channels]), inputs.float("bias", [channels]));
        let statistics = |name| inputs.graph.input(name, [channels]);
        let running = Running { mean: statistics("mean"), variance: statistics("variance") };
        inputs.float("x", x).batch_norm(Some(weight), Some(bias), running, BatchNormOptions::pytorch()).0
    });
    let values = x.iter().product::<usize>();
    cases.push(batch_norm.trained(Work::bytes(floats(2 * values)), Work::bytes(floats(5 * values))));
    cases
}

fn activations() -> Vec<Case> {
    let values = 1 << 22;
    let gelu = Case::new("gelu_4M", move |x| x.float("x", [values]).gelu());
    let dropout = Case::new("dropout_4M", move |x| x.float("x", [values]).dropout(0.1));
    let add = Case::new("add_bias_2048x2048", |x| x.float("x", [2048, 2048]) + x.float("bias", [2048]));
    vec![
        gelu.trained(Work::bytes(floats(2 * values)), Work::bytes(floats(5 * values))),
        dropout.trained(Work::bytes(floats(2 * values)), Work::bytes(floats(4 * values))),
        add.forward(Work::bytes(floats(2 * values))),
    ]
}

fn pooling_and_losses() -> Vec<Case> {
    let values = 32 * 64 * 256;
    let pool = Case::new("maskmeanpool_32x64x256", |x| x.float("x", [32, 64, 256]).masked_mean(x.mask([32, 64])));
    let (rows, classes) = (2048, 512);
    let logits = rows * classes;
    let softmax = Case::new("softmax_2048x512", move |x| x.float("x", [rows, classes]).softmax(1));
    let entropy = Case::new("cross_entropy_2048x512", move |x| {
        x.float("x", [rows, classes]).cross_entropy(x.ids(classes, [rows]), None, 0.0)
    });
    let columns = Case::new("column_sums_8192x1024", |x| x.float("x", [8192, 1024]).sum_axes(&[0]));
    let all = Case::new("sum_8M", |x| x.float("x", [8192, 1024]).sum());
    vec![
        pool.trained(Work::bytes(floats(values)), Work::bytes(floats(2 * values))),
        softmax.trained(Work::bytes(floats(2 * logits)), Work::bytes(floats(5 * logits))),
        entropy.trained(Work::bytes(floats(logits)), Work::bytes(floats(3 * logits))),
        columns.forward(Work::bytes(floats(8192 * 1024))),
        all.forward(Work::bytes(floats(8192 * 1024))),
    ]
}

fn moves() -> Vec<Case> {
    let (rows, dim, ids) = (8192, 256, 2048);
    let embedding =
        Case::new("embedding_8192x256_2048", move |x| x.float("table", [rows, dim]).embedding(x.ids(rows, [32, 64])));
    let concat = Case::new("concat_3x32x64x256", |x| {
        let parts = ["a", "b", "c"].map(|name| x.float(name, [32, 64, 256]));
        x.graph.concat(&parts, 1)
    });
    // a clip as an I3D sees it; 60 operations an iteration, on all levels
    let clip = [1, 1, 17, 224, 224];
    let flow = Case::new("optical_flow_16x224x224", move |x| x.float("clip", clip).clip_flow(&FlowOptions::default()));
    let options = FlowOptions::default();
    let pixels = 16.0 * 224.0 * 224.0 * 4.0 / 3.0;
    let flow_work =
        Work { flops: pixels * 60.0 * (options.warps * options.iterations) as f64, bytes: floats(3 * 16 * 224 * 224) };
    let transpose = Case::new("transpose_2048x2048", |x| x.float("x", [2048, 2048]).transpose(0, 1));
    vec![
        // backward writes a whole table of gradients
        embedding.trained(Work::bytes(floats(2 * ids * dim)), Work::bytes(floats(3 * ids * dim + rows * dim))),
        concat.forward(Work::bytes(floats(2 * 3 * 32 * 64 * 256))),
        transpose.forward(Work::bytes(floats(2 << 22))),
        flow.forward(flow_work),
    ]
}
