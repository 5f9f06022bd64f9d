//! Convolution in one to three dimensions against f64: values, gradients, every kernel, odd geometries. The golden cases hold it
//! against torch.

mod support;

use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Shape, Var};
use limbic::ops::batch_norm::Running;
use limbic::ops::conv::{ConvOptions, Padding, Windows};
use limbic::plan::{Mode, ParameterStore, Plan};
use proptest::prelude::*;
use support::{
    Outcome, Value, assert_close, assert_within, cases, check_gradients, discrete_gpu, float, gpu, noise, portable_gpu,
    run_on,
};

/// Everything that a convolution is made of.
#[derive(Debug, Clone)]
struct Case {
    batch: usize,
    groups: usize,
    channels: usize,
    filters: usize,
    /// Per spatial axis: size, kernel, stride, dilation, zeros before and after.
    axes: Vec<[usize; 6]>,
}

impl Case {
    fn sizes(&self, pick: impl Fn(&[usize; 6]) -> usize) -> Vec<usize> {
        self.axes.iter().map(pick).collect()
    }

    fn outputs(&self) -> Vec<usize> {
        self.sizes(|[size, kernel, stride, dilation, before, after]| {
            (size + before + after - (kernel - 1) * dilation - 1) / stride + 1
        })
    }

    fn options(&self) -> ConvOptions {
        let sides = self.axes.iter().map(|axis| [axis[4], axis[5]]).collect();
        let windows = Windows {
            stride: self.sizes(|axis| axis[2]),
            padding: Padding::Sides(sides),
            dilation: self.sizes(|axis| axis[3]),
        };
        ConvOptions { windows, groups: self.groups }
    }

    fn shapes(&self) -> [Shape; 3] {
        let (channels, filters) = (self.groups * self.channels, self.groups * self.filters);
        let x = [&[self.batch, channels], self.sizes(|axis| axis[0]).as_slice()].concat();
        let weight = [&[filters, self.channels], self.sizes(|axis| axis[1]).as_slice()].concat();
        [Shape::new(&x), Shape::new(&weight), Shape::new(&[filters])]
    }
}

/// Values, and the sum of the absolute values of the terms of each.
struct Sums {
    values: Vec<f64>,
    sizes: Vec<f64>,
}

impl Sums {
    fn new(len: usize) -> Self {
        Sums { values: vec![0.0; len], sizes: vec![0.0; len] }
    }

    fn add(&mut self, at: usize, term: f64) {
        self.values[at] += term;
        self.sizes[at] += term.abs();
    }
}

/// Numbers 0, 1, .. as places in a box of those sizes.
fn places(sizes: &[usize]) -> Vec<Vec<usize>> {
    let len = sizes.iter().product();
    let place = |mut index: usize| {
        let mut place: Vec<usize> = sizes.iter().rev().map(|size| (index % size, index /= size).0).collect();
        place.reverse();
        place
    };
    (0..len).map(place).collect()
}

/// y, dx, dweight, dbias of [`run`], by the definition.
fn reference(case: &Case, inputs: &[Vec<f32>; 3]) -> [Sums; 4] {
    let [x, weight, bias] =
        inputs.clone().map(|values| values.iter().map(|v| f64::from(v * 1.5)).collect::<Vec<f64>>());
    let (outputs, taps) = (places(&case.outputs()), places(&case.sizes(|axis| axis[1])));
    let spatial = case.sizes(|axis| axis[0]);
    let inner: usize = spatial.iter().product();
    let filters = case.groups * case.filters;
    let len = case.batch * filters * outputs.len();
    let dy: Vec<f64> = noise(len, 1000).iter().map(|v| f64::from(*v) * 0.75).collect();
    let (mut y, mut dx) = (Sums::new(len), Sums::new(x.len()));
    let (mut dweight, mut dbias) = (Sums::new(weight.len()), Sums::new(filters));
    for (index, dy) in dy.iter().enumerate() {
        let (place, f, n) = (index % outputs.len(), index / outputs.len() % filters, index / outputs.len() / filters);
        y.add(index, bias[f]);
        dbias.add(f, 1.5 * dy);
        for c in 0..case.channels {
            let plane = (n * case.groups + f / case.filters) * case.channels + c;
            for (t, tap) in taps.iter().enumerate() {
                let place =
                    case.axes.iter().enumerate().try_fold(0, |at, (axis, [size, _, stride, dilation, before, _])| {
                        let from = (outputs[place][axis] * stride + tap[axis] * dilation).checked_sub(*before)?;
                        (from < *size).then_some(at * size + from)
                    });
                if let Some(at) = place {
                    let (xi, wi) = (plane * inner + at, (f * case.channels + c) * taps.len() + t);
                    y.add(index, x[xi] * weight[wi]);
                    dx.add(xi, 1.5 * dy * weight[wi]);
                    dweight.add(wi, 1.5 * dy * x[xi]);
                }
            }
        }
    }
    [y, dx, dweight, dbias]
}

