//! One function per picture of what a network of faces and motion sees in a clip; each returns the file and what it shows.

use crate::clip::{Attention, Cams, ClipNet, Seen, to_largest};
use crate::look::Picture;
use half::slice::HalfFloatSliceExt;
use limbic::Result;
use limbic::data::builtin::FRAME_RATE;
use limbic::models::personality::TRAITS;
use limbic::viz::*;
use std::path::Path;

/// Motions of the attention picture.
const MOTIONS: usize = 4;
/// How strongly heat covers a picture.
const COVER: f64 = 0.75;

/// A clip with all that is drawn of it.
pub struct Watched<'a> {
    net: &'a ClipNet,
    seen: Seen,
    cams: Vec<Cams>,
    /// `[frames - 1][2, size, size]`, and the motion that 99 of 100 vectors stay below.
    flows: Vec<Vec<f32>>,
    largest_motion: f64,
}

impl<'a> Watched<'a> {
    pub fn new(net: &'a ClipNet) -> Result<Self> {
        let seen = net.see()?;
        let cams = net.cams(&seen)?;
        let mut flow = vec![0.0; net.clip.flow.len()];
        net.clip.flow.convert_to_f32_slice(&mut flow);
        // from one component after the other to one step after the other
        let (right, down) = flow.split_at(flow.len() / 2);
        let plane = net.shape.frame_size.pow(2);
        let flows: Vec<Vec<f32>> = right.chunks(plane).zip(down.chunks(plane)).map(|(x, y)| [x, y].concat()).collect();
        let mut lengths: Vec<f64> = right.iter().zip(down).map(|(x, y)| f64::from(x.hypot(*y))).collect();
        lengths.sort_by(f64::total_cmp);
        let largest_motion = lengths[(lengths.len() - 1) * 99 / 100].max(0.1);
        Ok(Watched { net, seen, cams, flows, largest_motion })
    }

    fn size(&self) -> [usize; 2] {
        [self.net.shape.frame_size; 2]
    }

    /// The frame in the middle of a step of the motion's map.
    fn frame_of(&self, step: usize) -> usize {
        (2 * step + 1) * self.flows.len() / (2 * self.seen.steps())
    }

    fn frame(&self, index: usize) -> Result<Image> {
        let plane = self.net.shape.frame_size.pow(2);
        let levels: Vec<f32> = self.net.clip.frames[index * plane..][..plane].iter().map(|x| f32::from(*x)).collect();
        Image::gray(&levels, self.size(), (0.0, 255.0))
    }

    fn face(&self, index: usize) -> Result<Image> {
        let (size, plane) = (self.net.shape.face_size, self.net.shape.face_size.pow(2));
        let planes = &self.net.clip.faces[index * 3 * plane..][..3 * plane];
        let pixels = (0..plane).flat_map(|i| [planes[i], planes[plane + i], planes[2 * plane + i]]);
        Image::new(size, size, pixels.collect())
    }

    fn flow(&self, index: usize) -> Result<Image> {
        Image::flow(&self.flows[index], self.size(), self.largest_motion)
    }

    /// An image for each step of the motion's map.
    fn each_step(&self, image: impl Fn(usize) -> Result<Image>) -> Result<Vec<Tile>> {
        (0..self.seen.steps()).map(|step| Ok(Tile::new(image(step)?, ""))).collect()
    }

    fn headings(&self) -> Vec<String> {
        (0..self.seen.steps()).map(|step| format!("frame {}", self.frame_of(step) + 1)).collect()
    }

    /// The channel of the motion's map with the largest value, and its map of each step, at the frames' size and by that value.
    fn strongest(&self) -> Result<(usize, Vec<Vec<f32>>)> {
        let places = self.seen.motion_places();
        let one = places[0] * places[1];
        let largest = |channel: &[f32]| channel.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
        let channels = self.seen.motion.chunks(one * self.seen.steps());
        let (index, channel) =
            channels.enumerate().max_by(|a, b| largest(a.1).total_cmp(&largest(b.1))).unwrap_or((0, &[]));
        let maps = channel.chunks(one).map(|map| resize_bilinear(map, places, self.size()));
        Ok((index, to_largest(maps.collect::<Result<_>>()?)))
    }

