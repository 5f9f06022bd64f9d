//! One function per picture; each returns the file and what it shows.

use crate::clip::to_largest;
use crate::faces::{Dice, FaceNet, crowd, image};
use limbic::data::builtin::{Expression, FRAME_RATE, FRAME_SIZE, Look, render};
use limbic::graph::Graph;
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::train::metrics::Distribution;
use limbic::viz::*;
use limbic::{Error, Result};
use std::path::{Path, PathBuf};

const SIDE: [usize; 2] = [FRAME_SIZE; 2];
/// Frames of the clip that is followed.
const FRAMES: usize = 24;

/// A file and what it shows.
pub type Picture = (PathBuf, String);

fn face(smile: f64, mouth: f64, eyes: f64) -> Vec<u8> {
    let expression = Expression { smile, mouth, eyes, ..Expression::default() };
    render(&Look::from_seed(5), &expression)
}

/// A smile that comes and goes while the mouth speaks.
fn clip() -> Vec<Vec<u8>> {
    let frame = |index: usize| {
        let t = index as f64 / FRAMES as f64;
        let speaking = (t * 25.0).sin().abs() * f64::from(u8::from(t < 0.6));
        face(1.8 * (t * std::f64::consts::PI).sin() - 0.8, 0.8 * speaking, 1.0)
    };
    (0..FRAMES).map(frame).collect()
}

fn gray(levels: &[u8]) -> Result<Image> {
    let values: Vec<f32> = levels.iter().map(|level| f32::from(*level)).collect();
    Image::gray(&values, SIDE, (0.0, 255.0))
}

/// What the network makes of some faces on its way.
struct Seen {
    map: Vec<f32>,
    /// `[channels, height, width]` of the map.
    size: [usize; 3],
    outputs: Vec<f32>,
}

fn see(net: &FaceNet, faces: &[Vec<u8>], layer: Option<&str>) -> Result<Seen> {
    let mut missing = false;
    let plan = Plan::new(&net.store, Mode::Forward, |graph| {
        let cx = Context { graph, parameters: &net.parameters, training: false };
        let last = net.model.map(cx, graph.input("image", [faces.len(), 3, SIDE[0], SIDE[1]]));
        let map = layer.map_or(Some(last), |path| graph.made_by(path));
        missing = map.is_none();
        map.unwrap_or(last).named("map");
        net.model.classify(cx, net.model.features(last)).named("outputs");
        Ok(())
    })?;
    if missing {
        let path = layer.unwrap_or_default();
        return Err(Error::Config(format!(
            "--layer {path}: the network has no such layer; take conv1, layer1, layer1.0.conv2, ..."
        )));
    }
    plan.write("image", &faces.iter().flat_map(|face| image(face)).collect::<Vec<f32>>())?;
    plan.run()?;
    let shape = plan.output_shape("map")?;
    let size = [shape.axis(1), shape.axis(2), shape.axis(3)];
    Ok(Seen { map: plan.read("map")?, size, outputs: plan.read("outputs")? })
}

/// Grad-CAM of output `target` for each face, `[height, width]` of the image, unscaled.
fn cams(net: &FaceNet, seen: &Seen, target: usize) -> Result<Vec<Vec<f32>>> {
    let [channels, height, width] = seen.size;
    let one = channels * height * width;
    let count = seen.map.len() / one;
    let plan = Plan::new(&net.store, Mode::Gradients, |graph: &Graph| {
        let cx = Context { graph, parameters: &net.parameters, training: false };
        let map = graph.input_with_grad("map", [count, channels, height, width]);
        let outputs = net.model.classify(cx, net.model.features(map));
        outputs.slice(1, target, target + 1).sum().as_loss();
        Ok(())
    })?;
    plan.write("map", &seen.map)?;
    plan.run()?;
    let gradients = plan.read("grad/map")?;
    let each = seen.map.chunks(one).zip(gradients.chunks(one));
    each.map(|(map, gradient)| resize_bilinear(&grad_cam(map, gradient, seen.size)?, [height, width], SIDE)).collect()
}

