//! Multimodal sentiment features as the MMSA toolkit publishes them: MOSI, MOSEI and CH-SIMS, aligned and unaligned
//! (`aligned_50.pkl`, `unaligned_50.pkl`), as a pickle or as `.npz`.
//!
//! The file is a dict of `train`, `valid` and `test`, each a dict of `raw_text [N]`, `id [N]`, `text [N, Tt, 768]`,
//! `audio [N, Ta, Da]`, `vision [N, Tv, Dv]`, `regression_labels [N]` and, where they are there, `text_bert [N, 3, Tt]`
//! (input ids, attention mask, segment ids), `audio_lengths [N]`, `vision_lengths [N]`. Other keys (annotations,
//! classification labels, CH-SIMS' labels per modality) are not used. An `.npz` has the same arrays under `train/text`,
//! `train_text` or `train.text`, and so on.
//!
//! How long a clip is, in steps:
//! - text: up to the last 1 of the attention mask; without `text_bert`, up to the last step with a value other than 0;
//! - audio and vision of unaligned files: `audio_lengths` and `vision_lengths`, which must be there;
//! - audio and vision of aligned files: up to the last step with a value other than 0; lengths in the file are not used.
//!
//! A length of 0 is a modality that the clip lacks. What lies beyond the length is not read.
//!
//! Values become f32. Audio of -inf becomes 0, as in the toolkit; anything else that is not finite is refused.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::corpus::{Clip, Corpus, Modality, Sequence};
use super::document::{Document, Item};
use super::padded::{Features, expect_count};
use super::{npz, pickle};
use crate::error::{Error, Result};

/// How to read an MMSA file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MmsaOptions {
    /// Whether the file is word-aligned. `None`: it is where text, audio and vision have the same number of steps.
    pub aligned: Option<bool>,
    /// The toolkit's option of the same name: audio and vision are averaged over all their steps, padding included, to
    /// one step, and NaN then becomes 0. (It is not a z-score.)
    pub need_normalized: bool,
}

const KEYS: [&str; 9] =
    ["raw_text", "id", "text", "audio", "vision", "regression_labels", "text_bert", "audio_lengths", "vision_lengths"];
const SPLITS: [&str; 3] = ["train", "valid", "test"];
const SEPARATORS: [char; 3] = ['/', '_', '.'];

/// Loads the MMSA file at `path`, pickle or `.npz`, whichever its content says. Modalities are text, audio, video.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Format`] naming the split, key and clip of whatever is missing, of
/// another shape, out of bounds or not finite.
pub fn load(path: &Path, options: &MmsaOptions) -> Result<Corpus> {
    let io = |error| Error::io(path, error);
    let mut magic = Vec::new();
    File::open(path).map_err(io)?.take(2).read_to_end(&mut magic).map_err(io)?;
    if magic == *b"PK" {
        Source { document: npz::read(path, is_used)?, flat: true }.corpus(options)
    } else {
        from_pickle(pickle::read(path)?, options)
    }
}

/// The corpus of a pickle that has been read.
pub(super) fn from_pickle(document: Document, options: &MmsaOptions) -> Result<Corpus> {
    Source { document, flat: false }.corpus(options)
}

/// Loads an MMSA file from memory; `path` is what errors and the corpus call it.
///
/// # Errors
/// [`Error::Format`] as [`load`].
pub fn parse(bytes: Vec<u8>, path: &Path, options: &MmsaOptions) -> Result<Corpus> {
    if bytes.starts_with(b"PK") {
        Source { document: npz::parse(Cursor::new(bytes), path, is_used)?, flat: true }.corpus(options)
    } else {
        from_pickle(pickle::parse(bytes, path)?, options)
    }
}

/// Where a split's key is found: nested in a pickle, flat in an npz.
struct Source {
    document: Document,
    flat: bool,
}

