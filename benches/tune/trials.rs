//! Which knobs are turned, to which values, on which subjects.

use limbic::gpu::Capabilities;
use limbic::graph::{Graph, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use limbic::ops::choices::Knob;
use limbic::ops::conv::ConvOptions;

/// A knob, and what it is turned on.
pub struct Trial {
    pub knob: Knob,
    pub values: &'static [u32],
    pub subjects: Vec<Subject>,
}

/// An op at one size.
pub struct Subject {
    pub name: String,
    /// What the table goes by for this knob.
    pub size: usize,
    /// With its gradients.
    pub backward: bool,
    pub build: Box<dyn for<'g> Fn(&'g Graph) -> Var<'g>>,
}

impl Subject {
    fn new(name: String, size: usize, build: impl for<'g> Fn(&'g Graph) -> Var<'g> + 'static) -> Self {
        Subject { name, size, backward: false, build: Box::new(build) }
    }

    fn with_gradients(self) -> Self {
        Subject { backward: true, name: self.name + " and gradients", ..self }
    }
}

/// The trials that a device has kernels for.
pub fn trials(capabilities: &Capabilities) -> Vec<Trial> {
    // software adapters of one subgroup size have kernels of their own
    let register = capabilities.fixed_subgroup().filter(|lanes| capabilities.software && [4, 8].contains(lanes));
    let mut trials = if register.is_some() { in_registers() } else { in_workgroups() };
    trials.extend(on_any_device());
    trials.into_iter().map(|(knob, subjects)| Trial { knob, values: knob.values(), subjects }).collect()
}

type Turned = (Knob, Vec<Subject>);

fn in_registers() -> Vec<Turned> {
    let products = |of: fn([usize; 3]) -> usize| PRODUCTS.map(|(layout, size)| product(layout, size, of(size)));
    let long = [[256, 256, 2048], [512, 256, 2048], [1024, 1024, 1024], [2048, 2048, 2048]];
    let long = long.map(|size| product("tn", size, size[0].max(size[1])));
    let odd = [("nt", [2048, 256, 74]), ("tn", [256, 74, 2048]), ("nt", [32, 1, 256]), ("nn", [513, 513, 513])];
    let odd = odd.map(|(layout, size)| product(layout, size, size.iter().product()));
    let least = [("nt", [256, 64, 1]), ("nt", [256, 1, 64]), ("tn", [64, 1, 256]), ("nn", [32, 16, 32])];
    let least = least.map(|(layout, size)| product(layout, size, size.iter().product()));
    let heads = [(64, 64), (512, 64), (64, 128), (64, 256)].map(attended);
    let trained = [(64, 64), (64, 128), (64, 256)].map(|size| attended(size).with_gradients());
    vec![
        (Knob::MatmulSmall, least.into()),
        (Knob::MatmulRows, products(|[m, ..]| m).into()),
        (Knob::MatmulScalarRows, odd.into()),
        (Knob::MatmulColumns, products(|[_, n, _]| n).into()),
        (Knob::MatmulPiece, long.into()),
        (Knob::ConvRows, FILTERS.map(convolution).into()),
        (Knob::AttentionRows, heads.into_iter().chain(trained).collect()),
    ]
}

fn in_workgroups() -> Vec<Turned> {
    let heads = || [(64, 64), (512, 64), (64, 128), (512, 128)].map(attended).into_iter();
    let tiles = PRODUCTS.map(|(layout, size)| product(layout, size, size[0] * size[1]));
    vec![
        (Knob::MatmulTile, tiles.into()),
        (Knob::ConvTile, FILTERS.map(convolution).into()),
        (Knob::AttentionThreads, heads().collect()),
        (Knob::AttentionAcross, heads().collect()),
    ]
}

fn on_any_device() -> Vec<Turned> {
    let weights = [[16, 4], [64, 32]].map(|[batch, filters]| weighted(batch, filters));
    let rows = [[64, 256], [2048, 256], [16, 65536]];
    let elements = [1 << 10, 1 << 14, 1 << 17, 1 << 20];
    let normed = [[256, 128], [2048, 256], [8192, 1024]];
    vec![
        (Knob::ConvWorkgroups, weights.into()),
        (Knob::ElementRounds, elements.map(activated).into()),
        (Knob::ElementStreams, elements.map(activated).into()),
        (Knob::ReduceWorkgroups, [[8, 65536], [2048, 256]].map(|size| summed(size, size[0])).into()),
        (Knob::ReduceLanes, rows.map(|size| summed(size, size[1])).into()),
        (Knob::ReduceAlone, rows.map(|size| summed(size, size[0])).into()),
        (Knob::ReduceSide, [[64, 256], [2048, 256], [8192, 1024]].map(columns_summed).into()),
        (Knob::RowParts, normed.map(|size| layer_norm(size, size[1] / 4)).into()),
        (Knob::RowThreads, normed.map(|size| layer_norm(size, size[1] / 4)).into()),
        (Knob::LayerNormRounds, normed.map(|size| layer_norm(size, size[0])).into()),
        (Knob::LayerNormTeams, normed.map(|size| layer_norm(size, size[0]).with_gradients()).into()),
        (Knob::SoftmaxRounds, vec![softmax([2048, 512])]),
        (Knob::PoolingSlices, vec![pooled([32, 64, 256])]),
    ]
}

