//! Ops that move elements: every element lands where index arithmetic says, gradients come back the same way, masks move too.

mod support;

use limbic::Result;
use limbic::graph::{Graph, Shape, Var};
use limbic::plan::{Mode, Plan};
use proptest::prelude::*;
use support::{Value, assert_within, cases, check_gradients, empty_store, float, noise, run};

/// Shapes with the sizes that bite: 1, primes, just around a workgroup and a vector.
fn shapes(ranks: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![3 => 1usize..8, 1 => Just(64), 1 => Just(65), 1 => Just(29), 1 => Just(16), 1 => Just(12)];
    proptest::collection::vec(size, ranks).prop_filter("small", |axes| axes.iter().product::<usize>() <= 30_000)
}

/// The row-major element of `shape` at `index`.
fn at(shape: Shape, index: &[usize]) -> usize {
    index.iter().zip(shape.strides()).map(|(i, stride)| i * stride).sum()
}

/// The indices of element `element` of `shape`.
fn index(shape: Shape, element: usize) -> Vec<usize> {
    (0..shape.rank()).map(|axis| element / shape.strides()[axis] % shape.axis(axis)).collect()
}

/// Checks that `build` gives `out[i] = x[source(i)]` (0 for `None`), and the gradient that belongs to it.
fn check_moves<F>(what: &str, x: Shape, out: Shape, build: F, source: impl Fn(&[usize]) -> Option<Vec<usize>>)
where
    F: for<'g> Fn(Var<'g>) -> Var<'g>,
{
    let values = noise(x.len(), 3);
    let outcome = run(&[Value::Float(x, values.clone())], |_, vars| {
        let y = build(vars[0]);
        assert_eq!(y.shape(), out, "{what}: shape");
        vec![y]
    })
    .unwrap_or_else(|error| panic!("{what}: {error}"));
    let sources: Vec<Option<usize>> =
        (0..out.len()).map(|element| source(&index(out, element)).map(|index| at(x, &index))).collect();
    let expected: Vec<f32> = sources.iter().map(|from| from.map_or(0.0, |from| values[from] * 1.5)).collect();
    assert_eq!(outcome.outputs[0], expected, "{what}: values of {x}");
    let (mut gradient, mut magnitude) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    for (from, cotangent) in sources.iter().zip(noise(out.len(), 1000)) {
        if let Some(from) = from {
            gradient[*from] += f64::from(cotangent) * 0.75 * 1.5;
            magnitude[*from] += f64::from(cotangent).abs();
        }
    }
    let actual = outcome.gradients[0].as_ref().unwrap();
    assert_within(&format!("{what}: gradient of {x}"), actual, &gradient, &magnitude, 1e-6);
}