pub fn grad_cams(net: &FaceNet, target: usize, out: &Path) -> Result<Picture> {
    let faces = [(0.9, 0.0, 1.0), (0.4, 0.6, 1.0), (0.0, 0.0, 1.0), (-0.9, 0.0, 1.0), (0.0, 1.0, 1.4)]
        .map(|(s, m, e)| face(s, m, e));
    let seen = see(net, &faces, None)?;
    let cams = to_largest(cams(net, &seen, target)?);
    let outputs = net.outputs.len();
    let (mut above, mut middle, mut below, mut scores) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (index, (levels, cam)) in faces.iter().zip(&cams).enumerate() {
        let face = gray(levels)?;
        let score = seen.outputs[index * outputs + target];
        scores.push(format!("{} {score:.2}", net.outputs[target]));
        above.push(Tile::new(face.clone(), ""));
        middle.push(Tile::new(Image::heat(cam, SIDE, (0.0, 1.0))?, ""));
        below.push(Tile::new(face.under_heat(cam, 0.75)?, ""));
    }
    let path = out.join("grad_cam.svg");
    let options = TilesOptions {
        title: format!("Grad-CAM of '{}'", net.outputs[target]),
        columns: faces.len(),
        tile: 110.0,
        colors: Some((0.0, 1.0, "importance (1: most of all)".to_string())),
        headings: scores,
        rows: ["face", "Grad-CAM", "overlay"].map(String::from).to_vec(),
        ..Default::default()
    };
    tiles(&path, &[above, middle, below].concat(), &options)?;
    Ok((path, format!("which places speak for '{}': face, map, overlay", net.outputs[target])))
}

pub fn activations(net: &FaceNet, layer: Option<&str>, out: &Path) -> Result<Picture> {
    let seen = see(net, &[face(0.8, 0.3, 1.0)], layer)?;
    let path = out.join("feature_maps.svg");
    let name = layer.unwrap_or("the last layer");
    let options = FeatureMapsOptions { title: format!("Activations of {name}, a smiling face"), ..Default::default() };
    feature_maps(&path, &seen.map, seen.size, &options)?;
    Ok((path, format!("activations of {name}, the channels that vary most")))
}

/// The channel of the largest value.
fn strongest(seen: &Seen) -> usize {
    let places = seen.size[1] * seen.size[2];
    let largest = |channel: &[f32]| channel.iter().fold(0.0f32, |most, x| most.max(*x));
    let by_channel = seen.map.chunks(places).take(seen.size[0]).map(largest);
    by_channel.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}

pub fn landscape(net: &FaceNet, out: &Path) -> Result<Picture> {
    let seen = see(net, &[face(0.8, 0.3, 1.0)], None)?;
    let (channel, [_, height, width]) = (strongest(&seen), seen.size);
    let map = &seen.map[channel * height * width..][..height * width];
    let fine = [32, 32];
    let path = out.join("surface.svg");
    let options = SurfaceOptions {
        title: format!("Channel {channel} of the last layer, a smiling face"),
        column_label: "right".to_string(),
        row_label: "down".to_string(),
        ..Default::default()
    };
    surface(&path, &resize_bilinear(map, [height, width], fine)?, fine, &options)?;
    Ok((path, format!("channel {channel}, the strongest, as a surface over the face")))
}

/// Channels whose filters are drawn, and how many of them stand in a row.
const FILTERS: usize = 16;
const IN_A_ROW: usize = 8;

