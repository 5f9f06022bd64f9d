//! Corpora larger than memory: clips in files of values, read while training goes on.
//!
//! ```text
//! DIR/clips.json                  names, sizes, labels and lengths of all clips
//! DIR/{train,valid,test}.f32      values: clip after clip, modality after modality, step after step; f32, lowest byte first
//! ```
//!
//! [`ClipWriter`] writes such a folder clip by clip, so that whatever makes the clips need not hold them; [`Streamed`] reads it. Only
//! `clips.json` is kept in memory, about 100 bytes per clip. Batches are made on a thread, ahead of the step that takes them, in an order
//! that depends on seed and epoch alone: the same as [`super::Batches`] of the same clips, bit for bit.

mod batches;
mod writer;

pub use batches::{Epochs, StreamBatches};
pub use writer::ClipWriter;

use super::batches::Batcher;
use super::corpus::{Clip, Corpus, Labels, Modality, Sequence, Split};
use crate::error::{Error, Result};
use crate::weights::read_json;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FORMAT: &str = "limbic clips";
const VERSION: u32 = 1;
/// No clip may have more values: 4 GiB of them.
const MOST_VALUES: u64 = 1 << 30;

/// Where the values of `split` lie.
fn file_of(split: Split, folder: &Path) -> PathBuf {
    folder.join(format!("{}.f32", split.name()))
}

/// `clips.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    format: String,
    version: u32,
    name: String,
    /// Name and features of each modality.
    modalities: Vec<(String, usize)>,
    /// What is asked, where labels are yes (1) or no (0); none where they are sentiment.
    question: Option<String>,
    /// The names of the emotions that clips are labelled with; empty where they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emotions: Vec<String>,
    /// Train, valid, test.
    clips: [Vec<Entry>; 3],
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    label: f32,
    /// Which of the emotions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emotion: Option<u32>,
    /// Steps of each modality.
    lens: Vec<u32>,
}

/// A corpus on disk. Clones share what they know of it.
#[derive(Debug, Clone)]
pub struct Streamed(Arc<Disk>);

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    /// All but the values.
    corpus: Corpus,
    /// Where each clip of each split begins, in values.
    starts: [Vec<u64>; 3],
}

impl Streamed {
    /// Whether `folder` holds such a corpus.
    pub fn is_in(folder: &Path) -> bool {
        folder.join("clips.json").is_file()
    }

    /// Opens the corpus in `folder`; reads no values.
    ///
    /// # Errors
    /// [`Error::Io`] where a file is not there or cannot be read; [`Error::Format`] where `clips.json` is not what it should be, or a file
    /// of values has not the size that it says.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("clips.json");
        let index: Index = read_json(&path)?;
        if index.format != FORMAT || index.version != VERSION {
            let message = format!("this is '{}' {}, not '{FORMAT}' {VERSION}", index.format, index.version);
            return Err(Error::format(&path, "format", message));
        }
        let modalities: Vec<Modality> =
            index.modalities.into_iter().map(|(name, dim)| Modality { name, dim }).collect();
        let labels = index.question.map_or(Labels::Sentiment, |name| Labels::Binary { name });
        let mut corpus = Corpus { name: index.name, modalities, labels, emotions: index.emotions, ..Corpus::default() };
        let mut starts: [Vec<u64>; 3] = Default::default();
        for ((split, entries), starts) in Split::ALL.into_iter().zip(index.clips).zip(&mut starts) {
            let mut end = 0u64;
            let mut clips = Vec::with_capacity(entries.len());
            for (at, entry) in entries.into_iter().enumerate() {
                let fail = |message: String| {
                    Error::format(&path, format!("{} clip {at} ('{}')", split.name(), entry.id), message)
                };
                let values = entry_values(&entry, &corpus.modalities).map_err(fail)?;
                let emotion = entry.emotion;
                check_emotion(emotion, &corpus.emotions).map_err(fail)?;
                starts.push(end);
                end += values;
                let sequence = |len: &u32| Sequence { len: *len as usize, values: Vec::new() };
                let sequences = entry.lens.iter().map(sequence).collect();
                clips.push(Clip { id: entry.id, text: entry.text, label: entry.label, emotion, sequences });
            }
            check_size(&file_of(split, folder), end)?;
            *corpus.split_mut(split) = clips;
        }
        Ok(Streamed(Arc::new(Disk { folder: folder.to_path_buf(), corpus, starts })))
    }

    /// All that is known of the clips but their values: sequences have their `len`, and no `values`.
    pub fn corpus(&self) -> &Corpus {
        &self.0.corpus
    }

    /// Bytes of all values.
    pub fn bytes_on_disk(&self) -> u64 {
        let split = |split: Split| {
            let clips =
                self.0.corpus.split(split).iter().flat_map(|clip| clip.sequences.iter().zip(&self.0.corpus.modalities));
            clips.map(|(sequence, modality)| (sequence.len * modality.dim * 4) as u64).sum::<u64>()
        };
        Split::ALL.into_iter().map(split).sum()
    }

    /// Clip `index` of `split`, its values read from disk.
    ///
    /// # Errors
    /// Where there is no such clip, its file cannot be read, or a value is not finite.
    pub fn clip(&self, split: Split, index: usize) -> Result<Clip> {
        self.0.read(&mut self.0.open(split)?, split, index)
    }

    /// Batches of `split` for the modalities `(name, steps)`, at most `ahead` of them made ahead.
    ///
    /// # Errors
    /// As [`super::Batches::new`].
    pub fn batches(
        &self,
        split: Split,
        wanted: &[(String, usize)],
        batch: usize,
        ahead: usize,
    ) -> Result<StreamBatches> {
        let corpus = &self.0.corpus;
        let batcher = Batcher::new(corpus, corpus.split(split).len(), wanted, batch)?;
        Ok(StreamBatches::new(self.clone(), split, batcher, ahead))
    }
}

