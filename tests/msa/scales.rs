//! Attention at several time scales: the block against its parts written out, and as an encoder.

use crate::model::check_weight_gradients;
use crate::model::three;
use crate::support::{gpu, noise};
use limbic::graph::{Graph, Parameters, Var};
use limbic::models::msa::{Encoder, MsaConfig};
use limbic::nn::{Context, Linear, MultiScaleBlock, NormOrder, TransformerBlock, TransformerConfig};
use limbic::plan::{Mode, ParameterStore, Plan};

const DIM: usize = 8;
const SEQ: usize = 7;

fn sizes() -> TransformerConfig {
    TransformerConfig { model_dim: DIM, heads: 2, ff_dim: 12, dropout: 0.0, order: NormOrder::Pre, epsilon: 1e-6 }
}

/// What `build` makes of two clips of noise, the weights drawn by their places.
fn outcome<F>(parameters: &Parameters, build: F) -> Vec<f32>
where
    F: for<'g> Fn(Context<'g>, Var<'g>) -> Var<'g>,
{
    let values: Vec<Vec<f32>> =
        parameters.specs().iter().enumerate().map(|(index, spec)| noise(spec.shape.len(), index as u64)).collect();
    let store = ParameterStore::new(&gpu(), parameters, &values).unwrap();
    let plan = Plan::new(&store, Mode::Forward, |graph: &Graph| {
        build(Context { graph, parameters, training: false }, graph.input("x", [2, SEQ, DIM])).named("y");
        Ok(())
    })
    .unwrap();
    plan.write("x", &noise(2 * SEQ * DIM, 5)).unwrap();
    plan.run().unwrap();
    plan.read("y").unwrap()
}

/// The steps `indices` of `y [batch, seq, DIM]`, one after another.
fn steps<'g>(y: Var<'g>, indices: &[usize]) -> Var<'g> {
    let parts: Vec<_> = indices.iter().map(|index| y.slice(1, *index, index + 1)).collect();
    y.graph().concat(&parts, 1)
}

/// Seven steps: two means of four, the last of three; four means of two, the last of one.
#[test]
fn coarse_scales_are_stretched_and_joined_to_the_next() {
    let mut parameters = Parameters::new();
    let mut root = parameters.root();
    let block = MultiScaleBlock::new(&mut root, "block", sizes(), &[4, 2, 1]);
    let whole = outcome(&parameters, |cx, x| {
        let mask = cx.graph.input("ones", [2, SEQ, 1]).affine(0.0, 1.0).padding_mask(0.0);
        block.forward(cx, x, mask).0
    });

    let mut same = Parameters::new();
    let mut root = same.root();
    let mut at = root.at("block");
    let scale4 = TransformerBlock::new(&mut at, "scale4", sizes());
    let scale2 = TransformerBlock::new(&mut at, "scale2", sizes());
    let join2 = Linear::new(&mut at, "join2", DIM, DIM);
    let scale1 = TransformerBlock::new(&mut at, "scale1", sizes());
    let join1 = Linear::new(&mut at, "join1", DIM, DIM);
    assert_eq!(same, parameters, "the same weights under the same names");
    let parts = outcome(&same, |cx, x| {
        let mean = |from: usize, to: usize| x.slice(1, from, to).mean_axes(&[1]);
        let fours = cx.graph.stack(&[mean(0, 4), mean(4, 7)], 1);
        let twos = cx.graph.stack(&[mean(0, 2), mean(2, 4), mean(4, 6), mean(6, 7)], 1);
        let y4 = scale4.forward(cx, fours, None).0;
        let y2 = scale2.forward(cx, twos + join2.forward(cx, steps(y4, &[0, 0, 1, 1])), None).0;
        scale1.forward(cx, x + join1.forward(cx, steps(y2, &[0, 0, 1, 1, 2, 2, 3])), None).0
    });
    let largest = parts.iter().fold(0f32, |most, value| most.max(value.abs()));
    for (found, expected) in whole.iter().zip(&parts) {
        assert!((found - expected).abs() <= 2e-5 * largest, "{found}, expected {expected}");
    }
}

#[test]
fn scales_that_do_not_divide_each_other_are_an_error() {
    for scales in [&[3, 2, 1][..], &[4, 2], &[1, 2], &[]] {
        let mut parameters = Parameters::new();
        let block = MultiScaleBlock::new(&mut parameters.root(), "block", sizes(), scales);
        let graph = Graph::new();
        let cx = Context { graph: &graph, parameters: &parameters, training: false };
        block.forward(cx, graph.input("x", [2, SEQ, DIM]), graph.mask_input("mask", [2, SEQ]));
        let message = graph.finish().unwrap_err().to_string();
        assert!(message.contains("divide each other"), "{message}");
    }
}

#[test]
fn gradients_are_those_that_differences_measure() {
    let config = MsaConfig { encoder: Encoder::Multiscale, ..three() };
    let lens: [&[usize]; 3] = [&[4, 9, 2], &[6, 0, 7], &[1, 12, 5]];
    check_weight_gradients(&config, &lens, &[6, 12, 7]);
}