/// The images that some channels of the last map answer to most, above the faces that they answer to most.
pub fn filters(net: &FaceNet, options: &MaximiseOptions, out: &Path) -> Result<Picture> {
    let faces = crowd(48, &mut Dice(3));
    let answers = Answers::of(&see(net, &faces, None)?);
    let chosen = answers.spread(FILTERS);
    // the drawn faces are gray: so is what is looked for
    let shape = [chosen.len().max(1), 1, SIDE[0], SIDE[1]];
    let images = maximise(&net.store, shape, options, |cx, image| {
        let features = net.model.features(net.model.map(cx, cx.graph.concat(&[image; 3], 1)));
        let of = |(row, channel): (usize, &usize)| features.slice(0, row, row + 1).slice(1, *channel, channel + 1);
        let all: Vec<_> = chosen.iter().enumerate().map(of).collect();
        cx.graph.concat(&all, 0).sum()
    })?;
    let mut drawn = Vec::new();
    let mut found = Vec::new();
    for (channel, image) in chosen.iter().zip(images) {
        let Some(image) = image else { continue };
        found.push((
            Tile::new(Image::gray(&stretched(&image), SIDE, (0.0, 1.0))?, ""),
            Tile::new(gray(&faces[answers.face[*channel]])?, format!("channel {channel}")),
        ));
    }
    for row in found.chunks(IN_A_ROW) {
        let blank = || Ok::<_, Error>(Tile::new(Image::gray(&[1.0; SIDE[0] * SIDE[1]], SIDE, (0.0, 1.0))?, ""));
        let fill = |count: usize| (0..count).map(|_| blank()).collect::<Result<Vec<_>>>();
        let missing = IN_A_ROW.min(found.len()) - row.len();
        drawn.extend(row.iter().map(|pair| pair.0.clone()).chain(fill(missing)?));
        drawn.extend(row.iter().map(|pair| pair.1.clone()).chain(fill(missing)?));
    }
    let path = out.join("filters.svg");
    let options = TilesOptions {
        title: "What channels of the last layer look for".to_string(),
        columns: IN_A_ROW.min(found.len()),
        rows: ["best image found", "best face"]
            .repeat(found.len().div_ceil(IN_A_ROW))
            .into_iter()
            .map(String::from)
            .collect(),
        ..Default::default()
    };
    tiles(&path, &drawn, &options)?;
    let (count, channels, silent) = (found.len(), answers.best.len(), answers.silent());
    Ok((path, format!("activation maximisation of {count} of {channels} channels; {silent} answer to no face")))
}

/// What each channel answers to the faces.
struct Answers {
    /// The largest mean over a face, and of which face it is.
    best: Vec<f32>,
    face: Vec<usize>,
}

impl Answers {
    fn of(seen: &Seen) -> Self {
        let places = seen.size[1] * seen.size[2];
        let mut answers = Answers { best: vec![0.0; seen.size[0]], face: vec![0; seen.size[0]] };
        for (index, map) in seen.map.chunks(places).enumerate() {
            let (face, channel) = (index / seen.size[0], index % seen.size[0]);
            let mean = map.iter().sum::<f32>() / places as f32;
            if mean > answers.best[channel] {
                (answers.best[channel], answers.face[channel]) = (mean, face);
            }
        }
        answers
    }

    fn silent(&self) -> usize {
        self.best.iter().filter(|best| **best <= 0.0).count()
    }

    /// `most` channels that answer, evenly among all that do; if none does, the first.
    fn spread(&self, most: usize) -> Vec<usize> {
        let alive: Vec<usize> = (0..self.best.len()).filter(|channel| self.best[*channel] > 0.0).collect();
        let count = alive.len().min(most);
        (0..count).map(|index| alive[index * alive.len() / count]).chain(alive.is_empty().then_some(0)).collect()
    }
}

/// Brought to [0, 1], but for one value in a hundred at either end.
fn stretched(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let (low, high) = (sorted[last / 100], sorted[last - last / 100]);
    values.iter().map(|value| ((value - low) / (high - low).max(f32::MIN_POSITIVE)).clamp(0.0, 1.0)).collect()
}

