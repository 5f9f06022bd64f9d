//! Computational sequences of the CMU Multimodal SDK: MOSI and MOSEI as `.csd` files, aligned to words here as the SDK does it.
//!
//! A folder holds one file per sequence, HDF5 with `/<root>/data/<video>/{features [n, d], intervals [n, 2] seconds}`. What each is shows
//! in the name of its root or file:
//!
//! | sequence | its name has |
//! |---|---|
//! | labels, per segment; the first column is the sentiment | `label` |
//! | text, per word | `glove` or `wordvector` |
//! | words, as text, optional | `word` |
//! | audio | `covarep` or `opensmile` |
//! | video | `facet` or `openface` |
//!
//! A clip is a labelled segment, called `<video>[<number>]`, its steps the words that overlap it. Audio and video of a word are the
//! mean over the frames that overlap it, zeros where there is none; what is not finite then becomes 0. Where the words themselves are
//! there, pauses (`sp`) are dropped. Overlaps of less than 10 microseconds are none. (The SDK: `align` with averages, first to the words,
//! then to the labels.)
//!
//! Which video is in which split is a text file, `folds.txt` in the folder or another: a line `train <video>`, `valid <video>` or
//! `test <video>` each; `#` begins a comment. The SDK publishes them as `standard_folds`. Videos that are in no split, or not in all
//! files, are left out.

use super::corpus::{Clip, Corpus, Modality, Sequence, Split};
use crate::error::{Error, Result};
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Hdf5File};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Overlaps that are shorter are none: the SDK's epsilon, in seconds.
const EPSILON: f64 = 10e-6;

/// Loads the `.csd` files in `folder`. `folds` is another file of splits than its `folds.txt`.
///
/// # Errors
/// [`Error::Io`] where a file is not there or cannot be read; [`Error::Format`] naming file, video and what is wrong: files that are
/// missing or twice, intervals that are no intervals, words that do not fit.
pub fn load(folder: &Path, folds: Option<&Path>) -> Result<Corpus> {
    let default = folder.join("folds.txt");
    let folds = read_folds(folds.unwrap_or(&default))?;
    let files = Files::open(folder)?;
    let mut corpus = Corpus {
        name: format!("CMU sequences in {}", folder.display()),
        modalities: vec![files.text.modality("text")?, files.audio.modality("audio")?, files.video.modality("video")?],
        ..Corpus::default()
    };
    let videos = files.videos();
    for (video, split) in folds.iter().filter(|(video, _)| videos.contains(video.as_str())) {
        let clips = files.clips(video, &corpus.modalities)?;
        match split {
            Split::Train => corpus.train.extend(clips),
            Split::Valid => corpus.valid.extend(clips),
            Split::Test => corpus.test.extend(clips),
        }
    }
    if Split::ALL.into_iter().all(|split| corpus.split(split).is_empty()) {
        let message = format!("none of its {} videos is in all of the .csd files", folds.len());
        return Err(Error::io(folder, format!("{message}: do folds and files belong together?")));
    }
    Ok(corpus)
}

/// The split of each video.
fn read_folds(path: &Path) -> Result<BTreeMap<String, Split>> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::io(
            path,
            "is not there: write a line 'train <video>', 'valid <video>' or 'test <video>' for each video",
        ),
        _ => Error::io(path, error),
    })?;
    let mut folds = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let fail = |message: String| Error::format(path, format!("line {}", index + 1), message);
        let mut parts = line.split_whitespace();
        let (Some(name), video) = (parts.next(), parts.next()) else { continue };
        let split = Split::ALL.into_iter().find(|split| split.name() == name);
        let (Some(split), Some(video), None) = (split, video, parts.next()) else {
            return Err(fail(format!("'{line}' is not 'train', 'valid' or 'test' and a video")));
        };
        if folds.insert(video.to_string(), split).is_some_and(|other| other != split) {
            return Err(fail(format!("the video '{video}' is in two splits")));
        }
    }
    Ok(folds)
}

/// The sequences of a folder.
struct Files {
    labels: File,
    text: File,
    words: Option<File>,
    audio: File,
    video: File,
}

