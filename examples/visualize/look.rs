//! One function per picture; each returns the file and what it shows.

use crate::faces::{Dice, FaceNet, image};
use limbic::data::builtin::{Expression, FRAME_RATE, FRAME_SIZE, Look, render};
use limbic::graph::Graph;
use limbic::nn::Context;
use limbic::plan::{Mode, Plan};
use limbic::viz::*;
use limbic::{Error, Result};
use std::path::{Path, PathBuf};

const SIDE: [usize; 2] = [FRAME_SIZE; 2];
/// Frames of the clip that is followed.
const FRAMES: usize = 24;

type Picture = (PathBuf, String);

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

/// All by the largest value of any, so that they can be compared.
fn scaled(cams: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let most = cams.iter().flatten().fold(f32::MIN_POSITIVE, |most, value| most.max(*value));
    cams.into_iter().map(|cam| cam.into_iter().map(|value| value / most).collect()).collect()
}

pub fn grad_cams(net: &FaceNet, target: usize, out: &Path) -> Result<Picture> {
    let faces = [(0.9, 0.0, 1.0), (0.4, 0.6, 1.0), (0.0, 0.0, 1.0), (-0.9, 0.0, 1.0), (0.0, 1.0, 1.4)]
        .map(|(s, m, e)| face(s, m, e));
    let seen = see(net, &faces, None)?;
    let cams = scaled(cams(net, &seen, target)?);
    let outputs = net.outputs.len();
    let (mut above, mut middle, mut below) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (levels, cam)) in faces.iter().zip(&cams).enumerate() {
        let face = gray(levels)?;
        let score = seen.outputs[index * outputs + target];
        above.push(Tile::new(face.clone(), format!("{} {score:.2}", net.outputs[target])));
        middle.push(Tile::new(Image::heat(cam, SIDE, (0.0, 1.0))?, ""));
        below.push(Tile::new(face.under_heat(cam, 0.75)?, ""));
    }
    let path = out.join("grad_cam.svg");
    let options = TilesOptions {
        title: format!("Grad-CAM of '{}'", net.outputs[target]),
        columns: faces.len(),
        tile: 110.0,
        colors: Some((0.0, 1.0, "importance".to_string())),
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

/// The images that some channels of the last map answer to most.
pub fn filters(net: &FaceNet, out: &Path) -> Result<Picture> {
    let channels = net.model.config().features();
    let count = channels.min(16);
    let chosen: Vec<usize> = (0..count).map(|index| index * channels / count).collect();
    let mut dice = Dice(3);
    let start = (0..count * 3 * SIDE[0] * SIDE[1]).map(|_| dice.uniform(-0.1, 0.1) as f32).collect();
    let shape = [count, 3, SIDE[0], SIDE[1]];
    let images = maximise(&net.store, shape, start, &MaximiseOptions::default(), |cx, image| {
        let features = net.model.features(net.model.map(cx, image));
        let of = |(row, channel): (usize, &usize)| features.slice(0, row, row + 1).slice(1, *channel, channel + 1);
        let all: Vec<_> = chosen.iter().enumerate().map(of).collect();
        cx.graph.concat(&all, 0).sum()
    })?;
    let tile = |(channel, image): (&usize, &[f32])| {
        // the three channels are one gray level each in the faces: their mean is what was found
        let plane = SIDE[0] * SIDE[1];
        let mean: Vec<f32> = (0..plane).map(|i| (image[i] + image[plane + i] + image[2 * plane + i]) / 3.0).collect();
        Ok(Tile::new(Image::gray(&to_unit(&mean), SIDE, (0.0, 1.0))?, format!("{channel}")))
    };
    let drawn = chosen.iter().zip(images.chunks(3 * SIDE[0] * SIDE[1])).map(tile).collect::<Result<Vec<_>>>()?;
    let path = out.join("filters.svg");
    let title = "What channels of the last layer look for".to_string();
    tiles(&path, &drawn, &TilesOptions { title, ..Default::default() })?;
    Ok((path, format!("activation maximisation of {count} channels")))
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
    let cams = scaled(cams(net, &seen, target)?);
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
