//! Products: every layout against f64 over odd shapes, on the kernels of every kind of adapter; epilogues; gradients.

mod support;

use limbic::gpu::{Gpu, GpuOptions};
use limbic::graph::{Graph, Shape, Var};
use proptest::prelude::*;
use std::sync::OnceLock;
use support::{Value, assert_close, cases, check_gradients, discrete_gpu, float, gpu, noise, portable_gpu, run_on};

/// Every choice of kernels: those of this adapter, the same for small products as for large ones, and those of other kinds.
fn gpus() -> [Gpu; 4] {
    static TILED: OnceLock<Gpu> = OnceLock::new();
    let options = GpuOptions { forced: vec![("MatmulSmall".to_string(), 0)], ..GpuOptions::default() };
    let tiled = TILED.get_or_init(|| Gpu::with_options(&options).expect("a Vulkan driver; run scripts/setup.sh"));
    [gpu(), tiled.clone(), portable_gpu(), discrete_gpu()]
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    NN,
    NT,
    TN,
}

/// One element, odd sizes, primes, multiples of four, more than any tile.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..8, 8usize..40, Just(64), Just(67), Just(129), Just(132), Just(257)]
}

fn shapes(layout: Layout, batch: usize, m: usize, n: usize, k: usize) -> (Shape, Shape) {
    let (a, b) = match layout {
        Layout::NN => ([m, k], [k, n]),
        Layout::NT => ([m, k], [n, k]),
        Layout::TN => ([k, m], [k, n]),
    };
    (Shape::from([batch, a[0], a[1]]), Shape::from([batch, b[0], b[1]]))
}

fn product<'g>(layout: Layout, a: Var<'g>, b: Var<'g>) -> Var<'g> {
    match layout {
        Layout::NN => a.matmul(b),
        Layout::NT => a.matmul_nt(b),
        Layout::TN => a.matmul_tn(b),
    }
}

