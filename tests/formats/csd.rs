//! The CMU SDK's files as h5py writes them (scripts/make_csd_files.py), aligned as the SDK aligns them; and broken ones.

use std::path::Path;

use limbic::data::{Clip, Corpus, LoadOptions, csd, load_corpus, load_corpus_with};
use serde_json::Value;

use crate::{file, message};

const NAMES: [&str; 5] =
    ["COVAREP.csd", "Opinion_Labels.csd", "TimestampedWordVectors.csd", "TimestampedWords.csd", "Visual_FACET.csd"];

/// A copy of the folder that may be broken.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES.into_iter().chain(["folds.txt"]) {
        std::fs::copy(file("csd").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

fn check(clip: &Clip, expected: &Value) {
    assert_eq!(clip.id, expected["id"]);
    assert_eq!(f64::from(clip.label), expected["label"].as_f64().unwrap(), "{}", clip.id);
    let steps = clip.sequences[0].len;
    assert!(steps > 0 && clip.sequences.iter().all(|sequence| sequence.len == steps), "{}", clip.id);
    for (sequence, expected) in clip.sequences.iter().zip(expected["sequences"].as_array().unwrap()) {
        let expected: Vec<f32> = expected.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        assert_eq!(sequence.values.len(), expected.len(), "{}", clip.id);
        for (ours, theirs) in sequence.values.iter().zip(expected) {
            assert!((ours - theirs).abs() <= 1e-6 * (1.0 + theirs.abs()), "{}: {ours} and {theirs}", clip.id);
        }
    }
}

fn splits(corpus: &Corpus) -> [(&str, &Vec<Clip>); 3] {
    [("train", &corpus.train), ("valid", &corpus.valid), ("test", &corpus.test)]
}

#[test]
fn aligned_as_the_sdk_does() {
    let expected: Value = serde_json::from_slice(&std::fs::read(file("csd/expected.json")).unwrap()).unwrap();
    let corpus = load_corpus(file("csd")).unwrap();
    let dims: Vec<(&str, usize)> = corpus.modalities.iter().map(|m| (m.name.as_str(), m.dim)).collect();
    assert_eq!(dims, [("text", 4), ("audio", 3), ("video", 2)]);
    for (split, clips) in splits(&corpus) {
        let expected = expected[split].as_array().unwrap();
        // of four segments one has no length
        assert_eq!((clips.len(), expected.len()), (3, 3), "{split}");
        for (clip, expected) in clips.iter().zip(expected) {
            check(clip, expected);
            assert_eq!(clip.text, expected["text"]);
            assert!(clip.text.contains("wörd") && !clip.text.contains("sp"), "{}", clip.text);
        }
    }
    // without the words nothing is known of pauses, nor said
    let folder = copy();
    std::fs::remove_file(folder.path().join("TimestampedWords.csd")).unwrap();
    let without = load_corpus(folder.path()).unwrap();
    let steps = |corpus: &Corpus| corpus.train.iter().map(|clip| clip.sequences[0].len).sum::<usize>();
    assert!(steps(&without) > steps(&corpus) && without.train[0].text.is_empty());
}

#[test]
fn folds_may_be_another_file() {
    let folder = copy();
    let folds = folder.path().join("mine.txt");
    std::fs::write(&folds, "train aB_1\ntrain c-2\n\n# nothing else\n").unwrap();
    let options = LoadOptions { folds: Some(folds.clone()), ..LoadOptions::default() };
    let corpus = load_corpus_with(folder.path(), &options).unwrap();
    assert_eq!((corpus.train.len(), corpus.valid.len(), corpus.test.len()), (6, 0, 0));
    for (text, parts) in [
        ("train aB_1\ndev c-2", ["line 2", "'dev c-2' is not 'train', 'valid' or 'test' and a video"]),
        ("train", ["line 1", "'train' is not"]),
        ("train a b", ["line 1", "'train a b' is not"]),
        ("train a\ntest a", ["line 2", "'a' is in two splits"]),
        ("train a", ["", "none of its 1 videos"]),
    ] {
        std::fs::write(&folds, text).unwrap();
        let text = message(load_corpus_with(folder.path(), &options));
        assert!(text.contains(parts[0]) && text.contains(parts[1]), "{text}");
    }
    std::fs::remove_file(folder.path().join("folds.txt")).unwrap();
    let text = message(load_corpus(folder.path()));
    assert!(text.contains("folds.txt") && text.contains("write a line 'train <video>'"), "{text}");
}

#[test]
fn folders_that_lack_something_say_what() {
    let folder = copy();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(path("COVAREP.csd"), path("second.csd")).unwrap();
    let text = message(load_corpus(folder.path()));
    assert!(text.contains("second.csd") && text.contains("COVAREP.csd has audio too"), "{text}");
    std::fs::remove_file(path("second.csd")).unwrap();
    std::fs::remove_file(path("COVAREP.csd")).unwrap();
    let text = message(load_corpus(folder.path()));
    assert!(text.contains("no .csd file of audio here, only of: labels, text, video, words"), "{text}");
    // words of other intervals than their vectors: here, the labels' file in the place of the words
    let folder = copy();
    let text = message(csd::load(&folder.path().join("no"), None));
    assert!(text.contains("folds.txt"), "{text}");
    std::fs::write(folder.path().join("COVAREP.csd"), b"not HDF5").unwrap();
    let text = message(load_corpus(folder.path()));
    assert!(text.contains("COVAREP.csd: HDF5"), "{text}");
    let text = message(load_corpus(file("csd/COVAREP.csd")));
    assert!(text.contains("give the folder that holds them"), "{text}");
}

/// Cut anywhere or with bytes changed, a file is an error or other numbers, never a panic and never long.
#[test]
fn damaged_files_do_no_harm() {
    let mut errors = 0;
    let mut tried = 0;
    for name in NAMES {
        let folder = copy();
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut attempt = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            tried += 1;
            errors += usize::from(load_corpus(folder.path()).is_err());
        };
        for part in 0..24 {
            attempt(&whole[..whole.len() * part / 24]);
        }
        let mut bytes = whole.clone();
        for at in (0..whole.len()).step_by(whole.len() / 60) {
            bytes[at] ^= 0xff;
            attempt(&bytes);
            bytes[at] = whole[at];
        }
    }
    assert!(errors > 5 * 24 && errors < tried, "{errors} of {tried}");
    assert!(Path::new(&file("csd")).is_dir());
}
