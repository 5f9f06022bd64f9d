//! Every picture of tiny networks is written and whole, and what is given wrongly gives a sentence.

use super::*;
use crate::common::{ScheduleKind, TrainingConfig};
use crate::personality::{DataSource, RunConfig, VERSION};
use limbic::models::RegressionLoss;
use limbic::models::personality::{
    I3dConfig, NetworkConfig, PersonalityConfig, PersonalityNetwork, PersonalityNetworkConfig, Resnet, ResnetConfig,
};
use limbic::nn::Norms;
use limbic::train::checkpoint::Checkpoint;
use std::path::Path;

fn resnet() -> ResnetConfig {
    ResnetConfig { stem: 4, layers: vec![(2, 1), (4, 1)], ..ResnetConfig::resnet50() }
}

/// What personality_train would have written of a tiny network that never learnt.
fn write_checkpoint(dir: &Path, tokens: bool) {
    let i3d = I3dConfig { divisor: 16, stages: 0, ..I3dConfig::flow() };
    let base = PersonalityNetworkConfig::small();
    let head = PersonalityConfig {
        static_dim: resnet().features(),
        dynamic_dim: i3d.features(),
        fusion_dim: 8,
        hidden: 8,
        ..base.head
    };
    let sizes = PersonalityNetworkConfig { faces: 1, face_size: 32, frames: 5, frame_size: 16, ..base };
    let config = RunConfig {
        version: VERSION,
        model: PersonalityNetworkConfig { resnet: resnet(), i3d, head, tokens, ..sizes },
        data: DataSource::Builtin { seed: 7 },
        training: TrainingConfig {
            batch_size: 2,
            accumulation: 1,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            clip_norm: 1.0,
            loss: RegressionLoss::Mse,
            schedule: ScheduleKind::Constant,
            warmup_epochs: 0,
            epochs: 1,
            patience: 1,
            seed: 7,
            checkpoint_every: 0,
            mixed_precision: false,
        },
        mirror: true,
    };
    let checkpoint = Checkpoint::create(dir).unwrap();
    checkpoint.save_config(&config).unwrap();
    let model = PersonalityNetwork::new(&config.model).unwrap();
    checkpoint.save_model(model.parameters(), &model.parameters().initial_values(1)).unwrap();
}

fn write_model(path: &Path) {
    let sizes = ResnetConfig { classes: Some(3), ..resnet() };
    let (_, parameters) = Resnet::alone(&sizes).unwrap();
    let about = Export::new(NetworkConfig::Resnet { sizes, norms: Norms::Layers }, "a test");
    export_network(path, &about, &parameters.initial_values(1)).unwrap();
}

/// Runs with `flags`, pictures in `out`.
fn visualize(out: &Path, flags: &[&str]) -> std::result::Result<(), String> {
    let out = out.to_str().unwrap();
    let flags = ["visualize", "--out", out, "--ascent", "2"].into_iter().chain(flags.iter().copied());
    let options = Options::try_parse_from(flags).map_err(|error| error.to_string())?;
    run(&options).map_err(|error| error.to_string())
}

/// What is in `out`, by name, each whole: an SVG with an element, a GIF or a PNG with frames.
fn pictures(out: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => {
                let source = std::fs::read_to_string(&path).unwrap();
                let document = roxmltree::Document::parse(&source).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                let drawn = |tag| document.descendants().any(|node| node.has_tag_name(tag));
                let shapes = ["image", "rect", "polygon", "polyline", "circle"].into_iter().any(drawn);
                assert!(shapes && drawn("text"), "{path:?} shows nothing");
            }
            Some("gif") => {
                let mut decoder = gif::DecodeOptions::new().read_info(std::fs::File::open(&path).unwrap()).unwrap();
                let mut frames = 0;
                while decoder.read_next_frame().unwrap().is_some() {
                    frames += 1;
                }
                assert!(frames > 1, "{path:?} does not move");
            }
            Some("png") => assert!(limbic::data::image::Image::read(&path).unwrap().width() > 64),
            _ => continue,
        }
        names.push(path.file_name().unwrap().to_str().unwrap().to_string());
    }
    names.sort();
    names
}

