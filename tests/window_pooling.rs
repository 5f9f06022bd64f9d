//! Pooling over windows in one to three dimensions against f64: values, gradients, ties, odd geometries. The golden cases hold it
//! against torch.

mod support;

use limbic::graph::{Graph, Shape, Var};
use limbic::ops::conv::{Padding, Windows};
use limbic::ops::window_pooling::PoolOptions;
use proptest::prelude::*;
use support::{Value, assert_within, cases, check_gradients, float, gpu, noise, portable_gpu, run, run_on};

/// Where the taps of each window of an axis are, and how many a mean counts.
type AxisWindows = Vec<(Vec<usize>, usize)>;

/// Per spatial axis: size, kernel, stride, dilation, elements before and after.
fn moving([size, kernel, stride, dilation, before, after]: [usize; 6], ceil: bool, count_padding: bool) -> AxisWindows {
    let reach = (kernel - 1) * dilation + 1;
    let room = size + before + after - reach;
    let mut windows = room / stride + 1;
    if ceil && room % stride != 0 && windows * stride < size + before {
        windows += 1;
    }
    let window = |o: usize| {
        let taps: Vec<usize> = (0..kernel).map(|tap| o * stride + tap * dilation).collect();
        let inside = |at: &&usize| (before..before + size).contains(*at);
        let real: Vec<usize> = taps.iter().filter(inside).map(|at| at - before).collect();
        let counted = taps.iter().filter(|at| **at < before + size + after).count();
        (real.clone(), if count_padding { counted } else { real.len() })
    };
    (0..windows).map(window).collect()
}

fn adaptive(size: usize, output: usize) -> AxisWindows {
    let window = |o: usize| (o * size / output..((o + 1) * size).div_ceil(output)).collect::<Vec<usize>>();
    (0..output).map(|o| (window(o), window(o).len())).collect()
}

/// Result and gradient of [`run`] by the definition: of each plane, of each window, the elements under it.
fn reference(x: &[f64], sizes: &[usize], windows: &[AxisWindows], maximum: bool) -> [Vec<f64>; 2] {
    let inner: usize = sizes.iter().product();
    let outputs: usize = windows.iter().map(Vec::len).product();
    let planes = x.len() / inner;
    let dy: Vec<f64> = noise(planes * outputs, 1000).iter().map(|v| f64::from(*v) * 0.75).collect();
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    for (index, dy) in dy.iter().enumerate() {
        let mut rest = index % outputs;
        let mut under = vec![index / outputs];
        let mut count = 1;
        let mut at: Vec<usize> = windows.iter().rev().map(|axis| (rest % axis.len(), rest /= axis.len()).0).collect();
        at.reverse();
        for (axis, (o, windows)) in at.iter().zip(windows).enumerate() {
            let (taps, counted) = &windows[*o];
            count *= counted;
            under = under.iter().flat_map(|base| taps.iter().map(move |tap| base * sizes[axis] + tap)).collect();
        }
        if maximum {
            // the first of the greatest; none where a window has only padding under it
            let best = under.iter().copied().reduce(|best, at| if x[at] > x[best] { at } else { best });
            y[index] = best.map_or(f64::from(f32::MIN), |best| x[best]);
            best.into_iter().for_each(|best| dx[best] += 1.5 * dy);
        } else {
            let share = 1.0 / count.max(1) as f64;
            y[index] = under.iter().map(|at| x[*at]).sum::<f64>() * share;
            under.iter().for_each(|at| dx[*at] += 1.5 * dy * share);
        }
    }
    [y, dx]
}

fn axis() -> impl Strategy<Value = [usize; 6]> {
    let sizes = (prop_oneof![1usize..8, Just(13), Just(17)], 1usize..5, 1usize..4, 1usize..3, 0usize..3, 0usize..3);
    sizes.prop_map(|(size, kernel, stride, dilation, before, after)| {
        // a window that fits, and padding that does not hide it
        let kernel = kernel.min((size - 1) / dilation + 1);
        let reach = (kernel - 1) * dilation + 1;
        [size, kernel, stride, dilation, before.min(reach - 1), after.min(reach - 1)]
    })
}

fn check(planes: [usize; 2], sizes: &[usize], seed: u64, windows: &[AxisWindows], pool: &dyn Fn(bool) -> Pool) {
    let shape = Shape::new(&[planes.as_slice(), sizes].concat());
    // few values, so that there are ties
    let x: Vec<f32> = noise(shape.len(), seed).iter().map(|v| (v * 8.0).round() / 8.0).collect();
    let scaled: Vec<f64> = x.iter().map(|v| f64::from(v * 1.5)).collect();
    for maximum in [true, false] {
        let [y, dx] = reference(&scaled, sizes, windows, maximum);
        let one = |values: &[f64]| values.iter().map(|v| v.abs().max(2.0)).collect::<Vec<f64>>();
        for gpu in [gpu(), portable_gpu()] {
            let outcome = run_on(&gpu, &[Value::Float(shape, x.clone())], |_, v| vec![pool(maximum)(v[0])]).unwrap();
            assert_within(&format!("y of {shape}"), &outcome.outputs[0], &y, &one(&y), 1e-6);
            assert_within(&format!("dx of {shape}"), outcome.gradients[0].as_ref().unwrap(), &dx, &one(&dx), 1e-6);
        }
    }
}

