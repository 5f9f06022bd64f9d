//! Cooperative matrices, where this machine's adapter has them and they pass the self-test: products, attention and convolutions in mixed
//! precision are those of the portable kernels but for rounding. Where there are none they are refused, and nothing changes.

mod support;

use limbic::gpu::{Cooperative, Gpu, GpuOptions};
use limbic::graph::{Graph, Precision, Shape, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use limbic::ops::batch_norm::Running;
use limbic::ops::conv::ConvOptions;
use std::sync::OnceLock;
use support::{Outcome, Value, float, noise, run_in};

/// Half the distance of neighbouring halves, relative to them.
const UNIT: f64 = 1.0 / 2048.0;

/// The machine's adapter, asked for cooperative matrices or asked to do without; the other kernels of attention in their smallest form,
/// which a software driver compiles in the least time.
fn opened(cooperative: bool) -> Gpu {
    static GPUS: [OnceLock<Gpu>; 2] = [OnceLock::new(), OnceLock::new()];
    GPUS[usize::from(cooperative)].get_or_init(|| opened_with(cooperative, &[("AttentionRows", 1)])).clone()
}

fn opened_with(cooperative: bool, forced: &[(&str, u32)]) -> Gpu {
    let forced = forced.iter().map(|(knob, value)| (knob.to_string(), *value)).collect();
    let options = GpuOptions { cooperative_matrices: Some(cooperative), forced, ..GpuOptions::default() };
    Gpu::with_options(&options).expect("a Vulkan driver")
}

fn has_them() -> bool {
    matches!(opened(true).capabilities().cooperative, Cooperative::On { .. })
}

type Build = for<'g> fn(&'g Graph, &[Var<'g>]) -> Vec<Var<'g>>;

struct Case {
    name: &'static str,
    inputs: Vec<Value>,
    build: Build,
}

/// Large enough to be taken; every layout forward or backward, sizes that need padding and sizes that do not.
fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case {
            name: "linear, all of its epilogue, odd rows and sums",
            inputs: vec![float([269, 261], 1), float([256, 261], 2), float([256], 3), float([269, 256], 4)],
            build: |_, x| vec![(x[0].matmul_nt(x[1]) + x[2]).gelu().dropout(0.25) + x[3]],
        },
        Case {
            name: "halves as they are",
            inputs: vec![float([2, 128, 272], 1), float([272, 256], 2)],
            build: |_, x| vec![x[0].tanh().matmul(x[1])],
        },
        Case {
            name: "several products",
            inputs: vec![float([3, 96, 272], 1), float([3, 272, 224], 2)],
            build: |_, x| vec![x[0].matmul(x[1])],
        },
        Case {
            name: "long sums, transposed",
            inputs: vec![float([2051, 96], 1), float([2051, 96], 2)],
            build: |_, x| vec![x[0].matmul_tn(x[1])],
        },
    ];
    cases.extend(convolutions());
    cases
}

/// One to three axes, every way that operands are read, sizes that fill matrices and sizes that do not.
fn convolutions() -> Vec<Case> {
    vec![
        Case {
            name: "windows apart, odd sizes, all that follows",
            inputs: vec![float([2, 5, 11, 13], 1), float([9, 5, 3, 3], 2), float([9], 3), float([2, 9, 6, 7], 4)],
            build: |_, x| {
                let options = ConvOptions::default().stride(&[2]).padding(&[1]);
                vec![x[0].conv(x[1], Some(x[2]), &options).gelu() + x[3]]
            },
        },
        Case {
            name: "slices of the columns",
            inputs: vec![float([2, 24, 32, 40], 1), float([16, 24, 3, 3], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default().padding(&[1]))],
        },
        Case {
            name: "dilated windows",
            inputs: vec![float([3, 8, 12, 14], 1), float([16, 8, 3, 3], 2), float([16], 3)],
            build: |_, x| vec![x[0].conv(x[1], Some(x[2]), &ConvOptions::default().dilation(&[2]).same()).relu()],
        },
        Case {
            name: "windows of one element, side by side",
            inputs: vec![float([2, 24, 8, 8], 1), float([40, 24, 1, 1], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default())],
        },
        Case {
            name: "windows of one element, apart",
            inputs: vec![float([2, 9, 7, 7], 1), float([10, 9, 1, 1], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default().stride(&[2]))],
        },
        Case {
            name: "three axes",
            inputs: vec![float([2, 3, 5, 6, 7], 1), float([10, 3, 3, 2, 3], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default().stride(&[1, 2, 1]).padding(&[1]))],
        },
        Case {
            name: "groups along one axis",
            inputs: vec![float([2, 6, 50], 1), float([8, 3, 5], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default().groups(2).dilation(&[2]))],
        },
        Case {
            name: "a channel by itself",
            inputs: vec![float([2, 4, 6, 8], 1), float([4, 1, 3, 3], 2)],
            build: |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default().groups(4).padding(&[1]))],
        },
        Case {
            name: "a norm by running statistics",
            inputs: [[2, 8, 6, 8].as_slice(), &[16, 8, 3, 3], &[16], &[16], &[2, 16, 6, 8]]
                .iter()
                .enumerate()
                .map(|(seed, shape)| Value::Fixed(Shape::new(shape), noise(shape.iter().product(), seed as u64)))
                .collect(),
            build: |_, x| {
                let running = Running { mean: x[2], variance: x[3].square() };
                let y = x[0].conv(x[1], None, &ConvOptions::default().padding(&[1]));
                vec![(y.batch_norm_by_running(None, None, running, 0.5) + x[4]).relu()]
            },
        },
    ]
}

