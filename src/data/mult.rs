//! Multimodal features as MulT (Tsai et al. 2019) publishes them: MOSI, MOSEI and IEMOCAP, aligned and unaligned
//! (`mosi_data.pkl`, `mosei_senti_data_noalign.pkl`, `iemocap_data.pkl`).
//!
//! The file is a pickle of a dict of `train`, `valid` and `test`, each a dict of `text [N, Tt, 300]` (GloVe), `audio [N, Ta, Da]`,
//! `vision [N, Tv, Dv]`, `labels` and, where it is there, `id [N]` or `[N, parts]` (video, start, end), text or bytes. Feature sizes are
//! the file's. `labels` is `[N, 1, 1]`, a sentiment; or `[N, 4, 2]`, IEMOCAP's: whether the clip is neutral, happy, sad, angry, each
//! one-hot. One of the four then is what is learnt ([`Emotion`]).
//!
//! There are no lengths: steps of zeros before and after a clip are padding (files in circulation pad on either side). In aligned files,
//! whose modalities have the same number of steps, what comes before is cut for all modalities alike, so that steps stay aligned. A
//! clip may lack a modality, which then has no steps.
//!
//! Values become f32. Audio of -inf becomes 0, as in MulT; anything else that is not finite is refused.

use super::corpus::{Clip, Corpus, Labels, Sequence};
use super::document::{Document, Item};
use super::padded::{Features, expect_count};
use super::pickle;
use crate::error::{Error, Result};
use std::path::Path;

/// What may be asked of IEMOCAP's clips, in the order of the file's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emotion {
    Neutral,
    Happy,
    Sad,
    Angry,
}

impl Emotion {
    /// In the order of the file's labels.
    pub const ALL: [Emotion; 4] = [Emotion::Neutral, Emotion::Happy, Emotion::Sad, Emotion::Angry];

    /// "neutral", "happy", "sad", "angry".
    pub fn name(self) -> &'static str {
        match self {
            Emotion::Neutral => "neutral",
            Emotion::Happy => "happy",
            Emotion::Sad => "sad",
            Emotion::Angry => "angry",
        }
    }
}

impl std::str::FromStr for Emotion {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|emotion| emotion.name() == name)
            .ok_or_else(|| Error::Config(format!("there is no emotion '{name}': take neutral, happy, sad or angry")))
    }
}

/// Loads the pickle at `path`. `emotion` says which of IEMOCAP's emotions is learnt; other files have none to choose. Modalities are
/// text, audio, video.
///
/// # Errors
/// [`Error::Io`] where it cannot be read; [`Error::Format`] naming the split, key and clip of whatever is missing, of another shape or not
/// finite, and where an emotion is to be chosen or there is none.
pub fn load(path: &Path, emotion: Option<Emotion>) -> Result<Corpus> {
    from_pickle(&pickle::read(path)?, emotion)
}

/// Whether a pickle is such a file, rather than MMSA's.
pub(super) fn is_mult(document: &Document) -> bool {
    let has = |key| document.root().get("train").and_then(|train| train.find(key)).is_ok_and(|item| item.is_some());
    has("labels") && !has("regression_labels")
}

/// The corpus of a pickle that has been read.
pub(super) fn from_pickle(document: &Document, emotion: Option<Emotion>) -> Result<Corpus> {
    let mut corpus = Corpus::default();
    for split in ["train", "valid", "test"] {
        let item = document.root().get(split)?;
        let (labels, values) = read_labels(&item.get("labels")?, emotion)?;
        let clips = read_clips(&item, split, values, &mut corpus)?;
        corpus.labels = labels;
        match split {
            "train" => corpus.train = clips,
            "valid" => corpus.valid = clips,
            _ => corpus.test = clips,
        }
    }
    let file = document.path().file_name().unwrap_or_default().to_string_lossy();
    let emotion = emotion.map_or(String::new(), |emotion| format!(", {} or not", emotion.name()));
    corpus.name = format!("MulT pickle {file}{emotion}");
    Ok(corpus)
}

