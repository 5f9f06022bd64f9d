//! The kernels that plans really take: graphs of every op at sizes that turn each choice, compiled for every kind of device.

use crate::noop::{self, KINDS};
use limbic::gpu::{Gpu, GpuOptions, KernelKey};
use limbic::graph::{DType, Graph, Init, Parameters, Precision, Var};
use limbic::models::msa::{
    BaselineConfig, BatchShape, Msa, MsaBaseline, MsaConfig, Pooling, Preset, RegressionLoss, SentimentModel,
    scoring_graph, training_graph,
};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use limbic::ops::batch_norm::{BatchNormOptions, Running};
use limbic::ops::choices::{Knob, TABLE};
use limbic::ops::conv::ConvOptions;
use limbic::ops::loss::{Positives, constant, infonce_pairs, prototype_distances};
use limbic::ops::masks::{combine_masks, look_ahead_mask};
use limbic::ops::optical_flow::FlowOptions;
use limbic::ops::pooling::Spread;
use limbic::ops::recurrent::{Cell, RecurrentWeights, Steps};
use limbic::ops::window_pooling::PoolOptions;
use limbic::plan::{Mode, ParameterStore, Plan};
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Every key of every plan below.
pub fn taken() -> BTreeSet<KernelKey> {
    static KEYS: OnceLock<BTreeSet<KernelKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let mut keys = BTreeSet::new();
        for kind in KINDS {
            let gpu = noop::gpu(kind, &GpuOptions::default());
            for (name, build) in ZOO {
                keys.extend(kernels_of(&gpu, name, *build));
            }
            for (m, n, k, batch) in PRODUCTS {
                keys.extend(kernels_of(&gpu, "matmul", |graph| products(graph, m, n, k, batch)));
            }
            for (query_len, key_len, head_dim, value_dim) in ATTENTIONS {
                keys.extend(kernels_of(&gpu, "attention", |graph| {
                    attentions(graph, query_len, key_len, head_dim, value_dim)
                }));
            }
            for columns in [1, 3, 4, 13, 64, 100, 257, 512, 2048, 4099] {
                keys.extend(kernels_of(&gpu, "rows", |graph| rows(graph, columns)));
            }
            for (outer, n, inner) in [(1, 5, 1), (2, 7, 3), (3, 64, 4), (1, 4096, 1), (2, 1000, 64), (300, 17, 1)] {
                keys.extend(kernels_of(&gpu, "reductions", |graph| reductions(graph, outer, n, inner)));
            }
            keys.extend(models(&gpu));
            keys.extend(forced(kind));
            keys.extend(shared_gradient(&gpu));
        }
        keys
    })
    .clone()
}

/// The kernels of the graph that `build` makes, forward and backward. What it returns is summed up to a loss.
fn kernels_of<F>(gpu: &Gpu, name: &str, build: F) -> BTreeSet<KernelKey>
where
    F: for<'g> Fn(&'g Graph) -> Vec<Var<'g>>,
{
    [Precision::F32, Precision::Mixed]
        .into_iter()
        .flat_map(|precision| kernels_in(precision, gpu, name, &build))
        .collect()
}

/// [`kernels_of`] in a given precision. In mixed precision results are not outputs: those stay 32-bit.
fn kernels_in<F>(precision: Precision, gpu: &Gpu, name: &str, build: &F) -> BTreeSet<KernelKey>
where
    F: for<'g> Fn(&'g Graph) -> Vec<Var<'g>>,
{
    let store = ParameterStore::new(gpu, &Parameters::new(), &[]).expect("an empty store");
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        graph.set_precision(precision);
        let results = build(graph);
        for (index, result) in results.iter().enumerate().filter(|_| precision == Precision::F32) {
            result.named(&format!("result{index}"));
        }
        let floats = results.into_iter().filter(|result| result.dtype() == DType::F32);
        let loss = floats.map(|result| result.square().sum()).reduce(|sum, part| sum + part);
        loss.expect("a float result").as_loss();
        Ok(())
    });
    let plan = plan.unwrap_or_else(|error| panic!("{name} on {gpu:?}: {error}"));
    plan.program().kernels().cloned().collect()
}