/// How activations are distributed in each block of the network, printed and drawn.
pub fn layers(net: &FaceNet, out: &Path) -> Result<Picture> {
    let faces = crowd(16, &mut Dice(9));
    let sizes = net.model.config();
    let block = |(index, (_, blocks)): (usize, &(usize, usize))| {
        (0..*blocks).map(move |block| format!("layer{}.{block}", index + 1)).collect::<Vec<_>>()
    };
    let names: Vec<String> =
        std::iter::once("conv1".to_string()).chain(sizes.layers.iter().enumerate().flat_map(block)).collect();
    println!(
        "| layer | mean | deviation | smallest | largest | zeros (%) | silent channels |\n|:--|--:|--:|--:|--:|--:|--:|"
    );
    let (mut means, mut deviations) = (Vec::new(), Vec::new());
    for name in &names {
        let seen = see(net, &faces, Some(name))?;
        let Distribution { mean, deviation, smallest, largest, zeros } = Distribution::of(&seen.map)?;
        let (silent, channels) = (Answers::of(&seen).silent(), seen.size[0]);
        let zeros = 100.0 * zeros;
        println!(
            "| {name} | {mean:.3} | {deviation:.3} | {smallest:.3} | {largest:.3} | {zeros:.1} | {silent} of {channels} |"
        );
        means.push(mean);
        deviations.push(deviation);
    }
    let path = out.join("layers.svg");
    let options = BarsOptions {
        title: "Activations of each block, over drawn faces".to_string(),
        value_label: "activation".to_string(),
        horizontal: true,
        ..Default::default()
    };
    let series = |name: &str, values| BarSeries { name: name.to_string(), values, errors: Vec::new() };
    bars(&path, &names, &[series("mean", means), series("standard deviation", deviations)], &options)?;
    Ok((path, "mean and deviation of the activations of each block".to_string()))
}

/// The features that vary most over a clip.
pub fn course(net: &FaceNet, out: &Path) -> Result<Picture> {
    let frames = clip();
    let seen = see(net, &frames, None)?;
    let [channels, height, width] = seen.size;
    let places = height * width;
    let at = |frame: usize, channel: usize| {
        let map = &seen.map[(frame * channels + channel) * places..][..places];
        map.iter().map(|x| f64::from(*x)).sum::<f64>() / places as f64
    };
    let features = |channel: usize| (0..frames.len()).map(|frame| at(frame, channel)).collect::<Vec<f64>>();
    let spread = |channel: &usize| {
        let values = features(*channel);
        let (low, high) =
            (values.iter().copied().fold(f64::INFINITY, f64::min), values.iter().copied().fold(0.0, f64::max));
        high - low
    };
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by(|a, b| spread(b).total_cmp(&spread(a)));
    let series = order.iter().take(5).map(|channel| {
        let points = features(*channel).into_iter().enumerate();
        let points = points.map(|(frame, value)| (frame as f64 / FRAME_RATE, value)).collect();
        Series { name: format!("feature {channel}"), points, ..Default::default() }
    });
    let path = out.join("features_over_time.svg");
    let options = CurvesOptions {
        title: "Features over a clip in which a smile comes and goes".to_string(),
        x_label: "time (s)".to_string(),
        y_label: "activation".to_string(),
        ..Default::default()
    };
    curves(&path, &series.collect::<Vec<_>>(), &options)?;
    Ok((path, "the five features that change most over a clip".to_string()))
}

pub fn film(net: &FaceNet, target: usize, out: &Path) -> Result<Picture> {
    let frames = clip();
    let seen = see(net, &frames, None)?;
    let cams = to_largest(cams(net, &seen, target)?);
    let beside = |(levels, cam): (&Vec<u8>, &Vec<f32>)| {
        let face = gray(levels)?;
        Image::beside(&[face.enlarged(4), face.under_heat(cam, 0.75)?.enlarged(4)], 8)
    };
    let images = frames.iter().zip(&cams).map(beside).collect::<Result<Vec<_>>>()?;
    let path = out.join("grad_cam.gif");
    animation(&path, &images, 1.0 / FRAME_RATE)?;
    images[FRAMES / 2].save_png(out.join("grad_cam_frame.png"))?;
    Ok((path, format!("the clip beside Grad-CAM of '{}'; one frame of it as grad_cam_frame.png", net.outputs[target])))
}