/// What the labels are, and one per clip.
fn read_labels(item: &Item<'_>, emotion: Option<Emotion>) -> Result<(Labels, Vec<f32>)> {
    let shape = item.array()?.shape();
    if shape.first() == Some(&0) {
        return Err(item.error("this split has no clips; remove it from the file's making or give it some"));
    }
    let (labels, values) = match (shape, emotion) {
        ([_, 4, 2], Some(emotion)) => {
            let one_hot = item.numeric_array(3, "[N, 4, 2]")?.numbers().unwrap_or_default();
            if let Some(at) = one_hot.iter().position(|value| !value.is_finite()) {
                return Err(item.error(format!(
                    "a label at [{}] is {}; every clip needs finite labels",
                    at / 8,
                    one_hot[at]
                )));
            }
            let chosen = one_hot.as_chunks::<2>().0.chunks_exact(4).filter_map(|clip| clip.get(emotion as usize));
            // the first largest, as argmax has it
            let argmax = |[no, yes]: &[f64; 2]| f64::from(u8::from(yes > no));
            (Labels::Binary { name: emotion.name().to_string() }, chosen.map(argmax).collect())
        }
        ([_, 4, 2], None) => {
            let message = "the labels are four emotions (IEMOCAP): choose neutral, happy, sad or angry (--emotion)";
            return Err(item.error(message));
        }
        (_, Some(emotion)) => {
            let message = format!(
                "'{}' was chosen, but the labels have the shape {shape:?}, not the [N, 4, 2] of four emotions: choose none",
                emotion.name()
            );
            return Err(item.error(message));
        }
        (_, None) => (Labels::Sentiment, item.numbers()?),
    };
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => {
            let label = values[index];
            Err(item.error(format!("the label at [{index}] is {label}; every clip needs a finite label")))
        }
        None => Ok((labels, values)),
    }
}

fn read_clips(item: &Item<'_>, split: &str, labels: Vec<f32>, corpus: &mut Corpus) -> Result<Vec<Clip>> {
    let count = labels.len();
    let open = |key, name| Features::open(item.get(key)?, name, "labels", count);
    let features = [open("text", "text")?, open("audio", "audio")?, open("vision", "video")?];
    if corpus.modalities.is_empty() {
        corpus.modalities = features.iter().map(Features::modality).collect();
    }
    features.iter().zip(&corpus.modalities).try_for_each(|(features, modality)| features.expect(modality))?;
    let ids = match item.find("id")? {
        Some(ids) => read_ids(&ids, count)?,
        None => (0..count).map(|index| format!("{split}_{index}")).collect(),
    };
    let clip = |(index, (id, label))| {
        Ok(Clip { id, text: String::new(), sequences: read_sequences(&features, index)?, label, emotion: None })
    };
    ids.into_iter().zip(labels).enumerate().map(clip).collect()
}

/// One name per clip; the parts of a row are joined by '_'.
fn read_ids(item: &Item<'_>, count: usize) -> Result<Vec<String>> {
    if let Ok(rows) = item.items() {
        // a list, or an array of objects: of texts, or of rows of texts
        let flat = rows.iter().map(|row| row.str().map(|text| text.into_owned())).collect::<Result<Vec<_>>>();
        let parts = match flat {
            Ok(parts) => parts,
            Err(_) => rows.iter().map(|row| Ok(row.strings()?.join("_"))).collect::<Result<Vec<_>>>()?,
        };
        return join(item, parts, count);
    }
    let parts = item.array()?.strings().ok_or_else(|| item.error("expected text"))?;
    join(item, parts, count)
}

fn join(item: &Item<'_>, parts: Vec<String>, count: usize) -> Result<Vec<String>> {
    if parts.is_empty() || !parts.len().is_multiple_of(count) {
        expect_count(item, parts.len(), "labels", count)?;
    }
    Ok(parts.chunks(parts.len() / count.max(1)).map(|row| row.join("_")).collect())
}

/// The sequences of clip `index` without the padding before and after them.
fn read_sequences(features: &[Features<'_>], index: usize) -> Result<Vec<Sequence>> {
    let clips = features.iter().map(|features| features.clip(index, features.steps)).collect::<Result<Vec<_>>>()?;
    let first = |(features, values): (&Features<'_>, &Vec<f64>)| {
        values.iter().position(|&v| v != 0.0).map_or(usize::MAX, |at| at / features.dim)
    };
    let mut starts: Vec<usize> = features.iter().zip(&clips).map(first).collect();
    if features.iter().all(|other| other.steps == features[0].steps) {
        let common = starts.iter().copied().min().unwrap_or(0);
        starts.fill(common);
    }
    let cut = |((features, values), start): ((&Features<'_>, &Vec<f64>), usize)| {
        let end = values.iter().rposition(|&v| v != 0.0).map_or(0, |last| last / features.dim + 1);
        let start = start.min(end);
        features.sequence(index, start, values.get(start * features.dim..end * features.dim).unwrap_or_default())
    };
    features.iter().zip(&clips).zip(starts).map(cut).collect()
}
