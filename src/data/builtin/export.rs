//! The clips as files that any player shows: WAV, PNG frames, a table of texts and labels; and such a folder read back.
//!
//! ```text
//! DIR/clips.csv                id, split, text, label, emotion, words, voice, face, arousal
//! DIR/features.json            statistics that standardise the features
//! DIR/wav/ID.wav               16 kHz, mono, 16-bit
//! DIR/frames/ID/000.png ...    gray, 64 x 64, 10 per second
//! ```

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    AudioFeatures, Builtin, EMOTIONS, FRAME_SIZE, Recording, SAMPLE_RATE, Standardiser, measure, modalities,
    standardise,
};
use crate::data::{Clip, Corpus, Split};
use crate::error::{Error, Result};

/// A row of clips.csv. The last four columns, the causes, are for people; reading back ignores them.
#[derive(Serialize, Deserialize)]
struct Row {
    id: String,
    split: String,
    text: String,
    label: f32,
    /// One of [`EMOTIONS`]; empty where it is not known.
    #[serde(default)]
    emotion: String,
    #[serde(default)]
    words: i8,
    #[serde(default)]
    voice: i8,
    #[serde(default)]
    face: i8,
    #[serde(default)]
    arousal: u8,
}

impl Builtin {
    /// Writes the first `n` clips of each split under the folder `dir`, which must not exist yet or be empty. Everything is
    /// written aside first and then renamed, so that `dir` is whole or not there. Returns how many clips were written.
    pub fn export(&self, dir: &Path, n: usize) -> Result<usize> {
        if fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) || dir.is_file() {
            return Err(Error::io(dir, "there is something here already: name a new or empty folder to export to"));
        }
        let name = dir.file_name().ok_or_else(|| Error::io(dir, "this is not a folder that can be made"))?;
        let mut aside_name = std::ffi::OsString::from(".partial-");
        aside_name.push(name);
        let aside = dir.with_file_name(aside_name);
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(|e| Error::io(&aside, e))?;
        }
        let written = self.write_all(&aside, n);
        let written = written.and_then(|count| {
            if dir.is_dir() {
                fs::remove_dir(dir).map_err(|e| Error::io(dir, e))?;
            }
            fs::rename(&aside, dir).map_err(|e| Error::io(dir, e))?;
            Ok(count)
        });
        if written.is_err() {
            // What failed is the news; that the leftovers cannot be removed either would hide it.
            let _ = fs::remove_dir_all(&aside);
        }
        written
    }

    fn write_all(&self, dir: &Path, n: usize) -> Result<usize> {
        for folder in ["wav", "frames"] {
            let path = dir.join(folder);
            fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        }
        let table = dir.join("clips.csv");
        let mut rows = csv::Writer::from_path(&table).map_err(|e| Error::io(&table, e))?;
        let mut count = 0;
        for split in Split::ALL {
            for index in 0..n.min(self.config.count(split)) {
                let clip = self.recording(split, index)?;
                write_wav(&dir.join("wav").join(format!("{}.wav", clip.id)), &clip.samples)?;
                write_frames(&dir.join("frames").join(&clip.id), &clip.frames)?;
                rows.serialize(row(clip, split)).map_err(|e| Error::io(&table, e))?;
                count += 1;
            }
        }
        rows.flush().map_err(|e| Error::io(&table, e))?;
        let path = dir.join("features.json");
        let text = serde_json::to_string_pretty(&self.standardisers).map_err(|e| Error::io(&path, e))?;
        fs::write(&path, text).map_err(|e| Error::io(&path, e))?;
        Ok(count)
    }
}

fn row(clip: Recording, split: Split) -> Row {
    let Recording { id, text, label, causes, .. } = clip;
    let split = split.name().to_owned();
    let emotion = EMOTIONS[causes.emotion() as usize].to_owned();
    let [words, voice, face] = [causes.words, causes.voice, causes.face];
    Row { id, split, text, label, emotion, words, voice, face, arousal: causes.arousal }
}

fn write_wav(path: &Path, samples: &[i16]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || {
        let mut writer = hound::WavWriter::create(path, spec)?;
        samples.iter().try_for_each(|&s| writer.write_sample(s))?;
        writer.finalize()
    };
    write().map_err(|e| Error::io(path, e))
}

fn write_frames(folder: &Path, frames: &[Vec<u8>]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    for (i, frame) in frames.iter().enumerate() {
        let path = folder.join(format!("{i:03}.png"));
        let mut file = BufWriter::new(File::create(&path).map_err(|e| Error::io(&path, e))?);
        let mut encoder = png::Encoder::new(&mut file, FRAME_SIZE as u32, FRAME_SIZE as u32);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(frame)?;
            writer.finish()
        });
        written.map_err(|e| Error::io(&path, e))?;
        file.flush().map_err(|e| Error::io(&path, e))?;
    }
    Ok(())
}