impl Files {
    fn open(folder: &Path) -> Result<Self> {
        let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
        let mut paths = paths.map_err(|error| Error::io(folder, error))?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "csd"));
        paths.sort();
        let mut files: BTreeMap<&str, File> = BTreeMap::new();
        for path in paths {
            let file = File::open(path)?;
            let role = file.role()?;
            if let Some(other) = files.get(role) {
                let message = format!("{} has {role} too: leave one of them in the folder", other.path.display());
                return Err(Error::io(&file.path, message));
            }
            files.insert(role, file);
        }
        let found = files.keys().copied().collect::<Vec<_>>().join(", ");
        let mut take = |role: &str| {
            let missing = || Error::io(folder, format!("there is no .csd file of {role} here, only of: {found}"));
            files.remove(role).ok_or_else(missing)
        };
        Ok(Files {
            labels: take("labels")?,
            text: take("text")?,
            audio: take("audio")?,
            video: take("video")?,
            words: take("words").ok(),
        })
    }

    /// Videos that all files have.
    fn videos(&self) -> BTreeSet<&str> {
        let files = [&self.text, &self.audio, &self.video].into_iter().chain(&self.words);
        let labelled = self.labels.videos.iter().map(String::as_str);
        labelled.filter(|video| files.clone().all(|file| file.videos.contains(*video))).collect()
    }

    /// The labelled segments of a video.
    fn clips(&self, video: &str, modalities: &[Modality]) -> Result<Vec<Clip>> {
        let labels = self.labels.numbers(video)?;
        let mut features = Vec::new();
        for (file, modality) in [&self.text, &self.audio, &self.video].into_iter().zip(modalities) {
            let numbers = file.numbers(video)?;
            if numbers.dim != modality.dim {
                let message = format!("{} features, but {} in the first video", numbers.dim, modality.dim);
                return Err(file.error(video, message));
            }
            features.push(numbers);
        }
        let [text, audio, frames] = features.as_slice() else { return Ok(Vec::new()) };
        let words = self.words.as_ref().map(|file| file.words(video, text)).transpose()?;
        let is_pause = |word: usize| words.as_ref().is_some_and(|words| words[word] == "sp");
        let mut clips = Vec::new();
        for (number, segment) in labels.intervals.iter().enumerate().filter(|(_, segment)| length(segment) > EPSILON) {
            let label = labels.row(number).first().copied().unwrap_or(f64::NAN) as f32;
            if !label.is_finite() {
                return Err(self.labels.error(video, format!("the label of segment {number} is {label}")));
            }
            let spoken: Vec<usize> = text.overlapping(segment).filter(|word| !is_pause(*word)).collect();
            let step = |word: &usize| text.intervals[*word];
            let spoken_text =
                words.as_ref().map(|words| spoken.iter().map(|word| words[*word].as_str()).collect::<Vec<_>>());
            let sequence = |rows: Vec<Vec<f64>>| {
                let finite = |value: f64| if (value as f32).is_finite() { value as f32 } else { 0.0 };
                Sequence { len: rows.len(), values: rows.into_iter().flatten().map(finite).collect() }
            };
            let mean = |sequence: &Numbers| spoken.iter().map(|word| sequence.mean(&step(word))).collect::<Vec<_>>();
            clips.push(Clip {
                id: format!("{video}[{number}]"),
                text: spoken_text.unwrap_or_default().join(" "),
                sequences: vec![
                    sequence(spoken.iter().map(|word| text.row(*word).to_vec()).collect()),
                    sequence(mean(audio)),
                    sequence(mean(frames)),
                ],
                label,
                emotion: None,
            });
        }
        Ok(clips)
    }
}

/// One `.csd` file.
struct File {
    path: PathBuf,
    /// Its one group, and below it the videos.
    root: String,
    data: Group,
    videos: BTreeSet<String>,
}

/// A video's part of a sequence.
struct Numbers {
    intervals: Vec<[f64; 2]>,
    dim: usize,
    features: Vec<f64>,
}

impl File {
    fn open(path: PathBuf) -> Result<Self> {
        let fail = |key: &str, error: hdf5_reader::error::Error| Error::format(&path, key, error);
        let file = Hdf5File::open(&path).map_err(|error| fail("HDF5", error))?;
        let root = file.root_group().map_err(|error| fail("/", error))?;
        let groups = root.groups().map_err(|error| fail("/", error))?;
        let [group] = groups.as_slice() else {
            let message = format!("{} groups, but a computational sequence has one", groups.len());
            return Err(Error::format(&path, "/", message));
        };
        let name = group.name().trim_matches('/').to_string();
        let data = group.group("data").map_err(|error| fail(&format!("/{name}/data"), error))?;
        let (videos, _) = data.member_names().map_err(|error| fail(&format!("/{name}/data"), error))?;
        Ok(File { videos: videos.into_iter().collect(), root: name, data, path })
    }