fn check(gpu: &Gpu, case: &Case, seed: u64) {
    let shapes = case.shapes();
    let values = [0, 1, 2].map(|index| noise(shapes[index].len(), seed + index as u64));
    let inputs = [0, 1, 2].map(|index| Value::Float(shapes[index], values[index].clone()));
    let outcome = run_on(gpu, &inputs, |_, v| vec![v[0].conv(v[1], Some(v[2]), &case.options())]).unwrap();
    let [y, gradients @ ..] = reference(case, &values);
    assert_within(&format!("y {case:?}"), &outcome.outputs[0], &y.values, &y.sizes, 1e-6);
    for (what, (gradient, expected)) in ["dx", "dweight", "dbias"].iter().zip(outcome.gradients.iter().zip(gradients)) {
        let gradient = gradient.as_ref().expect("a gradient");
        assert_within(&format!("{what} {case:?}"), gradient, &expected.values, &expected.sizes, 1e-6);
    }
}

fn axis() -> impl Strategy<Value = [usize; 6]> {
    let sizes = (prop_oneof![1usize..8, Just(13), Just(16)], 1usize..5, 1usize..4, 1usize..3, 0usize..3, 0usize..3);
    sizes.prop_map(|(size, kernel, stride, dilation, before, after)| {
        // a window that fits
        let kernel = kernel.min((size + before + after - 1) / dilation + 1);
        [size, kernel, stride, dilation, before, after]
    })
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn values_and_gradients_match_f64(
        axes in proptest::collection::vec(axis(), 1..4),
        batch in 1usize..4, groups in 1usize..4, channels in 1usize..6, filters in 1usize..6, seed in 0u64..1000,
    ) {
        let case = Case { batch, groups, channels, filters, axes };
        check(&gpu(), &case, seed);
    }
}

/// More rows, columns and k than a tile has, with and without sizes that are multiples of 4.
#[test]
fn every_kernel_matches_f64() {
    let square = |size: usize, kernel: usize, stride: usize, pad: usize| vec![[size, kernel, stride, 1, pad, pad]; 2];
    let cases = [
        Case { batch: 2, groups: 1, channels: 8, filters: 70, axes: square(12, 3, 1, 1) },
        Case { batch: 3, groups: 1, channels: 5, filters: 33, axes: square(11, 3, 2, 1) },
        Case { batch: 2, groups: 1, channels: 9, filters: 15, axes: square(9, 3, 1, 1) },
        Case { batch: 2, groups: 1, channels: 68, filters: 36, axes: square(6, 1, 1, 0) },
        Case { batch: 2, groups: 1, channels: 9, filters: 34, axes: square(7, 1, 2, 0) },
        Case { batch: 2, groups: 2, channels: 3, filters: 40, axes: vec![[70, 5, 1, 2, 4, 4]] },
        Case { batch: 1, groups: 1, channels: 3, filters: 35, axes: vec![[5, 3, 1, 1, 1, 1]; 3] },
        // depthwise: rows of 9 and of 8, strides, a slice after the other, more zeros than a window reaches over
        Case { batch: 2, groups: 24, channels: 1, filters: 1, axes: square(9, 3, 1, 1) },
        Case { batch: 3, groups: 5, channels: 1, filters: 1, axes: square(8, 3, 1, 1) },
        Case { batch: 2, groups: 3, channels: 1, filters: 1, axes: vec![[9, 5, 2, 1, 2, 1], [19, 3, 2, 1, 1, 2]] },
        Case { batch: 2, groups: 3, channels: 1, filters: 1, axes: vec![[9, 1, 2, 1, 0, 0], [16, 5, 2, 1, 2, 2]] },
        Case { batch: 2, groups: 3, channels: 1, filters: 1, axes: vec![[6, 4, 1, 1, 2, 1], [10, 2, 2, 1, 1, 1]] },
        Case {
            batch: 2,
            groups: 3,
            channels: 1,
            filters: 1,
            axes: vec![[3, 1, 1, 1, 0, 0], [7, 2, 1, 1, 3, 0], [13, 4, 1, 1, 0, 5]],
        },
        // rows of 4, of 14 that are filled up to 16, and of phases of 8 and of 7
        Case { batch: 2, groups: 1, channels: 6, filters: 34, axes: square(14, 3, 1, 1) },
        Case { batch: 2, groups: 1, channels: 5, filters: 8, axes: square(16, 3, 2, 1) },
        Case { batch: 1, groups: 2, channels: 3, filters: 4, axes: vec![[14, 5, 2, 1, 2, 1], [13, 4, 2, 2, 2, 3]] },
        // strides that share a divisor with the dilation, or the whole of it, and one that is longer than the image
        Case { batch: 1, groups: 1, channels: 2, filters: 4, axes: vec![[11, 3, 4, 2, 2, 3], [12, 3, 2, 4, 5, 4]] },
        Case { batch: 1, groups: 1, channels: 2, filters: 4, axes: vec![[9, 4, 3, 2, 1, 3], [2, 2, 5, 1, 3, 3]] },
    ];
    for gpu in [gpu(), portable_gpu()] {
        for (seed, case) in cases.iter().enumerate() {
            check(&gpu, case, seed as u64);
        }
    }
}

