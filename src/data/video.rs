//! Clips of someone's face with labels of the five traits: pictures for a model of faces, frames for a model of motion, and batches of
//! them.

use super::batches::{shuffled, split_mix};
use super::image::Image;
use crate::error::{Error, Result};
use crate::plan::Batch;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mean and standard deviation of red, green and blue over ImageNet, of levels in [0, 1]: what torchvision's weights expect.
const IMAGENET: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
/// Frames a second that are taken from a video file.
pub const VIDEO_RATE: usize = 10;
/// Seconds of a video file that are looked at.
const VIDEO_SECONDS: usize = 60;

/// How many pictures a clip has and how large they are, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct VideoShape {
    /// Pictures of the face, spread over the clip, in colour.
    pub faces: usize,
    /// Their width and height.
    pub face_size: usize,
    /// Frames in a row, for the motion between them, in gray.
    pub frames: usize,
    /// Their width and height.
    pub frame_size: usize,
}

impl VideoShape {
    /// Values of a clip's faces, `[faces, 3, face_size, face_size]`.
    pub fn face_values(&self) -> usize {
        self.faces * 3 * self.face_size * self.face_size
    }

    /// Values of a clip's frames, `[frames, frame_size, frame_size]`.
    pub fn frame_values(&self) -> usize {
        self.frames * self.frame_size * self.frame_size
    }

    /// Values of the flow between neighbouring frames, `[2, frames - 1, frame_size, frame_size]`.
    pub fn flow_values(&self) -> usize {
        2 * self.frames.saturating_sub(1) * self.frame_size * self.frame_size
    }

    /// Checks that there is something to see and to move.
    pub fn check(&self) -> Result<()> {
        let sizes = [self.face_size, self.frame_size];
        if self.faces == 0 || self.frames < 2 || sizes.iter().any(|size| !(8..=1024).contains(size)) {
            let message = "a clip wants at least 1 picture of the face and 2 frames, of 8 to 1024 pixels a side";
            return Err(Error::Config(message.to_string()));
        }
        if self.faces > 1024 || self.frames > 1024 {
            return Err(Error::Config("a clip of more than 1024 pictures: ask for fewer".to_string()));
        }
        Ok(())
    }
}

/// One clip.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VideoClip {
    pub id: String,
    /// Levels `[faces, 3, face_size, face_size]`.
    pub faces: Vec<u8>,
    /// Gray levels `[frames, frame_size, frame_size]`; may be empty once there is the flow.
    pub frames: Vec<u8>,
    /// Optical flow in pixels, `[2, frames - 1, frame_size, frame_size]`, right and down; empty until it is computed.
    pub flow: Vec<f16>,
    /// Openness, conscientiousness, extraversion, agreeableness, neuroticism, in [0, 1].
    pub traits: [f32; 5],
}

impl VideoClip {
    /// A clip of pictures in order of time, without labels: faces from `portraits`, evenly spread, motion from the middle of `scenes`.
    /// Where `scenes` are too few, the last one stands still.
    ///
    /// # Errors
    /// Where there is no picture, and where `shape` has none to take.
    pub fn from_images(id: String, portraits: &[Image], scenes: &[Image], shape: &VideoShape) -> Result<Self> {
        shape.check()?;
        if portraits.is_empty() || scenes.is_empty() {
            return Err(Error::Config(format!("clip {id} has no picture")));
        }
        let face = |place: usize| portraits[place].square(shape.face_size).planes();
        let frame = |place: usize| scenes[place].square(shape.frame_size).luma();
        Ok(VideoClip {
            id,
            faces: spread(portraits.len(), shape.faces).flat_map(face).collect(),
            frames: middle(scenes.len(), shape.frames).flat_map(frame).collect(),
            ..VideoClip::default()
        })
    }

    /// [`VideoClip::from_images`] of the picture files of a clip; those that the clip takes nothing from are not read.
    pub fn from_files(id: String, portraits: &[PathBuf], scenes: &[PathBuf], shape: &VideoShape) -> Result<Self> {
        shape.check()?;
        if portraits.is_empty() || scenes.is_empty() {
            return Err(Error::Config(format!("clip {id} has no picture")));
        }
        let read = |paths: &[PathBuf], places: Vec<usize>| {
            places.into_iter().map(|place| Image::read(&paths[place])).collect::<Result<Vec<_>>>()
        };
        let portraits = read(portraits, spread(portraits.len(), shape.faces).collect())?;
        let scenes = read(scenes, middle(scenes.len(), shape.frames).collect())?;
        Self::from_images(id, &portraits, &scenes, shape)
    }