/// Layout, m, n, k: a clip's linear layers, a batch's, a weight's gradient, squares.
const PRODUCTS: [(&str, [usize; 3]); 6] = [
    ("nt", [32, 256, 256]),
    ("nt", [64, 512, 256]),
    ("nn", [512, 512, 512]),
    ("tn", [512, 256, 2048]),
    ("nt", [2048, 256, 256]),
    ("nt", [2048, 512, 256]),
];

fn product(layout: &'static str, [m, n, k]: [usize; 3], size: usize) -> Subject {
    Subject::new(format!("{layout} {m} x {n} x {k}"), size, move |graph| match layout {
        "nt" => graph.input("a", [m, k]).matmul_nt(graph.input("b", [n, k])),
        "tn" => graph.input("a", [k, m]).matmul_tn(graph.input("b", [k, n])),
        _ => graph.input("a", [m, k]).matmul(graph.input("b", [k, n])),
    })
}

const FILTERS: [usize; 6] = [4, 8, 16, 32, 64, 256];

/// Windows of 3 x 3 over as many channels as there are filters.
fn convolution(filters: usize) -> Subject {
    Subject::new(format!("{filters} filters, 4 images of 28 x 28"), filters, move |graph| {
        let x = graph.input("x", [4, filters, 28, 28]);
        x.conv(graph.input("weight", [filters, filters, 3, 3]), None, &ConvOptions::default().padding(&[1]))
    })
}

/// A convolution whose weight's gradient is a long sum.
fn weighted(batch: usize, filters: usize) -> Subject {
    let subject = Subject::new(format!("{filters} filters, {batch} images of 28 x 28"), filters, move |graph| {
        let weight = graph.input_with_grad("weight", [filters, 4, 3, 3]);
        graph.input("x", [batch, 4, 28, 28]).conv(weight, None, &ConvOptions::default().padding(&[1]))
    });
    subject.with_gradients()
}

/// Four clips, four heads.
fn attended((len, head_dim): (usize, usize)) -> Subject {
    Subject::new(format!("{len} x {len}, heads of {head_dim}"), head_dim / 4, move |graph| {
        let shape = [4, len, 4 * head_dim];
        let [query, key, value] = ["query", "key", "value"].map(|name| graph.input_with_grad(name, shape));
        let options = AttentionOptions { heads: 4, scale: None, dropout: 0.0 };
        attention(Projections::Separate { query, key, value }, AttentionMasks::default(), options).output
    })
}

/// Sums of rows.
fn activated(quads: usize) -> Subject {
    Subject::new(format!("GELU of {} elements", 4 * quads), quads, move |graph| graph.input("x", [4 * quads]).gelu())
}

fn summed([rows, columns]: [usize; 2], size: usize) -> Subject {
    Subject::new(format!("{rows} sums of {columns}"), size, move |graph| {
        graph.input("x", [rows, columns]).sum_axes(&[1])
    })
}

fn columns_summed([rows, columns]: [usize; 2]) -> Subject {
    Subject::new(format!("{columns} sums of {rows}"), rows * columns / 4, move |graph| {
        graph.input("x", [rows, columns]).sum_axes(&[0])
    })
}

fn layer_norm([rows, columns]: [usize; 2], size: usize) -> Subject {
    Subject::new(format!("{rows} x {columns}"), size, move |graph| {
        let [weight, bias] = ["weight", "bias"].map(|name| graph.input_with_grad(name, [columns]));
        graph.input_with_grad("x", [rows, columns]).layer_norm(Some(weight), Some(bias), 1e-5)
    })
}

fn softmax([rows, columns]: [usize; 2]) -> Subject {
    Subject::new(format!("{rows} x {columns}"), rows, move |graph| graph.input("x", [rows, columns]).softmax(1))
}

/// The masked mean over time.
fn pooled([batch, len, columns]: [usize; 3]) -> Subject {
    Subject::new(format!("{batch} x {len} x {columns}"), len, move |graph| {
        graph.input("x", [batch, len, columns]).masked_mean(graph.mask_input("mask", [batch, len]))
    })
}