/// The product in f64. The harness scales float inputs by 1.5.
fn reference(layout: Layout, a: &[f32], b: &[f32], [batch, m, n, k]: [usize; 4]) -> Vec<f64> {
    let at = |x: &[f32], index: usize| f64::from(x[index] * 1.5);
    let mut out = Vec::with_capacity(batch * m * n);
    for s in 0..batch {
        for i in 0..m {
            for j in 0..n {
                let term = |l: usize| {
                    let a_index = if layout == Layout::TN { l * m + i } else { i * k + l };
                    let b_index = if layout == Layout::NT { j * k + l } else { l * n + j };
                    at(a, s * m * k + a_index) * at(b, s * k * n + b_index)
                };
                out.push((0..k).map(term).sum());
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn every_layout_and_kernel_agrees_with_f64(
        layout in prop_oneof![Just(Layout::NN), Just(Layout::NT), Just(Layout::TN)],
        batch in 1usize..4, m in size(), n in size(), k in size(),
    ) {
        let (a, b) = shapes(layout, batch, m, n, k);
        let (x, y) = (noise(a.len(), 1), noise(b.len(), 2));
        let expected = reference(layout, &x, &y, [batch, m, n, k]);
        let inputs = [Value::Float(a, x), Value::Float(b, y)];
        for gpu in gpus() {
            let outcome = run_on(&gpu, &inputs, |_, v| vec![product(layout, v[0], v[1])]).unwrap();
            assert_close(&format!("{layout:?} {batch} x {m} {n} {k}"), &outcome.outputs[0], &expected, 2e-6);
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// Which kernel a product takes may depend on how many rows there are, and so on how far sequences are padded.
    #[test]
    fn small_products_have_the_bits_of_large_ones(
        layout in prop_oneof![Just(Layout::NN), Just(Layout::NT), Just(Layout::TN)],
        m in 1usize..20, n in 1usize..20, k in 1usize..41, seed in 0u64..1000,
    ) {
        let (a, b) = shapes(layout, 1, m, n, k);
        let inputs = [Value::Float(a, noise(a.len(), seed)), Value::Float(b, noise(b.len(), seed + 1))];
        let bits = |gpu: &Gpu| -> Vec<u32> {
            let outcome = run_on(gpu, &inputs, |_, v| vec![product(layout, v[0], v[1])]).unwrap();
            outcome.outputs[0].iter().map(|value| value.to_bits()).collect()
        };
        let [small, tiled, ..] = gpus();
        prop_assert_eq!(bits(&small), bits(&tiled));
    }
}

/// A long k is split over workgroups; its pieces are summed in order.
#[test]
fn long_sums_are_split_and_agree() {
    for layout in [Layout::NN, Layout::NT, Layout::TN] {
        let sizes = [1, 33, 20, 4099];
        let (a, b) = shapes(layout, 1, 33, 20, 4099);
        let (x, y) = (noise(a.len(), 3), noise(b.len(), 4));
        let expected = reference(layout, &x, &y, sizes);
        let inputs = [Value::Float(a, x), Value::Float(b, y)];
        for gpu in gpus() {
            let outcome = run_on(&gpu, &inputs, |_, v| vec![product(layout, v[0], v[1])]).unwrap();
            assert_close(&format!("{layout:?}"), &outcome.outputs[0], &expected, 4e-6);
        }
    }
}

/// A batch by one matrix is one product of more rows; one matrix by a batch is not.
#[test]
fn one_matrix_serves_a_batch_on_either_side() {
    check_gradients("batch by matrix", &[float([3, 5, 7], 1), float([7, 4], 2)], |_, v| vec![v[0].matmul(v[1])]);
    check_gradients("matrix by batch", &[float([5, 7], 1), float([3, 7, 4], 2)], |_, v| vec![v[0].matmul(v[1])]);
    check_gradients("transposed", &[float([2, 7, 5], 1), float([2, 7, 4], 2)], |_, v| vec![v[0].matmul_tn(v[1])]);
}

#[test]
fn gradients_through_every_epilogue() {
    let inputs = [float([2, 5, 6], 1), float([7, 6], 2), float([7], 3), float([2, 5, 7], 4)];
    check_gradients("bias", &inputs[..3], |_, v| vec![v[0].matmul_nt(v[1]) + v[2]]);
    check_gradients("bias, gelu", &inputs[..3], |_, v| vec![(v[0].matmul_nt(v[1]) + v[2]).gelu()]);
    check_gradients("bias, gelu (tanh)", &inputs[..3], |_, v| vec![(v[0].matmul_nt(v[1]) + v[2]).gelu_tanh()]);
    let without_bias = [inputs[0].clone(), inputs[1].clone(), inputs[3].clone()];
    check_gradients("residual", &without_bias, |_, v| vec![v[2] + v[0].matmul_nt(v[1])]);
    let all: for<'g> fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>> =
        |_, v| vec![(v[0].matmul_nt(v[1]) + v[2]).gelu().dropout(0.3) + v[3]];
    check_gradients("all", &inputs, all);
    // more than the smallest products, which have a kernel of their own
    let larger = [float([2, 33, 18], 1), float([23, 18], 2), float([23], 3), float([2, 33, 23], 4)];
    check_gradients("all, larger", &larger, all);
}

/// What the epilogue does is what the ops do one by one: an output in between keeps them apart.
#[test]
fn a_merged_epilogue_gives_what_the_single_ops_give() {
    let inputs = [float([6, 20], 1), float([33, 20], 2), float([33], 3), float([6, 33], 4)];
    for gpu in gpus() {
        let merged = run_on(&gpu, &inputs, |_, v| vec![(v[0].matmul_nt(v[1]) + v[2]).gelu() + v[3]]).unwrap();
        let single = run_on(&gpu, &inputs, |_, v| {
            let product = v[0].matmul_nt(v[1]).named("product");
            let biased = (product + v[2]).named("biased");
            vec![biased.gelu().named("activated") + v[3]]
        })
        .unwrap();
        let expected: Vec<f64> = single.outputs[0].iter().map(|value| f64::from(*value)).collect();
        assert_close("merged", &merged.outputs[0], &expected, 1e-6);
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors_that_name_them() {
    for (a, b) in [(vec![2, 3], vec![4, 5]), (vec![3], vec![3, 2]), (vec![2, 3, 4], vec![3, 4, 5])] {
        let graph = Graph::new();
        graph.input("a", a.as_slice()).matmul(graph.input("b", b.as_slice()));
        let message = graph.finish().unwrap_err().to_string();
        assert!(message.contains("matmul"), "{message}");
    }
}