    /// Frames, flow, an activation and Grad-CAM side by side.
    pub fn motion(&self, target: usize, out: &Path) -> Result<Picture> {
        let (channel, activation) = self.strongest()?;
        let cam = &self.cams[target].motion;
        let frame = |step| self.frame(self.frame_of(step));
        let drawn = [
            self.each_step(frame)?,
            self.each_step(|step| self.flow(self.frame_of(step)))?,
            self.each_step(|step| Image::heat(&activation[step], self.size(), (0.0, 1.0)))?,
            self.each_step(|step| frame(step)?.under_heat(&cam[step], COVER))?,
        ];
        let path = out.join("motion.svg");
        let options = TilesOptions {
            title: "A clip, its optical flow, and what the motion network sees".to_string(),
            columns: self.seen.steps(),
            headings: self.headings(),
            rows: vec![
                "frame".to_string(),
                "flow to the next frame".to_string(),
                format!("activation, channel {channel}"),
                format!("Grad-CAM, {}", TRAITS[target]),
            ],
            colors: Some((0.0, 1.0, "share of the largest".to_string())),
            motion: Some(self.largest_motion),
            ..Default::default()
        };
        tiles(&path, &drawn.concat(), &options)?;
        let what = format!("frames, flow, activation and Grad-CAM of '{}' over time", TRAITS[target]);
        Ok((path, what))
    }

    /// The same as a film.
    pub fn film(&self, target: usize, out: &Path) -> Result<Picture> {
        let (_, activation) = self.strongest()?;
        let cam = &self.cams[target].motion;
        let images = (0..self.flows.len()).map(|index| {
            let (step, frame) = (index * self.seen.steps() / self.flows.len(), self.frame(index)?);
            let activation = Image::heat(&activation[step], self.size(), (0.0, 1.0))?;
            let parts = [frame.clone(), self.flow(index)?, activation, frame.under_heat(&cam[step], COVER)?];
            let factor = (192 / self.net.shape.frame_size).max(1);
            Image::beside(&parts.map(|image| image.enlarged(factor)), 8)
        });
        let path = out.join("motion.gif");
        animation(&path, &images.collect::<Result<Vec<_>>>()?, 1.0 / FRAME_RATE)?;
        Ok((path, "the same as a film: frame, flow, activation, Grad-CAM".to_string()))
    }

    /// Grad-CAM of every trait over the faces and over the motion.
    pub fn traits(&self, out: &Path) -> Result<Picture> {
        let faces = self.net.shape.faces;
        let mut drawn = Vec::new();
        for cams in &self.cams {
            for (index, cam) in cams.faces.iter().enumerate() {
                drawn.push(Tile::new(self.face(index)?.under_heat(cam, COVER)?, ""));
            }
            drawn
                .extend(self.each_step(|step| self.frame(self.frame_of(step))?.under_heat(&cams.motion[step], COVER))?);
        }
        let path = out.join("grad_cam_traits.svg");
        let options = TilesOptions {
            title: "Grad-CAM of the five traits, on the face and on the motion".to_string(),
            columns: faces + self.seen.steps(),
            headings: (0..faces).map(|index| format!("face {}", index + 1)).chain(self.headings()).collect(),
            rows: TRAITS.iter().zip(&self.seen.traits).map(|(name, value)| format!("{name} {value:.2}")).collect(),
            colors: Some((0.0, 1.0, "importance (1: most of a trait)".to_string())),
            ..Default::default()
        };
        tiles(&path, &drawn, &options)?;
        Ok((path, "Grad-CAM of the five traits, on the face and on the motion".to_string()))
    }

    /// What attention over tokens looks like; `None` where the network has a vector of each only.
    pub fn attention(&self, out: &Path) -> Result<Option<[Picture; 2]>> {
        let Some(attention) = &self.seen.attention else { return Ok(None) };
        Ok(Some([self.attended(attention, out)?, self.attending(attention, out)?]))
    }