/// Channels `some` of values `[outer, channels, inner]`.
fn pick(values: &[f32], channels: usize, inner: usize, some: &[usize]) -> Vec<f32> {
    let outer = values.chunks_exact(channels * inner);
    let picked = outer.flat_map(|values| some.iter().map(move |channel| &values[channel * inner..][..inner]));
    picked.flatten().copied().collect()
}

/// As [`check`], but only of a few channels of y and dx. Returns how many passes went by Winograd's tiles.
fn check_many_channels(case: &Case, seed: u64) -> usize {
    let shapes = case.shapes();
    let [x, weight, bias] = [0, 1, 2].map(|index| noise(shapes[index].len(), seed + index as u64));
    let inputs = [(0, &x), (1, &weight), (2, &bias)].map(|(index, values)| Value::Float(shapes[index], values.clone()));
    let outcome = run_on(&gpu(), &inputs, |_, v| vec![v[0].conv(v[1], Some(v[2]), &case.options())]).unwrap();
    let [spatial, taps, outputs]: [usize; 3] =
        [case.sizes(|axis| axis[0]), case.sizes(|axis| axis[1]), case.outputs()].map(|sizes| sizes.iter().product());

    let (channels, filters) = (case.channels, case.filters);
    let some = [0, 77, filters - 1];
    let [of_weight, of_bias] =
        [(&weight, channels * taps), (&bias, 1)].map(|(of, inner)| pick(of, filters, inner, &some));
    let [y, ..] = reference(&Case { filters: some.len(), ..case.clone() }, &[x.clone(), of_weight, of_bias]);
    let actual = pick(&outcome.outputs[0], filters, outputs, &some);
    assert_within(&format!("y {case:?}"), &actual, &y.values, &y.sizes, 1e-6);

    let some = [0, 77, channels - 1];
    let [of_x, of_weight] = [(&x, spatial), (&weight, taps)].map(|(of, inner)| pick(of, channels, inner, &some));
    let [_, dx, ..] = reference(&Case { channels: some.len(), ..case.clone() }, &[of_x, of_weight, bias]);
    let actual = pick(outcome.gradients[0].as_ref().expect("a gradient"), channels, spatial, &some);
    assert_within(&format!("dx {case:?}"), &actual, &dx.values, &dx.sizes, 1e-6);
    winograds(&outcome)
}