/// A mask `[batch, len]` of samples that end at different lengths, the second at once.
fn ragged(batch: usize, len: usize) -> Value {
    let valid = |sample: usize, step: usize| u32::from(sample != 1 && step + 5 * sample < len - 3);
    let values = (0..batch).flat_map(|sample| (0..len).map(move |step| valid(sample, step))).collect();
    Value::Integer(Shape::from([batch, len]), values)
}

fn attend<'g>(x: &[Var<'g>], heads: usize, masks: AttentionMasks<'g>, dropout: f32) -> Vec<Var<'g>> {
    let projections = Projections::Separate { query: x[0], key: x[1], value: x[2] };
    vec![attention(projections, masks, AttentionOptions { heads, scale: None, dropout }).output]
}

/// Attention, and which inputs' rows are hidden by which mask among the inputs.
fn attentions() -> Vec<(Case, Vec<[usize; 2]>)> {
    let cross = Case {
        name: "cross-attention, padded, some samples and queries seeing nothing, dropout",
        inputs: vec![
            float([5, 35, 32], 1),
            float([5, 77, 32], 2),
            float([5, 77, 128], 3),
            ragged(5, 77),
            ragged(5, 35),
        ],
        build: |_, x| attend(x, 2, AttentionMasks { key: Some(x[3]), query: Some(x[4]), ..Default::default() }, 0.25),
    };
    let paired = Case {
        name: "causal self-attention, every mask, dropout",
        inputs: vec![
            float([2, 72, 128], 1),
            float([2, 72, 128], 2),
            float([2, 72, 128], 3),
            ragged(2, 72),
            ragged(2, 72),
            Value::Integer([72, 72].into(), (0..72 * 72).map(|index| u32::from(index * 7 % 5 != 0)).collect()),
        ],
        build: |_, x| {
            let masks = AttentionMasks { key: Some(x[3]), query: Some(x[4]), pair: Some(x[5]), causal: true };
            attend(x, 2, masks, 0.25)
        },
    };
    let padded = Case {
        name: "causal self-attention of padded queries",
        inputs: vec![float([3, 41, 48], 1), float([3, 41, 48], 2), float([3, 41, 48], 3), ragged(3, 41)],
        build: |_, x| attend(x, 3, AttentionMasks { query: Some(x[3]), causal: true, ..Default::default() }, 0.0),
    };
    let packed = Case {
        name: "self-attention side by side, odd length",
        inputs: vec![float([2, 67, 3 * 2 * 64], 1)],
        build: |_, x| {
            let options = AttentionOptions { heads: 2, scale: None, dropout: 0.0 };
            vec![attention(Projections::Packed(x[0]), AttentionMasks::default(), options).output]
        },
    };
    let long = Case {
        name: "sums over many keys, in pieces",
        inputs: vec![float([1, 21, 16], 1), float([1, 1030, 16], 2), float([1, 1030, 16], 3)],
        build: |_, x| attend(x, 1, AttentionMasks::default(), 0.0),
    };
    vec![
        (cross, vec![[0, 4], [1, 3], [2, 3]]),
        (paired, vec![[0, 4], [1, 3], [2, 3]]),
        (padded, vec![[0, 3], [1, 3], [2, 3]]),
        (packed, vec![]),
        (long, vec![]),
    ]
}