/// A convolution that takes in what follows it, because nothing of it is differentiated.
fn normed<'g>(graph: &'g Graph, x: [usize; 4], weight: [usize; 4], bias: bool, residual: bool) -> Var<'g> {
    let input = |name: &str, shape: &[usize]| graph.input(&format!("normed {x:?} {name}"), shape);
    let filters = weight[0];
    let bias = bias.then(|| input("bias", &[filters]));
    let conv = input("x", &x).conv(input("weight", &weight), bias, &ConvOptions::default().same());
    let running = Running { mean: input("mean", &[filters]), variance: input("variance", &[filters]) };
    let [scale, shift] = ["scale", "shift"].map(|name| residual.then(|| input(name, &[filters])));
    let y = conv.batch_norm_by_running(scale, shift, running, 1e-3);
    let y = if residual { (y + input("residual", &[x[0], filters, x[2], x[3]])).relu() } else { y.gelu() };
    y * graph.input_with_grad(&format!("normed {x:?} factor"), y.shape())
}

type Build = for<'g> fn(&'g Graph) -> Vec<Var<'g>>;

const ZOO: &[(&str, Build)] = &[
    ("convolution", |graph| {
        // sizes that are multiples of 4, then others; windows of one element, side by side and apart; one to three axes
        let convolved = |name: &str, x: &[usize], weight: &[usize], options: ConvOptions| {
            let x = graph.input_with_grad(&format!("{name} x"), x);
            let bias = graph.input_with_grad(&format!("{name} bias"), [weight[0]]);
            let plain = x.conv(graph.input_with_grad(&format!("{name} weight"), weight), Some(bias), &options);
            plain.gelu() + plain.square()
        };
        let options = ConvOptions::default;
        vec![
            convolved("vectors", &[2, 8, 8, 8], &[40, 8, 3, 3], options().padding(&[1])),
            convolved("odd", &[2, 5, 7, 9], &[3, 5, 3, 2], options().stride(&[2, 1]).same()),
            convolved("points", &[2, 8, 4, 4], &[40, 8, 1, 1], options()),
            convolved("points apart", &[2, 8, 7, 7], &[40, 8, 1, 1], options().stride(&[2])),
            convolved("groups", &[2, 6, 20], &[4, 3, 3], options().groups(2).dilation(&[2])),
            convolved("depthwise", &[2, 4, 6, 8], &[4, 1, 3, 3], options().groups(4).padding(&[1])),
            convolved("depthwise apart", &[2, 4, 7, 9], &[4, 1, 5, 3], options().groups(4).stride(&[2])),
            convolved("volume", &[1, 2, 4, 6, 6], &[70, 2, 3, 3, 3], options().padding(&[1])),
            convolved("long", &[4, 8, 64, 64], &[8, 8, 3, 3], options().padding(&[1])),
            convolved("filled up", &[1, 4, 6, 14], &[4, 4, 3, 3], options().padding(&[1])),
            convolved("phases", &[1, 4, 8, 16], &[4, 4, 3, 3], options().padding(&[1]).stride(&[2])),
            convolved("many channels", &[8, 256, 8, 7], &[256, 256, 3, 3], options().padding(&[1])),
            normed(graph, [2, 3, 4, 4], [4, 3, 1, 1], false, true),
            normed(graph, [2, 3, 5, 4], [4, 3, 1, 1], true, false),
            normed(graph, [8, 256, 8, 8], [256, 256, 3, 3], false, true),
            normed(graph, [8, 256, 7, 7], [256, 256, 3, 3], true, false),
        ]
    }),
    ("windows", |graph| {
        let x = graph.input_with_grad("x", [2, 3, 4, 9, 8]);
        let planes = graph.input_with_grad("planes", [1, 40, 6, 8]);
        let options = PoolOptions::new(&[3]).stride(&[2]).padding(&[1]);
        vec![
            x.max_pool(&options),
            x.avg_pool(&options),
            x.avg_pool(&options.clone().without_padding_in_the_count()),
            x.adaptive_max_pool(&[2]),
            x.adaptive_avg_pool(&[2, 4, 3]),
            // windows and planes for the kernels of software adapters, and others
            planes.max_pool(&PoolOptions::new(&[3]).stride(&[1]).padding(&[1])),
            planes.avg_pool(&PoolOptions::new(&[2]).stride(&[1])),
            x.max_pool(&PoolOptions::new(&[2]).stride(&[3])),
            x.avg_pool(&PoolOptions::new(&[2]).dilation(&[2])),
        ]
    }),
    ("batch norm", |graph| {
        let weight = graph.input_with_grad("weight", [3]);
        let bias = graph.input_with_grad("bias", [3]);
        let running = Running { mean: graph.input("mean", [3]), variance: graph.input("variance", [3]) };
        let mut results = Vec::new();
        // the longest are several shares
        for places in [1, 5, 8, 300, 40_000, 40_001] {
            let x = graph.input_with_grad(&format!("x{places}"), [2, 3, places]);
            let (y, next) = x.batch_norm(Some(weight), Some(bias), running, BatchNormOptions::pytorch());
            let fixed = x.batch_norm_by_running(Some(weight), Some(bias), running, 1e-5);
            let plain = x.batch_norm(None, None, running, BatchNormOptions::keras()).0;
            results.extend([y, next.mean, next.variance, fixed, plain]);
        }
        results
    }),
    ("optical flow", |graph| {
        let clip = graph.input("clip", [1, 1, 2, 40, 64]);
        let flow = clip.clip_flow(&FlowOptions { warps: 2, iterations: 5, ..FlowOptions::default() });
        vec![flow * graph.input_with_grad("factor", flow.shape())]
    }),
    ("elementwise", |graph| {
        let x = graph.input_with_grad("x", [3, 8]);
        let row = graph.input_with_grad("row", [1, 8]);
        let column = graph.input_with_grad("column", [3, 1]);
        vec![(x.gelu() + row).maximum(x) / row, (x - column).tanh()]
    }),
    ("moving", |graph| {
        let x = graph.input_with_grad("x", [4, 6, 8]);
        let odd = graph.input_with_grad("odd", [3, 5]);
        vec![
            x.permute(&[2, 0, 1]),
            x.permute(&[1, 0, 2]),
            x.slice(2, 1, 6),
            x.slice(0, 1, 3),
            x.flip(1),
            odd.flip(1),
            odd.broadcast_to([2, 3, 5]),
            x.broadcast_to([2, 4, 6, 8]),
            graph.concat(&[x, x.slice(2, 0, 4)], 2),
            graph.concat(&[odd, odd.slice(1, 0, 3)], 1),
            graph.stack(&[odd, odd], 0),
            odd.pad(1, 1, 2),
            x.pad(2, 4, 4),
            x.repeat(1, 2),
            x.cumsum(1),
        ]
    }),
    ("indexing", |graph| {
        let table = graph.input_with_grad("table", [10, 8]);
        let odd_table = graph.input_with_grad("odd_table", [10, 3]);
        let ids = graph.typed_input("ids", [2, 5], DType::U32);
        let x = graph.input_with_grad("x", [2, 5]);
        let mask = graph.mask_input("mask", [2, 5]);
        let row = graph.mask_input("row", [5]);
        vec![
            table.embedding(ids),
            odd_table.embedding(ids),
            x.gather(1, ids),
            x.masked(mask, 1.0),
            x.masked(row, 1.0),
            mask.where_(x, x.scale(2.0)),
        ]
    }),
    ("masks", |graph| {
        let x = graph.input_with_grad("x", [2, 5, 8]);
        let odd = graph.input_with_grad("odd", [2, 5, 3]);
        let mask = graph.mask_input("mask", [2, 5]);
        let pair = combine_masks(mask, look_ahead_mask(graph, 5));
        let scores = graph.input_with_grad("scores", [2, 5, 5]);
        vec![
            x.mask_rows(mask),
            odd.mask_rows(x.padding_mask(0.0)),
            scores.masked_softmax(2, pair),
            scores.masked_log_softmax(2, mask),
            scores.masked_softmax(1, pair),
            scores.softmax(1),
            scores.log_softmax(1),
            x.dropout(0.1),
        ]
    }),
    ("pooling", |graph| {
        let x = graph.input_with_grad("x", [2, 5, 8]);
        let odd = graph.input_with_grad("odd", [2, 5, 3]);
        let scores = graph.input_with_grad("scores", [2, 5]);
        let mask = graph.mask_input("mask", [2, 5]);
        let (statistics, weights) = x.attentive_statistics(scores, Some(mask), Spread::StandardDeviation);
        vec![
            x.masked_mean(mask),
            odd.masked_mean(mask),
            odd.weighted_pool(scores, mask),
            x.attention_pool(scores, Some(mask)).0,
            odd.attention_pool(scores, None).0,
            statistics,
            weights,
            x.weighted_pool(graph.input("weights", [2, 5]), mask),
            x.attention_pool(scores, None).0,
            odd.attentive_statistics(scores, Some(mask), Spread::StandardDeviation).0,
        ]
    }),
    ("recurrence", |graph| {
        // eight rows of the batch in a workgroup down to one; a few gates and many
        let mut results = Vec::new();
        for (cell, hidden) in
            [Cell::Lstm, Cell::Gru].into_iter().flat_map(|cell| [5, 128, 256, 512, 1024].map(|h| (cell, h)))
        {
            let name = |what: &str| format!("{what} {cell:?} {hidden}");
            let rows = cell.gates() * hidden;
            let weights = RecurrentWeights {
                input: graph.input_with_grad(&name("weight_ih"), [rows, 4]),
                hidden: graph.input_with_grad(&name("weight_hh"), [rows, hidden]),
                input_bias: Some(graph.input_with_grad(&name("bias_ih"), [rows])),
                hidden_bias: Some(graph.input_with_grad(&name("bias_hh"), [rows])),
            };
            let x = graph.input_with_grad(&name("x"), [64, 3, 4]);
            let steps = Steps { mask: Some(graph.mask_input(&name("mask"), [64, 3])), reverse: true };
            let (states, last) = x.recurrent(cell, &weights, &[], steps);
            results.extend([states, x.recurrent(cell, &weights, &[], Steps::default()).0]);
            results.extend(last);
        }
        results
    }),
    ("losses", |graph| {
        let x = graph.input_with_grad("x", [6, 4]);
        let target = graph.input("target", [6, 4]);
        let mask = graph.mask_input("mask", [6]);
        let labels = graph.typed_input("labels", [6], DType::U32);
        let (a, b) = (graph.input_with_grad("a", [6, 8]), graph.input_with_grad("b", [6, 8]));
        let wide = graph.input_with_grad("wide", [6, 40]);
        let long = graph.input_with_grad("long", [6, 1000]);
        let long_target = graph.input_with_grad("long_target", [6, 1000]);
        let weights = constant(graph, [4], &[0.5, 1.0, 1.5, 2.0]);
        let similarities = graph.input_with_grad("similarities", [6, 6]);
        vec![
            x.mse_loss(target, None),
            x.mae_loss(target, Some(mask)),
            x.huber_loss(target, 0.5, Some(mask)),
            x.rmse_loss(target, 1e-6, None),
            x.bce_with_logits(target, Some(mask)),
            x.cross_entropy(labels, Some(constant(graph, [4], &[1.0, 2.0, 3.0, 4.0])), 0.1),
            x.focal_loss(labels, None, 2.0),
            graph.input_with_grad("doubt", [6]).uncertainty_loss(x, labels),
            infonce_pairs(a, b, 0.1, Some(mask)),
            similarities.supervised_infonce(labels, Positives::In),
            similarities.supervised_infonce(labels, Positives::Out),
            prototype_distances(a, b).prototype_loss(labels, 1.0),
            long.huber_loss(long_target, 0.5, Some(mask)),
            x.cross_entropy(labels, None, 0.0),
            x.cross_entropy(labels, Some(weights), 0.1),
            wide.cross_entropy(labels, None, 0.1),
            x.focal_loss(labels, Some(weights), 2.0),
            wide.focal_loss(labels, None, 1.5),
            x.mean_axes(&[1]).uncertainty_loss(wide, labels),
            infonce_pairs(x, target, 0.1, None),
            x.matmul_nt(x).supervised_infonce(labels, Positives::In),
            x.matmul_nt(x).supervised_infonce(labels, Positives::Out),
            prototype_distances(x, target).prototype_loss(labels, 0.5),
        ]
    }),
];