type Pool = Box<dyn for<'g> Fn(Var<'g>) -> Var<'g>>;

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn moving_windows_match_f64(
        axes in proptest::collection::vec(axis(), 1..4),
        // many planes have a kernel of their own
        batch in 1usize..3, channels in prop_oneof![3 => 1usize..4, 1 => Just(33)], ceil_mode: bool, count_padding: bool, seed in 0u64..1000,
    ) {
        let pick = |index: usize| axes.iter().map(|axis| axis[index]).collect::<Vec<usize>>();
        let sides = axes.iter().map(|axis| [axis[4], axis[5]]).collect();
        let options = PoolOptions {
            kernel: pick(1),
            windows: Windows { stride: pick(2), padding: Padding::Sides(sides), dilation: pick(3) },
            ceil_mode,
            count_padding,
        };
        let windows: Vec<AxisWindows> = axes.iter().map(|axis| moving(*axis, ceil_mode, count_padding)).collect();
        check([batch, channels], &pick(0), seed, &windows, &|maximum| {
            let options = options.clone();
            Box::new(move |x| pooled(x, maximum, &options))
        });
    }

    #[test]
    fn adaptive_windows_match_f64(
        axes in proptest::collection::vec((1usize..12, 1usize..9), 1..4),
        batch in 1usize..3, channels in 1usize..4, seed in 0u64..1000,
    ) {
        let (sizes, outputs): (Vec<usize>, Vec<usize>) = axes.iter().copied().unzip();
        let windows: Vec<AxisWindows> = axes.iter().map(|(size, output)| adaptive(*size, *output)).collect();
        check([batch, channels], &sizes, seed, &windows, &|maximum| {
            let outputs = outputs.clone();
            Box::new(move |x| if maximum { x.adaptive_max_pool(&outputs) } else { x.adaptive_avg_pool(&outputs) })
        });
    }
}

#[test]
fn gradients_in_the_middle_of_a_graph() {
    let x = [float([2, 3, 7, 6], 1)];
    let options = PoolOptions::new(&[3]).stride(&[2]).padding(&[1]);
    // no two so close that a step of the differences makes another the greatest
    let apart = (0..252).map(|i| (i * 17 % 42) as f32 * 0.1 - 2.0).collect();
    let apart = [Value::Float(Shape::new(&[2, 3, 7, 6]), apart)];
    check_gradients("max", &apart, |_, v| vec![v[0].max_pool(&options)]);
    check_gradients("adaptive max", &apart, |_, v| vec![v[0].adaptive_max_pool(&[2, 4])]);
    check_gradients("avg", &x, |_, v| vec![v[0].avg_pool(&options)]);
    check_gradients("adaptive avg", &x, |_, v| vec![v[0].adaptive_avg_pool(&[2, 4])]);
    check_gradients("global avg", &x, |_, v| vec![v[0].adaptive_avg_pool(&[1])]);
    check_gradients("same", &x, |_, v| vec![v[0].avg_pool(&PoolOptions::new(&[3]).stride(&[2]).same())]);
}

#[test]
fn a_nan_is_the_greatest() {
    let x = Value::Float(Shape::new(&[1, 1, 6]), vec![1.0, f32::NAN, 3.0, 4.0, 5.0, 6.0]);
    let outcome = run(&[x], |_, v| vec![v[0].max_pool(&PoolOptions::new(&[3]))]).unwrap();
    assert!(outcome.outputs[0][0].is_nan());
    assert_eq!(outcome.outputs[0][1], 9.0);
}

fn pooled<'g>(x: Var<'g>, maximum: bool, options: &PoolOptions) -> Var<'g> {
    if maximum { x.max_pool(options) } else { x.avg_pool(options) }
}

