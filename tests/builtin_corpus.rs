//! The built-in corpus as a whole: the same from the same seed, well-formed, its rule's bounds true, its files readable.
#![cfg(feature = "data")]

use std::fs;
use std::path::Path;

use limbic::Error;
use limbic::data::builtin::*;
use limbic::data::{Clip, Corpus, Split};

fn small() -> BuiltinConfig {
    BuiltinConfig { seed: 3, train: 24, valid: 5, test: 6, ..Default::default() }
}

fn clips(corpus: &Corpus) -> impl Iterator<Item = &Clip> {
    corpus.train.iter().chain(&corpus.valid).chain(&corpus.test)
}

#[test]
fn same_seed_same_corpus_whatever_the_threads() {
    let one = generate(BuiltinConfig { threads: 1, ..small() }).unwrap();
    for threads in [1, 2, 3, 64] {
        let again = generate(BuiltinConfig { threads, ..small() }).unwrap();
        assert!(one.corpus == again.corpus && one.causes == again.causes, "{threads} threads");
        assert_eq!(one.standardisers, again.standardisers);
    }
    let other = generate(BuiltinConfig { seed: 4, ..small() }).unwrap();
    assert!(one.corpus.train[0].sequences != other.corpus.train[0].sequences);
    assert_ne!(one.causes, other.causes);
}

#[test]
fn more_clips_leave_the_first_as_they_were() {
    let few = generate(small()).unwrap();
    let more = generate(BuiltinConfig { train: 30, test: 9, ..small() }).unwrap();
    for split in Split::ALL {
        assert_eq!(few.recording(split, 4).unwrap(), more.recording(split, 4).unwrap());
    }
    assert_ne!(
        few.recording(Split::Train, 4).unwrap().samples,
        few.recording(Split::Test, 4).unwrap().samples,
        "splits share clips"
    );
}