/// `(m, n, k, batch)`: one element, odd sizes, multiples of 4, each tile size, long k that is split.
const PRODUCTS: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (5, 7, 3, 2),
    (32, 64, 16, 1),
    (64, 64, 2048, 1),
    (63, 65, 1025, 1),
    (384, 512, 128, 1),
    (256, 192, 20, 4),
    (640, 1024, 8, 2),
    (17, 1024, 64, 1),
];

fn products(graph: &Graph, m: usize, n: usize, k: usize, batch: usize) -> Vec<Var<'_>> {
    let a = graph.input_with_grad("a", [batch, m, k]);
    let b = graph.input_with_grad("b", [batch, k, n]);
    let weight = graph.input_with_grad("weight", [n, k]);
    let bias = graph.input_with_grad("bias", [n]);
    let residual = graph.input_with_grad("residual", [batch, m, n]);
    let linear = || a.matmul_nt(weight) + bias;
    vec![
        a.matmul(b),
        linear(),
        linear().gelu(),
        linear().relu().dropout(0.1) + residual,
        a.matmul(b).gelu_tanh(),
        a.matmul_tn(residual),
    ]
}

/// `(query_len, key_len, head_dim, value_dim)`.
const ATTENTIONS: [(usize, usize, usize, usize); 7] = [
    (1, 1, 1, 1),
    (7, 5, 3, 5),
    (16, 16, 16, 16),
    (33, 64, 64, 64),
    (8, 40, 32, 20),
    (33, 9, 128, 128),
    (5, 9, 256, 256),
];

