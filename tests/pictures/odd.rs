//! Odd input that must work, and wrong input that must be refused with a sentence.

use std::path::{Path, PathBuf};

use limbic::viz::*;
use limbic::{Error, Result};

use crate::gallery::noise;
use crate::sheet::{Sheet, path};

/// Writes with `draw`, reads back, and checks that the texts stay apart.
fn tidy(name: &str, draw: impl FnOnce(&Path) -> Result<()>) -> Sheet {
    let path = path(name);
    draw(&path).unwrap();
    let sheet = Sheet::read(&path);
    sheet.assert_tidy();
    sheet
}

/// Checks that `draw` refuses with a configuration error that contains `why`, and writes nothing.
fn refused(why: &str, draw: impl FnOnce(PathBuf) -> Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    match draw(folder.path().join("refused.svg")) {
        Err(Error::Config(message)) => assert!(message.contains(why), "'{message}' does not say '{why}'"),
        other => panic!("expected a refusal that says '{why}', got {other:?}"),
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

const NO_CATEGORY: [&str; 0] = [];
const LONG: &str =
    "a name that goes on and on, far beyond what any picture has room for, and then some more of it, 一二三四五";
const HOSTILE: &str = "<&\"'>]]>\u{0}\u{7}日本 Ünï";
const HOSTILE_SHOWN: &str = "<&\"'>]]>  日本 Ünï";

fn bar(values: &[f64]) -> BarSeries {
    BarSeries { name: "model".into(), values: values.to_vec(), errors: vec![] }
}

fn map(queries: usize, steps: usize) -> AttentionMap {
    let queries: Vec<String> = (0..queries).map(|q| format!("word{q}")).collect();
    let weights = noise(queries.len() * steps, 9).iter().map(|&w| w as f32).collect();
    AttentionMap { title: "map".into(), queries, weights, ..Default::default() }
}

#[test]
fn curves_take_gaps_single_points_and_constants() {
    let gaps = [1.0, f64::NAN, 0.5, f64::INFINITY, 0.4, 0.3, f64::NEG_INFINITY, 1e300];
    let sheet = tidy("odd_curves_gaps", |path| curves(path, &[Series::new("gaps", &gaps)], &Default::default()));
    assert_eq!(sheet.count("circle"), 4, "one disc per finite value");
    for (name, values) in
        [("single", vec![0.7f32]), ("constant", vec![3.0; 30]), ("zero", vec![0.0; 3]), ("huge", vec![3e38, -3e38])]
    {
        let series =
            [Series { best: Some(Goal::Highest), ..Series::new(name, &values) }, Series::new("empty", &[0.0f32; 0])];
        for y_scale in [Scale::Linear, Scale::Log] {
            let options = CurvesOptions { y_scale, ..Default::default() };
            if y_scale == Scale::Log && name == "zero" {
                refused("positive", |path| curves(path, &series, &options));
                continue;
            }
            let sheet = tidy(&format!("odd_curves_{name}_{y_scale:?}"), |path| curves(path, &series, &options));
            assert!(sheet.has(name));
        }
    }
}

#[test]
fn nine_long_hostile_names_stay_inside() {
    let series: Vec<Series> = (0..9).map(|i| Series::new(format!("{i} {LONG}"), &[i as f64, 2.0])).collect();
    let options = CurvesOptions {
        title: LONG.into(),
        x_label: LONG.into(),
        y_label: LONG.into(),
        height: 500.0,
        ..Default::default()
    };
    let sheet = tidy("odd_curves_names", |path| curves(path, &series, &options));
    assert!(sheet.labels.iter().filter(|label| label.text.ends_with('…')).count() >= 12);

    let hostile = [Series::new(HOSTILE, &[1.0, 2.0])];
    let options = CurvesOptions { title: HOSTILE.into(), ..Default::default() };
    let sheet = tidy("odd_curves_hostile", |path| curves(path, &hostile, &options));
    assert_eq!(sheet.labels.iter().filter(|label| label.text == HOSTILE_SHOWN).count(), 2, "{:?}", sheet.labels);
}

#[test]
fn bars_take_long_names_many_categories_and_constants() {
    let names = vec![LONG; 4];
    for horizontal in [false, true] {
        let options = BarsOptions { horizontal, title: LONG.into(), value_label: LONG.into(), ..Default::default() };
        let series = [bar(&[0.5, 0.5, 0.5, 0.5]), bar(&[0.1, f64::NAN, f64::INFINITY, 0.0])];
        tidy(&format!("odd_bars_long_{horizontal}"), |path| bars(path, &names, &series, &options));
        tidy(&format!("odd_bars_zero_{horizontal}"), |path| bars(path, &["only"], &[bar(&[0.0])], &options));
        let many: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
        tidy(&format!("odd_bars_many_{horizontal}"), |path| bars(path, &many, &[bar(&noise(300, 3))], &options));
    }
    let log = BarsOptions { scale: Scale::Log, ..Default::default() };
    let sheet = tidy("odd_bars_log", |path| bars(path, &["a", "b"], &[bar(&[5.0, -1.0])], &log));
    assert!(sheet.has("n/a") && sheet.has("5.00"));
}

#[test]
fn attention_takes_masks_not_finite_padding_and_thousands_of_steps() {
    let mut masked = map(4, 10);
    masked.query_mask = vec![true, true, false, true];
    masked.context_mask = [vec![true; 3], vec![false], vec![true; 4], vec![false; 2]].concat();
    for (i, weight) in masked.weights.iter_mut().enumerate() {
        let padded = i / 10 == 2 || [3, 8, 9].contains(&(i % 10));
        *weight = if padded { f32::NAN } else { 0.5 };
    }
    masked.weights[0] = f32::INFINITY;
    masked.strip =
        Some(Strip { name: "energy".into(), values: (0..10).map(|i| if i == 5 { f32::NAN } else { 1.0 }).collect() });
    let sheet = tidy("odd_attention_masked", |path| attention(path, &[masked.clone()], &Default::default()));
    // What stands in padding changes nothing, even where it is no weight at all.
    let mut garbage = masked.clone();
    garbage.weights.iter_mut().filter(|weight| weight.is_nan()).for_each(|weight| *weight = 7.0);
    let same = tidy("odd_attention_garbage", |path| attention(path, &[garbage], &Default::default()));
    assert_eq!(sheet.source, same.source);
    assert!(sheet.has("word3") && !sheet.has("word2"));
    assert!(sheet.has("8") && !sheet.has("10"), "the axis ends at the last valid step: {:?}", sheet.labels);

    let one = AttentionMap { weights: vec![0.0], queries: vec![HOSTILE.into()], ..Default::default() };
    assert!(tidy("odd_attention_one", |path| attention(path, &[one], &Default::default())).has(HOSTILE_SHOWN));

    let mut many = map(70, 5000);
    many.queries[3] = LONG.into();
    let sheet = tidy("odd_attention_many", |path| attention(path, &[many], &Default::default()));
    assert!(sheet.count("rect") < 70 * 640, "at most a rectangle per pixel");
    let words = map(3, 80);
    let words = AttentionMap { context_words: vec!["wort".into(); 80], ..words };
    tidy("odd_attention_words", |path| attention(path, &[words], &Default::default()));
}

#[test]
fn the_largest_weight_of_a_pixel_is_seen() {
    let mut spike = map(1, 20_000);
    spike.weights = vec![0.0; 20_000];
    spike.weights[12_345] = 1.0;
    let sheet = tidy("odd_attention_spike", |path| attention(path, &[spike], &Default::default()));
    assert!(sheet.source.contains("#FDE725"), "the lightest colour marks the spike");
}

#[test]
fn fusion_takes_one_clip_one_modality_and_gaps() {
    let options = FusionOptions { title: LONG.into(), ..Default::default() };
    tidy("odd_fusion_one", |path| fusion_weights(path, &["text", HOSTILE], &[0.25, 0.75], &options));
    tidy("odd_fusion_single", |path| fusion_weights(path, &[LONG], &[1.0; 50], &options));
    let mut weights = [0.2f32, 0.3, 0.5].repeat(40);
    weights[4] = f32::NAN;
    let sheet = tidy("odd_fusion_gap", |path| fusion_weights(path, &["a", "b", "c"], &weights, &options));
    assert!(sheet.has("39 clips, sorted by their strongest modality"), "{:?}", sheet.labels);
    assert!(sheet.has("0.50 [0.50, 0.50]"));
}

#[test]
fn scatter_takes_one_pair_constants_and_gaps() {
    let options = ScatterOptions::default();
    assert!(tidy("odd_scatter_one", |path| scatter(path, &[1.0], &[1.0], &options)).has("r = –"));
    tidy("odd_scatter_equal", |path| scatter(path, &[2.0; 100], &[2.0; 100], &options));
    let sheet =
        tidy("odd_scatter_gaps", |path| scatter(path, &[1.0, f32::NAN, 3.0], &[1.0, 2.0, f32::INFINITY], &options));
    assert!(sheet.has("n = 1"));
    tidy("odd_scatter_huge", |path| scatter(path, &[-3e38, 3e38], &[3e38, -3e38], &options));
}

#[test]
fn matrix_takes_gaps_one_cell_and_many() {
    let options = MatrixOptions { decimals: 2, ..Default::default() };
    tidy("odd_matrix_one", |path| matrix(path, &["a"], &["b"], &[0.5], &options));
    let sheet = tidy("odd_matrix_gap", |path| {
        matrix(path, &[LONG, "b"], &["c", HOSTILE], &[1.0, f64::NAN, 3.0, 1e12], &options)
    });
    assert!(sheet.has("1.00") && sheet.has(HOSTILE_SHOWN));
    let names: Vec<String> = (0..60).map(|i| format!("class {i}")).collect();
    let small = MatrixOptions { cell: 9.0, ..options };
    tidy("odd_matrix_many", |path| matrix(path, &names, &names, &noise(3600, 4), &small));
}

#[test]
fn nothing_to_draw_is_refused() {
    refused("no series", |path| curves(path, &[], &Default::default()));
    refused("no series", |path| curves(path, &[Series::new("x", &[f64::NAN])], &Default::default()));
    refused("at least one of each", |path| bars(path, &NO_CATEGORY, &[bar(&[])], &Default::default()));
    refused("at least one of each", |path| bars(path, &["a"], &[], &Default::default()));
    refused("no value", |path| bars(path, &["a"], &[bar(&[f64::NAN])], &Default::default()));
    refused("at least one map", |path| attention(path, &[], &Default::default()));
    refused("0 weights", |path| attention(path, &[AttentionMap::default()], &Default::default()));
    refused("no valid position", |path| {
        attention(path, &[AttentionMap { query_mask: vec![false; 2], ..map(2, 3) }], &Default::default())
    });
    refused("modalities", |path| fusion_weights(path, &NO_CATEGORY, &[], &Default::default()));
    refused("no clip", |path| fusion_weights(path, &["a"], &[f32::NAN], &Default::default()));
    refused("no pair", |path| scatter(path, &[], &[], &Default::default()));
    refused("0 rows", |path| matrix(path, &NO_CATEGORY, &["a"], &[], &Default::default()));
    refused("no finite value", |path| matrix(path, &["a"], &["a"], &[f64::NAN], &Default::default()));
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    refused("2 values and 0 errors for 1", |path| bars(path, &["a"], &[bar(&[1.0, 2.0])], &Default::default()));
    let errors = BarSeries { errors: vec![0.1], ..bar(&[1.0, 2.0]) };
    refused("1 errors for 2", |path| bars(path, &["a", "b"], &[errors], &Default::default()));
    refused("5 weights for 2 queries", |path| {
        attention(path, &[AttentionMap { weights: vec![0.1; 5], ..map(2, 3) }], &Default::default())
    });
    refused("context_mask has 2", |path| {
        attention(path, &[AttentionMap { context_mask: vec![true; 2], ..map(2, 3) }], &Default::default())
    });
    let strip = Some(Strip { name: "s".into(), values: vec![] });
    refused("strip has 0", |path| attention(path, &[AttentionMap { strip, ..map(2, 3) }], &Default::default()));
    refused("3 weights for 2", |path| fusion_weights(path, &["a", "b"], &[0.5, 0.5, 1.0], &Default::default()));
    refused("2 true values but 1", |path| scatter(path, &[1.0, 2.0], &[1.0], &Default::default()));
    refused("3 values for 2 rows", |path| matrix(path, &["a", "b"], &["a"], &[1.0; 3], &Default::default()));
}

#[test]
fn values_and_options_out_of_range_are_refused() {
    let one = || [Series::new("x", &[1.0, 2.0])];
    refused("smoothing", |path| curves(path, &[Series { smoothing: 1.0, ..Series::default() }], &Default::default()));
    for (width, height) in
        [(60.0, 300.0), (300.0, 60.0), (f64::NAN, 300.0), (1e9, 300.0), (-5.0, 300.0), (300.0, f64::INFINITY)]
    {
        refused("pixels", |path| curves(path, &one(), &CurvesOptions { width, height, ..Default::default() }));
    }
    refused("outside [0, 1]", |path| {
        attention(path, &[AttentionMap { weights: vec![1.5; 6], ..map(2, 3) }], &Default::default())
    });
    refused("context_step", |path| {
        attention(path, &[AttentionMap { context_step: 0.0, ..map(2, 3) }], &Default::default())
    });
    refused("max_weight", |path| {
        attention(path, &[map(2, 3)], &AttentionOptions { max_weight: Some(0.0), ..Default::default() })
    });
    refused("one column", |path| attention(path, &[map(2, 3)], &AttentionOptions { columns: 0, ..Default::default() }));
    refused("pixels", |path| attention(path, &[map(2, 3)], &AttentionOptions { width: 100.0, ..Default::default() }));
    refused("sum 1", |path| fusion_weights(path, &["a", "b"], &[0.9, 0.9], &Default::default()));
    refused("range", |path| {
        scatter(path, &[1.0], &[1.0], &ScatterOptions { range: Some((3.0, -3.0)), ..Default::default() })
    });
    refused("shares", |path| {
        matrix(path, &["a"], &["a"], &[-1.0], &MatrixOptions { shade: Shade::RowShare, ..Default::default() })
    });
    let zero = Some(Reference { name: "zero".into(), value: 0.0 });
    refused("cannot be drawn", |path| {
        bars(path, &["a"], &[bar(&[1.0])], &BarsOptions { reference: zero, scale: Scale::Log, ..Default::default() })
    });
}

#[test]
fn flows_take_stillness_gaps_and_long_names_and_refuse_what_does_not_fit() {
    let size = [9, 30];
    let (frame, still) = (vec![0.5; 270], vec![0.0; 540]);
    let mut gaps = vec![1.0; 540];
    (gaps[3], gaps[400], gaps[17]) = (f32::NAN, f32::INFINITY, 1e30);
    for (name, flow_of, truth) in
        [("still", &still, None), ("gaps", &gaps, Some(&still[..])), ("gaps_in_truth", &still, Some(&gaps[..]))]
    {
        let row = FlowRow { name: LONG, size, frames: [&frame, &frame], flow: flow_of, truth };
        let options = FlowPictureOptions { title: HOSTILE.into(), tile: 60.0, ..Default::default() };
        let sheet = tidy(&format!("odd_flow_{name}"), |path| flow(path, &[row, row], &options));
        assert!(sheet.has(HOSTILE_SHOWN));
    }
    let row = FlowRow { name: "", size, frames: [&frame, &frame], flow: &still, truth: None };
    fn draw(row: FlowRow<'_>, options: FlowPictureOptions) -> impl FnOnce(PathBuf) -> Result<()> {
        move |path| flow(path, &[row], &options)
    }
    let options = FlowPictureOptions::default();
    refused("no row", |path| flow(path, &[], &FlowPictureOptions::default()));
    refused("30 x 9", draw(FlowRow { flow: &frame, ..row }, options.clone()));
    refused("30 x 9", draw(FlowRow { truth: Some(&frame), ..row }, options.clone()));
    refused("0 x 9", draw(FlowRow { size: [9, 0], ..row }, options.clone()));
    refused("choose 48", draw(row, FlowPictureOptions { tile: 0.0, ..options.clone() }));
    refused("no errors", draw(row, FlowPictureOptions { largest_error: Some(f64::NAN), ..options }));
}

#[test]
fn a_missing_folder_is_an_error_that_names_the_file() {
    let error = curves("/nowhere/at/all.svg", &[Series::new("x", &[1.0])], &Default::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("/nowhere/at/all.svg"), "{error}");
}

#[test]
fn no_pair_of_extreme_values_panics_or_writes_a_broken_file() {
    let extremes = [0.0, 1e-300, 1.0, -1.0, 9e99, f64::MAX, f64::NAN];
    let path = path("odd_extremes");
    let check = |result: Result<()>| match result {
        Ok(()) => assert!(Sheet::read(&path).count("line") + Sheet::read(&path).count("polyline") > 0),
        Err(error) => assert!(matches!(error, Error::Config(_)), "{error}"),
    };
    for a in extremes {
        for b in extremes {
            check(scatter(&path, &[a as f32, 1.0], &[b as f32, 0.5], &Default::default()));
            check(matrix(&path, &["r"], &["a", "b"], &[a, b], &Default::default()));
            for scale in [Scale::Linear, Scale::Log] {
                let options = CurvesOptions { y_scale: scale, ..Default::default() };
                check(curves(&path, &[Series { points: vec![(a, b), (b, a)], ..Default::default() }], &options));
                for horizontal in [false, true] {
                    let errors = BarSeries { errors: vec![b, a], ..bar(&[a, b]) };
                    let options = BarsOptions { scale, horizontal, ..Default::default() };
                    check(bars(&path, &["a", "b"], &[errors], &options));
                }
            }
        }
    }
}