fn winograds(outcome: &Outcome) -> usize {
    outcome.kernels.iter().filter(|kernel| **kernel == "conv_winograd_output").count()
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn windows_by_tiles_match_f64(
        sizes in [5usize..10, 5usize..10], pads in [0usize..4, 0usize..4, 0usize..4, 0usize..4],
        channels in prop_oneof![Just(256usize), Just(260)], filters in prop_oneof![Just(256usize), Just(258)], seed in 0u64..1000,
    ) {
        let axes = vec![[sizes[0], 3, 1, 1, pads[0], pads[1]], [sizes[1], 3, 1, 1, pads[2], pads[3]]];
        let case = Case { batch: 1, groups: 1, channels, filters, axes };
        let tiles = |sizes: &[usize]| sizes.iter().map(|size| size.div_ceil(2)).product::<usize>();
        let batch = 128usize.div_ceil(tiles(&sizes).min(tiles(&case.outputs())));
        // k must be a multiple of 4: of the gradient that is the number of filters
        assert_eq!(check_many_channels(&Case { batch, ..case }, seed), if filters % 4 == 0 { 2 } else { 1 });
    }
}

/// As [`nothing_leaks_out_of_its_windows`]: a NaN at the border, and one that comes back to a corner.
#[test]
fn nothing_leaks_out_of_its_windows_by_tiles() {
    let (batch, channels, size) = (8, 256, 7);
    let at = |image: usize, channel: usize, y: usize, x: usize| ((image * channels + channel) * size + y) * size + x;
    let shape = Shape::new(&[batch, channels, size, size]);
    let [mut x, mut factor] = [1, 3].map(|seed| noise(shape.len(), seed));
    x[at(3, 9, 2, 6)] = f32::NAN;
    factor[at(5, 200, 6, 0)] = f32::NAN;
    let inputs = [Value::Float(shape, x), float([channels, channels, 3, 3], 2), Value::Fixed(shape, factor)];
    let outcome = run_on(&gpu(), &inputs, |_, v| {
        let y = v[0].conv(v[1], None, &ConvOptions::default().padding(&[1]));
        vec![y, y * v[2]]
    });
    let outcome = outcome.unwrap();
    assert_eq!(winograds(&outcome), 2);
    for (index, place) in places(shape.axes()).iter().enumerate() {
        let [image, _, y, x] = place[..] else { unreachable!("four axes") };
        let bad = image == 3 && (1..=3).contains(&y) && x >= 5;
        assert_eq!(outcome.outputs[0][index].is_nan(), bad, "forward {place:?}");
        let bad = image == 5 && y >= 5 && x <= 1;
        assert_eq!(outcome.gradients[0].as_ref().unwrap()[index].is_nan(), bad, "backward {place:?}");
    }
}

#[test]
fn gradients_through_every_epilogue() {
    let inputs = [float([2, 3, 5, 6], 1), float([4, 3, 3, 3], 2), float([4], 3), float([2, 4, 5, 6], 4)];
    let options = ConvOptions::default().padding(&[1]);
    check_gradients("plain", &inputs[..2], |_, v| vec![v[0].conv(v[1], None, &options)]);
    check_gradients("bias, gelu", &inputs[..3], |_, v| vec![v[0].conv(v[1], Some(v[2]), &options).gelu()]);
    check_gradients("all", &inputs, |_, v| vec![v[0].conv(v[1], Some(v[2]), &options).gelu() + v[3]]);
    // of a shape that is divided by 4, which the inputs above are not
    let inputs = [float([1, 3, 4, 4], 1), float([4, 3, 3, 3], 2), float([4], 3), float([1, 4, 4, 4], 4)];
    check_gradients("vectors", &inputs, |_, v| vec![v[3] + v[0].conv(v[1], Some(v[2]), &options).gelu_tanh()]);
}

/// What the epilogue does is what the ops do one by one: an output in between keeps them apart.
#[test]
fn a_merged_epilogue_gives_what_the_single_ops_give() {
    let devices = [gpu(), portable_gpu(), discrete_gpu()];
    let small = devices.into_iter().flat_map(|gpu| [5, 8].map(|size| (gpu.clone(), [2, 3, 5, size])));
    for (gpu, [batch, channels, filters, size]) in small.chain([(gpu(), [16, 256, 256, 5])]) {
        let inputs = [
            float([batch, channels, size, 6], 1),
            float([filters, channels, 3, 3], 2),
            float([filters], 3),
            float([batch, filters, size, 6], 4),
        ];
        let options = ConvOptions::default().same();
        let merged = run_on(&gpu, &inputs, |_, v| vec![v[0].conv(v[1], Some(v[2]), &options).relu() + v[3]]).unwrap();
        let single = run_on(&gpu, &inputs, |_, v| {
            let conv = v[0].conv(v[1], Some(v[2]), &options).named("conv");
            vec![conv.relu().named("activated") + v[3]]
        });
        let single = single.unwrap();
        assert!(merged.kernels.len() < single.kernels.len());
        assert_eq!(merged.outputs, single.outputs);
        assert_eq!(merged.gradients, single.gradients);
    }
}