    /// [`VideoClip::from_images`] of a video file of any format that an installed `ffmpeg` reads: its first minute, at [`VIDEO_RATE`].
    ///
    /// # Errors
    /// [`Error::Io`] where there is no such file, no `ffmpeg`, or it cannot read the file.
    pub fn from_video(path: &Path, shape: &VideoShape) -> Result<Self> {
        Self::from_video_by("ffmpeg".as_ref(), path, shape)
    }

    /// [`VideoClip::from_video`] by the program at `ffmpeg`.
    pub fn from_video_by(ffmpeg: &Path, path: &Path, shape: &VideoShape) -> Result<Self> {
        shape.check()?;
        if !path.is_file() {
            return Err(Error::io(path, "there is no such file; check the path"));
        }
        let side = shape.face_size.max(shape.frame_size);
        let filter = format!(
            "fps={VIDEO_RATE},scale={side}:{side}:force_original_aspect_ratio=increase:flags=area,crop={side}:{side}"
        );
        let mut command = Command::new(ffmpeg);
        command.args(["-nostdin", "-v", "error", "-t", &VIDEO_SECONDS.to_string(), "-i"]).arg(path);
        command.args(["-vf", &filter, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).stdin(Stdio::null());
        let output = command.output().map_err(|error| {
            let program = ffmpeg.display();
            let message = format!(
                "video files are read with the program '{program}', which did not start ({error}): install ffmpeg, or give a folder of JPEG or PNG frames"
            );
            Error::io(path, message)
        })?;
        let pictures =
            output.stdout.chunks_exact(side * side * 3).map(|pixels| Image::rgb(side, side, pixels.to_vec()));
        let pictures = pictures.collect::<Result<Vec<_>>>()?;
        if !output.status.success() || pictures.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it found no picture");
            return Err(Error::io(path, format!("ffmpeg cannot read this as a video: {said}")));
        }
        Self::from_images(path.display().to_string(), &pictures, &pictures, shape)
    }
}

/// `wanted` of `count` places, in the middle of as many equal parts.
fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..wanted).map(move |index| (2 * index + 1) * count / (2 * wanted))
}

/// `wanted` places in a row around the middle of `count`; where those are fewer, the last one again and again.
fn middle(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let start = count.saturating_sub(wanted) / 2;
    (start..start + wanted).map(move |place| place.min(count - 1))
}

/// Train, validation and test clips of one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoCorpus {
    /// What the data is, for people.
    pub name: String,
    pub shape: VideoShape,
    pub train: Vec<VideoClip>,
    pub valid: Vec<VideoClip>,
    pub test: Vec<VideoClip>,
    /// Clips with labels but without pictures, which were left out.
    pub missing: usize,
}

/// Cuts clips into batches of a fixed size: inputs `faces [batch, faces, 3, size, size]`, normalised as ImageNet is, and
/// `flow [batch, 2, frames - 1, size, size]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoBatches<'a> {
    clips: &'a [VideoClip],
    shape: VideoShape,
    batch: usize,
}

impl<'a> VideoBatches<'a> {
    /// # Errors
    /// Where there are no clips, or one has not the pictures and flow that `shape` asks for.
    pub fn new(clips: &'a [VideoClip], shape: VideoShape, batch: usize) -> Result<Self> {
        shape.check()?;
        if clips.is_empty() || batch == 0 {
            return Err(Error::Config(format!("nothing to batch: {} clips in batches of {batch}", clips.len())));
        }
        let sizes = (shape.face_values(), shape.flow_values());
        if let Some(odd) = clips.iter().find(|clip| (clip.faces.len(), clip.flow.len()) != sizes) {
            let message =
                format!("clip {} has {} values of faces and {} of flow, not", odd.id, odd.faces.len(), odd.flow.len());
            return Err(Error::Config(format!("{message} {sizes:?}: compute the flow of all clips first")));
        }
        Ok(VideoBatches { clips, shape, batch })
    }

