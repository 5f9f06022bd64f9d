//! Choosing by index and by mask, running sums: values and gradients against f64, repeated and wild indices, NaN where masked.

mod support;

use limbic::graph::{Shape, Var};
use proptest::prelude::*;
use support::{Value, assert_close, assert_within, cases, check_gradients, float, noise, run};

/// Reproducible integers below `end`.
fn integers(len: usize, end: usize, seed: u64) -> Vec<u32> {
    noise(len, seed).iter().map(|value| (((value + 1.0) / 2.0 * end as f32) as u32).min(end as u32 - 1)).collect()
}

fn cotangent(len: usize, output: u64) -> Vec<f64> {
    noise(len, 1000 + output).iter().map(|value| f64::from(*value) * 0.75 * 1.5).collect()
}

fn scaled(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value * 1.5)).collect()
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn gather_matches_and_adds_up_repeats(outer in 1usize..70, n in 1usize..9, inner in 1usize..10, count in 1usize..20, seed in 0u64..1000) {
        let (shape, wanted) = (Shape::from([outer, n, inner]), Shape::from([outer, count, inner]));
        let values = noise(shape.len(), seed);
        // one in n + 1 indices is out of range
        let index = integers(wanted.len(), n + 1, seed + 1);
        let inputs = [Value::Float(shape, values.clone()), Value::Integer(wanted, index.clone())];
        let outcome = run(&inputs, |_, x| vec![x[0].gather(1, x[1])]).unwrap();
        let values = scaled(&values);
        let (mut expected, mut gradient, mut size) = (vec![0.0; wanted.len()], vec![0.0; shape.len()], vec![0.0; shape.len()]);
        let cotangent = cotangent(wanted.len(), 0);
        for at in 0..wanted.len() {
            let row = index[at] as usize;
            if row < n {
                let from = (at / (count * inner) * n + row) * inner + at % inner;
                expected[at] = values[from];
                gradient[from] += cotangent[at];
                size[from] += cotangent[at].abs();
            }
        }
        assert_close("gather", &outcome.outputs[0], &expected, 1e-7);
        assert_within("gather's gradient", outcome.gradients[0].as_ref().unwrap(), &gradient, &size, 1e-6);
    }

    #[test]
    fn embedding_matches_and_adds_up_repeats(rows in 1usize..40, columns in 1usize..300, batch in 1usize..4, tokens in 1usize..90, seed in 0u64..1000) {
        let (shape, ids_shape) = (Shape::from([rows, columns]), Shape::from([batch, tokens]));
        let values = noise(shape.len(), seed);
        let mut ids = integers(ids_shape.len(), rows + 1, seed + 1);
        ids[0] = if seed % 2 == 0 { u32::MAX } else { 0 };
        let inputs = [Value::Float(shape, values.clone()), Value::Integer(ids_shape, ids.clone())];
        let outcome = run(&inputs, |_, x| vec![x[0].embedding(x[1])]).unwrap();
        let values = scaled(&values);
        let cotangent = cotangent(ids.len() * columns, 0);
        let (mut expected, mut gradient, mut size) = (vec![0.0; cotangent.len()], vec![0.0; shape.len()], vec![0.0; shape.len()]);
        for at in 0..cotangent.len() {
            let row = ids[at / columns] as usize;
            if row < rows {
                expected[at] = values[row * columns + at % columns];
                gradient[row * columns + at % columns] += cotangent[at];
                size[row * columns + at % columns] += cotangent[at].abs();
            }
        }
        assert_close("embedding", &outcome.outputs[0], &expected, 1e-7);
        assert_within("embedding's gradient", outcome.gradients[0].as_ref().unwrap(), &gradient, &size, 1e-6);
    }

    #[test]
    fn where_broadcasts_mask_and_tensors(shape in proptest::collection::vec(prop_oneof![3 => 1usize..6, 1 => Just(65), 1 => Just(16)], 1..=6)
        .prop_filter("small", |axes| axes.iter().product::<usize>() <= 20_000), ones in 0usize..(1 << 18), seed in 0u64..1000) {
        let out = Shape::new(&shape);
        // the first tensor has every axis, so that the result has
        let narrowed = |which: usize| {
            let axes: Vec<usize> = shape.iter().enumerate().map(|(i, size)| if ones >> (which * 6 + i) & 1 == 1 { 1 } else { *size }).collect();
            Shape::new(&axes[axes.len().min(ones % 3)..])
        };
        let (mask_shape, b_shape) = (narrowed(0), narrowed(1));
        let mask = integers(mask_shape.len(), 2, seed);
        let (a, b) = (noise(out.len(), seed + 1), noise(b_shape.len(), seed + 2));
        let inputs = [Value::Integer(mask_shape, mask.clone()), Value::Float(out, a.clone()), Value::Float(b_shape, b.clone())];
        let outcome = run(&inputs, |_, x| vec![x[0].where_(x[1], x[2]), x[1].masked(x[0], -3.5)]).unwrap();
        let (a, b) = (scaled(&a), scaled(&b));
        let from = |shape: Shape, at: usize| -> usize {
            (0..shape.rank()).map(|axis| {
                let back = shape.rank() - 1 - axis;
                let index = at / out.strides()[out.rank() - 1 - back] % out.from_end(back);
                if shape.axis(axis) == 1 { 0 } else { index * shape.strides()[axis] }
            }).sum()
        };
        let (first, second) = (cotangent(out.len(), 0), cotangent(out.len(), 1));
        let (mut da, mut da_size, mut db, mut db_size) = (vec![0.0; out.len()], vec![0.0; out.len()], vec![0.0; b_shape.len()], vec![0.0; b_shape.len()]);
        let (mut chosen, mut masked) = (Vec::new(), Vec::new());
        for at in 0..out.len() {
            if mask[from(mask_shape, at)] != 0 {
                da[at] = first[at] + second[at];
                da_size[at] = first[at].abs() + second[at].abs();
                chosen.push(a[at]);
                masked.push(a[at]);
            } else {
                db[from(b_shape, at)] += first[at];
                db_size[from(b_shape, at)] += first[at].abs();
                chosen.push(b[from(b_shape, at)]);
                masked.push(-3.5);
            }
        }
        assert_close("where", &outcome.outputs[0], &chosen, 1e-7);
        assert_close("masked", &outcome.outputs[1], &masked, 1e-7);
        assert_within("where's gradient of a", outcome.gradients[1].as_ref().unwrap(), &da, &da_size, 1e-6);
        assert_within("where's gradient of b", outcome.gradients[2].as_ref().unwrap(), &db, &db_size, 1e-6);
    }

    #[test]
    fn cumsum_matches_both_ways(outer in 1usize..40, n in 1usize..400, inner in prop_oneof![Just(1usize), 1usize..6, Just(67)], seed in 0u64..1000) {
        let shape = Shape::from([outer, n, inner]);
        prop_assume!(shape.len() <= 60_000);
        let values = noise(shape.len(), seed);
        let outcome = run(&[Value::Float(shape, values.clone())], |_, x| vec![x[0].cumsum(1)]).unwrap();
        let running = |mut values: Vec<f64>, backwards: bool| {
            let at = |place: usize| if backwards { shape.len() - 1 - place } else { place };
            for place in (0..shape.len()).filter(|place| place / inner % n > 0) {
                values[at(place)] += values[at(place - inner)];
            }
            values
        };
        let absolute = |values: &[f64]| values.iter().map(|value| value.abs()).collect::<Vec<f64>>();
        let (x, dy) = (scaled(&values), cotangent(shape.len(), 0));
        let sizes = (running(absolute(&x), false), running(absolute(&dy), true));
        assert_within("cumsum", &outcome.outputs[0], &running(x, false), &sizes.0, 1e-6);
        assert_within("cumsum's gradient", outcome.gradients[0].as_ref().unwrap(), &running(dy, true), &sizes.1, 1e-6);
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let ids = Value::Integer(Shape::from([2, 3]), vec![4, 0, 4, 1, 4, 0]);
    check_gradients("embedding", &[float([5, 6], 1), ids], |_, x| vec![x[0].embedding(x[1])]);
    let index = Value::Integer(Shape::from([5, 2]), vec![0, 3, 3, 3, 2, 1, 0, 0, 3, 1]);
    check_gradients("gather", &[float([5, 4], 1), index], |_, x| vec![x[0].gather(1, x[1])]);
    let mask = Value::Integer(Shape::from([3, 1]), vec![1, 0, 1]);
    check_gradients("where", &[float([3, 7], 1), mask, float([7], 2)], |_, x| vec![x[1].where_(x[0], x[2])]);
    check_gradients("cumsum", &[float([3, 5, 2], 1)], |_, x| vec![x[0].cumsum(1)]);
}