impl Source {
    fn corpus(&self, options: &MmsaOptions) -> Result<Corpus> {
        let mut corpus = Corpus::default();
        let mut kinds = Vec::new();
        for split in SPLITS {
            let read = Split::open(self, split, options)?;
            if split == "train" {
                corpus.modalities = read.modalities();
            }
            read.expect_modalities(&corpus.modalities)?;
            kinds.push(if read.aligned { "aligned" } else { "unaligned" });
            let clips = read.clips()?;
            match split {
                "train" => corpus.train = clips,
                "valid" => corpus.valid = clips,
                _ => corpus.test = clips,
            }
        }
        kinds.dedup();
        let file = self.document.path().file_name().unwrap_or_default().to_string_lossy();
        let format = if self.flat { "npz" } else { "pickle" };
        corpus.name = format!("MMSA {format} {file}, {}", kinds.join(" and "));
        Ok(corpus)
    }

    fn find(&self, split: &str, key: &str) -> Result<Option<Item<'_>>> {
        let root = self.document.root();
        if !self.flat {
            return root.get(split)?.find(key);
        }
        let mut found = None;
        for separator in SEPARATORS {
            let item = root.find(&format!("{split}{separator}{key}"))?;
            if let (Some(first), Some(second)) = (&found, &item) {
                let first: &Item<'_> = first;
                return Err(second.error(format!("the archive also has {}; keep one of them", first.key())));
            }
            found = found.or(item);
        }
        Ok(found)
    }

    fn get(&self, split: &str, key: &str) -> Result<Item<'_>> {
        match self.find(split, key)? {
            Some(item) => Ok(item),
            None if self.flat => {
                let name = format!("{split}/{key}");
                let message =
                    format!("this array is missing; name it {name}.npy, {split}_{key}.npy or {split}.{key}.npy");
                Err(Error::format(self.document.path(), name, message))
            }
            None => self.document.root().get(split)?.get(key),
        }
    }
}

/// Whether an array of an npz is one that is read here.
fn is_used(name: &str) -> bool {
    let key = SPLITS.iter().find_map(|split| name.strip_prefix(split)?.strip_prefix(SEPARATORS));
    key.is_some_and(|key| KEYS.contains(&key))
}

/// One modality of one split.
struct Stream<'a> {
    features: Features<'a>,
    /// Steps of each clip; `None` where they are derived.
    lengths: Option<Vec<usize>>,
    /// Average over time.
    average: bool,
}

/// One split, its shapes checked.
struct Split<'a> {
    labels: Item<'a>,
    label_values: Vec<f64>,
    ids: Vec<String>,
    texts: Vec<String>,
    streams: [Stream<'a>; 3],
    aligned: bool,
}

impl<'a> Split<'a> {
    fn open(source: &'a Source, split: &str, options: &MmsaOptions) -> Result<Self> {
        let labels = source.get(split, "regression_labels")?;
        let label_values = labels.numbers()?;
        let count = label_values.len();
        if count == 0 {
            return Err(labels.error("this split has no clips; remove it from the file's making or give it some"));
        }
        let strings = |key| -> Result<Vec<String>> {
            let item = source.get(split, key)?;
            let strings = item.strings()?;
            expect_count(&item, strings.len(), "regression_labels", count)?;
            Ok(strings)
        };
        let stream = |key, name| {
            let features = Features::open(source.get(split, key)?, name, "regression_labels", count)?;
            Ok(Stream { features, lengths: None, average: false })
        };
        let (ids, texts) = (strings("id")?, strings("raw_text")?);
        let (mut text, mut audio, mut video) =
            (stream("text", "text")?, stream("audio", "audio")?, stream("vision", "video")?);
        let steps = [&text, &audio, &video].map(|stream| stream.features.steps);
        let same_steps = steps.iter().all(|other| *other == steps[0]);
        let aligned = options.aligned.unwrap_or(same_steps);
        if aligned && !same_steps {
            let message = format!("an aligned file has one number of steps; text, audio, vision have {steps:?}");
            return Err(text.features.item.error(message));
        }
        text.lengths = source.find(split, "text_bert")?.map(|item| mask_lengths(&item, count, steps[0])).transpose()?;
        for (stream, key) in [(&mut audio, "audio_lengths"), (&mut video, "vision_lengths")] {
            stream.average = options.need_normalized;
            if !aligned {
                stream.lengths = Some(read_lengths(&source.get(split, key)?, count, stream.features.steps)?);
            }
        }
        Ok(Split { labels, label_values, ids, texts, streams: [text, audio, video], aligned })
    }