/// Reads a folder that [`Builtin::export`] wrote: features are measured from the WAV and PNG files, and standardised by the
/// statistics in features.json. Nothing in it is trusted: what does not fit is an error that names file and place.
pub fn read_export(dir: &Path) -> Result<Corpus> {
    let standardisers = read_standardisers(&dir.join("features.json"))?;
    let table = dir.join("clips.csv");
    let mut rows = csv::Reader::from_path(&table).map_err(|e| Error::io(&table, e))?;
    let name = format!("exported clips in {}", dir.display());
    let mut corpus = Corpus { name, modalities: modalities(), ..Corpus::default() };
    let mut emotions = false;
    let audio = AudioFeatures::new();
    for (i, row) in rows.deserialize().enumerate() {
        let fail = |message: String| Error::format(&table, format!("row {}", i + 1), message);
        let row: Row = row.map_err(|e| fail(e.to_string()))?;
        if !row.label.is_finite() || row.label.abs() > 3.0 {
            return Err(fail(format!("the label is {}, but must lie in [-3, 3]", row.label)));
        }
        if row.id.is_empty() || !row.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(fail(format!("the id '{}' may hold only letters, digits, '-' and '_'", row.id)));
        }
        if row.text.split_whitespace().next().is_none() {
            return Err(fail("there is no text: write what is said".into()));
        }
        let emotion = EMOTIONS.iter().position(|name| *name == row.emotion).map(|index| index as u32);
        if emotion.is_none() && !row.emotion.is_empty() {
            let known = EMOTIONS.join(", ");
            return Err(fail(format!("the emotion is '{}', but must be one of {known}, or empty", row.emotion)));
        }
        emotions |= emotion.is_some();
        let clips = match row.split.as_str() {
            "train" => &mut corpus.train,
            "valid" => &mut corpus.valid,
            "test" => &mut corpus.test,
            other => return Err(fail(format!("the split is '{other}', but must be train, valid or test"))),
        };
        let samples = read_wav(&dir.join("wav").join(format!("{}.wav", row.id)))?;
        let frames = read_frames(&dir.join("frames").join(&row.id))?;
        let sequences = measure(&audio, &row.text, &samples, &frames)?;
        clips.push(Clip { id: row.id, text: row.text, sequences, label: row.label, emotion });
    }
    if corpus.train.is_empty() && corpus.valid.is_empty() && corpus.test.is_empty() {
        return Err(Error::format(&table, "rows", "the table holds no clip: export some"));
    }
    if emotions {
        corpus.emotions = EMOTIONS.map(String::from).to_vec();
    }
    standardise(&mut corpus, &standardisers)?;
    Ok(corpus)
}

fn read_standardisers(path: &Path) -> Result<Vec<Standardiser>> {
    let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let read: Vec<Standardiser> = serde_json::from_str(&text).map_err(|e| Error::format(path, "statistics", e))?;
    let fits = |(s, dim): (&Standardiser, usize)| s.mean.len() == dim && s.deviation.len() == dim;
    let dims: Vec<usize> = modalities().iter().map(|m| m.dim).collect();
    if read.len() != dims.len() || !read.iter().zip(dims.iter().copied()).all(fits) {
        let message =
            format!("expected means and deviations of {dims:?} features for text, audio and video: export again");
        return Err(Error::format(path, "statistics", message));
    }
    if read.iter().flat_map(|s| s.mean.iter().chain(&s.deviation)).any(|x| !x.is_finite()) {
        return Err(Error::format(path, "statistics", "a value is not finite: export again"));
    }
    Ok(read)
}

fn read_wav(path: &Path) -> Result<Vec<i16>> {
    let mut reader = hound::WavReader::open(path).map_err(|e| Error::io(path, e))?;
    let hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if (channels, sample_rate, bits_per_sample, sample_format) != (1, SAMPLE_RATE, 16, hound::SampleFormat::Int) {
        let message = format!(
            "{channels} channels of {bits_per_sample} bits at {sample_rate} Hz, but expected one of 16-bit integers at {SAMPLE_RATE} Hz"
        );
        return Err(Error::format(path, "header", message));
    }
    reader.samples::<i16>().collect::<hound::Result<_>>().map_err(|e| Error::format(path, "samples", e))
}

/// The frames of a clip, in the order of their file names.
fn read_frames(folder: &Path) -> Result<Vec<Vec<u8>>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|e| e.path())).collect();
    let mut paths = paths.map_err(|e| Error::io(folder, e))?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "png"));
    paths.sort();
    if paths.is_empty() {
        return Err(Error::format(folder, "frames", "there is no PNG file: a clip needs at least one frame"));
    }
    paths.iter().map(|path| read_frame(path)).collect()
}

fn read_frame(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut reader =
        png::Decoder::new(BufReader::new(file)).read_info().map_err(|e| Error::format(path, "header", e))?;
    let info = reader.info();
    let size = FRAME_SIZE as u32;
    let found = (info.width, info.height, info.color_type, info.bit_depth);
    if found != (size, size, png::ColorType::Grayscale, png::BitDepth::Eight) {
        let message = format!(
            "{} x {} {:?} {:?}, but expected {size} x {size} Grayscale Eight",
            found.0, found.1, found.2, found.3
        );
        return Err(Error::format(path, "header", message));
    }
    let mut frame = vec![0; FRAME_SIZE * FRAME_SIZE];
    reader.next_frame(&mut frame).map_err(|e| Error::format(path, "pixels", e))?;
    Ok(frame)
}
