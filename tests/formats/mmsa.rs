//! MMSA files, sound and bad.

use std::path::Path;

use limbic::data::mmsa::{MmsaOptions, load};
use limbic::data::{Clip, Corpus, Sequence, load_corpus};

use crate::{file, message};

pub(crate) const COUNTS: [usize; 3] = [4, 2, 3];

/// The formula of scripts/make_test_files.py.
pub(crate) fn feature(split: usize, modality: usize, clip: usize, step: usize, dim: usize) -> f32 {
    ((split * 7 + modality * 5 + clip * 3 + step * 2 + dim) % 16 + 1) as f32 / 8.0
}

pub(crate) fn splits(corpus: &Corpus) -> [(&str, &Vec<Clip>); 3] {
    [("train", &corpus.train), ("valid", &corpus.valid), ("test", &corpus.test)]
}

fn check(corpus: &Corpus, steps: [usize; 3], dims: [usize; 3]) {
    let modalities: Vec<(&str, usize)> = corpus.modalities.iter().map(|m| (m.name.as_str(), m.dim)).collect();
    assert_eq!(modalities, [("text", dims[0]), ("audio", dims[1]), ("video", dims[2])]);
    for (s, (split, clips)) in splits(corpus).into_iter().enumerate() {
        assert_eq!(clips.len(), COUNTS[s]);
        for (n, clip) in clips.iter().enumerate() {
            assert_eq!(clip.id, format!("{split}{n}$_${}", n + 1));
            assert_eq!(clip.text, format!("clip {n} of {split}, \u{e9}\u{4f60}"));
            assert_eq!(clip.label, n as f32 * 0.5 - 1.0);
            assert_eq!(clip.sequences.len(), 3);
            for (m, sequence) in clip.sequences.iter().enumerate() {
                let len = steps[m] - (n + m) % 3;
                assert_eq!(sequence.len, len, "{} {split} {n} {m}", corpus.name);
                let values = (0..len).flat_map(|t| (0..dims[m]).map(move |d| feature(s, m, n, t, d)));
                let mut values: Vec<f32> = values.collect();
                if m == 1 && n == 0 {
                    values[0] = 0.0; // -inf in the file
                }
                assert_eq!(sequence.values, values, "{} {split} {n} {m}", corpus.name);
            }
        }
    }
}

#[test]
fn aligned_files() {
    for name in ["np2_p0", "np2_p2", "np2_p4", "np2_p5", "np1_p3", "np1_p5"] {
        let corpus = load_corpus(file(&format!("aligned_{name}.pkl"))).unwrap();
        check(&corpus, [6, 6, 6], [8, 5, 4]);
        assert_eq!(corpus.name, format!("MMSA pickle aligned_{name}.pkl, aligned"));
    }
    let corpus = load_corpus(file("aligned.npz")).unwrap();
    check(&corpus, [6, 6, 6], [8, 5, 4]);
    assert_eq!(corpus.name, "MMSA npz aligned.npz, aligned");
}

#[test]
fn unaligned_and_sims_files() {
    for name in ["unaligned_np2_p4.pkl", "unaligned_np1_p4.pkl", "unaligned.npz"] {
        let corpus = load_corpus(file(name)).unwrap();
        check(&corpus, [6, 9, 7], [8, 5, 4]);
        assert!(corpus.name.ends_with(&format!("{name}, unaligned")));
    }
    for name in ["sims_np2_p4.pkl", "sims_np1_p4.pkl"] {
        check(&load_corpus(file(name)).unwrap(), [5, 8, 6], [8, 3, 7]);
    }
}

#[test]
fn lengths_that_are_derived() {
    let corpus = load_corpus(file("without_text_bert.pkl")).unwrap();
    // Without a mask BERT's features of padding count as real; with it they do not.
    assert_eq!(corpus.train.iter().map(|clip| clip.sequences[0].len).collect::<Vec<_>>(), [3, 3, 3, 3]);
    assert_eq!(corpus.test.iter().map(|clip| clip.sequences[0].len).collect::<Vec<_>>(), [3, 2, 1]);
    let corpus = load_corpus(file("silent_clip.pkl")).unwrap();
    assert_eq!(corpus.train[1].sequences[1], Sequence::default(), "a clip without sound has no audio steps");
    assert_eq!(corpus.train[2].sequences[1].len, 6);
}

#[test]
fn alignment_may_be_demanded() {
    let aligned = |flag| MmsaOptions { aligned: Some(flag), ..MmsaOptions::default() };
    let text = message(load(&file("unaligned_np2_p4.pkl"), &aligned(true)));
    assert!(text.contains("train/text") && text.contains("[6, 9, 7]"), "{text}");
    let text = message(load(&file("aligned_np2_p4.pkl"), &aligned(false)));
    assert!(text.contains("train/audio_lengths: this key is missing"), "{text}");
    check(&load(&file("unaligned_np2_p4.pkl"), &aligned(false)).unwrap(), [6, 9, 7], [8, 5, 4]);
}

