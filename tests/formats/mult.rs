//! MulT files, sound and bad.

use limbic::data::mult::{Emotion, load};
use limbic::data::{Corpus, Labels, LoadOptions, Sequence, load_corpus, load_corpus_with};

use crate::mmsa::{COUNTS, feature, splits};
use crate::{file, message};

fn emotion(emotion: Emotion) -> LoadOptions {
    LoadOptions { emotion: Some(emotion), ..LoadOptions::default() }
}

/// Features and lengths by the formula of the script; `front` are the steps that padding before the text leaves to the others.
fn check(corpus: &Corpus, steps: [usize; 3], front: bool, id: impl Fn(&str, usize) -> String) {
    let dims = [6, 5, 4];
    let modalities: Vec<(&str, usize)> = corpus.modalities.iter().map(|m| (m.name.as_str(), m.dim)).collect();
    assert_eq!(modalities, [("text", 6), ("audio", 5), ("video", 4)]);
    for (s, (split, clips)) in splits(corpus).into_iter().enumerate() {
        assert_eq!(clips.len(), COUNTS[s]);
        for (n, clip) in clips.iter().enumerate() {
            assert_eq!((clip.id.as_str(), clip.text.as_str()), (id(split, n).as_str(), ""));
            for (m, sequence) in clip.sequences.iter().enumerate() {
                let silent = (s, n, m) == (0, 1, 2);
                if silent {
                    assert_eq!(*sequence, Sequence::default(), "{} {split} {n} {m}", corpus.name);
                    continue;
                }
                let len = steps[m] - (n + m) % 3;
                // in an aligned file what is cut before is cut for all: the longest modality decides
                let there = |m: usize| (s, n, m) != (0, 1, 2);
                let longest = (0..3).filter(|m| there(*m)).map(|m| steps[m] - (n + m) % 3).max().unwrap();
                let aligned = steps[0] == steps[1] && steps[0] == steps[2];
                let zeros = if front && aligned { longest - len } else { 0 };
                assert_eq!(sequence.len, zeros + len, "{} {split} {n} {m}", corpus.name);
                let mut values = vec![0.0; zeros * dims[m]];
                values.extend((0..len).flat_map(|t| (0..dims[m]).map(move |d| feature(s, m, n, t, d))));
                // -inf at step 1 of the padded array
                if m == 1 && n == 0 {
                    let shift = if front { steps[1] - len } else { 0 };
                    values[(zeros + 1 - shift) * 5] = 0.0;
                }
                assert_eq!(sequence.values, values, "{} {split} {n} {m}", corpus.name);
            }
        }
    }
}

#[test]
fn sentiment_files() {
    let corpus = load_corpus(file("mult_aligned.pkl")).unwrap();
    check(&corpus, [5, 5, 5], true, |_, n| format!("v{n}_{n}.0_{}.0", n + 1));
    assert_eq!((corpus.name.as_str(), &corpus.labels), ("MulT pickle mult_aligned.pkl", &Labels::Sentiment));
    for (_, clips) in splits(&corpus) {
        assert!(clips.iter().enumerate().all(|(n, clip)| clip.label == n as f32 * 0.5 - 1.0));
    }
    check(&load_corpus(file("mult_unaligned.pkl")).unwrap(), [5, 8, 7], true, |_, n| format!("v{n}_{n}"));
    check(&load_corpus(file("mult_end_padded.pkl")).unwrap(), [5, 8, 7], false, |_, n| format!("v{n}"));
    // Python 2 wrote this one; its training clips are all zeros
    let corpus = load_corpus(file("mult_p2.pkl")).unwrap();
    assert_eq!(corpus.test.iter().map(|clip| clip.id.as_str()).collect::<Vec<_>>(), ["vid1", "vid2"]);
    assert_eq!((corpus.test[1].label, corpus.test[1].sequences[1].len, corpus.train[0].sequences[0].len), (1.0, 3, 0));
}

#[test]
fn one_of_four_emotions() {
    for (index, chosen) in Emotion::ALL.into_iter().enumerate() {
        let corpus = load_corpus_with(file("mult_iemocap.pkl"), &emotion(chosen)).unwrap();
        check(&corpus, [5, 5, 5], false, |split, n| format!("{split}_{n}"));
        assert_eq!(corpus.labels, Labels::Binary { name: chosen.name().to_string() });
        assert_eq!(corpus.name, format!("MulT pickle mult_iemocap.pkl, {} or not", chosen.name()));
        for (_, clips) in splits(&corpus) {
            assert!(clips.iter().enumerate().all(|(n, clip)| clip.label == f32::from(u8::from(n % 4 == index))));
        }
        assert_eq!(chosen.name().parse::<Emotion>().unwrap(), chosen);
    }
    let text = message(load_corpus(file("mult_iemocap.pkl")));
    assert!(text.contains("train/labels") && text.contains("choose neutral, happy, sad or angry"), "{text}");
    let text = message(load(&file("mult_aligned.pkl"), Some(Emotion::Sad)));
    assert!(text.contains("train/labels") && text.contains("'sad' was chosen"), "{text}");
    for name in ["aligned_np2_p4.pkl", "aligned.npz"] {
        let text = message(load_corpus_with(file(name), &emotion(Emotion::Sad)));
        assert!(text.contains("has sentiment labels: choose none"), "{text}");
    }
    assert!(message("glad".parse::<Emotion>()).contains("there is no emotion 'glad'"));
}

#[test]
fn folds_are_for_folders_of_csd_files() {
    let folds = LoadOptions { folds: Some("folds.txt".into()), ..LoadOptions::default() };
    for name in ["mult_aligned.pkl", "aligned_np2_p4.pkl", "aligned.npz"] {
        let text = message(load_corpus_with(file(name), &folds));
        assert!(text.contains("folds.txt") && text.contains("no folder of .csd files"), "{text}");
    }
}

#[test]
fn bad_files_say_where_and_what() {
    for (name, parts) in [
        ("no_vision", ["valid/vision", "this key is missing"]),
        ("clip_count", ["train/audio", "3 clips, but labels has 4"]),
        ("features", ["test/text", "5 features per step, but 2 in train"]),
        ("nan_audio", ["test/audio", "[2, 1, 1] is NaN"]),
        ("nan_label", ["test/labels", "[1] is NaN"]),
        ("label_shape", ["train/labels", "expected shape [N], found [4, 3, 2]"]),
        ("label_text", ["train/labels", "expected numbers"]),
        ("id_count", ["train/id", "3 clips, but labels has 4"]),
        ("id_numbers", ["train/id", "expected text"]),
        ("no_clips", ["valid/labels", "no clips"]),
        ("runs_code", ["byte ", "refuses to import posix.system"]),
    ] {
        let name = format!("bad_mult_{name}.pkl");
        let text = message(load_corpus(file(&name)));
        assert!(text.contains(&format!("{name}: {}", parts[0])) && text.contains(parts[1]), "{name}: {text}");
    }
    let text = message(load(&file("bad_mult_nan_emotion.pkl"), Some(Emotion::Happy)));
    assert!(text.contains("train/labels") && text.contains("[0] is NaN"), "{text}");
}