#[test]
fn clips_are_well_formed() {
    let made = generate(BuiltinConfig { train: 60, ..small() }).unwrap();
    let dims: Vec<usize> = made.corpus.modalities.iter().map(|m| m.dim).collect();
    assert_eq!(dims, [WORD_DIM, AUDIO_DIM, VIDEO_DIM]);
    assert_eq!(MAX_STEPS, [14, 40, 32]);
    for clip in clips(&made.corpus) {
        assert!((-3.0..=3.0).contains(&clip.label), "{}: {}", clip.id, clip.label);
        for (m, (sequence, dim)) in clip.sequences.iter().zip(&dims).enumerate() {
            assert_eq!(sequence.values.len(), sequence.len * dim);
            assert!((1..=MAX_STEPS[m]).contains(&sequence.len), "{}: {} steps", clip.id, sequence.len);
            assert!(sequence.values.iter().all(|x| x.is_finite() && x.abs() < 50.0), "{}", clip.id);
        }
        let words = clip.text.split(' ').count();
        assert!((MIN_WORDS..=MAX_WORDS).contains(&words) && words == clip.sequences[0].len, "{}", clip.text);
    }
    for m in 0..3 {
        let mut lengths: Vec<usize> = clips(&made.corpus).map(|c| c.sequences[m].len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert!(lengths.len() >= 8, "modality {m} has only the lengths {lengths:?}");
    }
}

#[test]
fn words_say_what_the_rule_made_them_say() {
    let made = generate(BuiltinConfig { train: 300, valid: 0, test: 0, seed: 11, ..Default::default() }).unwrap();
    for (clip, causes) in made.corpus.train.iter().zip(&made.causes[0]) {
        assert_eq!(literal_polarity(&clip.text), causes.words, "{}", clip.text);
    }
    for (text, polarity) in [
        ("it was good", 1),
        ("it was not very good", -2),
        ("the film seemed truly superb today", 3),
        ("it is never dreadful", 2),
        ("it is hardly wooden", 0),
        ("", 0),
    ] {
        assert_eq!(literal_polarity(text), polarity, "{text}");
    }
    // Negation flips in the sentence, not in the vectors: a bag of words cannot tell.
    assert_eq!(word_vector("good"), word_vector("good"));
    assert_ne!(word_vector("good"), word_vector("bad"));
}

#[test]
fn features_are_standardised_by_the_training_clips() {
    let made = generate(small()).unwrap();
    for (m, modality) in made.corpus.modalities.iter().enumerate() {
        for feature in 0..modality.dim {
            let of = |clips: &[Clip]| -> Vec<f64> {
                let steps = clips.iter().flat_map(|c| c.sequences[m].values.chunks(modality.dim));
                steps.map(|s| f64::from(s[feature])).collect()
            };
            let train = of(&made.corpus.train);
            let mean = train.iter().sum::<f64>() / train.len() as f64;
            let deviation = (train.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / train.len() as f64).sqrt();
            assert!(mean.abs() < 1e-3 && (deviation - 1.0).abs() < 1e-3, "{} {feature}", modality.name);
        }
    }
    // A clip from elsewhere is measured and then standardised to the same numbers.
    let r = made.recording(Split::Valid, 1).unwrap();
    let mut sequences = measure(&AudioFeatures::new(), &r.text, &r.samples, &r.frames).unwrap();
    for (sequence, ruler) in sequences.iter_mut().zip(&made.standardisers) {
        ruler.apply(sequence).unwrap();
    }
    assert_eq!(sequences, made.corpus.valid[1].sequences);
    let wrong = made.standardisers[0].apply(&mut made.corpus.test[0].sequences[1].clone());
    assert!(matches!(wrong, Err(Error::Config(_))), "{wrong:?}");
}

/// The errors of the best predictors, estimated from `sample` alone: per group of equal `key` the median, mean and likelier
/// sign of its labels.
fn estimated(sample: &[(Causes, f32)], key: impl Fn(&Causes) -> [i8; 4]) -> Bound {
    let mut groups = std::collections::HashMap::<[i8; 4], Vec<f64>>::new();
    for (causes, label) in sample {
        groups.entry(key(causes)).or_default().push(f64::from(*label));
    }
    let n = sample.len() as f64;
    let mean = sample.iter().map(|s| f64::from(s.1)).sum::<f64>() / n;
    let variance = sample.iter().map(|s| (f64::from(s.1) - mean).powi(2)).sum::<f64>() / n;
    let (mut mae, mut explained, mut right) = (0.0, 0.0, 0.0);
    for labels in groups.values_mut() {
        labels.sort_by(f64::total_cmp);
        let (median, size) = (labels[labels.len() / 2], labels.len() as f64);
        mae += labels.iter().map(|y| (y - median).abs()).sum::<f64>() / n;
        explained += size / n * (labels.iter().sum::<f64>() / size - mean).powi(2);
        let negative = labels.iter().filter(|y| **y < 0.0).count() as f64;
        right += negative.max(size - negative) / n;
    }
    Bound { mae, r: (explained / variance).sqrt(), acc2: right }
}

#[test]
fn best_possible_is_what_a_simulation_finds() {
    for rule in [
        Rule { irony: 0.25, label_noise: 0.3 },
        Rule { irony: 0.0, label_noise: 0.8 },
        Rule { irony: 0.6, label_noise: 0.05 },
    ] {
        let best = rule.best_possible();
        let total: f64 = rule.states().iter().map(|s| s.1).sum();
        assert!((total - 1.0).abs() < 1e-12, "probabilities sum to {total}");
        let sample = rule.sample(5, 200_000);
        for (name, bound, found) in [
            ("all", best.all, estimated(&sample, |c| [c.words, c.voice, c.face, c.arousal as i8])),
            ("text", best.text, estimated(&sample, |c| [c.words, 0, 0, 0])),
            ("audio", best.audio, estimated(&sample, |c| [0, c.voice, 0, c.arousal as i8])),
            ("video", best.video, estimated(&sample, |c| [0, 0, c.face, c.arousal as i8])),
            ("nothing", best.nothing, estimated(&sample, |_| [0; 4])),
        ] {
            let close = |a: f64, b: f64| (a - b).abs() < 0.006;
            let ok = close(bound.mae, found.mae) && close(bound.r, found.r) && close(bound.acc2, found.acc2);
            assert!(ok, "{rule:?} {name}: {bound:?} but the simulation found {found:?}");
        }
        for (name, bound, found) in [
            ("all", best.emotion.all, named_right(&sample, |c| [c.words, c.voice, c.face, c.arousal as i8])),
            ("text", best.emotion.text, named_right(&sample, |c| [c.words, 0, 0, 0])),
            ("audio", best.emotion.audio, named_right(&sample, |c| [0, c.voice, 0, c.arousal as i8])),
            ("video", best.emotion.video, named_right(&sample, |c| [0, 0, c.face, c.arousal as i8])),
            ("nothing", best.emotion.nothing, named_right(&sample, |_| [0; 4])),
        ] {
            assert!(
                (bound - found).abs() < 0.006,
                "{rule:?} {name}: {bound} of emotions, the simulation found {found}"
            );
        }
        assert!((best.emotion.all - 1.0).abs() < 1e-12, "emotions have no noise");
    }
}

/// The share of emotions that are right where the most frequent one of each `key` is named.
fn named_right(sample: &[(Causes, f32)], key: impl Fn(&Causes) -> [i8; 4]) -> f64 {
    let mut groups = std::collections::HashMap::<[i8; 4], [usize; EMOTIONS.len()]>::new();
    for (causes, _) in sample {
        groups.entry(key(causes)).or_default()[causes.emotion() as usize] += 1;
    }
    groups.values().map(|counts| counts.iter().max().unwrap_or(&0)).sum::<usize>() as f64 / sample.len() as f64
}

#[test]
fn emotions_are_quadrants_of_valence_and_arousal() {
    let name = |causes: Causes| EMOTIONS[causes.emotion() as usize];
    let warm = Causes { words: 2, voice: 1, face: 1, arousal: 1 };
    let ironic = Causes { voice: -1, face: -1, ..warm };
    let said = [warm, ironic].map(|causes| [name(causes), name(Causes { arousal: 2, ..causes })]);
    assert_eq!(said, [["content", "happy"], ["sad", "angry"]]);
    assert_eq!(name(Causes { arousal: 2, ..Causes::default() }), "neutral");
}

#[test]
fn irony_flips_the_meaning() {
    let sincere = Causes { words: 2, voice: 1, face: 1, arousal: 1 };
    let ironic = Causes { voice: -1, face: -1, ..sincere };
    let moody = Causes { face: -1, ..sincere };
    assert!(ironic.is_ironic() && !sincere.is_ironic() && !moody.is_ironic());
    assert!((sincere.expected() - 2.1).abs() < 1e-12);
    assert!((ironic.expected() + 2.1).abs() < 1e-12);
    assert!((moody.expected() - 1.1).abs() < 1e-12);
    assert!(!Causes::default().is_ironic());
}

#[test]
fn senseless_configurations_are_refused() {
    for (config, word) in [
        (BuiltinConfig { train: 0, ..small() }, "train"),
        (BuiltinConfig { test: usize::MAX, ..small() }, "split"),
        (BuiltinConfig { irony: 1.5, ..small() }, "irony"),
        (BuiltinConfig { irony: f64::NAN, ..small() }, "irony"),
        (BuiltinConfig { label_noise: -1.0, ..small() }, "label_noise"),
    ] {
        let error = generate(config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let made = generate(BuiltinConfig { train: 1, valid: 0, test: 0, ..small() }).unwrap();
    assert!(made.corpus.valid.is_empty());
    assert!(made.recording(Split::Test, 0).unwrap_err().to_string().contains("test has 0"));
}

#[test]
fn exported_clips_are_plain_files_and_read_back_the_same() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("clips");
    let made = generate(small()).unwrap();
    assert_eq!(made.export(&dir, 3).unwrap(), 9);

    let r = made.recording(Split::Test, 2).unwrap();
    let wav = hound::WavReader::open(dir.join("wav/test-0002.wav")).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 16_000, 16));
    assert_eq!(wav.into_samples::<i16>().map(Result::unwrap).collect::<Vec<_>>(), r.samples);
    let frame = fs::File::open(dir.join("frames/test-0002/001.png")).unwrap();
    let mut reader = png::Decoder::new(std::io::BufReader::new(frame)).read_info().unwrap();
    assert_eq!((reader.info().width, reader.info().height), (64, 64));
    let mut pixels = vec![0; 64 * 64];
    reader.next_frame(&mut pixels).unwrap();
    assert_eq!(pixels, r.frames[1]);
    let mut table = csv::Reader::from_path(dir.join("clips.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 9);
    assert_eq!((&rows[8][0], &rows[8][2]), ("test-0002", r.text.as_str()));
    assert_eq!(rows[8][3].parse::<f32>().unwrap(), r.label);

    let back = read_export(&dir).unwrap();
    assert_eq!(back.train, made.corpus.train[..3]);
    assert_eq!(back.valid, made.corpus.valid[..3]);
    assert_eq!(back.test, made.corpus.test[..3]);
    assert_eq!((&back.modalities, &back.emotions), (&made.corpus.modalities, &made.corpus.emotions));

    // Nothing is overwritten and nothing is left aside.
    assert!(made.export(&dir, 1).unwrap_err().to_string().contains("empty folder"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    fs::create_dir(root.path().join("empty")).unwrap();
    assert_eq!(made.export(&root.path().join("empty"), 1).unwrap(), 3);
}

#[test]
fn broken_exports_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let made = generate(BuiltinConfig { train: 1, valid: 0, test: 0, ..small() }).unwrap();
    let table = "id,split,text,label\n";
    type Break = Box<dyn Fn(&Path)>;
    let write = |name: &'static str, text: String| move |dir: &Path| fs::write(dir.join(name), &text).unwrap();
    let breaks: Vec<(&str, Break)> = vec![
        ("clips.csv", Box::new(|d| fs::remove_file(d.join("clips.csv")).unwrap())),
        ("no clip", Box::new(write("clips.csv", table.into()))),
        ("row 1", Box::new(write("clips.csv", format!("{table}train-0000,train,it was good,NaN\n")))),
        ("row 1", Box::new(write("clips.csv", format!("{table}train-0000,train,it was good,9\n")))),
        ("row 1", Box::new(write("clips.csv", format!("{table}../clips,train,it was good,1\n")))),
        ("row 1", Box::new(write("clips.csv", format!("{table}train-0000,other,it was good,1\n")))),
        ("row 1", Box::new(write("clips.csv", format!("{table}train-0000,train, ,1\n")))),
        ("row 1", Box::new(write("clips.csv", format!("{table}train-0000,train\n")))),
        ("features.json", Box::new(write("features.json", "[]".into()))),
        ("features.json", Box::new(write("features.json", "{".into()))),
        ("train-0000.wav", Box::new(write("wav/train-0000.wav", "RIFF".into()))),
        ("001.png", Box::new(write("frames/train-0000/001.png", "no picture".into()))),
        ("frames", Box::new(|d| fs::remove_dir_all(d.join("frames")).unwrap())),
        ("train-0000.wav", Box::new(|d| shorten(&d.join("wav/train-0000.wav")))),
        ("002.png", Box::new(|d| shorten(&d.join("frames/train-0000/002.png")))),
        ("16000 Hz", Box::new(|d| other_wav(&d.join("wav/train-0000.wav")))),
        ("64 x 64", Box::new(|d| other_png(&d.join("frames/train-0000/000.png")))),
    ];
    for (i, (word, damage)) in breaks.iter().enumerate() {
        let dir = root.path().join(i.to_string());
        made.export(&dir, 1).unwrap();
        read_export(&dir).unwrap();
        damage(&dir);
        let error = read_export(&dir).unwrap_err().to_string();
        assert!(error.contains(word), "case {i}: {error}");
    }
}

fn shorten(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn other_wav(path: &Path) {
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    (0..100).for_each(|_| writer.write_sample(0i16).unwrap());
    writer.finalize().unwrap();
}

fn other_png(path: &Path) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), 2, 2);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0; 4]).unwrap();
}