fn attentions(graph: &Graph, query_len: usize, key_len: usize, head_dim: usize, value_dim: usize) -> Vec<Var<'_>> {
    let (batch, heads) = (2, 2);
    let query = graph.input_with_grad("query", [batch, query_len, heads * head_dim]);
    let key = graph.input_with_grad("key", [batch, key_len, heads * head_dim]);
    let value = graph.input_with_grad("value", [batch, key_len, heads * value_dim]);
    let packed = graph.input_with_grad("packed", [batch, query_len, 3 * heads * head_dim]);
    let key_value = graph.input_with_grad("key_value", [batch, key_len, 2 * heads * head_dim]);
    let keys = graph.mask_input("keys", [batch, key_len]);
    let queries = graph.mask_input("queries", [batch, query_len]);
    let pair = graph.mask_input("pair", [query_len, key_len]);
    let options = |dropout| AttentionOptions { heads, scale: None, dropout };
    let separate = Projections::Separate { query, key, value };
    let masks = AttentionMasks { key: Some(keys), query: Some(queries), ..Default::default() };
    let all = AttentionMasks { pair: Some(pair), causal: true, ..masks };
    let masked = attention(separate, masks, options(0.0));
    let paired = attention(separate, all, options(0.0));
    vec![
        masked.output,
        masked.weights(),
        paired.output,
        paired.weights(),
        attention(separate, masks, options(0.2)).output,
        attention(separate, all, options(0.2)).output,
        attention(Projections::Packed(packed), AttentionMasks::default(), options(0.1)).output,
        attention(Projections::KeyValue { query, key_value }, AttentionMasks::default(), options(0.0)).output,
    ]
}