#[test]
fn one_id_many_times_over_and_ids_that_are_not_there() {
    let (rows, columns, tokens) = (7, 130, 2000);
    let mut ids = vec![3u32; tokens];
    ids[17] = 1;
    ids[1999] = 6;
    ids[40] = 7;
    ids[41] = u32::MAX;
    let (table, ids_shape) = (Shape::from([rows, columns]), Shape::from([tokens]));
    let inputs = [float(table, 5), Value::Integer(ids_shape, ids.clone())];
    let first = run(&inputs, |_, x| vec![x[0].embedding(x[1])]).unwrap();
    let mut gradient = vec![0.0; rows * columns];
    for (at, value) in cotangent(tokens * columns, 0).into_iter().enumerate() {
        let row = ids[at / columns] as usize;
        if row < rows {
            gradient[row * columns + at % columns] += value;
        }
    }
    assert_close("gradient", first.gradients[0].as_ref().unwrap(), &gradient, 1e-6);
    assert!(first.outputs[0][40 * columns..42 * columns].iter().all(|value| *value == 0.0));
    let second = run(&inputs, |_, x| vec![x[0].embedding(x[1])]).unwrap();
    assert_eq!(first.gradients, second.gradients);
}

#[test]
fn what_is_masked_may_be_nan() {
    let shape = Shape::from([2, 3]);
    let mut values = noise(6, 1);
    (values[1], values[5]) = (f32::NAN, f32::INFINITY);
    let mask = Value::Integer(shape, vec![1, 0, 1, 1, 1, 0]);
    let outcome = run(&[Value::Float(shape, values), mask], |_, x| {
        // the square passes NaN on if the mask multiplied instead of choosing
        vec![x[0].masked(x[1], 0.0).square(), x[1].where_(x[0], x[0].detach().affine(0.0, 0.0).masked(x[1], 2.0))]
    })
    .unwrap();
    assert!(outcome.outputs.iter().flatten().all(|value| value.is_finite()));
    let gradient = outcome.gradients[0].as_ref().unwrap();
    assert!(gradient.iter().all(|value| value.is_finite()));
    assert_eq!((gradient[1], gradient[5]), (0.0, 0.0));
}

#[test]
fn mistakes_name_the_op_and_the_layer() {
    type Build = for<'g> fn(Var<'g>, Var<'g>) -> Var<'g>;
    let mistakes: [(&str, Build); 9] = [
        ("gather", |x, ids| x.gather(1, ids)),
        ("gather", |x, ids| x.gather(2, ids)),
        ("gather", |x, _| x.gather(1, x)),
        ("embedding", |x, _| x.embedding(x)),
        ("embedding", |x, ids| x.sum().embedding(ids)),
        ("where", |x, ids| ids.where_(x, x.slice(1, 0, 2))),
        ("where", |x, ids| ids.where_(x, ids)),
        ("where", |x, _| x.masked(x, 0.0)),
        ("cumsum", |x, _| x.cumsum(2)),
    ];
    for (op, mistake) in mistakes {
        let error = run(&[float([3, 4], 1), Value::Integer(Shape::from([2, 4]), vec![0; 8])], |graph, x| {
            let _layer = graph.scope("encoder");
            vec![mistake(x[0], x[1])]
        });
        let message = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(&format!("{op} in layer 'encoder'")), "{op}: {message}");
    }
}
