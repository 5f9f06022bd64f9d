//! The temporal CNN: batch norm over valid steps alone, its running statistics, and the laws of masks.

mod support;

use limbic::graph::{Graph, Parameters, Var};
use limbic::nn::{BatchNorm, Context, TemporalConvConfig, TemporalConvNet};
use limbic::ops::batch_norm::BatchNormOptions;
use limbic::ops::conv::ConvOptions;
use limbic::plan::{Mode, ParameterStore, Plan};
use support::{gpu, noise};

const LENS: [usize; 3] = [5, 2, 4];
const CHANNELS: usize = 3;

/// Output and gradient of x; gradients of the parameters; what the running statistics become.
type Outcome = [Vec<Vec<f32>>; 3];

/// Runs a layer over `x [batch, seq, CHANNELS]`. `places[step]`: the clip's number times 50 and the step's, which its cotangent depends
/// on alone; none where the step is padding.
fn run<F>(parameters: &Parameters, x: &[f32], places: &[Vec<Option<usize>>], training: bool, build: F) -> Outcome
where
    F: for<'g> Fn(Context<'g>, Var<'g>, Var<'g>) -> Var<'g>,
{
    let values: Vec<Vec<f32>> = parameters
        .specs()
        .iter()
        .enumerate()
        .map(|(index, spec)| noise(spec.shape.len(), 300 + index as u64).iter().map(|v| 1.2 + 0.5 * v).collect())
        .collect();
    let store = ParameterStore::new(&gpu(), parameters, &values).unwrap();
    let (batch, seq) = (places.len(), places[0].len());
    let plan = Plan::new(&store, Mode::Gradients, |graph: &Graph| {
        let x = graph.input_with_grad("x", [batch, seq, CHANNELS]).scale(1.5);
        let y = build(Context { graph, parameters, training }, x, graph.mask_input("mask", [batch, seq]));
        let cotangent = graph.input("cotangent", y.shape());
        (y.named("y") * cotangent).scale(0.75).sum().as_loss();
        Ok(())
    })
    .unwrap();
    plan.write("x", x).unwrap();
    let width = plan.output_shape("y").unwrap().from_end(0);
    let places: Vec<Option<usize>> = places.concat();
    plan.write_u32("mask", &places.iter().map(|place| u32::from(place.is_some())).collect::<Vec<_>>()).unwrap();
    let cotangent = |place: &Option<usize>| place.map_or(vec![0.7; width], |place| noise(width, place as u64));
    plan.write("cotangent", &places.iter().flat_map(cotangent).collect::<Vec<_>>()).unwrap();
    plan.run().unwrap();
    let updates = (0..values.len()).filter_map(|index| plan.read(&format!("update/{index}")).ok()).collect();
    [vec![plan.read("y").unwrap(), plan.read("grad/x").unwrap()], store.download_gradients().unwrap(), updates]
}

/// The clips of [`LENS`], padded to `seq` steps.
fn padded(seq: usize) -> Vec<Vec<Option<usize>>> {
    let clip = |(clip, len): (usize, &usize)| (0..seq).map(|t| (t < *len).then_some(50 * clip + t)).collect();
    LENS.iter().enumerate().map(clip).collect()
}

/// `[batch, seq, CHANNELS]` of those places; `pad` where there is none.
fn features(places: &[Vec<Option<usize>>], pad: f32) -> Vec<f32> {
    let step = |place: &Option<usize>| place.map_or(vec![pad; CHANNELS], |place| noise(CHANNELS, 900 + place as u64));
    places.concat().iter().flat_map(step).collect()
}

/// The rows of `values` that are no padding.
fn valid(values: &[f32], places: &[Vec<Option<usize>>]) -> Vec<f32> {
    let places = places.concat();
    let rows = values.chunks(values.len() / places.len()).zip(places);
    rows.filter(|(_, place)| place.is_some()).flat_map(|(row, _)| row.to_vec()).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn assert_near(what: &str, actual: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    // relative to the largest of all: a bias that a norm subtracts again has a gradient of rounding alone
    let largest = expected.iter().flatten().fold(0f32, |most, v| most.max(v.abs()));
    for (a, e) in actual.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - e).abs() <= 2e-5 * largest, "{what}: {a}, expected {e}");
    }
}