/// Ops over rows of `columns`.
fn rows(graph: &Graph, columns: usize) -> Vec<Var<'_>> {
    let x = graph.input_with_grad("x", [6, columns]);
    let residual = graph.input_with_grad("residual", [6, columns]);
    let weight = graph.input_with_grad("weight", [columns]);
    let bias = graph.input_with_grad("bias", [columns]);
    let mask = graph.mask_input("mask", [6, columns]);
    let labels = graph.typed_input("labels", [6], DType::U32);
    let (sum, normed) = x.layer_norm_residual(residual, Some(weight), Some(bias), 1e-5);
    vec![
        sum,
        normed,
        x.layer_norm(None, None, 1e-5),
        x.layer_norm(Some(weight), Some(bias), 1e-5),
        x.softmax(1),
        x.log_softmax(1),
        x.masked_softmax(1, mask),
        x.masked_log_softmax(1, mask),
        x.cross_entropy(labels, None, 0.0),
        x.unsqueeze(0).masked_mean(graph.mask_input("steps", [1, 6])),
    ]
}

fn reductions(graph: &Graph, outer: usize, n: usize, inner: usize) -> Vec<Var<'_>> {
    let x = graph.input_with_grad("x", [outer, n, inner]);
    vec![
        x.sum_axes(&[1]),
        x.max_axes(&[1]),
        x.min_axes(&[1]),
        x.square_sum_axes(&[1]),
        x.var_axes(&[1], true),
        x.logsumexp(1),
        x.l2_norm(1),
        x.sum(),
        x.mean(),
    ]
}

/// What `cargo bench --bench tune` turns the table of choices to, on ops that ask for it.
fn forced(kind: noop::Kind) -> BTreeSet<KernelKey> {
    let knobs: BTreeSet<Knob> = TABLE.iter().map(|line| line.knob).collect();
    let turned = knobs.into_iter().flat_map(|knob| knob.values().iter().map(move |value| (knob, *value)));
    let kernels = |(knob, value): (Knob, u32)| {
        let name = format!("{knob:?}");
        let gpu = noop::gpu(kind, &GpuOptions { forced: vec![(name.clone(), value)], ..GpuOptions::default() });
        kernels_in(Precision::F32, &gpu, &name, &|graph| one_op(graph, knob))
    };
    turned.flat_map(kernels).collect()
}