impl Corpus {
    fn split_mut(&mut self, split: Split) -> &mut Vec<Clip> {
        match split {
            Split::Train => &mut self.train,
            Split::Valid => &mut self.valid,
            Split::Test => &mut self.test,
        }
    }
}

impl Disk {
    fn open(&self, split: Split) -> Result<File> {
        let path = file_of(split, &self.folder);
        File::open(&path).map_err(|error| Error::io(path, error))
    }

    /// Clip `index` from the file of its split.
    fn read(&self, file: &mut File, split: Split, index: usize) -> Result<Clip> {
        let path = file_of(split, &self.folder);
        let (clips, starts) = (self.corpus.split(split), &self.starts[split as usize]);
        let (Some(clip), Some(start)) = (clips.get(index), starts.get(index)) else {
            let message = format!("there is no clip {index}, the split has {}", clips.len());
            return Err(Error::format(path, split.name(), message));
        };
        let mut clip = clip.clone();
        file.seek(SeekFrom::Start(4 * start)).map_err(|error| Error::io(&path, error))?;
        for (sequence, modality) in clip.sequences.iter_mut().zip(&self.corpus.modalities) {
            let mut bytes = vec![0; sequence.len * modality.dim * 4];
            file.read_exact(&mut bytes).map_err(|error| Error::io(&path, format!("clip '{}': {error}", clip.id)))?;
            sequence.values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            if let Some(at) = sequence.values.iter().position(|value| !value.is_finite()) {
                let key = format!("clip '{}', {}", clip.id, modality.name);
                let place = [at / modality.dim, at % modality.dim];
                return Err(Error::format(path, key, format!("the value at {place:?} is {}", sequence.values[at])));
            }
        }
        Ok(clip)
    }
}

/// How many values a clip has, or what is wrong with it.
fn entry_values(entry: &Entry, modalities: &[Modality]) -> Result<u64, String> {
    if entry.lens.len() != modalities.len() {
        return Err(format!("{} lengths for {} modalities", entry.lens.len(), modalities.len()));
    }
    if !entry.label.is_finite() {
        return Err(format!("the label is {}; every clip needs a finite label", entry.label));
    }
    let values = entry.lens.iter().zip(modalities).try_fold(0u64, |sum, (len, modality)| {
        sum.checked_add(u64::from(*len).checked_mul(modality.dim as u64)?).filter(|sum| *sum <= MOST_VALUES)
    });
    values.ok_or_else(|| format!("more than the {MOST_VALUES} values that a clip may have"))
}

fn check_size(path: &Path, values: u64) -> Result<()> {
    let found = std::fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
    if found == 4 * values {
        return Ok(());
    }
    let message = format!("{found} bytes, but clips.json asks for {}: write the folder again", 4 * values);
    Err(Error::format(path, "size", message))
}

/// Checks that `emotion` is one of `names`.
fn check_emotion(emotion: Option<u32>, names: &[String]) -> std::result::Result<(), String> {
    match emotion {
        Some(emotion) if emotion as usize >= names.len() => {
            Err(format!("the emotion is number {emotion}, but the corpus names {}", names.len()))
        }
        _ => Ok(()),
    }
}
