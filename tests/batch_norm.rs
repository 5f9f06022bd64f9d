//! Batch norm against f64: values, statistics, gradients, odd sizes. The golden cases hold it against torch and Keras.

mod support;

use limbic::gpu::Gpu;
use limbic::graph::{Graph, Shape};
use limbic::ops::batch_norm::{BatchNormOptions, Running};
use proptest::prelude::*;
use support::{Value, assert_close, assert_within, cases, check_gradients, discrete_gpu, float, gpu, noise, run_on};

/// What the op's outputs and the gradients of x, weight and bias are by the definition, and how large the terms of dx are.
struct Reference {
    y: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    dx: Vec<f64>,
    dx_terms: Vec<f64>,
    dweight: Vec<f64>,
    dbias: Vec<f64>,
}

/// Over `[batch, channels, places]`; `running` and everything else as [`run_on`] scales it.
fn reference(
    [batch, channels, places]: [usize; 3],
    [x, weight, bias, mean, variance]: [&[f64]; 5],
    options: BatchNormOptions,
    training: bool,
) -> Reference {
    let len = x.len();
    let dy: Vec<f64> = noise(len, 1000).iter().map(|v| f64::from(*v) * 0.75).collect();
    let zeros = || vec![0.0; len];
    let mut out = Reference {
        y: zeros(),
        mean: mean.to_vec(),
        variance: variance.to_vec(),
        dx: zeros(),
        dx_terms: zeros(),
        dweight: vec![0.0; channels],
        dbias: vec![0.0; channels],
    };
    for c in 0..channels {
        let at: Vec<usize> =
            (0..batch).flat_map(|n| (0..places).map(move |p| (n * channels + c) * places + p)).collect();
        let count = at.len() as f64;
        let (mut m, mut v) = (mean[c], variance[c]);
        if training {
            m = at.iter().map(|i| x[*i]).sum::<f64>() / count;
            v = at.iter().map(|i| (x[*i] - m).powi(2)).sum::<f64>() / count;
            let taken = if options.unbiased { v * count / (count - 1.0) } else { v };
            let momentum = f64::from(options.momentum);
            out.mean[c] += momentum * (m - mean[c]);
            out.variance[c] += momentum * (taken - variance[c]);
        }
        let scale = 1.0 / (v + f64::from(options.epsilon)).sqrt();
        let normalised = |i: usize| (x[i] - m) * scale;
        out.dbias[c] = 1.5 * at.iter().map(|i| dy[*i]).sum::<f64>();
        out.dweight[c] = 1.5 * at.iter().map(|i| dy[*i] * normalised(*i)).sum::<f64>();
        for i in at {
            out.y[i] = normalised(i) * weight[c] + bias[c];
            let direct = 1.5 * weight[c] * scale * dy[i];
            let through = weight[c] * scale * (out.dbias[c] + normalised(i) * out.dweight[c]) / count;
            out.dx[i] = direct - if training { through } else { 0.0 };
            // the largest terms of the channel's sums: what rounding is relative to
            out.dx_terms[i] = direct.abs() + through.abs() + 1.5 * (weight[c] * scale).abs();
        }
    }
    out
}

fn check(gpu: &Gpu, sizes: [usize; 3], options: BatchNormOptions, training: bool, seed: u64) {
    let [batch, channels, places] = sizes;
    let of_channels = Shape::new(&[channels]);
    let x = noise(batch * channels * places, seed);
    let [weight, bias, mean] = [1, 2, 3].map(|index| noise(channels, seed + index));
    let variance: Vec<f32> = noise(channels, seed + 4).iter().map(|v| 1.5 + v).collect();
    let inputs = [
        Value::Float(Shape::new(&sizes), x.clone()),
        Value::Float(of_channels, weight.clone()),
        Value::Float(of_channels, bias.clone()),
        Value::Fixed(of_channels, mean.clone()),
        Value::Fixed(of_channels, variance.clone()),
    ];
    let outcome = run_on(gpu, &inputs, |_, v| {
        let running = Running { mean: v[3], variance: v[4] };
        if !training {
            return vec![v[0].batch_norm_by_running(Some(v[1]), Some(v[2]), running, options.epsilon)];
        }
        let (y, next) = v[0].batch_norm(Some(v[1]), Some(v[2]), running, options);
        next.mean.named("next mean");
        next.variance.named("next variance");
        vec![y]
    });
    let outcome = outcome.unwrap();
    let scaled = [x, weight, bias, mean, variance].map(|v| v.iter().map(|v| f64::from(v * 1.5)).collect::<Vec<f64>>());
    let expected = reference(sizes, std::array::from_fn(|index| scaled[index].as_slice()), options, training);
    let what = format!("{sizes:?} {}", if training { "training" } else { "running" });
    let sizes_of = |values: &[f64]| values.iter().map(|v| v.abs().max(1.0)).collect::<Vec<f64>>();
    assert_within(&format!("y {what}"), &outcome.outputs[0], &expected.y, &sizes_of(&expected.y), 1e-5);
    let gradient = |index: usize| outcome.gradients[index].as_ref().expect("a gradient").as_slice();
    assert_within(&format!("dx {what}"), gradient(0), &expected.dx, &expected.dx_terms, 1e-5);
    let count = vec![(batch * places) as f64; channels];
    assert_within(&format!("dweight {what}"), gradient(1), &expected.dweight, &count, 1e-6);
    assert_within(&format!("dbias {what}"), gradient(2), &expected.dbias, &count, 1e-6);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn values_and_gradients_match_f64(
        batch in prop_oneof![2usize..6, Just(17)],
        channels in prop_oneof![1usize..8, Just(65)],
        places in prop_oneof![1usize..9, Just(16), Just(63), Just(130), Just(300)],
        keras: bool, training: bool, seed in 0u64..1000,
    ) {
        let options = if keras { BatchNormOptions::keras() } else { BatchNormOptions::pytorch() };
        check(&gpu(), [batch, channels, places], options, training, seed);
    }
}