fn outcome(precision: Precision, gpu: &Gpu, case: &Case) -> Outcome {
    run_in(precision, gpu, &case.inputs, case.build).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// Outputs and gradients, named.
fn tensors(outcome: &Outcome) -> Vec<(String, &[f32])> {
    let outputs = outcome.outputs.iter().enumerate().map(|(index, values)| (format!("output {index}"), &values[..]));
    let gradients = outcome.gradients.iter().enumerate();
    outputs.chain(gradients.filter_map(|(index, g)| Some((format!("gradient {index}"), g.as_deref()?)))).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn assert_same_bits(name: &str, left: &Outcome, right: &Outcome) {
    for ((what, left), (_, right)) in tensors(left).iter().zip(tensors(right)) {
        assert!(bits(left) == bits(right), "{name}, {what}: other bits");
    }
}

/// An output is off by what its operands were rounded by, a gradient by that of two products. What is 0 since nothing was seen stays 0.
fn assert_rounded(case: &Case, mixed: &Outcome, full: &Outcome) {
    for ((what, mixed), (_, full)) in tensors(mixed).iter().zip(tensors(full)) {
        let scale = full.iter().fold(1e-30, |most, value| f64::from(value.abs()).max(most));
        let tolerance = if what.starts_with('o') { 8.0 * UNIT } else { 16.0 * UNIT };
        for (index, (mixed, full)) in mixed.iter().zip(full).enumerate() {
            let error = (f64::from(*mixed) - f64::from(*full)).abs() / scale;
            let close = if *full == 0.0 { *mixed == 0.0 } else { error <= tolerance };
            assert!(close, "{}, {what}: {mixed} at {index}, not {full}: {error:.1e}", case.name);
        }
    }
}

#[test]
fn products_are_those_of_full_precision_but_for_rounding() {
    let attentions = attentions().into_iter().map(|(case, _)| case);
    for case in cases().into_iter().chain(attentions).filter(|_| has_them()) {
        let full = outcome(Precision::F32, &opened(false), &case);
        let mixed = outcome(Precision::Mixed, &opened(true), &case);
        assert!(mixed.kernels.contains(&"matmul_cooperative"), "{}: {:?}", case.name, mixed.kernels);
        let convolution = |kernel: &&str| kernel.starts_with("conv") && !["conv_pack", "conv_reduce"].contains(kernel);
        assert!(!mixed.kernels.iter().any(convolution), "{}: {:?}", case.name, mixed.kernels);
        assert_rounded(&case, &mixed, &full);
        assert_same_bits(case.name, &mixed, &outcome(Precision::Mixed, &opened(true), &case));
    }
}

/// Neither forward nor backward is left to the other kernels.
#[test]
fn attention_takes_them() {
    for (case, _) in attentions().iter().filter(|_| has_them()) {
        let kernels = outcome(Precision::Mixed, &opened(true), case).kernels;
        let count = |kernel: &str| kernels.iter().filter(|name| **name == kernel).count();
        assert_eq!(count("matmul_cooperative"), 2 + 5, "{}: {kernels:?}", case.name);
        assert_eq!(count("attention_probabilities") + count("attention_probabilities_backward"), 2, "{kernels:?}");
    }
}

/// What no valid query sees, and queries that are not valid themselves, may hold anything.
#[test]
fn what_is_hidden_reaches_nothing() {
    for (case, hidden) in attentions().iter().filter(|_| has_them()) {
        let mut spoilt = case.inputs.clone();
        for [input, mask] in hidden {
            let Value::Integer(_, mask) = &case.inputs[*mask] else { panic!("no mask") };
            let Value::Float(_, values) = &mut spoilt[*input] else { panic!("no floats") };
            let width = values.len() / mask.len();
            for (row, _) in values.chunks_mut(width).zip(mask).filter(|(_, valid)| **valid == 0) {
                row.fill(f32::NAN);
            }
        }
        let spoilt = Case { inputs: spoilt, ..*case };
        let [clean, spoilt] = [case, &spoilt].map(|case| outcome(Precision::Mixed, &opened(true), case));
        assert_same_bits(case.name, &clean, &spoilt);
    }
}

/// Ten heads four at a time: the last four begin with two that were there before.
#[test]
fn attention_in_slices_is_the_same() {
    if has_them() {
        let (case, _) = &attentions()[0];
        let whole = outcome(Precision::Mixed, &opened(true), case);
        let sliced = outcome(Precision::Mixed, &opened_with(true, &[("AttentionScores", 4 * 40 * 80)]), case);
        let products = |outcome: &Outcome| outcome.kernels.iter().filter(|name| **name == "matmul_cooperative").count();
        assert_eq!((products(&whole), products(&sliced)), (7, 21));
        assert_same_bits(case.name, &whole, &sliced);
    }
}

/// Full precision never takes them; without them nothing is changed by asking.
#[test]
fn elsewhere_nothing_changes() {
    let precisions = if has_them() { vec![Precision::F32] } else { vec![Precision::F32, Precision::Mixed] };
    for case in cases().into_iter().chain([attentions().swap_remove(3).0]) {
        for precision in &precisions {
            let asked = outcome(*precision, &opened(true), &case);
            let not = outcome(*precision, &opened(false), &case);
            assert_eq!(asked.kernels, not.kernels);
            let others = ["matmul_cooperative", "matmul_pack", "conv_pack", "conv_reduce"];
            assert!(!asked.kernels.iter().any(|kernel| others.contains(kernel)));
            assert_same_bits(case.name, &asked, &not);
        }
    }
}

#[test]
fn they_are_used_where_asked_for_or_there_is_a_reason_why_not() {
    assert_eq!(opened(false).capabilities().cooperative, Cooperative::Off);
    let experimental = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    assert!(!opened(false).device().features().contains(experimental));
    match &opened(true).capabilities().cooperative {
        Cooperative::Off => panic!("it does not say why"),
        Cooperative::Refused(why) => {
            println!("refused: {why}");
            assert!(!opened(true).device().features().contains(experimental));
        }
        Cooperative::On { matrices, self_test } => println!("{matrices:?} passed in {self_test:?}"),
    }
}

/// What stands in one row of A, if only NaN, reaches no other row, though rows beyond the last share matrices with it.
#[test]
fn rows_do_not_reach_each_other() {
    let [rows, columns, features] = [269, 256, 260];
    let (mut a, b) = (noise(rows * features, 1), noise(columns * features, 2));
    let product = |a: &[f32]| {
        let inputs =
            [Value::Fixed([rows, features].into(), a.to_vec()), Value::Fixed([columns, features].into(), b.clone())];
        run_in(Precision::Mixed, &opened(true), &inputs, |_, x| vec![x[0].matmul_nt(x[1])]).unwrap()
    };
    let clean = product(&a);
    let spoilt = 264;
    a[spoilt * features..][..features].fill(f32::NAN);
    let other = product(&a);
    for (row, (clean, other)) in clean.outputs[0].chunks(columns).zip(other.outputs[0].chunks(columns)).enumerate() {
        match row == spoilt {
            true => assert!(other.iter().all(|value| value.is_nan())),
            false => assert!(bits(clean) == bits(other), "row {row}"),
        }
    }
}

/// NaN at a place of the input reaches the outputs whose windows have it, and NaN in the gradient of an output what its window has.
#[test]
fn windows_do_not_reach_each_other() {
    let [channels, height, width] = [8, 9, 12];
    let shape = Shape::new(&[2, channels, height, width]);
    let at = |image: usize, channel: usize, y: usize, x: usize| ((image * channels + channel) * height + y) * width + x;
    let run = |x: &[f32], factor: &[f32]| {
        let [x, factor] = [Value::Float(shape, x.to_vec()), Value::Fixed(shape, factor.to_vec())];
        run_in(Precision::Mixed, &opened(true), &[x, float([channels, channels, 3, 3], 2), factor], |_, v| {
            let y = v[0].conv(v[1], None, &ConvOptions::default().padding(&[1]));
            vec![y, y * v[2]]
        })
        .unwrap()
    };
    let [mut x, mut factor] = [1, 3].map(|seed| noise(shape.len(), seed));
    let clean = run(&x, &factor);
    x[at(1, 3, 2, 6)] = f32::NAN;
    factor[at(0, 7, 6, 0)] = f32::NAN;
    let other = run(&x, &factor);
    let gradient = |outcome: &Outcome| outcome.gradients[0].clone().expect("a gradient");
    let reached = [
        (&clean.outputs[0], &other.outputs[0], [1, 1, 3, 5, 7]),
        (&gradient(&clean), &gradient(&other), [0, 5, 7, 0, 1]),
    ];
    for (clean, other, [image, top, bottom, left, right]) in reached {
        for (index, (clean, other)) in clean.iter().zip(other).enumerate() {
            let (y, x) = (index / width % height, index % width);
            let inside = index / (channels * height * width) == image;
            match inside && (top..=bottom).contains(&y) && (left..=right).contains(&x) {
                true => assert!(other.is_nan(), "{index}"),
                false => assert_eq!(clean.to_bits(), other.to_bits(), "{index}"),
            }
        }
    }
}

/// What operands are filled up with is no infinity: times 0 that would be NaN.
#[test]
fn an_infinity_stays_one() {
    if !has_them() {
        return;
    }
    // sums of 45 products where matrices have 48; at one place the last of them is that of the infinity
    let mut x = noise(5 * 36, 1);
    x[4 * 36 + 14] = f32::INFINITY;
    let inputs = [Value::Fixed([1, 5, 6, 6].into(), x), Value::Fixed([8, 5, 3, 3].into(), noise(8 * 45, 2))];
    let product =
        run_in(Precision::Mixed, &opened(true), &inputs, |_, x| vec![x[0].conv(x[1], None, &ConvOptions::default())]);
    let y = &product.unwrap().outputs[0];
    assert_eq!(y.iter().filter(|value| value.is_infinite()).count(), 8 * 9);
    assert!(!y.iter().any(|value| value.is_nan()));
}
