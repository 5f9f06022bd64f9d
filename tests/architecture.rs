//! What graphs of whole models are counted to be, against figures that others publish. No GPU is needed.

use limbic::graph::{Graph, LayerCount, Parameters, gather};
use limbic::models::personality::{I3d, I3dConfig, Personality, PersonalityConfig, Resnet, ResnetConfig};
use limbic::nn::Context;

fn counts(parameters: &Parameters, build: impl FnOnce(Context<'_>)) -> Vec<LayerCount> {
    let graph = Graph::new();
    build(Context { graph: &graph, parameters, training: false });
    graph.finish().unwrap().layer_counts(parameters)
}

#[test]
fn resnet50_has_the_multiply_adds_that_fvcore_counts() {
    let config = ResnetConfig { classes: Some(1000), ..ResnetConfig::resnet50() };
    let (model, parameters) = Resnet::alone(&config).unwrap();
    let layers = counts(&parameters, |cx| {
        let map = model.map(cx, cx.graph.input("image", [1, 3, 224, 224]));
        model.classify(cx, model.features(map)).named("logits");
    });
    // fvcore's 4,089,184,256 of torchvision's resnet50: convolutions and the classifier
    let all = &gather(&layers, 0)[0];
    assert_eq!((all.multiply_adds(), all.trainable), (4_089_184_256, 25_557_032));
    let stages = gather(&layers, 1);
    let fc = stages.iter().find(|layer| layer.path == "fc").unwrap();
    assert_eq!(fc.multiply_adds(), 2048 * 1000);
    assert_eq!(all.trainable - fc.trainable, 23_508_032);
    let last = stages.iter().find(|layer| layer.path == "layer4").unwrap();
    assert_eq!(last.output.axes(), [1, 2048, 7, 7]);
}

#[test]
fn i3d_over_flow_counts_every_parameter_once() {
    let (model, parameters) = I3d::alone(&I3dConfig::flow()).unwrap();
    let layers = counts(&parameters, |cx| {
        let map = model.map(cx, cx.graph.input("flow", [1, 2, 16, 224, 224]));
        model.features(cx, map).named("features");
    });
    let all = &gather(&layers, 0)[0];
    assert_eq!((all.trainable, all.parameters()), (12_265_312, parameters.count()));
    // the first convolution by hand: 64 filters of 2 x 7 x 7 x 7 at 8 x 112 x 112 places
    let stem = &gather(&layers, 2)[0];
    assert_eq!((stem.path.as_str(), stem.multiply_adds()), ("Conv3d_1a_7x7.conv3d", 64 * 2 * 343 * 8 * 112 * 112));
}

#[test]
fn more_tokens_cost_more_work_and_no_parameters() {
    let config = PersonalityConfig::default();
    let model = Personality::new(&config).unwrap();
    let of = |tokens: usize, steps: usize| {
        let layers = counts(model.parameters(), |cx| {
            let face = cx.graph.input("face", [1, tokens, config.static_dim]);
            let motion = cx.graph.input("motion", [1, steps, config.dynamic_dim]);
            model.forward_tokens(cx, face, motion, None).traits.named("traits");
        });
        gather(&layers, 0)[0].clone()
    };
    let (vectors, tokens) = (of(1, 1), of(49, 392));
    assert_eq!(vectors.parameters(), 371_717);
    assert_eq!((tokens.parameters(), tokens.trainable), (371_717, 371_461));
    // projections of the face, of the motion; scores and weighted sums of 4 heads of 128; output projection; head
    let face = 49 * (512 * 128 + 128 * 512 + 512 * 128);
    let motion = 392 * (256 * 128 + 128 * 1024);
    let by_hand = face + motion + 2 * 49 * 392 * 512 + 128 * 64 + 64 * 5;
    assert_eq!(tokens.multiply_adds(), by_hand);
}