    /// Batches of an epoch of training.
    pub fn len(&self) -> usize {
        self.clips.len() / self.batch
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batches for scoring, in the clips' own order; the rows that fill the last one up are zeros.
    pub fn in_order(&self) -> impl Iterator<Item = Batch> + '_ {
        self.clips.chunks(self.batch).map(|clips| self.batch_of(clips.iter().map(|clip| (clip, false))))
    }

    /// Batches for training, with `target [batch, 5]`, in an order that depends on `seed` and `epoch` alone; with `mirror` half of the
    /// clips are seen in a mirror. All are full, since batch norm would see what fills one up: those clips that are left over in one
    /// epoch come in another.
    pub fn shuffled(&self, seed: u64, epoch: u64, mirror: bool) -> impl Iterator<Item = Batch> + '_ {
        let order = shuffled(self.clips.len(), seed, epoch);
        (0..self.len()).map(move |index| {
            let chosen = &order[index * self.batch..(index + 1) * self.batch];
            let mirrored = |place: usize| {
                let mut state = seed ^ epoch.rotate_left(32) ^ (place as u64).rotate_left(16);
                mirror && split_mix(&mut state) & 1 == 1
            };
            let targets = chosen.iter().flat_map(|&place| self.clips[place].traits).collect();
            let clips = chosen.iter().map(|&place| (&self.clips[place], mirrored(place)));
            self.batch_of(clips).float("target", targets)
        })
    }

    fn batch_of<'b>(&self, clips: impl ExactSizeIterator<Item = (&'b VideoClip, bool)>) -> Batch {
        let shape = &self.shape;
        let mut faces = vec![0.0; self.batch * shape.face_values()];
        let mut flow = vec![0.0; self.batch * shape.flow_values()];
        let batch = Batch::new(clips.len());
        for (row, (clip, mirrored)) in clips.enumerate() {
            let values = &mut faces[row * shape.face_values()..][..shape.face_values()];
            write_faces(&clip.faces, shape.face_size, values);
            let motion = &mut flow[row * shape.flow_values()..][..shape.flow_values()];
            clip.flow.convert_to_f32_slice(motion);
            if mirrored {
                values.chunks_exact_mut(shape.face_size).for_each(<[f32]>::reverse);
                motion.chunks_exact_mut(shape.frame_size).for_each(<[f32]>::reverse);
                // what moved right now moves left
                motion[..shape.flow_values() / 2].iter_mut().for_each(|value| *value = -*value);
            }
        }
        batch.float("faces", faces).float("flow", flow)
    }
}

/// Levels to numbers as ImageNet's are, channel by channel.
fn write_faces(levels: &[u8], size: usize, values: &mut [f32]) {
    let planes = levels.chunks_exact(size * size).zip(values.chunks_exact_mut(size * size));
    for (index, (from, to)) in planes.enumerate() {
        let (mean, deviation) = IMAGENET[index % 3];
        to.iter_mut().zip(from).for_each(|(to, from)| *to = (f32::from(*from) / 255.0 - mean) / deviation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_without_pictures_is_an_error() {
        let shape = VideoShape { faces: 1, face_size: 16, frames: 4, frame_size: 16 };
        let image = [Image::rgb(8, 8, vec![0; 8 * 8 * 3]).unwrap()];
        let clip = |shape: &VideoShape| VideoClip::from_images("a".to_string(), &image, &image, shape);
        assert!(clip(&shape).is_ok());
        for wrong in
            [VideoShape { face_size: 0, ..shape }, VideoShape { frames: 0, ..shape }, VideoShape { faces: 0, ..shape }]
        {
            assert!(clip(&wrong).unwrap_err().to_string().contains("a clip wants"), "{wrong:?}");
            assert!(VideoClip::from_files("a".to_string(), &[], &[], &wrong).is_err());
            let batches = VideoBatches::new(&[VideoClip::default()], wrong, 1).map(|_| ());
            assert!(batches.unwrap_err().to_string().contains("a clip wants"), "{wrong:?}");
        }
        assert!(image[0].square(0).luma().is_empty());
    }

    #[test]
    fn pictures_are_taken_from_all_over_the_clip_and_frames_from_its_middle() {
        assert_eq!(spread(10, 2).collect::<Vec<_>>(), [2, 7]);
        assert_eq!(spread(1, 3).collect::<Vec<_>>(), [0, 0, 0]);
        assert_eq!(middle(10, 4).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(middle(2, 4).collect::<Vec<_>>(), [0, 1, 1, 1]);
    }
}