/// Runs a graph over integers.
fn run_integers<F>(inputs: &[(Shape, Vec<u32>)], build: F) -> Result<Vec<u32>>
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Var<'g>,
{
    let store = empty_store();
    let plan = Plan::new(&store, Mode::Forward, |graph| {
        let inputs = inputs.iter().enumerate().map(|(i, (shape, _))| graph.mask_input(&format!("x{i}"), *shape));
        let inputs: Vec<Var<'_>> = inputs.collect();
        build(graph, &inputs).named("y");
        Ok(())
    })?;
    for (i, (_, values)) in inputs.iter().enumerate() {
        plan.write_u32(&format!("x{i}"), values)?;
    }
    plan.run()?;
    plan.read_u32("y")
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn permute_moves_every_element(
        (shape, order) in shapes(1..=6).prop_flat_map(|shape| {
            let order = Just((0..shape.len()).collect::<Vec<usize>>()).prop_shuffle();
            (Just(shape), order)
        }),
    ) {
        let x = Shape::new(&shape);
        let axes: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
        check_moves("permute", x, Shape::new(&axes), |x| x.permute(&order), |index| {
            let mut from = vec![0; index.len()];
            order.iter().zip(index).for_each(|(axis, i)| from[*axis] = *i);
            Some(from)
        });
    }

    #[test]
    fn slice_flip_and_pad_move_every_element(
        shape in shapes(1..=5), pick in 0usize..5, start in 0usize..9, length in 1usize..70, step in 1usize..5, pads in (0usize..6, 0usize..6),
    ) {
        let x = Shape::new(&shape);
        let axis = pick % x.rank();
        let start = start % x.axis(axis);
        let end = (start + length).min(x.axis(axis));
        let moved = |index: &[usize], to: usize| {
            let mut from = index.to_vec();
            from[axis] = to;
            from
        };
        let sliced = x.with_axis(axis, (end - start).div_ceil(step));
        check_moves("slice", x, sliced, |x| x.slice_step(axis, start, end, step), |index| {
            Some(moved(index, start + index[axis] * step))
        });
        check_moves("flip", x, x, |x| x.flip(axis), |index| Some(moved(index, x.axis(axis) - 1 - index[axis])));
        let padded = x.with_axis(axis, x.axis(axis) + pads.0 + pads.1);
        check_moves("pad", x, padded, |x| x.pad(axis, pads.0, pads.1), |index| {
            let at = index[axis].checked_sub(pads.0).filter(|at| *at < x.axis(axis))?;
            Some(moved(index, at))
        });
    }

    #[test]
    fn broadcast_and_repeat_copy_every_element(shape in shapes(1..=5), ones in 0usize..32, extra in 0usize..2, pick in 0usize..5, times in 1usize..4) {
        let out: Vec<usize> = std::iter::repeat_n(3, extra).chain(shape.iter().copied()).collect();
        let axes: Vec<usize> = shape.iter().enumerate().map(|(i, size)| if ones >> i & 1 == 1 { 1 } else { *size }).collect();
        let (x, out) = (Shape::new(&axes), Shape::new(&out));
        check_moves("broadcast_to", x, out, |x| x.broadcast_to(out), |index| {
            Some(index[extra..].iter().zip(&axes).map(|(i, size)| if *size == 1 { 0 } else { *i }).collect())
        });
        let axis = pick % x.rank();
        check_moves("repeat", x, x.with_axis(axis, x.axis(axis) * times), |x| x.repeat(axis, times), |index| {
            let mut from = index.to_vec();
            from[axis] %= x.axis(axis);
            Some(from)
        });
    }

    #[test]
    fn concat_joins_and_split_takes_apart(
        shape in shapes(1..=4), sizes in proptest::collection::vec(1usize..9, 1..5), pick in 0usize..4, seed in 0u64..1000,
    ) {
        let base = Shape::new(&shape);
        let axis = pick % base.rank();
        let parts: Vec<Value> = sizes.iter().zip(seed..).map(|(size, seed)| float(base.with_axis(axis, *size), seed)).collect();
        let outcome = run(&parts, |graph, x| {
            let joined = graph.concat(x, axis);
            let mut outputs = vec![joined];
            outputs.extend(joined.split(axis, &sizes));
            outputs
        }).unwrap();
        let total: usize = sizes.iter().sum();
        let whole = base.with_axis(axis, total);
        let mut start = 0;
        for (part, value) in parts.iter().enumerate() {
            let Value::Float(shape, values) = value else { continue };
            let values: Vec<f32> = values.iter().map(|value| value * 1.5).collect();
            prop_assert_eq!(&outcome.outputs[1 + part], &values);
            let own = noise(shape.len(), 1001 + part as u64);
            let cotangent = noise(whole.len(), 1000);
            let (mut gradient, mut magnitude) = (Vec::new(), Vec::new());
            for (element, value) in values.iter().enumerate() {
                let mut index = index(*shape, element);
                index[axis] += start;
                let to = at(whole, &index);
                prop_assert_eq!(outcome.outputs[0][to], *value);
                let (a, b) = (f64::from(cotangent[to]), f64::from(own[element]));
                gradient.push((a + b) * 0.75 * 1.5);
                magnitude.push(a.abs() + b.abs());
            }
            assert_within("gradient of concat", outcome.gradients[part].as_ref().unwrap(), &gradient, &magnitude, 1e-6);
            start += sizes[part];
        }
    }

    #[test]
    fn masks_move_like_floats(shape in shapes(2..=4)) {
        let x = Shape::new(&shape);
        let values: Vec<u32> = (0..x.len() as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let inputs = [(x, values.clone())];
        let swapped = run_integers(&inputs, |_, x| x[0].transpose(0, 1)).unwrap();
        let out = Shape::new(&[&[shape[1], shape[0]], &shape[2..]].concat());
        for (element, value) in swapped.iter().enumerate() {
            let mut from = index(out, element);
            from.swap(0, 1);
            prop_assert_eq!(*value, values[at(x, &from)]);
        }
        let back = run_integers(&inputs, |graph, x| {
            let doubled = graph.concat(&[x[0], x[0].flip(1).pad(1, 2, 0)], 1).slice(1, shape[1], 2 * shape[1] + 2);
            doubled.slice(1, 2, shape[1] + 2).flip(1)
        }).unwrap();
        prop_assert_eq!(back, values);
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    type Build = for<'g> fn(&'g Graph, &[Var<'g>]) -> Var<'g>;
    let ops: [(&str, Build); 10] = [
        ("permute", |_, x| x[0].permute(&[2, 0, 1])),
        ("transpose", |_, x| x[0].transpose(1, 2)),
        ("slice", |_, x| x[0].slice_step(1, 1, 5, 2)),
        ("flip", |_, x| x[0].flip(2)),
        ("broadcast_to", |_, x| x[0].slice(1, 0, 1).broadcast_to([2, 3, 6, 4])),
        ("repeat", |_, x| x[0].repeat(1, 3)),
        ("pad", |_, x| x[0].pad(2, 1, 3)),
        ("concat", |graph, x| graph.concat(&[x[0], x[1], x[0]], 2)),
        ("stack", |graph, x| graph.stack(&[x[0], x[1]], 1)),
        ("unsqueeze", |_, x| x[0].unsqueeze(1).squeeze(1) * x[1]),
    ];
    for (name, op) in ops {
        check_gradients(name, &[float([3, 5, 4], 3), float([3, 5, 4], 4)], |graph, x| {
            let keep_both = x[0].sum().scale(0.1) + x[1].sum().scale(0.1);
            vec![op(graph, x), keep_both]
        });
    }
}

#[test]
fn stack_makes_a_new_axis() {
    let (a, b) = (noise(6, 1), noise(6, 2));
    let shape = Shape::from([2, 3]);
    let outcome = run(&[Value::Float(shape, a.clone()), Value::Float(shape, b.clone())], |graph, x| {
        vec![graph.stack(x, 1), graph.stack(x, 0), graph.stack(x, 2)]
    })
    .unwrap();
    let (a, b) = (&a.iter().map(|v| v * 1.5).collect::<Vec<_>>(), &b.iter().map(|v| v * 1.5).collect::<Vec<_>>());
    assert_eq!(outcome.outputs[0], [&a[..3], &b[..3], &a[3..], &b[3..]].concat());
    assert_eq!(outcome.outputs[1], [&a[..], &b[..]].concat());
    let pairs: Vec<f32> = a.iter().zip(b).flat_map(|(a, b)| [*a, *b]).collect();
    assert_eq!(outcome.outputs[2], pairs);
}

#[test]
fn what_changes_nothing_costs_nothing() {
    let graph = Graph::new();
    let x = graph.input("x", [3, 4]);
    let same = x.permute(&[0, 1]).slice(1, 0, 4).broadcast_to([3, 4]).pad(0, 0, 0).repeat(1, 1).reshape([3, 4]);
    assert_eq!(same.shape(), x.shape());
    assert_eq!(
        graph.concat(&[same], 0).unsqueeze(0).squeeze(0).broadcast_to([1, 3, 4]).shape(),
        Shape::from([1, 3, 4])
    );
    assert!(graph.finish().unwrap().nodes.iter().all(|node| node.op.is_view()));
}

#[test]
fn mistakes_name_the_op_and_the_layer() {
    type Build = for<'g> fn(&'g Graph, Var<'g>) -> Var<'g>;
    let mistakes: [(&str, Build); 21] = [
        ("reshape", |_, x| x.reshape([5])),
        ("permute", |_, x| x.permute(&[0, 0])),
        ("permute", |_, x| x.permute(&[0])),
        ("transpose", |_, x| x.transpose(0, 2)),
        ("slice", |_, x| x.slice(2, 0, 1)),
        ("slice", |_, x| x.slice(1, 2, 2)),
        ("slice", |_, x| x.slice(1, 0, 5)),
        ("slice", |_, x| x.slice_step(1, 0, 4, 0)),
        ("flip", |_, x| x.flip(7)),
        ("broadcast_to", |_, x| x.broadcast_to([4, 3])),
        ("concat", |graph, x| graph.concat(&[x, x.slice(1, 0, 2)], 0)),
        ("concat", |graph, x| graph.concat(&[x, x], 2)),
        ("concat", |graph, x| graph.concat(&[x, graph.mask_input("m", [3, 4])], 0)),
        ("stack", |graph, _| graph.stack(&[], 0)),
        ("stack", |graph, x| graph.stack(&[x, x.slice(0, 0, 1)], 0)),
        ("split", |_, x| x.split(1, &[1, 2])[0]),
        ("squeeze", |_, x| x.squeeze(1)),
        ("unsqueeze", |_, x| x.unsqueeze(3)),
        ("pad", |_, x| x.pad(4, 1, 1)),
        ("repeat", |_, x| x.repeat(2, 2)),
        ("repeat", |_, x| x.repeat(0, 0)),
    ];
    for (op, mistake) in mistakes {
        let error = run(&[float([3, 4], 1)], |graph, x| {
            let _layer = graph.scope("encoder");
            vec![mistake(graph, x[0])]
        });
        let message = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(&format!("{op} in layer 'encoder'")), "{op}: {message}");
    }
}