#[test]
fn a_checkpoint_over_tokens_has_every_picture() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("out"));
    write_checkpoint(&run, true);
    visualize(&out, &["--checkpoint", run.to_str().unwrap(), "--trait", "neuroticism", "--layer", "layer1"]).unwrap();
    let wanted = [
        "attention_face.svg",
        "attention_motion.svg",
        "feature_maps.svg",
        "features_over_time.svg",
        "filters.svg",
        "grad_cam_traits.svg",
        "layers.svg",
        "motion.gif",
        "motion.svg",
        "surface.svg",
    ];
    assert_eq!(pictures(&out), wanted);
    let title = std::fs::read_to_string(out.join("motion.svg")).unwrap();
    assert!(title.contains("neuroticism"), "the trait that was asked for");
}

#[test]
fn vectors_have_no_attention_to_draw_and_frames_of_ones_own_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out, clip) = (dir.path().join("run"), dir.path().join("out"), dir.path().join("clip"));
    write_checkpoint(&run, false);
    std::fs::create_dir(&clip).unwrap();
    for index in 0..6 {
        let levels: Vec<f32> = (0..400).map(|place| ((place % 20 + index) % 7) as f32).collect();
        let image = limbic::viz::Image::gray(&levels, [20, 20], (0.0, 7.0)).unwrap();
        image.save_png(clip.join(format!("frame_{index}.png"))).unwrap();
    }
    let flags = ["--checkpoint", run.to_str().unwrap(), "--clip", clip.to_str().unwrap()];
    visualize(&out, &flags).unwrap();
    let drawn = pictures(&out);
    assert!(drawn.contains(&"motion.svg".to_string()) && !drawn.contains(&"attention_motion.svg".to_string()));
    // one frame cut short
    std::fs::write(clip.join("frame_3.png"), b"\x89PNG\r\n\x1a\n\0\0").unwrap();
    let said = visualize(&out, &flags).unwrap_err();
    assert!(said.contains("frame_3.png") && said.contains("damaged or unfinished PNG"), "{said}");
}

#[test]
fn an_exported_network_of_faces_is_looked_at_and_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out, saved) =
        (dir.path().join("face.safetensors"), dir.path().join("out"), dir.path().join("folded.safetensors"));
    write_model(&model);
    let model = model.to_str().unwrap();
    visualize(&out, &["--model", model, "--target", "2", "--save", saved.to_str().unwrap()]).unwrap();
    let wanted = [
        "feature_maps.svg",
        "features_over_time.svg",
        "filters.svg",
        "grad_cam.gif",
        "grad_cam.svg",
        "grad_cam_frame.png",
        "layers.svg",
        "surface.svg",
    ];
    assert_eq!(pictures(&out), wanted);
    FaceNet::open(&Gpu::new().unwrap(), Some(&saved), 0).unwrap();
    let refused = |flags: &[&str], why: &str| {
        let said = visualize(&out, flags).unwrap_err();
        assert!(said.contains(why), "'{said}' does not say '{why}'");
    };
    refused(&["--model", model, "--target", "3"], "3 outputs");
    refused(&["--model", model, "--layer", "layer9"], "no such layer");
}

#[test]
fn what_is_given_wrongly_gives_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let refused = |flags: &[&str], why: &str| {
        let said = visualize(&out, flags).unwrap_err();
        assert!(said.contains(why), "'{said}' does not say '{why}'");
    };
    let none = dir.path().join("none");
    refused(&["--checkpoint", none.to_str().unwrap()], "is no checkpoint directory");
    refused(&["--model", none.to_str().unwrap()], "none");
    let broken = dir.path().join("broken.safetensors");
    std::fs::write(&broken, b"not a model").unwrap();
    refused(&["--model", broken.to_str().unwrap()], "broken.safetensors");
    refused(&["--trait", "kindness"], "kindness");
    refused(&["--steps", "0"], "--steps");
    refused(&["--model", "a", "--checkpoint", "b"], "cannot be used with");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let said = visualize(&file, &[]).unwrap_err();
    assert!(said.contains("file") && said.contains("folder"), "{said}");
}
