//! Writes a corpus to disk clip by clip.

use super::{Entry, FORMAT, Index, VERSION, check_emotion, entry_values, file_of};
use crate::data::corpus::{Clip, Corpus, Labels, Modality, Split};
use crate::error::{Error, Result};
use crate::weights::write_json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a folder that [`super::Streamed`] reads. The clips may come in any order; nothing but their names and lengths is kept.
/// `clips.json` is written last, so that a folder that was not finished is none.
pub struct ClipWriter {
    folder: PathBuf,
    index: Index,
    modalities: Vec<Modality>,
    files: [BufWriter<File>; 3],
}

impl ClipWriter {
    /// Begins a corpus in `folder`, which is made if it is not there; one that was there before is replaced. `like` says all but the clips.
    ///
    /// # Errors
    /// [`Error::Io`] where the folder or a file cannot be made.
    pub fn create(folder: &Path, like: &Corpus) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let index = folder.join("clips.json");
        if index.is_file() {
            std::fs::remove_file(&index).map_err(|error| Error::io(&index, error))?;
        }
        let file = |split: Split| {
            let path = file_of(split, folder);
            File::create(&path).map(BufWriter::new).map_err(|error| Error::io(path, error))
        };
        let files = [file(Split::Train)?, file(Split::Valid)?, file(Split::Test)?];
        let index = Index {
            format: FORMAT.to_string(),
            version: VERSION,
            name: like.name.clone(),
            modalities: like.modalities.iter().map(|modality| (modality.name.clone(), modality.dim)).collect(),
            question: match &like.labels {
                Labels::Sentiment => None,
                Labels::Binary { name } => Some(name.clone()),
            },
            emotions: like.emotions.clone(),
            clips: Default::default(),
        };
        Ok(ClipWriter { folder: folder.to_path_buf(), index, modalities: like.modalities.clone(), files })
    }

    /// Adds a clip to `split`.
    ///
    /// # Errors
    /// [`Error::Config`] where its sequences are not those of the modalities, or a value is not finite; [`Error::Io`] where the disk refuses.
    pub fn write(&mut self, split: Split, clip: &Clip) -> Result<()> {
        let fail = |message: String| Error::Config(format!("{} clip '{}': {message}", split.name(), clip.id));
        let lens: Option<Vec<u32>> = clip.sequences.iter().map(|sequence| u32::try_from(sequence.len).ok()).collect();
        let lens = lens.ok_or_else(|| fail("a sequence is too long".to_string()))?;
        let Clip { id, text, label, emotion, .. } = clip.clone();
        let entry = Entry { id, text, label, emotion, lens };
        check_emotion(entry.emotion, &self.index.emotions).map_err(fail)?;
        entry_values(&entry, &self.modalities).map_err(fail)?;
        for (sequence, modality) in clip.sequences.iter().zip(&self.modalities) {
            let (values, needed) = (sequence.values.len(), sequence.len * modality.dim);
            if values != needed {
                return Err(fail(format!("{values} values of {}, but {needed} are needed", modality.name)));
            }
            if sequence.values.iter().any(|value| !value.is_finite()) {
                return Err(fail(format!("{} has a value that is not finite", modality.name)));
            }
        }
        let file = &mut self.files[split as usize];
        let mut values = clip.sequences.iter().flat_map(|sequence| &sequence.values);
        let written = values.try_for_each(|value| file.write_all(&value.to_le_bytes()));
        written.map_err(|error| Error::io(file_of(split, &self.folder), error))?;
        self.index.clips[split as usize].push(entry);
        Ok(())
    }

    /// Writes what is left, and `clips.json`.
    ///
    /// # Errors
    /// [`Error::Io`] where the disk refuses.
    pub fn finish(mut self) -> Result<()> {
        for (file, split) in self.files.iter_mut().zip(Split::ALL) {
            let flushed = file.flush().and_then(|()| file.get_ref().sync_all());
            flushed.map_err(|error| Error::io(file_of(split, &self.folder), error))?;
        }
        write_json(self.folder.join("clips.json"), &self.index)
    }

    /// Writes all clips of `corpus`.
    ///
    /// # Errors
    /// As [`ClipWriter::create`], [`ClipWriter::write`] and [`ClipWriter::finish`].
    pub fn write_corpus(folder: &Path, corpus: &Corpus) -> Result<()> {
        let mut writer = ClipWriter::create(folder, corpus)?;
        for split in Split::ALL {
            corpus.split(split).iter().try_for_each(|clip| writer.write(split, clip))?;
        }
        writer.finish()
    }
}
