//! Pictures as the examples draw them; look at them in `target/tmp/pictures`.

use limbic::viz::*;

use crate::sheet::{Sheet, path};

/// Numbers in [0, 1) that are the same in every run.
pub fn noise(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| next()).collect()
}

fn gaussian(count: usize, seed: u64) -> Vec<f64> {
    let sums = noise(12 * count, seed);
    sums.chunks(12).map(|twelve| twelve.iter().sum::<f64>() - 6.0).collect()
}

fn words(sentence: &str) -> Vec<String> {
    sentence.split(' ').map(String::from).collect()
}

#[test]
fn loss_per_epoch() {
    let path = path("curves_epochs");
    let noise = noise(24, 1);
    let train: Vec<f64> = (0..24).map(|i| 0.22 + 1.1 * (-0.16 * i as f64).exp() + 0.03 * noise[i]).collect();
    let valid: Vec<f64> =
        (0..24).map(|i| 0.40 + 0.95 * (-0.2 * i as f64).exp() + 0.009 * i as f64 + 0.03 * noise[23 - i]).collect();
    let series = [
        Series::new("training loss", &train),
        Series { best: Some(Goal::Lowest), ..Series::new("validation loss", &valid) },
    ];
    let options = CurvesOptions {
        title: "Multimodal sentiment, cross-modal transformer".into(),
        y_label: "loss (MSE)".into(),
        ..Default::default()
    };
    curves(&path, &series, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    let best = valid.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    let stated = format!("best validation loss: {:.3} at epoch {}", best.1, best.0 + 1);
    for label in ["training loss", "validation loss", "epoch", "loss (MSE)", &options.title, &stated] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
}

#[test]
fn loss_per_step_on_a_logarithmic_axis() {
    let path = path("curves_steps");
    let noise = gaussian(4000, 2);
    let point = |i: usize| (i as f64 + 1.0, (2.0 * (-0.002 * i as f64).exp() + 0.004) * (0.35 * noise[i]).exp());
    let steps: Vec<(f64, f64)> = (0..4000).map(point).collect();
    let valid = (0..16).map(|i| (250.0 * (i + 1) as f64, 2.1 * (-0.4 * i as f64).exp() + 0.02)).collect();
    let series = [
        Series { name: "training".into(), points: steps, smoothing: 0.95, ..Default::default() },
        Series { name: "validation".into(), points: valid, best: Some(Goal::Lowest), ..Default::default() },
    ];
    let options = CurvesOptions {
        title: "Loss per step".into(),
        x_label: "step".into(),
        y_label: "loss".into(),
        y_scale: Scale::Log,
        ..Default::default()
    };
    curves(&path, &series, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert!(sheet.has("0.01") && sheet.has("0.1") && sheet.has("1"), "{:?}", sheet.labels);
    assert!(sheet.source.len() < 150_000, "4000 points became {} bytes", sheet.source.len());
}

#[test]
fn text_to_audio_above_text_to_video() {
    let path = path("attention_msa");
    let sentence = words("well that was just a <b>\"wonderful\"</b> & lovely way to spend überlange Samstagabende");
    let map = |title: &str, steps: usize, step: f64, seed: u64| {
        let noise = noise(sentence.len() * steps, seed);
        let raw = |q: usize, k: usize| {
            let near = (k as f64 / steps as f64 - (q as f64 + 0.5) / 14.0) * 9.0;
            ((-near * near).exp() * 3.0 + noise[q * steps + k]).exp()
        };
        let mut weights = Vec::new();
        for q in 0..sentence.len() {
            let row: Vec<f64> = (0..steps).map(|k| raw(q, k)).collect();
            let sum: f64 = row.iter().sum();
            weights.extend(row.iter().map(|w| (w / sum) as f32));
        }
        AttentionMap {
            title: title.into(),
            queries: sentence.clone(),
            weights,
            context_mask: (0..steps).map(|k| k < steps * 9 / 10).collect(),
            context_label: "time (s)".into(),
            context_step: step,
            ..Default::default()
        }
    };
    let mut audio = map("text to audio", 120, 0.03, 3);
    let energy = (0..120).map(|k| ((k as f32 * 0.31).sin().abs() + 0.2) * (1.0 - k as f32 / 160.0)).collect();
    audio.strip = Some(Strip { name: "energy".into(), values: energy });
    let video = map("text to video", 45, 0.08, 4);
    let options = AttentionOptions {
        title: "Clip 17, predicted −1.2, true −1.4".into(),
        weight_label: "attention (1 = uniform)".into(),
        relative: true,
        ..Default::default()
    };
    attention(&path, &[audio, video], &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    for label in [
        "text to audio",
        "text to video",
        "energy",
        "time (s)",
        "attention (1 = uniform)",
        "<b>\"wonderful\"</b>",
        "&",
        "überlange",
    ] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
}

#[test]
fn heads_in_a_grid() {
    let path = path("attention_heads");
    let sentence = words("not bad at all");
    let heads: Vec<AttentionMap> = (0..6)
        .map(|head| {
            let noise = noise(16, 10 + head);
            let softmax = |row: &[f64]| -> Vec<f32> {
                let sum: f64 = row.iter().map(|x| (4.0 * x).exp()).sum();
                row.iter().map(|x| ((4.0 * x).exp() / sum) as f32).collect()
            };
            AttentionMap {
                title: format!("head {}", head + 1),
                queries: sentence.clone(),
                weights: noise.chunks(4).flat_map(softmax).collect(),
                context_words: sentence.clone(),
                ..Default::default()
            }
        })
        .collect();
    let options = AttentionOptions {
        title: "Self-attention of the text encoder".into(),
        query_label: "query".into(),
        columns: 3,
        max_weight: Some(1.0),
        ..Default::default()
    };
    attention(&path, &heads, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert!((1..=6).all(|head| sheet.has(&format!("head {head}"))));
    // Six maps name their context words; only the first of each row names the queries.
    assert_eq!(sheet.labels.iter().filter(|label| label.text == "bad").count(), 6 + 2);
}

fn models() -> Vec<BarSeries> {
    let model = |name: &str, values: [f64; 3], errors: [f64; 3]| BarSeries {
        name: name.into(),
        values: values.to_vec(),
        errors: errors.to_vec(),
    };
    vec![
        model("multimodal", [0.413, 0.861, 0.894], [0.012, 0.008, 0.006]),
        model("text only", [0.702, 0.712, 0.751], [0.02, 0.015, 0.012]),
        model("audio only", [0.655, 0.741, 0.733], [0.018, 0.02, 0.02]),
        model("video only", [0.731, 0.694, f64::NAN], [0.03, 0.01, 0.02]),
    ]
}

#[test]
fn metrics_of_several_models() {
    let path = path("bars_grouped");
    let options = BarsOptions {
        title: "Test metrics, mean and deviation of five seeds".into(),
        value_label: "value".into(),
        reference: Some(Reference { name: "best possible MAE".into(), value: 0.352 }),
        ..Default::default()
    };
    bars(&path, &["MAE", "Acc-2", "Pearson's r"], &models(), &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    for label in ["multimodal", "0.413", "n/a", "Pearson's r", "best possible MAE (0.352)", "value"] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
}

#[test]
fn one_metric_of_many_models_across() {
    let path = path("bars_horizontal");
    let names = ["cross-modal transformer (ours)", "early pooling baseline", "text only", "audio only", "video only"];
    let series = [BarSeries { values: vec![0.413, 0.52, 0.702, 0.655, 0.731], ..Default::default() }];
    let options = BarsOptions {
        title: "Mean absolute error on the test clips".into(),
        value_label: "MAE (lower is better)".into(),
        horizontal: true,
        reference: Some(Reference { name: "best possible".into(), value: 0.352 }),
        ..Default::default()
    };
    bars(&path, &names, &series, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert!(names.iter().all(|name| sheet.has(name)));
    assert!(sheet.has("0.413") && sheet.has("MAE (lower is better)"));
}

#[test]
fn times_over_decades() {
    let path = path("bars_log");
    let of = |name: &str, values: [f64; 4]| BarSeries { name: name.into(), values: values.to_vec(), errors: vec![] };
    let series = [of("limbic", [0.21, 1.9, 14.2, 160.0]), of("peer", [0.4, 5.5, 61.0, 1450.0])];
    let options = BarsOptions {
        title: "Time per step".into(),
        value_label: "time (ms)".into(),
        scale: Scale::Log,
        ..Default::default()
    };
    bars(&path, &["small", "medium", "default preset", "large, bidirectional"], &series, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    assert!(sheet.has("1450") && sheet.has("limbic"), "{:?}", sheet.labels);
}

#[test]
fn differences_below_and_above_zero() {
    let names = ["no dropout", "no bidirectional fusion", "attention pooling", "post-norm"];
    let series =
        [BarSeries { values: vec![-0.031, 0.012, 0.024, -0.008], errors: vec![0.004; 4], ..Default::default() }];
    for horizontal in [false, true] {
        let path = path(if horizontal { "bars_signed_horizontal" } else { "bars_signed" });
        let options = BarsOptions {
            title: "Ablation: change of Acc-2".into(),
            value_label: "difference".into(),
            horizontal,
            ..Default::default()
        };
        bars(&path, &names, &series, &options).unwrap();
        let sheet = Sheet::read(&path);
        sheet.assert_tidy();
        assert!(sheet.has("−0.031") && sheet.has("0.024"), "{:?}", sheet.labels);
    }
}

#[test]
fn weights_of_three_modalities() {
    let path = path("fusion");
    let noise = gaussian(600 * 3, 5);
    let softmax = |z: &[f64]| -> Vec<f32> {
        let z = [0.7 + 0.9 * z[0], 0.5 + 0.6 * z[1], -0.3 + 0.5 * z[2]].map(f64::exp);
        z.iter().map(|e| (e / z.iter().sum::<f64>()) as f32).collect()
    };
    let weights: Vec<f32> = noise.chunks(3).flat_map(softmax).collect();
    let options = FusionOptions { title: "Modality weights of the test clips".into(), ..Default::default() };
    fusion_weights(&path, &["text", "audio", "video"], &weights, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    let mean = weights.iter().step_by(3).sum::<f32>() / 600.0;
    let stated = format!("{mean:.2} [");
    assert!(sheet.labels.iter().any(|label| label.text.starts_with(&stated)), "{stated} {:?}", sheet.labels);
    for label in ["text", "audio", "video", "fusion weight", "600 clips, sorted by their strongest modality"] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
}

#[test]
fn predicted_against_true() {
    for (name, count) in [("scatter", 300), ("scatter_many", 20_000)] {
        let path = path(name);
        let truth: Vec<f32> = noise(count, 6).iter().map(|x| (6.0 * x - 3.0) as f32).collect();
        let errors = gaussian(count, 7);
        let predicted: Vec<f32> = truth.iter().zip(&errors).map(|(t, e)| 0.85 * t + 0.45 * *e as f32).collect();
        let options = ScatterOptions {
            title: "Sentiment of the test clips".into(),
            truth_label: "true sentiment".into(),
            predicted_label: "predicted sentiment".into(),
            range: Some((-3.0, 3.0)),
            ..Default::default()
        };
        scatter(&path, &truth, &predicted, &options).unwrap();
        let sheet = Sheet::read(&path);
        sheet.assert_tidy();
        let stated = |start: &str| sheet.labels.iter().any(|label| label.text.starts_with(start));
        assert!(stated("r = 0.9") && stated("MAE = 0."), "{:?}", sheet.labels);
        assert!(sheet.has("true sentiment") && sheet.has("predicted sentiment"));
        assert!(sheet.source.len() < 2_500_000, "{count} points became {} bytes", sheet.source.len());
    }
}

#[test]
fn confusion_of_emotions() {
    let path = path("matrix");
    let names = ["neutral", "happy", "sad", "angry"];
    let values = [88.0, 7.0, 4.0, 1.0, 12.0, 70.0, 2.0, 16.0, 9.0, 1.0, 61.0, 0.0, 3.0, 14.0, 1.0, 1102.0];
    let options = MatrixOptions {
        title: "Speech emotion, test set".into(),
        row_label: "true".into(),
        column_label: "predicted".into(),
        value_label: "share of the true class".into(),
        shade: Shade::RowShare,
        ..Default::default()
    };
    matrix(&path, &names, &names, &values, &options).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    for label in ["1102", "88 %", "true", "predicted", "angry", "share of the true class"] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
}

/// Frames of a turning texture, `flow` near the truth.
pub fn turning(size: [usize; 2]) -> ([Vec<f32>; 2], Vec<f32>, Vec<f32>) {
    let [height, width] = size;
    let place = |i: usize| ((i % width) as f32, (i / width) as f32);
    let level = |(x, y): (f32, f32)| 0.5 + 0.25 * (0.4 * x + 0.1 * y).sin() + 0.25 * (0.3 * y - 0.2 * x).cos();
    let vector = |i: usize| {
        let (x, y) = place(i);
        (-0.06 * (y - height as f32 / 2.0), 0.06 * (x - width as f32 / 2.0))
    };
    let pixels = || 0..height * width;
    let moved = |i: usize| (place(i).0 - vector(i).0, place(i).1 - vector(i).1);
    let frames = [pixels().map(|i| level(place(i))).collect(), pixels().map(|i| level(moved(i))).collect()];
    let truth: Vec<f32> = pixels().map(|i| vector(i).0).chain(pixels().map(|i| vector(i).1)).collect();
    let errors = gaussian(truth.len(), 8);
    let flow =
        truth.iter().zip(&errors).enumerate().map(|(i, (truth, e))| truth + 0.0003 * (i % 997) as f32 * *e as f32);
    (frames, flow.collect(), truth)
}

#[test]
fn flow_of_known_and_unknown_motion() {
    let size = [72, 96];
    let ([first, second], found, truth) = turning(size);
    let row = FlowRow { name: "", size, frames: [&first, &second], flow: &found, truth: None };
    let options = FlowPictureOptions { title: "A texture that turns".into(), ..Default::default() };
    let alone = path("flow");
    flow(&alone, &[row], &options).unwrap();
    let sheet = Sheet::read(&alone);
    sheet.assert_tidy();
    for label in ["first frame", "second frame", "flow", "left", "right", "up", "down", &options.title] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
    assert!(!sheet.has("error"));
    assert_eq!(sheet.count("image"), 4, "two frames, the flow, the wheel");

    let known = path("flow_errors");
    let rows = [FlowRow { name: "turned", truth: Some(&truth), ..row }, FlowRow { name: "not known", ..row }];
    flow(&known, &rows, &options).unwrap();
    let sheet = Sheet::read(&known);
    sheet.assert_tidy();
    let half = truth.len() / 2;
    let distance = |i: usize| f64::from(found[i] - truth[i]).hypot(f64::from(found[i + half] - truth[i + half]));
    let stated = format!("mean {:.3} pixels", (0..half).map(distance).sum::<f64>() / half as f64);
    for label in ["true flow", "error", "turned", "not known", "error, pixels", &stated] {
        assert!(sheet.has(label), "{label}: {:?}", sheet.labels);
    }
    assert_eq!(sheet.count("image"), 5 + 3 + 1);
}