    /// What the face attends to, over the frames.
    fn attended(&self, attention: &Attention, out: &Path) -> Result<Picture> {
        let received: Vec<Vec<f32>> = heads(attention).map(|head| attention.received(head)).collect();
        let range = range_of(received.iter().flatten());
        let places = self.seen.motion_places();
        let one = places[0] * places[1];
        let mut drawn = self.each_step(|step| self.frame(self.frame_of(step)))?;
        drawn.extend(self.each_step(|step| self.flow(self.frame_of(step)))?);
        for of_head in &received {
            let over = |step: usize| {
                let heat = resize_bilinear(&within(&of_head[step * one..][..one], range), places, self.size())?;
                self.frame(self.frame_of(step))?.under_heat(&heat, COVER)
            };
            drawn.extend(self.each_step(over)?);
        }
        let path = out.join("attention_motion.svg");
        let options = TilesOptions {
            title: "Where and when the face attends to the motion".to_string(),
            columns: self.seen.steps(),
            headings: self.headings(),
            rows: ["frame", "flow to the next frame"].map(String::from).into_iter().chain(names(attention)).collect(),
            colors: Some((f64::from(range.0), f64::from(range.1), "attention (1: even)".to_string())),
            motion: Some(self.largest_motion),
            ..Default::default()
        };
        tiles(&path, &drawn, &options)?;
        Ok((path, "attention over the motion's places and times, head by head, from the whole face".to_string()))
    }

    /// Which places of the face attend to the motions that are attended to most.
    fn attending(&self, attention: &Attention, out: &Path) -> Result<Picture> {
        let chosen = self.most_attended(attention);
        let given: Vec<Vec<Vec<f32>>> =
            chosen.iter().map(|key| heads(attention).map(|head| attention.given(head, *key)).collect()).collect();
        let range = range_of(given.iter().flatten().flatten());
        let [rows, columns] = self.seen.motion_places();
        let places = self.seen.face_places();
        let mut drawn = Vec::new();
        for (key, given) in chosen.iter().zip(&given) {
            let (step, row, column) = (key / (rows * columns), key / columns % rows, key % columns);
            let pixel = |at: usize, count: usize| at * self.net.shape.frame_size / count;
            let (from, to) =
                ([pixel(row, rows), pixel(column, columns)], [pixel(row + 1, rows), pixel(column + 1, columns)]);
            drawn.push(Tile::new(
                self.frame(self.frame_of(step))?.enlarged(4).outlined(from.map(|x| 4 * x), to.map(|x| 4 * x)),
                "",
            ));
            for weights in given {
                // the first picture of the face
                let heat = within(&weights[..places[0] * places[1]], range);
                let heat = resize_bilinear(&heat, places, [self.net.shape.face_size; 2])?;
                drawn.push(Tile::new(self.face(0)?.under_heat(&heat, COVER)?, ""));
            }
        }
        let path = out.join("attention_face.svg");
        let options = TilesOptions {
            title: "Which places of the face attend to a motion".to_string(),
            columns: attention.heads + 2,
            headings: std::iter::once("motion".to_string()).chain(names(attention)).collect(),
            rows: chosen.iter().map(|key| format!("frame {}", self.frame_of(key / (rows * columns)) + 1)).collect(),
            colors: Some((f64::from(range.0), f64::from(range.1), "attention (1: even)".to_string())),
            ..Default::default()
        };
        tiles(&path, &drawn, &options)?;
        Ok((path, "attention of the face's places to the motions (framed) that are attended to most".to_string()))
    }

    /// The place that gets most attention in each of the steps that get most, in order of time.
    fn most_attended(&self, attention: &Attention) -> Vec<usize> {
        let received = attention.received(None);
        let one = attention.keys / self.seen.steps();
        let most = |step: usize| (step * one..(step + 1) * one).max_by(|a, b| received[*a].total_cmp(&received[*b]));
        let mut keys: Vec<usize> = (0..self.seen.steps()).filter_map(most).collect();
        keys.sort_by(|a, b| received[*b].total_cmp(&received[*a]));
        keys.truncate(MOTIONS);
        keys.sort_unstable();
        keys
    }
}

/// Each head, then the mean of all.
fn heads(attention: &Attention) -> impl Iterator<Item = Option<usize>> {
    (0..attention.heads).map(Some).chain([None])
}

fn names(attention: &Attention) -> impl Iterator<Item = String> {
    heads(attention).map(|head| head.map_or("all heads".to_string(), |head| format!("head {}", head + 1)))
}

fn range_of<'a>(values: impl Iterator<Item = &'a f32>) -> (f32, f32) {
    let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    // what is even everywhere has one colour
    (low, high.max(low + 1e-3))
}

fn within(values: &[f32], (low, high): (f32, f32)) -> Vec<f32> {
    values.iter().map(|value| (value - low) / (high - low)).collect()
}
