//! ChaLearn First Impressions: 15-second clips of people talking to a camera, with the five traits as others saw them.
//!
//! ```text
//! DIR/annotation_{training,validation,test}.pkl           a Python 2 pickle: trait -> {"<video>.mp4": label in [0, 1]}
//! DIR/image_data/<split>_data/<video>/frame_<n>.jpg       frames of the clip
//! DIR/image_data/<split>_data_face/<video>/face_<n>.jpg   the face cut out of them
//! ```
//!
//! Faces come from the second folder and motion from the first; where one is not there the other serves for both. Pictures may be JPEG
//! or PNG and are ordered by the number that ends their name. The test split may be absent. Further keys of the pickle (`interview`) are
//! not used. `<video>` is the name with or without `.mp4`. Clips that have labels but no folder are left out and counted.

use super::pickle;
use super::threads::in_threads;
use super::video::{VideoClip, VideoCorpus, VideoShape};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The annotations' keys in the order of [`VideoClip::traits`].
const TRAITS: [&str; 5] = ["openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism"];
/// Memory that all clips together may take.
const MOST_BYTES: usize = 16 << 30;

/// Loads the data set in `dir`, the first `most` clips of each split by name where that is given, at the sizes of `shape`.
///
/// # Errors
/// [`Error::Io`] where a file or folder is not there or cannot be read; [`Error::Format`] naming the file, and the trait and clip, of a label
/// that is missing or out of range, or of a picture that is damaged; [`Error::Config`] where the clips would not fit into memory.
pub fn load(dir: &Path, shape: &VideoShape, most: Option<usize>) -> Result<VideoCorpus> {
    shape.check()?;
    let mut corpus = VideoCorpus {
        name: format!("ChaLearn First Impressions in {}", dir.display()),
        shape: *shape,
        train: Vec::new(),
        valid: Vec::new(),
        test: Vec::new(),
        missing: 0,
    };
    for (split, needed) in [("training", true), ("validation", true), ("test", false)] {
        let path = dir.join(format!("annotation_{split}.pkl"));
        if !needed && !path.is_file() {
            continue;
        }
        let labels = read_labels(&path)?;
        let (clips, missing) = read_clips(dir, split, labels, shape, most)?;
        corpus.missing += missing;
        match split {
            "training" => corpus.train = clips,
            "validation" => corpus.valid = clips,
            _ => corpus.test = clips,
        }
    }
    Ok(corpus)
}

/// The labels of each video of an annotation file, by its name without `.mp4`.
fn read_labels(path: &Path) -> Result<BTreeMap<String, [f32; 5]>> {
    if !path.is_file() {
        let message = "is not there: name the folder that holds ChaLearn's annotation_training.pkl and image_data";
        return Err(Error::io(path, message));
    }
    let document = pickle::read(path)?;
    let mut labels: BTreeMap<String, [Option<f32>; 5]> = BTreeMap::new();
    for (index, name) in TRAITS.iter().enumerate() {
        for (video, item) in document.root().get(name)?.entries()? {
            let label = item.number()?;
            if !(0.0..=1.0).contains(&label) {
                return Err(item.error(format!("the label is {label}, but must lie in [0, 1]")));
            }
            let stem = video.strip_suffix(".mp4").unwrap_or(&video);
            if stem.is_empty() || stem.contains(['/', '\\']) || stem.starts_with("..") {
                return Err(item.error("this is no name of a video"));
            }
            labels.entry(stem.to_string()).or_default()[index] = Some(label as f32);
        }
    }
    let whole = |(video, labels): (String, [Option<f32>; 5])| {
        let mut traits = [0.0; 5];
        for ((label, trait_), name) in labels.iter().zip(&mut traits).zip(TRAITS) {
            *trait_ = label.ok_or_else(|| {
                Error::format(
                    path,
                    format!("{name}/{video}.mp4"),
                    "this label is missing, others of the video are there",
                )
            })?;
        }
        Ok((video, traits))
    };
    labels.into_iter().map(whole).collect()
}

/// The pictures of `video`: some cut clips into folders that are still called `.mp4`.
fn of_video(folder: &Path, video: &str) -> PathBuf {
    let (plain, whole) = (folder.join(video), folder.join(format!("{video}.mp4")));
    if plain.is_dir() { plain } else { whole }
}

/// The clips of a split and how many of its videos have no pictures.
fn read_clips(
    dir: &Path,
    split: &str,
    labels: BTreeMap<String, [f32; 5]>,
    shape: &VideoShape,
    most: Option<usize>,
) -> Result<(Vec<VideoClip>, usize)> {
    let folder = |ending: &str| dir.join("image_data").join(format!("{split}_data{ending}"));
    let (scenes, portraits) = (folder(""), folder("_face"));
    let there: Vec<&Path> =
        [&portraits, &scenes].map(PathBuf::as_path).into_iter().filter(|dir| dir.is_dir()).collect();
    let (Some(portraits), Some(scenes)) = (there.first(), there.last()) else {
        return Err(Error::io(scenes, "neither this folder of frames nor that of faces (.._face) is there"));
    };
    let wanted = labels.len().min(most.unwrap_or(usize::MAX));
    let bytes = wanted.saturating_mul(shape.face_values() + 2 * shape.flow_values());
    if bytes > MOST_BYTES {
        return Err(Error::Config(format!(
            "{wanted} {split} clips would take {} GiB of memory, more than the {} that are allowed: take fewer or smaller frames, or fewer clips",
            bytes >> 30,
            MOST_BYTES >> 30
        )));
    }
    let complete = |video: &str| [portraits, scenes].iter().all(|folder| of_video(folder, video).is_dir());
    let all = labels.len();
    let complete: Vec<(String, [f32; 5])> = labels.into_iter().filter(|(video, _)| complete(video)).collect();
    let missing = all - complete.len();
    if complete.is_empty() {
        return Err(Error::io(
            *scenes,
            format!("none of the {all} videos that have labels has a folder of frames here"),
        ));
    }
    let chosen = &complete[..complete.len().min(most.unwrap_or(usize::MAX))];
    let clips = in_threads(0, chosen, |(video, traits)| {
        let [portraits, scenes] = [portraits, scenes].map(|folder| pictures(&of_video(folder, video)));
        let clip = VideoClip::from_files(video.clone(), &portraits?, &scenes?, shape)?;
        Ok(VideoClip { traits: *traits, ..clip })
    })?;
    Ok((clips, missing))
}

/// The JPEG and PNG files of `folder`, by the number that ends their name.
///
/// # Errors
/// Where there is none.
pub fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths.map_err(|error| Error::io(folder, error))?;
    let picture = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        matches!(ending.as_str(), "jpg" | "jpeg" | "png")
    };
    paths.retain(picture);
    if paths.is_empty() {
        return Err(Error::io(folder, "there is no JPEG or PNG picture in this folder"));
    }
    paths.sort_by_cached_key(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        (stem[digits..].parse::<u64>().unwrap_or(0), stem)
    });
    Ok(paths)
}
