//! What is written of a tiny network's features, and what is said where something is given wrongly.

use super::*;
use limbic::models::personality::{NetworkConfig, Resnet, ResnetConfig, export_network};
use limbic::nn::Norms;
use limbic::weights::Export;

fn write_model(path: &Path) {
    let sizes = ResnetConfig { stem: 4, layers: vec![(2, 1)], ..ResnetConfig::resnet50() };
    let (_, parameters) = Resnet::alone(&sizes).unwrap();
    let about = Export::new(NetworkConfig::Resnet { sizes, norms: Norms::Layers }, "a test");
    export_network(path, &about, &parameters.initial_values(1)).unwrap();
}

/// Runs with `flags`, pictures in `out`.
fn features(out: &Path, flags: &[&str]) -> std::result::Result<(), String> {
    let out = out.to_str().unwrap();
    let flags = ["personality_features", "--out", out].into_iter().chain(flags.iter().copied());
    let options = Options::try_parse_from(flags).map_err(|error| error.to_string())?;
    run(&options).map_err(|error| error.to_string())
}

#[test]
fn pictures_and_features_of_an_exported_network_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out, table) = (dir.path().join("m.safetensors"), dir.path().join("out"), dir.path().join("f.csv"));
    write_model(&model);
    let [model, csv] = [&model, &table].map(|path| path.to_str().unwrap());
    let few = ["--subjects", "3", "--clips", "2", "--frames", "2"];
    features(&out, &[&["--model", model, "--features", csv], &few[..]].concat()).unwrap();
    for name in ["features_pca.svg", "features_similarity.svg", "features_distribution.svg"] {
        let source = std::fs::read_to_string(out.join(name)).unwrap();
        let document = roxmltree::Document::parse(&source).unwrap_or_else(|error| panic!("{name}: {error}"));
        let drawn = |tag| document.descendants().any(|node| node.has_tag_name(tag));
        assert!(drawn("text") && ["circle", "rect", "polyline"].into_iter().any(drawn), "{name} shows nothing");
    }
    let rows: Vec<csv::StringRecord> =
        csv::Reader::from_path(&table).unwrap().records().map(|row| row.unwrap()).collect();
    assert_eq!((rows.len(), rows[0].len()), (3 * 2, 2 + 8));
    assert_eq!((&rows[5][0], &rows[5][1]), ("subject 3", "2"));
    assert!(rows.iter().flat_map(|row| row.iter().skip(2)).all(|value| value.parse::<f32>().unwrap().is_finite()));
}

#[test]
fn subjects_of_ones_own_are_read_from_folders() {
    let dir = tempfile::tempdir().unwrap();
    let (model, data, out) = (dir.path().join("m.safetensors"), dir.path().join("data"), dir.path().join("out"));
    write_model(&model);
    let [model, path] = [&model, &data].map(|path| path.to_str().unwrap().to_string());
    let flags = ["--model", &model, "--data", &path, "--frames", "2"];
    for (index, subject) in ["ann", "bob"].iter().enumerate() {
        for clip in ["1", "2"] {
            let folder = data.join(subject).join(clip);
            std::fs::create_dir_all(&folder).unwrap();
            let levels: Vec<f32> = (0..1600).map(|place| (place / 40 * (index + 1) % 9) as f32).collect();
            let picture = limbic::viz::Image::gray(&levels, [40, 40], (0.0, 9.0)).unwrap();
            picture.save_png(folder.join("face_1.png")).unwrap();
        }
    }
    features(&out, &flags).unwrap();
    let source = std::fs::read_to_string(out.join("features_similarity.svg")).unwrap();
    assert!(source.contains("ann") && source.contains("bob"));
    std::fs::write(data.join("bob/2/face_1.png"), b"\x89PNG").unwrap();
    let said = features(&out, &flags).unwrap_err();
    assert!(said.contains("face_1.png") && said.contains("PNG"), "{said}");
    std::fs::remove_dir_all(data.join("bob/2")).unwrap();
    let said = features(&out, &flags).unwrap_err();
    assert!(said.contains("bob") && said.contains("two folders or more"), "{said}");
}

#[test]
fn what_is_given_wrongly_gives_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |flags: &[&str], why: &str| {
        let said = features(dir.path(), flags).unwrap_err();
        assert!(said.contains(why), "'{said}' does not say '{why}'");
    };
    refused(&["--subjects", "1"], "--subjects");
    refused(&["--clips", "many"], "--clips");
    refused(&["--model", "none.safetensors"], "none.safetensors");
    refused(&["--checkpoint", "nowhere"], "is no checkpoint directory");
    refused(&["--data", "a", "--subjects", "3"], "cannot be used with");
    let broken = dir.path().join("broken.safetensors");
    std::fs::write(&broken, [0; 40]).unwrap();
    refused(&["--model", broken.to_str().unwrap()], "broken.safetensors");
}