#[test]
fn need_normalized_averages_over_all_steps() {
    let options = MmsaOptions { need_normalized: true, ..MmsaOptions::default() };
    let corpus = load(&file("unaligned_np2_p4.pkl"), &options).unwrap();
    for (s, (_, clips)) in splits(&corpus).into_iter().enumerate() {
        for (n, clip) in clips.iter().enumerate() {
            assert_eq!(clip.sequences[0].len, 6 - n % 3, "text is left alone");
            for (m, steps, dims) in [(1, 9, 5), (2, 7, 4)] {
                let sequence = &clip.sequences[m];
                assert_eq!((sequence.len, sequence.values.len()), (1, dims));
                for (d, &value) in sequence.values.iter().enumerate() {
                    let first = if m == 1 && n == 0 && d == 0 { 1 } else { 0 };
                    let sum: f32 = (first..steps - (n + m) % 3).map(|t| feature(s, m, n, t, d)).sum();
                    approx::assert_relative_eq!(value, sum / steps as f32, max_relative = 1e-6);
                }
            }
        }
    }
    // A feature with a NaN in any step becomes 0, the others stay.
    let corpus = load(&file("bad_nan_vision.pkl"), &options).unwrap();
    let values = &corpus.valid[1].sequences[2].values;
    assert!(values[0] > 0.0 && values[1] == 0.0, "{values:?}");
    // In text it is no cure.
    assert!(message(load(&file("bad_inf_text.pkl"), &options)).contains("train/text"));
}

#[test]
fn bad_files_say_where_and_what() {
    for (name, parts) in [
        ("no_split", ["valid", "this key is missing; the keys here are: train, test"]),
        ("split_is_list", ["test", "expected a dict, found a list"]),
        ("empty_split", ["valid/regression_labels", "no clips"]),
        ("no_text", ["train/text", "this key is missing"]),
        ("no_labels", ["valid/regression_labels", "this key is missing"]),
        ("no_lengths", ["train/audio_lengths", "this key is missing"]),
        ("rank", ["train/vision", "expected numbers of shape [N, steps, features], found <f4 of shape [4, 8]"]),
        ("clip_count", ["test/audio", "2 clips, but regression_labels has 3"]),
        ("id_count", ["train/id", "3 clips, but regression_labels has 4"]),
        ("features", ["valid/vision", "3 features per step, but 2 in train"]),
        ("no_features", ["train/audio", "4 steps of 0 features"]),
        ("object_features", ["train/audio", "expected a numpy array of a plain type, found an array of objects"]),
        ("text_features", ["train/audio", "found <U1 of shape"]),
        ("complex_features", ["byte ", "dtype 'c16' is none of"]),
        ("nan_vision", ["valid/vision", "[1, 0, 1] is NaN"]),
        ("inf_text", ["train/text", "[0, 1, 1] is -inf"]),
        ("inf_audio", ["train/audio", "[3, 0, 1] is inf"]),
        ("nan_label", ["test/regression_labels", "[2] is NaN"]),
        ("label_shape", ["test/regression_labels", "expected shape [N], found [3, 2]"]),
        ("label_text", ["test/regression_labels/0", "expected a number, found a str"]),
        ("length_large", ["train/audio_lengths", "[2] is 5, expected a whole number from 0 to 4"]),
        ("length_negative", ["train/vision_lengths", "[0] is -1"]),
        ("length_fraction", ["train/audio_lengths", "[1] is 1.5"]),
        ("mask_shape", ["train/text_bert", "expected shape [4, 3, 3] to fit text, found [4, 3, 4]"]),
        ("mask_value", ["train/text_bert", "[1, 1, 2] is neither 0 nor 1"]),
        ("id_numbers", ["train/id/0", "expected text, found an int"]),
    ] {
        let name = format!("bad_{name}.pkl");
        let text = message(load_corpus(file(&name)));
        let place = format!("{name}: {}", parts[0]);
        assert!(text.contains(&place) && text.contains(parts[1]), "{name}: {text}");
    }
    let text = message(load_corpus(file("bad_missing.npz")));
    assert!(text.contains("valid/audio: this array is missing; name it valid/audio.npy"), "{text}");
    let text = message(load_corpus(file("bad_twice.npz")));
    assert!(text.contains("train_id: the archive also has train/id"), "{text}");
}

#[test]
fn paths_that_are_no_corpus() {
    assert!(message(load_corpus("no/such/file.pkl")).contains("no/such/file.pkl: there is no such file"));
    assert!(message(load_corpus(env!("CARGO_MANIFEST_DIR"))).contains("this is a directory"));
    assert!(load(Path::new(env!("CARGO_MANIFEST_DIR")), &MmsaOptions::default()).is_err());
    assert!(message(load_corpus(file("one_array.npy"))).contains("this is one array (.npy)"));
    let directory = tempfile::tempdir().unwrap();
    for (start, part) in [
        (&b""[..], "the file is empty"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"version https://git-lfs", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "web page"),
        (b"path,text,label", "format is unknown"),
        (b"PK\x03\x04", "zip directory"),
        (b"\x80\x04", "byte 2"),
    ] {
        let path = directory.path().join("data");
        std::fs::write(&path, start).unwrap();
        let text = message(load_corpus(&path));
        assert!(text.contains(part), "{part}: {text}");
    }
}
