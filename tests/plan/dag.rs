//! Random graphs of elementwise ops with fan-out, and what they compute in f64.

use limbic::graph::{Graph, Var};
use proptest::prelude::*;

/// One node: an op over earlier tensors, by position. All values stay within [-1, 1].
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// (a + b) / 2
    Mean(usize, usize),
    /// (a - b) / 2
    HalfDifference(usize, usize),
    Product(usize, usize),
    Tanh(usize),
    Sigmoid(usize),
    /// -x / 2
    Scale(usize),
    /// The same storage under another shape, and back.
    Reshape(usize),
}

/// A graph of `inputs` inputs of `len` values each; tensor i is input i, or the result of step i - inputs.
#[derive(Debug, Clone)]
pub struct Dag {
    pub inputs: usize,
    pub len: usize,
    pub steps: Vec<Step>,
    /// Tensors that are named outputs, besides the last.
    pub outputs: Vec<usize>,
}

pub fn dags() -> impl Strategy<Value = Dag> {
    let step = (0usize..7, any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let steps = prop::collection::vec(step, 1..24);
    let outputs = prop::collection::vec(any::<prop::sample::Index>(), 0..3);
    (1usize..4, prop::sample::select(vec![1usize, 3, 4, 17, 64, 257]), steps, outputs).prop_map(
        |(inputs, len, steps, outputs)| {
            let step = |(at, (kind, a, b)): (usize, &(usize, prop::sample::Index, prop::sample::Index))| {
                let (a, b) = (a.index(inputs + at), b.index(inputs + at));
                match kind {
                    0 => Step::Mean(a, b),
                    1 => Step::HalfDifference(a, b),
                    2 => Step::Product(a, b),
                    3 => Step::Tanh(a),
                    4 => Step::Sigmoid(a),
                    5 => Step::Scale(a),
                    _ => Step::Reshape(a),
                }
            };
            let steps: Vec<Step> = steps.iter().enumerate().map(step).collect();
            let tensors = inputs + steps.len();
            Dag { inputs, len, steps, outputs: outputs.iter().map(|output| output.index(tensors)).collect() }
        },
    )
}

impl Dag {
    /// The graph: inputs `x0`, `x1`, ...; outputs `y<tensor>`; the loss is the mean of the outputs' sums.
    pub fn build(&self, graph: &Graph) {
        self.build_in_scopes(graph, 0);
    }

    /// The same graph; of every three runs of `every` steps two are checkpoint scopes.
    pub fn build_in_scopes(&self, graph: &Graph, every: usize) {
        let mut tensors: Vec<Var<'_>> =
            (0..self.inputs).map(|input| graph.input_with_grad(&format!("x{input}"), [self.len])).collect();
        let mut scope = None;
        for (index, step) in self.steps.iter().enumerate() {
            if every > 0 && index.is_multiple_of(every) {
                drop(scope.take());
                scope = (index / every % 3 != 2).then(|| graph.checkpoint());
            }
            let next = match *step {
                Step::Mean(a, b) => (tensors[a] + tensors[b]).scale(0.5),
                Step::HalfDifference(a, b) => (tensors[a] - tensors[b]).scale(0.5),
                Step::Product(a, b) => tensors[a] * tensors[b],
                Step::Tanh(a) => tensors[a].tanh(),
                Step::Sigmoid(a) => tensors[a].sigmoid(),
                Step::Scale(a) => tensors[a].scale(-0.5),
                Step::Reshape(a) => tensors[a].reshape([1, self.len]).reshape([self.len]),
            };
            tensors.push(next);
        }
        drop(scope);
        let outputs = self.output_tensors();
        let sums = outputs.iter().map(|output| tensors[*output].named(&format!("y{output}")).sum());
        let sum = sums.reduce(|sum, part| sum + part);
        if let Some(sum) = sum {
            sum.scale(1.0 / outputs.len() as f32).as_loss();
        }
    }

    /// Tensors with a name: the last, and `outputs`, each once.
    pub fn output_tensors(&self) -> Vec<usize> {
        let mut outputs = self.outputs.clone();
        outputs.push(self.inputs + self.steps.len() - 1);
        outputs.sort_unstable();
        outputs.dedup();
        outputs
    }

    /// All tensors, in f64.
    pub fn evaluate(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut tensors = inputs.to_vec();
        for step in &self.steps {
            let one = |a: usize, f: fn(f64) -> f64| tensors[a].iter().map(|x| f(*x)).collect::<Vec<f64>>();
            let two = |a: usize, b: usize, f: fn(f64, f64) -> f64| {
                tensors[a].iter().zip(&tensors[b]).map(|(x, y)| f(*x, *y)).collect::<Vec<f64>>()
            };
            let next = match *step {
                Step::Mean(a, b) => two(a, b, |x, y| (x + y) / 2.0),
                Step::HalfDifference(a, b) => two(a, b, |x, y| (x - y) / 2.0),
                Step::Product(a, b) => two(a, b, |x, y| x * y),
                Step::Tanh(a) => one(a, f64::tanh),
                Step::Sigmoid(a) => one(a, |x| 1.0 / (1.0 + (-x).exp())),
                Step::Scale(a) => one(a, |x| -0.5 * x),
                Step::Reshape(a) => tensors[a].clone(),
            };
            tensors.push(next);
        }
        tensors
    }

    /// The loss, in f64.
    pub fn loss(&self, inputs: &[Vec<f64>]) -> f64 {
        let (tensors, outputs) = (self.evaluate(inputs), self.output_tensors());
        let sums: f64 = outputs.iter().map(|output| tensors[*output].iter().sum::<f64>()).sum();
        sums / outputs.len() as f64
    }
}