    /// What it is a sequence of.
    fn role(&self) -> Result<&'static str> {
        let file = self.path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain = |name: &str| name.to_lowercase().replace([' ', '_'], "");
        // the root says more than the file's name
        for name in [plain(&self.root), plain(&file)] {
            let kinds = [
                ("label", "labels"),
                ("glove", "text"),
                ("wordvector", "text"),
                ("word", "words"),
                ("covarep", "audio"),
                ("opensmile", "audio"),
                ("facet", "video"),
                ("openface", "video"),
            ];
            if let Some((_, role)) = kinds.into_iter().find(|(part, _)| name.contains(part)) {
                return Ok(role);
            }
        }
        let message = format!(
            "'{}' tells not what it is: move it away, or rename the file to one with label, glove, word, covarep or facet in it",
            self.root
        );
        Err(Error::format(&self.path, "/", message))
    }

    fn key(&self, video: &str) -> String {
        format!("/{}/data/{video}", self.root)
    }

    fn error(&self, video: &str, message: impl std::fmt::Display) -> Error {
        Error::format(&self.path, self.key(video), message)
    }

    fn dataset(&self, video: &str, name: &str) -> Result<Dataset> {
        let found = self.data.group(video).and_then(|group| group.dataset(name));
        found.map_err(|error| Error::format(&self.path, format!("{}/{name}", self.key(video)), error))
    }

    /// The numbers of a dataset with two axes.
    fn matrix(&self, video: &str, name: &str) -> Result<(usize, usize, Vec<f64>)> {
        let dataset = self.dataset(video, name)?;
        let fail = |message: String| Error::format(&self.path, format!("{}/{name}", self.key(video)), message);
        let shape: Vec<usize> = dataset.shape().iter().map(|n| usize::try_from(*n).unwrap_or(usize::MAX)).collect();
        let [rows, columns] = *shape.as_slice() else {
            return Err(fail(format!("expected two axes, found {shape:?}")));
        };
        let size = dataset.raw_element_size().map_err(|error| fail(error.to_string()))?;
        let values = match size {
            4 => dataset.read_array::<f32>().map(|values| values.iter().map(|value| f64::from(*value)).collect()),
            _ => dataset.read_array::<f64>().map(|values| values.iter().copied().collect::<Vec<f64>>()),
        };
        let values = values.map_err(|error| fail(error.to_string()))?;
        match rows.checked_mul(columns) {
            Some(count) if count == values.len() => Ok((rows, columns, values)),
            _ => Err(fail(format!("{} values for {rows} x {columns}", values.len()))),
        }
    }

    fn intervals(&self, video: &str) -> Result<Vec<[f64; 2]>> {
        let (_, columns, values) = self.matrix(video, "intervals")?;
        let fail = |message: String| Error::format(&self.path, format!("{}/intervals", self.key(video)), message);
        if columns != 2 {
            return Err(fail(format!("expected [n, 2], found {columns} columns")));
        }
        let intervals = values.as_chunks::<2>().0.to_vec();
        match intervals.iter().position(|[start, end]| !(start.is_finite() && end.is_finite() && start <= end)) {
            Some(at) => Err(fail(format!("interval {at} is {:?}, which does not begin before it ends", intervals[at]))),
            None => Ok(intervals),
        }
    }

    fn numbers(&self, video: &str) -> Result<Numbers> {
        let intervals = self.intervals(video)?;
        let (rows, dim, features) = self.matrix(video, "features")?;
        if rows != intervals.len() {
            return Err(self.error(video, format!("{rows} rows of features, but {} intervals", intervals.len())));
        }
        Ok(Numbers { intervals, dim, features })
    }

    /// The words of a video, one per row of `text`.
    fn words(&self, video: &str, text: &Numbers) -> Result<Vec<String>> {
        let intervals = self.intervals(video)?;
        let same = |(a, b): (&[f64; 2], &[f64; 2])| (a[0] - b[0]).abs() < EPSILON && (a[1] - b[1]).abs() < EPSILON;
        if intervals.len() != text.intervals.len() || !intervals.iter().zip(&text.intervals).all(same) {
            return Err(self.error(video, "the words do not have the intervals of their vectors"));
        }
        let words = self.dataset(video, "features")?.read_strings().map_err(|error| self.error(video, error))?;
        match words.len() == intervals.len() {
            true => Ok(words),
            false => Err(self.error(video, format!("{} words, but {} intervals", words.len(), intervals.len()))),
        }
    }

    /// The modality, its feature size that of the first video.
    fn modality(&self, name: &str) -> Result<Modality> {
        let Some(video) = self.videos.first() else {
            return Err(Error::format(&self.path, format!("/{}/data", self.root), "there are no videos in it"));
        };
        let dim = self.dataset(video, "features")?.shape().last().copied().unwrap_or(0);
        Ok(Modality { name: name.to_string(), dim: usize::try_from(dim).unwrap_or(0) })
    }
}

fn length([start, end]: &[f64; 2]) -> f64 {
    end - start
}

impl Numbers {
    fn row(&self, index: usize) -> &[f64] {
        self.features.get(index * self.dim..(index + 1) * self.dim).unwrap_or_default()
    }

    /// The rows whose intervals overlap `interval`.
    fn overlapping(&self, interval: &[f64; 2]) -> impl Iterator<Item = usize> {
        let overlap = |other: &[f64; 2]| interval[1].min(other[1]) - interval[0].max(other[0]);
        let rows = self.intervals.iter().enumerate().filter(move |(_, other)| overlap(other) > EPSILON);
        rows.map(|(row, _)| row)
    }

    /// The mean of the rows that overlap `interval`; zeros where none does.
    fn mean(&self, interval: &[f64; 2]) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        let mut count = 0.0;
        for row in self.overlapping(interval) {
            mean.iter_mut().zip(self.row(row)).for_each(|(sum, value)| *sum += value);
            count += 1.0;
        }
        mean.iter().map(|sum| if count > 0.0 { sum / count } else { 0.0 }).collect()
    }
}