/// Batch norm of padded clips is that of their valid steps as one long clip: values, gradients and running statistics.
#[test]
fn masked_batch_norm_is_batch_norm_of_the_valid_steps() {
    let padded = padded(6);
    let joined = vec![padded.concat().into_iter().filter(Option::is_some).collect::<Vec<_>>()];
    for options in [BatchNormOptions::pytorch(), BatchNormOptions::keras()] {
        let mut parameters = Parameters::new();
        let norm = BatchNorm::new(&mut parameters.root(), "norm", CHANNELS, options);
        for training in [true, false] {
            let masked = run(&parameters, &features(&padded, f32::NAN), &padded, training, |cx, x, mask| {
                norm.forward_masked(cx, x.transpose(1, 2), mask.unsqueeze(1)).transpose(1, 2)
            });
            let plain = run(&parameters, &features(&joined, 0.0), &joined, training, |cx, x, _| {
                norm.forward(cx, x.transpose(1, 2)).transpose(1, 2)
            });
            for index in [0, 1] {
                assert_near("y, dx", &[valid(&masked[0][index], &padded)], &[plain[0][index].clone()]);
            }
            assert_near("parameters", &masked[1], &plain[1]);
            assert_near("running statistics", &masked[2], &plain[2]);
            assert_eq!(masked[2].len(), if training { 2 } else { 0 });
        }
    }
}

fn network() -> (Parameters, TemporalConvNet) {
    let mut parameters = Parameters::new();
    let config = TemporalConvConfig { inputs: CHANNELS, hidden: 5, layers: 2, dropout: 0.0 };
    let network = TemporalConvNet::new(&mut parameters.root(), "tcn", config);
    (parameters, network)
}

#[test]
fn what_is_padded_is_never_looked_at() {
    let (parameters, network) = network();
    let places = padded(6);
    for training in [true, false] {
        let with = |pad: f32| {
            run(&parameters, &features(&places, pad), &places, training, |cx, x, mask| {
                network.forward(cx, x, Some(mask))
            })
            .map(|part| part.iter().map(|values| bits(values)).collect::<Vec<_>>())
        };
        let clean = with(0.5);
        for pad in [f32::NAN, f32::INFINITY, 3e38] {
            assert!(with(pad) == clean, "{pad} in the padding changed something");
        }
        let padding = clean[0][0].chunks(5).zip(places.concat()).filter(|(_, place)| place.is_none());
        assert!(padding.into_iter().all(|(row, _)| row.iter().all(|bits| *bits == 0)));
    }
}

/// Bit for bit where running statistics norm; the batch's own are sums whose order depends on the length.
#[test]
fn padding_further_changes_nothing() {
    let (parameters, network) = network();
    for training in [true, false] {
        let to = |seq: usize| {
            let places = padded(seq);
            let x = features(&places, f32::NAN);
            let [outer, gradients, updates] =
                run(&parameters, &x, &places, training, |cx, x, mask| network.forward(cx, x, Some(mask)));
            [outer.iter().map(|values| valid(values, &places)).collect(), gradients, updates]
        };
        let [near, far] = [5, 40].map(to);
        let same = |a: &[Vec<f32>], b: &[Vec<f32>]| a.iter().zip(b).all(|(a, b)| bits(a) == bits(b));
        assert!(training || same(&far[0], &near[0]));
        for (what, index) in [("y, dx", 0), ("parameters", 1), ("running statistics", 2)] {
            assert_near(what, &far[index], &near[index]);
        }
    }
}

/// Without a mask it is the layers written out.
#[test]
fn it_is_convolution_norm_relu_and_residual() {
    let (parameters, network) = network();
    let places = vec![(0..7).map(Some).collect::<Vec<_>>(), (50..57).map(Some).collect()];
    let x = features(&places, 0.0);
    let whole = run(&parameters, &x, &places, false, |cx, x, _| network.forward(cx, x, None));
    let written = run(&parameters, &x, &places, false, |cx, x, _| {
        let get = |name: &str| cx.graph.parameter(cx.parameters, cx.parameters.find(name).unwrap());
        (0..2)
            .fold(x.transpose(1, 2), |x, layer| {
                let conv = |what: &str| get(&format!("tcn.convs.{layer}.{what}"));
                let norm = |what: &str| get(&format!("tcn.norms.{layer}.{what}")).unsqueeze(1);
                let options = ConvOptions::default().padding(&[1 << layer]).dilation(&[1 << layer]);
                let y = x.conv(conv("weight"), Some(conv("bias")), &options);
                let y = (y - norm("running_mean")) / norm("running_var").affine(1.0, 1e-5).sqrt();
                let y = (y * norm("weight") + norm("bias")).relu();
                if layer == 0 { y } else { x + y }
            })
            .transpose(1, 2)
    });
    for index in [0, 1] {
        assert_near("whole", &whole[index], &written[index]);
    }
}
