//! Optical flow: motions that are known, the method in f64, and what holds of every op.

#[path = "../../examples/support/motion.rs"]
mod motion;
mod reference;
#[path = "../support/mod.rs"]
mod support;

use limbic::Result;
use limbic::gpu::Gpu;
use limbic::graph::{Graph, Parameters, Var};
use limbic::ops::optical_flow::FlowOptions;
use limbic::plan::{Mode, ParameterStore, Plan};
use motion::Scene;
use support::{assert_within, gpu, noise, portable_gpu};

/// What `build` makes of inputs x0, x1, ..
fn output<F>(gpu: &Gpu, inputs: &[(&[usize], &[f32])], build: F) -> Result<Vec<f32>>
where
    F: for<'g> Fn(&'g Graph, &[Var<'g>]) -> Var<'g>,
{
    let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
    let plan = Plan::new(&store, Mode::Forward, |graph| {
        let named = |(index, (shape, _)): (usize, &(&[usize], &[f32]))| graph.input(&format!("x{index}"), *shape);
        let vars: Vec<Var<'_>> = inputs.iter().enumerate().map(named).collect();
        build(graph, &vars).named("y");
        Ok(())
    })?;
    for (index, (_, values)) in inputs.iter().enumerate() {
        plan.write(&format!("x{index}"), values)?;
    }
    plan.run()?;
    plan.read("y")
}

fn flow_on(gpu: &Gpu, pairs: &[&[Vec<f32>; 2]], [height, width]: [usize; 2], options: &FlowOptions) -> Vec<f32> {
    let frames = [0, 1].map(|which| pairs.iter().flat_map(|pair| pair[which].clone()).collect::<Vec<f32>>());
    let shape = [pairs.len(), 1, height, width];
    let inputs = [(&shape[..], &frames[0][..]), (&shape[..], &frames[1][..])];
    output(gpu, &inputs, |_, x| x[0].optical_flow(x[1], options)).unwrap_or_else(|error| panic!("{error}"))
}

fn flow_of(pairs: &[&[Vec<f32>; 2]], size: [usize; 2]) -> Vec<f32> {
    flow_on(&gpu(), pairs, size, &FlowOptions::default())
}

#[test]
fn known_motions_are_found() {
    let size = [96, 128];
    // A tenth of a pixel is what good methods reach on the Middlebury benchmark's real frames; formulas without noise are easier. The method
    // in f64 is 0.0162, 0.0003, 0.0235, 0.0200, 0.0049 and 0.0690 pixels off; the bounds are a tenth above, or what f32 may add.
    for (scene, bound) in [
        (Scene::moved("fraction", size, [1.3, -0.7]), 0.018),
        (Scene::moved("large", size, [7.0, 4.0]), 0.0005),
        (Scene::turned("turned", size, 0.04, 1.0), 0.026),
        (Scene::turned("enlarged", size, 0.0, 1.05), 0.022),
        (Scene::sliding("sliding", size, 1.5), 0.0054),
        (Scene::moved("noisy", size, [1.3, -0.7]).noisy(0.03), 0.076),
    ] {
        for gpu in [gpu(), portable_gpu()] {
            let flow = flow_on(&gpu, &[&scene.frames], size, &FlowOptions::default());
            let errors = scene.errors(&flow, 8).unwrap();
            let found = errors.end_point;
            println!("{:10} {found:.5} pixels, {:.3} degrees", scene.name, errors.angular);
            assert!(found < bound, "{}: {found} pixels off, {bound} allowed", scene.name);
        }
    }
}

#[test]
fn nothing_moves_where_nothing_moved() {
    let scene = Scene::moved("still", [40, 56], [0.0, 0.0]);
    let flow = flow_of(&[&scene.frames], scene.size);
    assert!(
        flow.iter().all(|part| part.abs() < 1e-4),
        "{:?}",
        flow.iter().fold(0.0f32, |most, part| most.max(part.abs()))
    );
    let blank = [vec![0.5; 20 * 30], vec![0.5; 20 * 30]];
    assert!(flow_of(&[&blank], [20, 30]).iter().all(|part| *part == 0.0));
}

/// Sizes below, at and above those of a tile, with and without pixels that fill up a row's last quad.
#[test]
fn the_method_in_f64() {
    for (size, levels, warps, iterations) in [
        ([32, 40], 1, 1, 7),
        ([33, 40], 1, 2, 9),
        ([32, 41], 1, 1, 4),
        ([8, 9], 1, 2, 5),
        ([57, 83], 1, 2, 6),
        ([61, 90], 2, 2, 5),
        ([35, 47], 3, 1, 8),
        ([131, 33], 1, 1, 9),
    ] {
        let scene = Scene::turned("reference", size, 0.03, 1.02);
        let options = FlowOptions { levels: Some(levels), warps, iterations, ..FlowOptions::default() };
        let expected = reference::optical_flow(&scene.frames, size, &options);
        for gpu in [gpu(), portable_gpu()] {
            let found = flow_on(&gpu, &[&scene.frames], size, &options);
            let off = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            // differences of gray levels have lost two digits of f32's seven, over gradients of some 0.05 a pixel
            assert!(off < 2e-4, "{size:?}, {levels} levels, {warps} warps of {iterations}: {off} pixels off");
        }
    }
}

#[test]
fn pairs_know_nothing_of_each_other_and_runs_repeat_bit_for_bit() {
    let size = [37, 53];
    let scenes = [[1.0, 0.5], [-0.8, 1.2], [0.3, -1.0]].map(|by| Scene::moved("pair", size, by).noisy(0.1));
    let broken = [vec![f32::NAN; 37 * 53], scenes[1].frames[1].clone()];
    let bits = |flow: &[f32]| flow.iter().map(|part| part.to_bits()).collect::<Vec<u32>>();
    let len = 2 * 37 * 53;
    for gpu in [gpu(), portable_gpu()] {
        let flow = |pairs: &[&[Vec<f32>; 2]]| flow_on(&gpu, pairs, size, &FlowOptions::default());
        let together = flow(&[&broken, &scenes[0].frames, &broken, &scenes[2].frames]);
        for (index, scene) in [(1, &scenes[0]), (3, &scenes[2])] {
            let alone = flow(&[&scene.frames]);
            assert!(alone.iter().all(|part| part.is_finite()));
            assert_eq!(bits(&alone), bits(&together[index * len..][..len]), "pair {index}");
        }
    }
}

#[test]
fn clips_give_the_flow_of_their_neighbours() {
    let [batch, frames, height, width] = [2, 3, 17, 22];
    let clip: Vec<f32> = noise(batch * frames * height * width, 3).iter().map(|v| 0.5 + 0.2 * v).collect();
    let shape = [batch, 1, frames, height, width];
    let options = FlowOptions { warps: 2, iterations: 4, ..FlowOptions::default() };
    let found = output(&gpu(), &[(&shape, &clip)], |_, x| x[0].clip_flow(&options)).unwrap();
    let pixels = height * width;
    let frame = |sample: usize, index: usize| clip[(sample * frames + index) * pixels..][..pixels].to_vec();
    for sample in 0..batch {
        for index in 0..frames - 1 {
            let pair = [frame(sample, index), frame(sample, index + 1)];
            let alone = flow_on(&gpu(), &[&pair], [height, width], &options);
            for (axis, part) in alone.chunks(pixels).enumerate() {
                let at = ((sample * 2 + axis) * (frames - 1) + index) * pixels;
                assert_eq!(part, &found[at..at + pixels], "clip {sample}, frame {index}, axis {axis}");
            }
        }
    }
}

#[test]
fn grey_weighs_the_channels() {
    let pixels = noise(2 * 3 * 5, 1);
    let found = output(&gpu(), &[(&[2, 3, 5], &pixels)], |_, x| x[0].grey()).unwrap();
    let at = |sample: usize, channel: usize, i: usize| f64::from(pixels[(sample * 3 + channel) * 5 + i]);
    let grey = |n: usize| 0.299 * at(n / 5, 0, n % 5) + 0.587 * at(n / 5, 1, n % 5) + 0.114 * at(n / 5, 2, n % 5);
    assert_within("grey", &found, &(0..10).map(grey).collect::<Vec<f64>>(), &[1.0; 10], 1e-6);
}

/// What is trained on a flow gets its gradients; the frames get none.
#[test]
fn no_gradient_passes() {
    let store = ParameterStore::new(&gpu(), &Parameters::new(), &[]).unwrap();
    let plan = Plan::new(&store, Mode::Gradients, |graph| {
        let [first, second] = ["first", "second"].map(|name| graph.input_with_grad(name, [1, 1, 16, 16]));
        let flow = first.optical_flow(second, &FlowOptions::default()).named("flow");
        assert!(!flow.needs_grad());
        (flow * graph.input_with_grad("factor", [1, 2, 16, 16])).sum().as_loss();
        Ok(())
    })
    .unwrap();
    let scene = Scene::moved("trained on", [16, 16], [0.4, 0.2]);
    plan.write("first", &scene.frames[0]).unwrap();
    plan.write("second", &scene.frames[1]).unwrap();
    plan.write("factor", &[1.0; 512]).unwrap();
    plan.run().unwrap();
    assert_eq!(plan.read("grad/factor").unwrap(), plan.read("flow").unwrap());
    assert!(plan.read("grad/first").is_err() && plan.read("grad/second").is_err());
}

#[test]
fn what_does_not_fit_is_refused_with_a_sentence() {
    let refused = |shapes: [&[usize]; 2], options: FlowOptions, why: &str| {
        let frames = shapes.map(|shape| vec![0.0; shape.iter().product()]);
        let inputs = [(shapes[0], &frames[0][..]), (shapes[1], &frames[1][..])];
        let message = output(&gpu(), &inputs, |_, x| x[0].optical_flow(x[1], &options)).unwrap_err().to_string();
        assert!(message.contains(why), "'{message}' does not say '{why}'");
    };
    let options = FlowOptions::default();
    refused([&[1, 1, 8, 8], &[1, 1, 8, 9]], options, "one shape");
    refused([&[1, 3, 8, 8], &[1, 3, 8, 8]], options, "grey");
    refused([&[8, 8], &[8, 8]], options, "[batch, 1, height, width]");
    refused([&[1, 1, 7, 80], &[1, 1, 7, 80]], options, "8 pixels or more");
    let fits: [&[usize]; 2] = [&[1, 1, 8, 8]; 2];
    refused(fits, FlowOptions { data_weight: f32::NAN, ..options }, "data weight");
    refused(fits, FlowOptions { huber: -1.0, ..options }, "Huber");
    refused(fits, FlowOptions { levels: Some(0), ..options }, "levels");
    refused(fits, FlowOptions { warps: 0, ..options }, "warps");
    let still = [(&[1, 1, 1, 8, 8][..], &[0.0; 64][..])];
    let message = output(&gpu(), &still, |_, x| x[0].clip_flow(&options)).unwrap_err().to_string();
    assert!(message.contains("2 frames or more"), "{message}");
    let message = output(&gpu(), &[(&[1, 2, 4], &[0.0; 8])], |_, x| x[0].grey()).unwrap_err().to_string();
    assert!(message.contains("[batch, 3, ..]"), "{message}");
}
