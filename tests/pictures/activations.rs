//! What looks inside a network: tiles, feature maps, surfaces, groups.

use limbic::viz::*;

use crate::gallery::noise;
use crate::sheet::{Sheet, path};

/// A bump on a plain of `[height, width]`.
fn bump([height, width]: [usize; 2], (row, column): (f32, f32)) -> Vec<f32> {
    let value = |index: usize| {
        let (y, x) = ((index / width) as f32 - row, (index % width) as f32 - column);
        (-(x * x + y * y) / (height * width) as f32 * 8.0).exp()
    };
    (0..height * width).map(value).collect()
}

#[test]
fn feature_maps_are_tiles_with_one_range() {
    let path = path("feature_maps");
    let maps: Vec<f32> =
        (0..24).flat_map(|channel| bump([8, 8], (channel as f32 / 3.0, 7.0 - channel as f32 / 4.0))).collect();
    let options = FeatureMapsOptions { title: "Activations of layer2".into(), most: 16, ..Default::default() };
    feature_maps(&path, &maps, [24, 8, 8], &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert_eq!(sheet.count("image"), 16);
    assert!(sheet.has("activation") && sheet.has("Activations of layer2"), "{:?}", sheet.labels);
    assert!(sheet.source.len() < 60_000, "16 small maps became {} bytes", sheet.source.len());
}

#[test]
fn heat_over_images_with_captions() {
    let path = path("tiles");
    let image = Image::gray(&bump([16, 12], (4.0, 4.0)), [16, 12], (0.0, 1.0)).unwrap();
    let heat = to_unit(&resize_bilinear(&bump([4, 3], (1.0, 1.0)), [4, 3], [16, 12]).unwrap());
    let drawn = [
        Tile::new(image.clone(), "image"),
        Tile::new(Image::heat(&heat, [16, 12], (0.0, 1.0)).unwrap(), "Grad-CAM, a caption that is far too long"),
        Tile::new(image.under_heat(&heat, 0.7).unwrap(), ""),
    ];
    let colors = Some((0.0, 1.0, "importance".to_string()));
    tiles(&path, &drawn, &TilesOptions { columns: 2, colors, title: "Smile".into(), ..Default::default() }).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert!(sheet.has("image") && sheet.has("importance") && sheet.labels.iter().any(|l| l.text.ends_with('…')));
}

#[test]
fn a_grid_of_frames_flow_and_heat_names_its_rows_and_columns() {
    let path = path("tiles_grid");
    let size = [12, 12];
    let heat = bump(size, (4.0, 4.0));
    let flow: Vec<f32> = (0..288).map(|i| if i < 144 { 0.1 * (i % 12) as f32 } else { -0.8 }).collect();
    let rows = [
        Image::gray(&heat, size, (0.0, 1.0)).unwrap(),
        Image::flow(&flow, size, 1.4).unwrap(),
        Image::gray(&heat, size, (0.0, 1.0)).unwrap().under_heat(&heat, 0.8).unwrap().outlined([2, 2], [6, 6]),
    ];
    let drawn: Vec<Tile> = rows.iter().flat_map(|image| vec![Tile::new(image.clone(), ""); 4]).collect();
    let options = TilesOptions {
        title: "A clip".into(),
        columns: 4,
        headings: (1..5).map(|frame| format!("frame {frame}")).collect(),
        rows: ["frame", "flow to the next frame, and more than fits two lines", "Grad-CAM"].map(String::from).to_vec(),
        colors: Some((0.0, 1.0, "importance".into())),
        motion: Some(1.4),
        ..Default::default()
    };
    tiles(&path, &drawn, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert_eq!(sheet.count("image"), 3 * 4 + 1, "the tiles and the wheel");
    for text in ["frame 4", "Grad-CAM", "rim: 1.4 pixels", "down", "importance"] {
        assert!(sheet.has(text), "{text}: {:?}", sheet.labels);
    }
}

#[test]
fn a_surface_seen_from_above() {
    let path = path("surface");
    let mut values = bump([24, 32], (8.0, 20.0));
    values[0] = f32::NAN;
    let options = SurfaceOptions { title: "Channel 5".into(), ..Default::default() };
    surface(&path, &values, [24, 32], &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert_eq!(sheet.count("polygon"), 23 * 31 - 1, "all cells but the one without a value");
    assert!(sheet.has("column →") && sheet.has("← row") && sheet.has("activation"));
}

#[test]
fn groups_of_points() {
    let path = path("groups");
    let group = |index: usize| Group {
        name: format!("subject {}", index + 1),
        points: noise(24, index as u64).chunks(2).map(|p| (p[0] + index as f64, p[1] - index as f64 / 2.0)).collect(),
    };
    let mut groups: Vec<Group> = (0..6).map(group).collect();
    groups[0].points.push((f64::NAN, 1.0));
    let options = GroupsOptions {
        title: "Features".into(),
        x_label: "first component (41 %)".into(),
        y_label: "second component (20 %)".into(),
        ..Default::default()
    };
    scatter_groups(&path, &groups, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert_eq!(sheet.count("circle"), 6 * 12);
    assert!(sheet.has("subject 6") && sheet.has("first component (41 %)"));
}

#[test]
fn wrong_input_is_refused_with_a_sentence_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refused.svg");
    let says = |result: limbic::Result<()>, why: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(why), "'{message}' does not say '{why}'");
    };
    let image = |height: usize, width: usize| {
        Tile::new(Image::gray(&vec![0.5; height * width], [height, width], (0.0, 1.0)).unwrap(), "")
    };
    says(tiles(&path, &[], &TilesOptions::default()), "no image");
    says(tiles(&path, &[image(2, 2), image(2, 3)], &TilesOptions::default()), "differ in shape");
    says(tiles(&path, &[image(2, 2)], &TilesOptions { columns: 0, ..Default::default() }), "at least 1");
    let colors = Some((1.0, f64::NAN, String::new()));
    says(tiles(&path, &[image(2, 2)], &TilesOptions { colors, ..Default::default() }), "no colours");
    says(tiles(&path, &[image(2, 2)], &TilesOptions { motion: Some(0.0), ..Default::default() }), "positive");
    says(feature_maps(&path, &[0.0; 7], [2, 2, 2], &FeatureMapsOptions::default()), "do not fit");
    says(surface(&path, &[0.0; 4], [1, 4], &SurfaceOptions::default()), "2 to 256");
    says(surface(&path, &[f32::NAN; 4], [2, 2], &SurfaceOptions::default()), "no value");
    says(surface(&path, &[0.0; 4], [2, 2], &SurfaceOptions { view: (0.0, 0.0), ..Default::default() }), "degrees");
    says(scatter_groups(&path, &[Group::default()], &GroupsOptions::default()), "no point");
    assert!(!path.exists());
}