/// What a plan does with a convolution, a batch norm by running statistics, a residual and ReLUs when nothing is differentiated is what
/// the ops do one by one, in one dispatch.
#[test]
fn inference_merges_batch_norm_residual_and_activations() {
    let plan = |gpu: &Gpu, [batch, channels, filters, size]: [usize; 4], with: [bool; 4], single: bool| {
        let [bias, affine, residual, relu] = with;
        let store = ParameterStore::new(gpu, &Parameters::new(), &[]).unwrap();
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            let of_filters = |name: &str, there: bool| there.then(|| graph.input(name, [filters]));
            let named = |var: Var<'_>, name: &str| {
                if single {
                    var.named(name);
                }
            };
            let x = graph.input("x", [batch, channels, size, 5]);
            let options = ConvOptions::default().padding(&[1]);
            let weight = graph.input("weight", [filters, channels, 3, 3]);
            let conv = x.conv(weight, of_filters("bias", bias), &options);
            named(conv, "conv");
            let running =
                Running { mean: graph.input("mean", [filters]), variance: graph.input("variance", [filters]) };
            let [scale, shift] = ["scale", "shift"].map(|name| of_filters(name, affine));
            let mut y = conv.batch_norm_by_running(scale, shift, running, 0.1);
            named(y, "norm");
            if relu {
                y = y.relu();
                named(y, "relu");
            }
            if residual {
                y = graph.input("residual", [batch, filters, size, 5]) + y;
                named(y, "sum");
                y = y.relu();
            }
            y.named("y");
            Ok(())
        });
        let plan = plan.unwrap();
        let mut names: Vec<_> = plan.input_names().map(|(name, shape, _)| (name.to_string(), shape)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        for (seed, (name, shape)) in names.into_iter().enumerate() {
            let mut values = noise(shape.len(), seed as u64);
            if name == "variance" {
                values.iter_mut().for_each(|value| *value = value.abs());
            }
            plan.write(&name, &values).unwrap();
        }
        plan.run().unwrap();
        (plan.read("y").unwrap(), plan.program().len())
    };
    // at most eight buffers: with all of these the residual is left to a dispatch of its own
    let all = [true, true, true, true];
    for (with, dispatches) in [
        ([false, false, false, false], 1),
        ([false, true, true, true], 1),
        ([true, true, false, true], 1),
        ([true, false, true, false], 1),
        (all, 2),
    ] {
        // Winograd's takes four
        for (gpu, sizes, of_conv) in [
            (gpu(), [2, 3, 6, 5], 1),
            (gpu(), [2, 3, 6, 4], 1),
            (gpu(), [15, 256, 256, 5], 4),
            (portable_gpu(), [2, 3, 6, 4], 1),
        ] {
            let (merged, count) = plan(&gpu, sizes, with, false);
            let (single, count_single) = plan(&gpu, sizes, with, true);
            let expected: Vec<f64> = single.iter().map(|value| f64::from(*value)).collect();
            assert_close(&format!("{with:?} {sizes:?}"), &merged, &expected, 1e-6);
            let most = dispatches - 1 + of_conv + usize::from(with == all);
            assert!(count <= most && count < count_single, "{with:?} {sizes:?}: {count}");
        }
    }
}