#[test]
fn a_nan_stays_under_its_windows() {
    let (sizes, x_nan, y_nan) = ([5usize, 9], [2usize, 4], [1usize, 2]);
    for (channels, stride) in [(1, 1), (1, 2), (1, 3), (34, 1), (34, 2)] {
        let options = PoolOptions::new(&[3]).stride(&[stride]).padding(&[1]);
        let windows = sizes.map(|size| moving([size, 3, stride, 1, 1, 1], false, true));
        let (rows, columns) = (windows[0].len(), windows[1].len());
        let x_len = channels * sizes[0] * sizes[1];
        // in the second to last plane, where there is one
        let plane = channels.max(2) - 2;
        let at = |place: [usize; 2], columns: usize, rows: usize| (plane * rows + place[0]) * columns + place[1];
        let (x_at, y_at) = (at(x_nan, sizes[1], sizes[0]), at(y_nan, columns, rows));
        let mut x = noise(x_len, 3);
        let clean = Value::Float(Shape::new(&[1, channels, sizes[0], sizes[1]]), x.clone());
        x[x_at] = f32::NAN;
        let mut factor = vec![1.0; channels * rows * columns];
        factor[y_at] = f32::NAN;
        let factor = Value::Float(Shape::new(&[1, channels, rows, columns]), factor);
        let x = Value::Float(Shape::new(&[1, channels, sizes[0], sizes[1]]), x);
        let under = |row: usize, column: usize, place: [usize; 2]| {
            windows[0][row].0.contains(&place[0]) && windows[1][column].0.contains(&place[1])
        };
        for maximum in [true, false] {
            let y =
                run(std::slice::from_ref(&x), |_, v| vec![pooled(v[0], maximum, &options)]).unwrap().outputs.remove(0);
            for (index, value) in y.iter().enumerate() {
                let (row, column) = (index / columns % rows, index % columns);
                let hit = index / (rows * columns) == plane && under(row, column, x_nan);
                assert_eq!(value.is_nan(), hit, "y[{index}] of {channels} channels, stride {stride}");
            }
            let dx = run(&[clean.clone(), factor.clone()], |_, v| vec![pooled(v[0], maximum, &options) * v[1]])
                .unwrap()
                .gradients
                .remove(0);
            let nan = |index: &usize| dx.as_ref().unwrap()[*index].is_nan();
            let found: Vec<usize> = (0..x_len).filter(nan).collect();
            let all = |index: &usize| {
                let place = [index / sizes[1] % sizes[0], index % sizes[1]];
                index / (sizes[0] * sizes[1]) == plane && under(y_nan[0], y_nan[1], place)
            };
            let allowed: Vec<usize> = (0..x_len).filter(all).collect();
            if maximum {
                assert!(found.len() == 1 && allowed.contains(&found[0]), "{found:?} of {allowed:?}");
            } else {
                assert_eq!(found, allowed, "{channels} channels, stride {stride}");
            }
        }
    }
}

#[test]
fn a_maximum_takes_the_first_nan_then_the_first_of_equals() {
    const NAN: f32 = f32::NAN;
    const LOW: f32 = f32::NEG_INFINITY;
    // windows of three at stride 1, 2 and 3, and which of its elements each takes
    let rows: [([f32; 6], [usize; 4]); 4] = [
        ([1.0, NAN, 3.0, -NAN, 5.0, 5.0], [1, 1, 3, 3]),
        ([0.0, -0.0, 0.0, -0.0, -1.0, -0.0], [0, 1, 2, 3]),
        ([LOW, LOW, LOW, -1.0, LOW, LOW], [0, 3, 3, 3]),
        ([-2.0, -1.0, -1.0, -1.0, f32::INFINITY, NAN], [1, 1, 4, 5]),
    ];
    for (channels, stride) in [(1, 1), (1, 2), (1, 3), (33, 1), (33, 2)] {
        for (row, taken) in &rows {
            let values: Vec<f32> = row.iter().copied().cycle().take(6 * channels).collect();
            let x = Value::Float(Shape::new(&[1, channels, 6]), values);
            let options = PoolOptions::new(&[3]).stride(&[stride]);
            let outcome = run(&[x], |_, v| vec![v[0].max_pool(&options)]).unwrap();
            let dx = outcome.gradients[0].as_ref().unwrap();
            let taken: Vec<usize> = taken.iter().copied().step_by(stride).collect();
            for (index, gradient) in dx.iter().enumerate() {
                assert_eq!(*gradient != 0.0, taken.contains(&(index % 6)), "{row:?} at stride {stride}: {dx:?}");
            }
            for (index, y) in outcome.outputs[0].iter().enumerate() {
                let expected = row[taken[index % taken.len()]] * 1.5;
                assert!(*y == expected || y.is_nan() && expected.is_nan(), "{y} for {expected}");
            }
        }
    }
}

#[test]
fn misfits_are_errors_that_name_the_op() {
    let message = |x: &[usize], options: PoolOptions| {
        let graph = Graph::new();
        graph.input("x", x).max_pool(&options);
        graph.finish().unwrap_err().to_string()
    };
    for (text, said) in [
        (message(&[2, 3, 8], PoolOptions::new(&[2]).padding(&[2])), "hide windows"),
        (message(&[2, 3, 1], PoolOptions::new(&[2])), "does not fit"),
        (message(&[2, 3], PoolOptions::new(&[2])), "1 to 3 spatial axes"),
        (message(&[2, 3, 8], PoolOptions::new(&[2, 2])), "kernel has 2 numbers"),
    ] {
        assert!(text.contains("max_pool") && text.contains(said), "{text}");
    }
    let graph = Graph::new();
    graph.input("x", [2, 3, 8]).adaptive_max_pool(&[0]);
    assert!(graph.finish().unwrap_err().to_string().contains("a size above 0"));
}