#[test]
fn every_kind_of_device_agrees_with_f64() {
    for training in [true, false] {
        check(&discrete_gpu(), [3, 5, 36], BatchNormOptions::pytorch(), training, 1);
        check(&discrete_gpu(), [70, 3, 1], BatchNormOptions::keras(), training, 2);
    }
}

/// A channel in shares: of samples, of pieces of samples, with a last one that is shorter.
#[test]
fn long_channels_agree_with_f64() {
    for gpu in [gpu(), discrete_gpu()] {
        for sizes in [[101, 3, 300], [2, 3, 20_004], [3, 1, 10_001], [5000, 2, 1]] {
            check(&gpu, sizes, BatchNormOptions::pytorch(), true, 3);
        }
    }
}

/// The statistics that come out, of a mean far from zero: the variance is taken about the mean.
#[test]
fn running_statistics_move_towards_the_batch() {
    for (gpu, places) in [(gpu(), 10), (gpu(), 1000), (discrete_gpu(), 3000)] {
        moves_towards_the_batch(&gpu, [4, 3, places]);
    }
}

fn moves_towards_the_batch(gpu: &Gpu, sizes: [usize; 3]) {
    let x: Vec<f32> = noise(sizes.iter().product(), 1).iter().map(|v| 1000.0 + v).collect();
    let inputs = [
        Value::Float(Shape::new(&sizes), x.clone()),
        Value::Fixed(Shape::new(&[3]), vec![0.5, 1.0, -1.0]),
        Value::Fixed(Shape::new(&[3]), vec![1.0, 2.0, 3.0]),
    ];
    for options in [BatchNormOptions::pytorch(), BatchNormOptions::keras()] {
        let outcome = run_on(gpu, &inputs, |_, v| {
            let (y, next) = v[0].batch_norm(None, None, Running { mean: v[1], variance: v[2] }, options);
            vec![next.mean, next.variance, y]
        });
        let outcome = outcome.unwrap();
        let scaled: Vec<f64> = x.iter().map(|v| f64::from(v * 1.5)).collect();
        let (ones, zeros) = ([1.0; 3], [0.0; 3]);
        let expected = reference(sizes, [&scaled, &ones, &zeros, &[0.75, 1.5, -1.5], &[1.5, 3.0, 4.5]], options, true);
        assert_close("mean", &outcome.outputs[0], &expected.mean, 1e-6);
        // x itself is rounded to 1e-4 of its spread
        assert_close("variance", &outcome.outputs[1], &expected.variance, 1e-5);
        assert_close("y", &outcome.outputs[2], &expected.y, 2e-4);
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let fixed = |values: [f32; 3]| Value::Fixed(Shape::new(&[3]), values.to_vec());
    let inputs = [float([4, 3, 5], 1), float([3], 2), float([3], 3), fixed([0.0, 0.5, -0.5]), fixed([0.5, 1.0, 2.0])];
    let options = BatchNormOptions::pytorch();
    check_gradients("training", &inputs, |_, v| {
        vec![v[0].batch_norm(Some(v[1]), Some(v[2]), Running { mean: v[3], variance: v[4] }, options).0]
    });
    check_gradients("running", &inputs, |_, v| {
        vec![v[0].batch_norm_by_running(Some(v[1]), Some(v[2]), Running { mean: v[3], variance: v[4] }, 1e-5)]
    });
    check_gradients("without weight and bias", &inputs, |_, v| {
        let plain = v[0].batch_norm(None, None, Running { mean: v[3], variance: v[4] }, options).0;
        vec![plain, (v[1] + v[2]).square()]
    });
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let message = |x: &[usize], channels: usize| {
        let graph = Graph::new();
        let running = Running { mean: graph.input("mean", [channels]), variance: graph.input("variance", [channels]) };
        graph.input("x", x).batch_norm(None, None, running, BatchNormOptions::keras());
        graph.finish().unwrap_err().to_string()
    };
    for (text, said) in [
        (message(&[4, 3, 5], 4), "must be [3], got [4]"),
        (message(&[4], 4), "wants [batch, channels, ..]"),
        (message(&[1, 3], 3), "one value per channel"),
    ] {
        assert!(text.contains("batch_norm") && text.contains(said), "{text}");
    }
}