    fn modalities(&self) -> Vec<Modality> {
        self.streams.iter().map(|stream| stream.features.modality()).collect()
    }

    fn expect_modalities(&self, modalities: &[Modality]) -> Result<()> {
        self.streams.iter().zip(modalities).try_for_each(|(stream, modality)| stream.features.expect(modality))
    }

    fn clips(self) -> Result<Vec<Clip>> {
        let mut clips = Vec::with_capacity(self.label_values.len());
        let named = self.ids.into_iter().zip(self.texts).zip(&self.label_values).enumerate();
        for (index, ((id, text), &label)) in named {
            let label = label as f32;
            if !label.is_finite() {
                return Err(self
                    .labels
                    .error(format!("the label at [{index}] is {label}; every clip needs a finite label")));
            }
            let sequences = self.streams.iter().map(|stream| stream.sequence(index)).collect::<Result<_>>()?;
            clips.push(Clip { id, text, sequences, label, emotion: None });
        }
        Ok(clips)
    }
}

impl Stream<'_> {
    /// The sequence of clip `index`, cleaned and cut to its length.
    fn sequence(&self, index: usize) -> Result<Sequence> {
        let Features { steps: most, dim, .. } = self.features;
        let given = self.lengths.as_ref().and_then(|lengths| lengths.get(index).copied());
        let steps = if self.average { most } else { given.unwrap_or(most) };
        let values = self.features.clip(index, steps)?;
        if self.average {
            return self.features.sequence(index, 0, &self.mean(&values));
        }
        let len = given.unwrap_or_else(|| values.iter().rposition(|&v| v != 0.0).map_or(0, |last| last / dim + 1));
        self.features.sequence(index, 0, values.get(..len * dim).unwrap_or_default())
    }

    fn mean(&self, values: &[f64]) -> Vec<f64> {
        let Features { steps, dim, .. } = self.features;
        let mut mean = vec![0.0; dim];
        for step in values.chunks_exact(dim) {
            mean.iter_mut().zip(step).for_each(|(sum, v)| *sum += v);
        }
        mean.iter().map(|sum| sum / steps as f64).map(|m| if m.is_nan() { 0.0 } else { m }).collect()
    }
}

fn read_lengths(item: &Item<'_>, count: usize, steps: usize) -> Result<Vec<usize>> {
    let numbers = item.numbers()?;
    expect_count(item, numbers.len(), "regression_labels", count)?;
    let length = |(index, &number): (usize, &f64)| {
        if number.fract() == 0.0 && (0.0..=steps as f64).contains(&number) {
            return Ok(number as usize);
        }
        Err(item.error(format!("the length at [{index}] is {number}, expected a whole number from 0 to {steps}")))
    };
    numbers.iter().enumerate().map(length).collect()
}

/// Lengths of the texts from `text_bert [N, 3, steps]`, whose second row is the attention mask.
fn mask_lengths(item: &Item<'_>, count: usize, steps: usize) -> Result<Vec<usize>> {
    let array = item.numeric_array(3, "[N, 3, steps]")?;
    if array.shape() != [count, 3, steps] {
        return Err(item.error(format!("expected shape [{count}, 3, {steps}] to fit text, found {:?}", array.shape())));
    }
    let length = |index| {
        let rows = array.block(index, 2 * steps).unwrap_or_default();
        let mask = rows.get(steps..).unwrap_or_default();
        if let Some(at) = mask.iter().position(|&m| m != 0.0 && m != 1.0) {
            return Err(item.error(format!("the attention mask at [{index}, 1, {at}] is neither 0 nor 1")));
        }
        Ok(mask.iter().rposition(|&m| m == 1.0).map_or(0, |last| last + 1))
    };
    (0..count).map(length).collect()
}