/// Zeros in the padding are not products with zero, and neighbours in memory are none in the row: a NaN at the border spreads only as
/// far as its windows, forward and backward.
#[test]
fn nothing_leaks_out_of_its_windows() {
    // stride, zeros around, and the outputs whose windows of three elements hold the last of each row of 9 or 8
    for (width, stride, pad, bad_outputs) in
        [(9, 1, 2, vec![8, 9, 10]), (8, 1, 1, vec![6, 7]), (8, 2, 1, vec![3]), (14, 1, 0, vec![11])]
    {
        let rows = 3;
        let mut x = noise(2 * rows * width, 1);
        x[2 * width - 1] = f32::NAN;
        let outputs = (width + 2 * pad - 3) / stride + 1;
        let windows = Windows { stride: vec![1, stride], padding: Padding::Each(vec![0, pad]), dilation: vec![1] };
        // a NaN that comes back to the first output of row 1
        let mut factor = noise(2 * rows * outputs, 3);
        factor[outputs] = f32::NAN;
        for (gpu, groups) in [(gpu(), 1), (portable_gpu(), 1), (gpu(), 2)] {
            let options = ConvOptions { windows: windows.clone(), groups };
            let inputs = [
                Value::Float(Shape::new(&[1, groups, rows, width]), x[..groups * rows * width].to_vec()),
                float([groups, 1, 1, 3], 2),
                Value::Fixed(Shape::new(&[1, groups, rows, outputs]), factor[..groups * rows * outputs].to_vec()),
            ];
            let outcome = run_on(&gpu, &inputs, |_, v| {
                let y = v[0].conv(v[1], None, &options);
                vec![y, y * v[2]]
            });
            let outcome = outcome.unwrap();
            let bad = |values: &[f32]| (0..values.len()).filter(|i| values[*i].is_nan()).collect::<Vec<_>>();
            let expected: Vec<usize> = bad_outputs.iter().map(|at| outputs + at).collect();
            assert_eq!(bad(&outcome.outputs[0]), expected, "forward {width} {stride} {pad}");
            let expected: Vec<usize> = (width..width + 3 - pad).collect();
            assert_eq!(bad(outcome.gradients[0].as_ref().unwrap()), expected, "backward {width} {stride} {pad}");
        }
    }
}

/// A NaN that lies under no window is none in the result, and none in the gradient of the weight.
#[test]
fn what_no_window_covers_counts_nowhere() {
    // windows of 3 at stride 2: neither the last row nor the last column is under one
    let (rows, width) = (4, 8);
    let mut x = noise(2 * rows * width, 1);
    let unused = |at: &usize| at % width == width - 1 || at / width % rows == rows - 1;
    (0..x.len()).filter(unused).for_each(|at| x[at] = f32::NAN);
    for (gpu, groups) in [(gpu(), 1), (gpu(), 2), (portable_gpu(), 2)] {
        let options = ConvOptions::default().stride(&[2]).groups(groups);
        let inputs = [Value::Float(Shape::new(&[1, 2, rows, width]), x.clone()), float([2, 2 / groups, 3, 3], 2)];
        let outcome = run_on(&gpu, &inputs, |_, v| vec![v[0].conv(v[1], None, &options)]).unwrap();
        let all = [Some(&outcome.outputs[0]), outcome.gradients[0].as_ref(), outcome.gradients[1].as_ref()];
        for values in all {
            assert!(values.unwrap().iter().all(|value| value.is_finite()), "{groups} groups: {values:?}");
        }
    }
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let message = |x: &[usize], weight: &[usize], options: ConvOptions| {
        let graph = Graph::new();
        graph.input("x", x).conv(graph.input("weight", weight), None, &options);
        graph.finish().unwrap_err().to_string()
    };
    let plain = ConvOptions::default;
    for (text, said) in [
        (message(&[2, 3, 8], &[4, 2, 3], plain()), "wants 3 channels"),
        (message(&[2, 3, 8, 8], &[4, 3, 3], plain()), "other spatial axes"),
        (message(&[2, 3, 2], &[4, 3, 3], plain()), "does not fit"),
        (message(&[2, 3, 8], &[4, 3, 3], plain().groups(2)), "2 groups do not divide"),
        (message(&[2, 3, 8], &[4, 3, 3], plain().stride(&[1, 2])), "stride has 2 numbers"),
        (message(&[2, 3, 8], &[4, 3, 3], plain().dilation(&[0])), "at least 1"),
        (message(&[2, 3], &[4, 3], plain()), "1 to 3 spatial axes"),
    ] {
        assert!(text.contains("conv") && text.contains(said), "{text}");
    }
}
