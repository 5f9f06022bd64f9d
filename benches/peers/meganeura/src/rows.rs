//! The rows, named as limbic's and of the same sizes. What meganeura has no op for (3-D convolution, batch norm, recurrences, masks,
//! batches of heads) is left out.

use crate::Build;
use meganeura::graph::TensorType;
use meganeura::{Graph, NodeId};

/// The input that holds one-hot labels.
pub const LABELS: &str = "labels";

pub struct Row {
    pub name: String,
    /// Whether the gradients of all that it reads are computed too.
    pub trained: bool,
    pub build: Build,
}

/// Makes what a row reads: parameters where their gradients are wanted.
struct Inputs<'a> {
    graph: &'a mut Graph,
    trained: bool,
}

impl Inputs<'_> {
    fn float(&mut self, name: &str, shape: &[usize]) -> NodeId {
        if self.trained { self.graph.parameter(name, shape) } else { self.graph.input(name, shape) }
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> NodeId {
        self.graph.parameter(name, shape)
    }
}

fn forward(name: impl Into<String>, op: impl Fn(&mut Inputs) -> NodeId + 'static) -> Row {
    let build = move |graph: &mut Graph| op(&mut Inputs { graph, trained: false });
    Row { name: name.into(), trained: false, build: Box::new(build) }
}

/// Two rows: `_fwd` and `_fwdbwd`.
fn both(name: &str, op: impl Fn(&mut Inputs) -> NodeId + Clone + 'static) -> [Row; 2] {
    let with_gradients = op.clone();
    let build = move |graph: &mut Graph| {
        let y = with_gradients(&mut Inputs { graph, trained: true });
        weighed(graph, y)
    };
    let trained = Row { name: format!("{name}_fwdbwd"), trained: true, build: Box::new(build) };
    [forward(format!("{name}_fwd"), op), trained]
}

/// A loss whose gradient with respect to `y` is the product of a column and a row. The gradient of `sum_all` would do, but meganeura
/// spreads that with a matrix product of one column, which takes a thousand times as long as an op's own work.
fn weighed(graph: &mut Graph, y: NodeId) -> NodeId {
    let count: usize = graph.node(y).ty.shape.iter().product();
    let rows = 2048;
    let matrix = graph.reshape(y, &[rows, count / rows]);
    let (left, right) = (graph.input("left", &[1, rows]), graph.input("right", &[count / rows, 1]));
    let row = graph.matmul(left, matrix);
    let one = graph.matmul(row, right);
    graph.reshape(one, &[1])
}

/// Numbers below 8192, the rows of the table that they choose from.
pub fn indices(ty: &TensorType) -> Vec<u32> {
    (0..ty.shape.iter().product::<usize>() as u32).map(|i| i.wrapping_mul(2_654_435_761) % 8192).collect()
}

/// All of them.
pub fn all() -> Vec<Row> {
    let mut rows = products();
    rows.extend(convolutions());
    rows.extend(both("attn_b1h8s2048d64", |x| {
        let [query, key, value] = ["query", "key", "value"].map(|name| x.float(name, &[2048, 512]));
        x.graph.multi_head_attn(query, key, value, 8, 8, 64, false)
    }));
    rows.extend(norms_and_losses());
    rows
}

fn products() -> Vec<Row> {
    type Product = fn(&mut Graph, NodeId, NodeId) -> NodeId;
    let layouts: [(&str, Product); 3] = [("", Graph::matmul), ("nt_", Graph::matmul_bt), ("tn_", Graph::matmul_at)];
    let mut rows = Vec::new();
    for n in [512, 1024, 2048, 4096] {
        for (layout, product) in layouts.into_iter().take(if n < 4096 { 3 } else { 1 }) {
            rows.push(forward(format!("matmul_{layout}{n}"), move |x| {
                let (a, b) = (x.float("a", &[n, n]), x.weight("b", &[n, n]));
                product(x.graph, a, b)
            }));
        }
    }
    rows.extend(both("linear_gelu_2048x256x512", |x| {
        let (input, weight) = (x.float("x", &[2048, 256]), x.weight("weight", &[256, 512]));
        let bias = x.weight("bias", &[512]);
        let product = x.graph.matmul(input, weight);
        let sum = x.graph.bias_add(product, bias);
        x.graph.gelu(sum)
    }));
    rows
}

fn convolutions() -> Vec<Row> {
    let conv = |input: [u32; 4], filters: u32, size: u32, stride: u32, padding: u32| {
        move |x: &mut Inputs| {
            let [batch, channels, height, width] = input;
            let count = input.iter().product::<u32>() as usize;
            let weights = (filters * channels * size * size) as usize;
            let (image, weight) = (x.float("x", &[count]), x.weight("weight", &[weights]));
            x.graph.conv2d(image, weight, batch, channels, height, width, filters, size, size, stride, padding)
        }
    };
    let mut rows = Vec::new();
    rows.extend(both("conv2d", conv([8, 64, 56, 56], 64, 3, 1, 1)));
    rows.extend(both("conv2d_1x1", conv([8, 256, 28, 28], 128, 1, 1, 0)));
    rows.extend(both("conv2d_stride2", conv([8, 128, 28, 28], 128, 3, 2, 1)));
    rows.push(forward("conv2d_depthwise_fwd", |x| {
        let (image, weight) = (x.float("x", &[8 * 64 * 56 * 56]), x.weight("weight", &[64 * 9]));
        x.graph.conv2d_dw(image, weight, 8, 64, 56, 56, 3, 3, 1, 1, 1)
    }));
    rows.push(forward("maxpool2d_fwd", |x| {
        let image = x.float("x", &[8 * 64 * 112 * 112]);
        x.graph.max_pool_2d(image, 8, 64, 112, 112, 3, 3, 2, 1)
    }));
    rows
}

fn norms_and_losses() -> Vec<Row> {
    let mut rows = Vec::new();
    for (count, columns) in [(2048, 256), (8192, 1024)] {
        rows.extend(both(&format!("layernorm_{count}x{columns}"), move |x| {
            let (input, weight) = (x.float("x", &[count, columns]), x.weight("weight", &[columns]));
            let bias = x.weight("bias", &[columns]);
            x.graph.layer_norm(input, weight, bias, 1e-5)
        }));
    }
    rows.extend(both("gelu_4M", |x| {
        let input = x.float("x", &[1 << 22]);
        x.graph.gelu(input)
    }));
    rows.push(forward("add_bias_2048x2048", |x| {
        let (input, bias) = (x.float("x", &[2048, 2048]), x.weight("bias", &[2048]));
        x.graph.bias_add(input, bias)
    }));
    rows.extend(both("softmax_2048x512", |x| {
        let input = x.float("x", &[2048, 512]);
        x.graph.softmax(input)
    }));
    for (name, trained) in [("cross_entropy_2048x512_fwd", false), ("cross_entropy_2048x512_fwdbwd", true)] {
        let build = move |graph: &mut Graph| {
            let logits = Inputs { graph: &mut *graph, trained }.float("x", &[2048, 512]);
            let labels = graph.input(LABELS, &[2048, 512]);
            graph.cross_entropy_loss(logits, labels)
        };
        rows.push(Row { name: name.to_string(), trained, build: Box::new(build) });
    }
    rows.push(forward("sum_8M", |x| {
        let input = x.float("x", &[8192, 1024]);
        x.graph.sum_all(input)
    }));
    rows.push(forward("embedding_8192x256_2048_fwd", |x| {
        let (ids, table) = (x.graph.input_u32("ids", &[2048]), x.weight("table", &[8192, 256]));
        x.graph.embedding(ids, table)
    }));
    rows
}