/// An op, or two, whose kernels `knob` chooses.
fn one_op(graph: &Graph, knob: Knob) -> Vec<Var<'_>> {
    let input = |name: &str, shape: &[usize]| graph.input_with_grad(name, shape);
    match knob {
        Knob::MatmulRows | Knob::MatmulColumns | Knob::MatmulPiece | Knob::MatmulTile => {
            vec![input("x", &[64, 2048]).matmul_nt(input("weight", &[64, 2048]))]
        }
        Knob::MatmulSmall | Knob::MatmulScalarRows => vec![input("x", &[65, 33]).matmul_nt(input("weight", &[63, 33]))],
        Knob::ConvRows | Knob::ConvTile | Knob::ConvWorkgroups => {
            vec![input("x", &[4, 8, 16, 16]).conv(input("weight", &[72, 8, 3, 3]), None, &ConvOptions::default())]
        }
        Knob::AttentionRows | Knob::AttentionThreads | Knob::AttentionAcross => {
            let options = AttentionOptions { heads: 2, scale: None, dropout: 0.0 };
            let packed = Projections::Packed(input("x", &[2, 33, 3 * 2 * 64]));
            vec![attention(packed, AttentionMasks::default(), options).output]
        }
        Knob::ReduceWorkgroups | Knob::ReduceLanes | Knob::ReduceAlone | Knob::ReduceSide => {
            let x = input("x", &[2, 1000, 64]);
            vec![x.sum_axes(&[1]), x.sum_axes(&[2]), x.sum(), input("wide", &[70, 256]).sum_axes(&[0])]
        }
        _ => {
            let x = input("x", &[6, 512]);
            let pooled = input("steps", &[2, 5, 8]).masked_mean(graph.mask_input("mask", [2, 5]));
            vec![x.layer_norm(None, None, 1e-5), x.softmax(1), pooled]
        }
    }
}

/// The sentiment models, training and scoring.
fn models(gpu: &Gpu) -> BTreeSet<KernelKey> {
    let base = MsaConfig::preset(Preset::Small, MsaConfig::source_modalities(6));
    let pooled =
        MsaConfig { bidirectional_fusion: true, norm_first: false, pooling_method: Pooling::Attention, ..base.clone() };
    let baseline = BaselineConfig::like(&base, true);
    let models: [Box<dyn SentimentModel>; 3] = [
        Box::new(Msa::new(&base).expect("a preset")),
        Box::new(Msa::new(&pooled).expect("a preset, changed")),
        Box::new(MsaBaseline::new(&baseline).expect("a preset")),
    ];
    let mut keys = BTreeSet::new();
    for model in &models {
        let store = ParameterStore::new(gpu, model.parameters(), &model.parameters().initial_values(1));
        let store = store.expect("a small model");
        let shape = BatchShape::full(3, model.modalities());
        for precision in [Precision::F32, Precision::Mixed] {
            let training = Plan::new(&store, Mode::Gradients, |graph| {
                graph.set_precision(precision);
                training_graph(model.as_ref(), graph, &shape, RegressionLoss::Huber)
            });
            let scoring = Plan::new(&store, Mode::Forward, |graph| {
                graph.set_precision(precision);
                scoring_graph(model.as_ref(), graph, &shape)
            });
            for plan in [training, scoring] {
                keys.extend(plan.unwrap_or_else(|error| panic!("{error}")).program().kernels().cloned());
            }
        }
    }
    keys
}

/// Two parameters with one gradient: each gets a copy.
fn shared_gradient(gpu: &Gpu) -> Vec<KernelKey> {
    let mut parameters = Parameters::new();
    let pair = ["a", "b"].map(|name| parameters.root().parameter(name, [3], Init::Zeros));
    let store = ParameterStore::new(gpu, &parameters, &parameters.initial_values(1)).expect("a store");
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        let [a, b] = pair.map(|parameter| graph.parameter(&parameters, parameter));
        (a + b).sum().as_loss();
        Ok(())
    });
    plan.expect("a plan").program().kernels().cloned().collect()
}
