//! What a graph is made of: parameters and work, node by node or gathered by the layers' paths. Needs no GPU.

use super::{Parameters, Recording, Shape, Source, Tensor, TensorId};
use std::collections::{HashMap, HashSet};

/// A node, or all nodes under one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerCount {
    /// The path of the layer; empty for what the model itself does, outside of all layers.
    pub path: String,
    /// Its ops with how many there are of each, in order of first use.
    pub ops: Vec<(&'static str, usize)>,
    /// What the last of them makes.
    pub output: Shape,
    /// Values that an optimiser may change. A parameter counts where it is first used.
    pub trainable: usize,
    /// Values of frozen parameters and of buffers.
    pub fixed: usize,
    /// Floating-point operations of the products (matmul, convolution, attention), a multiply-add being two; what goes element by
    /// element is left out, as in the figures that papers and torchvision give.
    pub flops: u64,
}

impl LayerCount {
    /// Trainable or not.
    pub fn parameters(&self) -> usize {
        self.trainable + self.fixed
    }

    /// What papers call MACs, and some FLOPs.
    pub fn multiply_adds(&self) -> u64 {
        self.flops / 2
    }

    fn add(&mut self, other: &LayerCount) {
        for (op, count) in &other.ops {
            match self.ops.iter_mut().find(|(known, _)| known == op) {
                Some((_, known)) => *known += count,
                None => self.ops.push((op, *count)),
            }
        }
        self.output = other.output;
        self.trainable += other.trainable;
        self.fixed += other.fixed;
        self.flops += other.flops;
    }
}

impl Recording {
    /// Floating-point operations of a node's products; see [`LayerCount::flops`].
    pub fn flops(&self, node: usize) -> u64 {
        let node = &self.nodes[node];
        let tensors = |ids: &[TensorId]| ids.iter().map(|id| self.tensor(*id).clone()).collect::<Vec<Tensor>>();
        node.op.flops(&tensors(&node.inputs), &tensors(&node.outputs))
    }

    /// One entry per node, in order; `parameters` are those that the graph was built with.
    pub fn layer_counts(&self, parameters: &Parameters) -> Vec<LayerCount> {
        let mut counted = HashSet::new();
        let count = |(index, node): (usize, &super::Node)| {
            let output = node.outputs.first().map_or(Shape::default(), |id| self.tensor(*id).shape);
            let ops = vec![(node.op.name(), 1)];
            let flops = self.flops(index);
            let mut layer = LayerCount { path: node.layer.clone(), ops, output, trainable: 0, fixed: 0, flops };
            for id in &node.inputs {
                let Source::Parameter(parameter) = self.tensor(*id).source else { continue };
                let Some(spec) = parameters.specs().get(parameter).filter(|_| counted.insert(parameter)) else {
                    continue;
                };
                let kind = if spec.trainable { &mut layer.trainable } else { &mut layer.fixed };
                *kind += spec.shape.len();
            }
            layer
        };
        self.nodes.iter().enumerate().map(count).collect()
    }
}

/// Gathers what lies under the same first `depth` names of a path, in order of first use; with depth 0 all of it.
pub fn gather(layers: &[LayerCount], depth: usize) -> Vec<LayerCount> {
    let mut gathered: Vec<LayerCount> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    for layer in layers {
        let path = layer.path.split('.').take(depth).collect::<Vec<_>>().join(".");
        match place.get(&path) {
            Some(index) => gathered[*index].add(layer),
            None => {
                place.insert(path.clone(), gathered.len());
                gathered.push(LayerCount { path, ..layer.clone() });
            }
        }
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Graph;
    use crate::nn::{BatchNorm, Context, Conv, Linear};
    use crate::ops::batch_norm::BatchNormOptions;
    use crate::ops::conv::ConvOptions;

    /// Two blocks of convolution, norm and ReLU, the second twice over the same weights, then a linear layer.
    fn counts() -> Vec<LayerCount> {
        let mut parameters = Parameters::new();
        let mut root = parameters.root();
        let mut block = |name: &str, channels| {
            let mut path = root.at(name);
            let options = ConvOptions::default().padding(&[1]);
            let conv = Conv::without_bias(&mut path, "conv", channels, &[3, 3], options);
            (conv, BatchNorm::new(&mut path, "norm", channels[1], BatchNormOptions::pytorch()))
        };
        let (first, second) = (block("first", [3, 8]), block("second", [8, 8]));
        let head = Linear::new(&mut root, "head", 8, 5);
        let graph = Graph::new();
        let cx = Context { graph: &graph, parameters: &parameters, training: false };
        let run = |(conv, norm): &(Conv, BatchNorm), name: &str, x| {
            let _scope = graph.scope(name);
            norm.forward(cx, conv.forward(cx, x)).relu()
        };
        let x = run(&first, "first", graph.input("x", [2, 3, 6, 4]));
        let x = run(&second, "second", run(&second, "second", x));
        head.forward(cx, x.mean_axes(&[2, 3])).named("y");
        graph.finish().unwrap().layer_counts(&parameters)
    }

    #[test]
    fn work_and_parameters_are_those_counted_by_hand() {
        let layers = gather(&counts(), 1);
        let paths: Vec<&str> = layers.iter().map(|layer| layer.path.as_str()).collect();
        assert_eq!(paths, ["first", "second", "", "head"]);
        let [first, second, pool, head] = layers.as_slice() else { unreachable!() };
        // [filters, channels, 3, 3] and a weight and a bias per filter; running mean and variance
        assert_eq!((first.trainable, first.fixed), (8 * 3 * 9 + 16, 16));
        assert_eq!(first.multiply_adds(), 2 * 24 * 8 * 3 * 9);
        // used twice: twice the work, the same weights
        assert_eq!((second.trainable, second.fixed), (8 * 8 * 9 + 16, 16));
        assert_eq!(second.multiply_adds(), 2 * (2 * 24 * 8 * 8 * 9));
        assert_eq!(second.ops, [("conv", 2), ("batch_norm", 2), ("unary", 2)]);
        assert_eq!((second.output, pool.parameters()), (Shape::new(&[2, 8, 6, 4]), 0));
        assert_eq!((head.trainable, head.multiply_adds(), head.output), (45, 2 * 8 * 5, Shape::new(&[2, 5])));
    }

    #[test]
    fn depth_chooses_how_much_is_gathered() {
        let layers = counts();
        let all = gather(&layers, 0);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].flops, layers.iter().map(|layer| layer.flops).sum::<u64>());
        let fine = gather(&layers, 2);
        assert_eq!(fine[..2].iter().map(|layer| layer.path.as_str()).collect::<Vec<_>>(), ["first.conv", "first.norm"]);
        assert_eq!(gather(&layers, 9), fine);
    }
}
