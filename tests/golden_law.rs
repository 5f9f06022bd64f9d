//! The golden harness itself: it passes what is right and fails what is wrong, in every way that we could think of.

mod golden_harness;

use std::path::Path;

use golden_harness::{Case, Comparison, GoldenFile, Outcome, Run, labels, run_all};
use limbic::weights::{self, Metadata, Tensor, TensorData, Tensors};
use serde_json::{Value, json};

fn f32s(values: &[f32]) -> Tensor {
    Tensor::f32([values.len()], values.to_vec()).unwrap()
}

fn file(tensors: impl IntoIterator<Item = (&'static str, Tensor)>, meta: Value) -> GoldenFile {
    GoldenFile::new("sample", tensors.into_iter().map(|(key, tensor)| (key.to_string(), tensor)).collect(), meta)
}

/// What `compare` makes of the only case of `file`.
fn outcome(file: &GoldenFile, compare: impl FnOnce(&mut Comparison<'_>)) -> Outcome {
    let case = file.cases()[0];
    let mut comparison = Comparison::new(&case);
    compare(&mut comparison);
    comparison.finish()
}

fn passes(file: &GoldenFile, compare: impl FnOnce(&mut Comparison<'_>)) -> bool {
    matches!(outcome(file, compare), Outcome::Passed(_))
}

/// The text of a failure; panics on any other outcome.
fn failure(file: &GoldenFile, compare: impl FnOnce(&mut Comparison<'_>)) -> String {
    match outcome(file, compare) {
        Outcome::Failed(text) => text,
        other => panic!("did not fail: {other:?}"),
    }
}

fn forward_file() -> GoldenFile {
    file([("input/x", f32s(&[9.0])), ("output/y", f32s(&[0.0, 1.0, -100.0]))], json!({}))
}

#[test]
fn forward_is_relative_to_the_largest_value() {
    let golden = forward_file();
    assert!(passes(&golden, |c| c.forward("output/y", &[3], &[0.0f32, 1.0, -100.0])));
    assert!(passes(&golden, |c| c.forward("output/y", &[3], &[0.0009f64, 1.0, -100.0])), "1e-5 of 100 is 1e-3");
    let text = failure(&golden, |c| c.forward("output/y", &[3], &[0.0011f64, 1.0, -100.0]));
    assert!(text.contains("output/y: element 0"), "{text}");
    assert!(failure(&golden, |c| c.forward("output/y", &[3], &[0.0f64, 1.0, -100.0011])).contains("element 2"));
}

#[test]
fn what_is_not_a_number_fails() {
    let golden = forward_file();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        failure(&golden, |c| c.forward("output/y", &[3], &[0.0, bad, -100.0]));
        failure(&golden, |c| c.forward("output/y", &[3], &[bad, bad, bad]));
    }
    let nan = file([("output/y", f32s(&[f32::NAN]))], json!({}));
    failure(&nan, |c| c.forward("output/y", &[1], &[f32::NAN]));
}

#[test]
fn wrong_shapes_and_empty_answers_fail() {
    let golden = forward_file();
    assert!(failure(&golden, |c| c.forward::<f32>("output/y", &[0], &[])).contains("shape [0] with 0 values"));
    assert!(failure(&golden, |c| c.forward::<f32>("output/y", &[3], &[])).contains("with 0 values, expected [3]"));
    failure(&golden, |c| c.forward("output/y", &[3, 1], &[0.0f32, 1.0, -100.0]));
    failure(&golden, |c| c.forward("output/y", &[2], &[0.0f32, 1.0]));
}

#[test]
fn missing_and_unknown_tensors_fail() {
    let golden = forward_file();
    let text = failure(&golden, |_| ());
    assert!(text.contains("output/y: missing") && text.contains("nothing was compared"), "{text}");
    assert!(!text.contains("input/x"), "an input is not expected back: {text}");
    assert!(failure(&golden, |c| c.forward("output/z", &[1], &[1.0f32])).contains("no such tensor"));
    let nothing = file([("input/x", f32s(&[1.0]))], json!({}));
    assert!(failure(&nothing, |_| ()).contains("nothing was compared"));
}

#[test]
fn what_is_left_out_is_said() {
    let golden = file([("output/y", f32s(&[1.0])), ("aux/map", f32s(&[1.0]))], json!({}));
    failure(&golden, |c| c.forward("output/y", &[1], &[1.0f32]));
    let kept = outcome(&golden, |c| {
        c.forward("output/y", &[1], &[1.0f32]);
        c.waive("aux/map", "not kept in the plan");
    });
    let Outcome::Passed(text) = kept else { panic!("{kept:?}") };
    assert!(text.contains("1 tensors") && text.contains("left out: aux/map (not kept in the plan)"), "{text}");
    assert!(
        failure(&golden, |c| {
            c.waive("output/y", "-");
            c.waive("aux/map", "-");
        })
        .contains("nothing was compared")
    );
}

#[test]
fn gradients_are_relative_to_the_largest_of_the_file() {
    let golden = file([("grad/param/big", f32s(&[50.0])), ("grad/input/x", f32s(&[1e-9]))], json!({}));
    let compare = |small: f64, big: f64| {
        move |c: &mut Comparison<'_>| {
            c.gradient("grad/input/x", &[1], &[small]);
            c.gradient("grad/param/big", &[1], &[big]);
        }
    };
    assert!(passes(&golden, compare(0.0049, 50.0049)), "1e-4 of 50 is 5e-3, for the small tensor too");
    assert!(failure(&golden, compare(0.0051, 50.0)).contains("grad/input/x"));
    assert!(failure(&golden, compare(0.0, 50.0051)).contains("grad/param/big"));
}

#[test]
fn cases_of_an_op_file_have_their_own_largest_gradient() {
    let tensors = [("steep/grad/x", f32s(&[1000.0])), ("flat/grad/x", f32s(&[1.0]))];
    let golden = file(tensors, json!({"cases": {"steep": {"eps": 0.5}, "flat": {}}}));
    let cases = golden.cases();
    assert_eq!(cases.iter().map(Case::label).collect::<Vec<_>>(), ["sample/flat", "sample/steep"]);
    assert_eq!(cases[1].settings()["eps"], 0.5);
    let run = |case: &Case<'_>, value: f64| {
        let mut comparison = Comparison::new(case);
        comparison.gradient("grad/x", &[1], &[value]);
        comparison.finish()
    };
    assert!(matches!(run(&cases[0], 1.01), Outcome::Failed(_)));
    assert!(matches!(run(&cases[1], 1000.01), Outcome::Passed(_)));
}

#[test]
fn four_float32_deviations_are_borne_where_that_is_more() {
    let tensors = [("output/y", f32s(&[1.0])), ("grad/x", f32s(&[1.0]))];
    let golden = file(tensors, json!({"f32_dev": {"_": "a remark", "output/y": [0.01, 1.0], "grad/x": [0.1, 1.0]}}));
    let compare = |y: f64, x: f64| {
        move |c: &mut Comparison<'_>| {
            c.forward("output/y", &[1], &[y]);
            c.gradient("grad/x", &[1], &[x]);
        }
    };
    assert!(passes(&golden, compare(1.039, 1.39)));
    assert!(failure(&golden, compare(1.041, 1.0)).contains("output/y"));
    assert!(failure(&golden, compare(1.0, 1.41)).contains("grad/x"));
}

#[test]
fn adam_is_compared_where_it_is_stable_and_with_the_stable_deviation() {
    let stable = Tensor::new([3], TensorData::U8(vec![1, 0, 1])).unwrap();
    let meta = json!({
        "f32_dev": {"after/adam/w": [0.5, 3.0], "after/sgd/w": [0.5, 3.0]},
        "adam_compare": {"adam": {"max_f32_dev_on_the_rest": 1e-4}},
    });
    let adam = file([("after/adam/w", f32s(&[1.0, 2.0, 3.0])), ("stable/adam/w", stable)], meta.clone());
    let after = |values: [f64; 3]| move |c: &mut Comparison<'_>| c.after_steps("adam", "w", &[3], &values);
    assert!(passes(&adam, after([1.0, -7.0, 3.0003])), "the unstable element is free, four deviations are 4e-4");
    assert!(failure(&adam, after([1.0, 2.0, 3.0005])).contains("element 2"), "f32_dev is the unstable element's");
    failure(&adam, after([f64::NAN, 2.0, 3.0]));
    let sgd = file([("after/sgd/w", f32s(&[1.0, 2.0, 3.0]))], meta);
    assert!(passes(&sgd, |c| c.after_steps("sgd", "w", &[3], &[1.0f64, 2.0, 4.9])), "no mask: its own f32_dev");
    failure(&sgd, |c| c.after_steps("sgd", "w", &[3], &[1.0f64, 2.0, 5.1]));
}

#[test]
fn a_stable_mask_of_another_shape_fails() {
    let stable = Tensor::new([2], TensorData::U8(vec![0, 0])).unwrap();
    let golden = file([("after/adam/w", f32s(&[1.0])), ("stable/adam/w", stable)], json!({}));
    assert!(failure(&golden, |c| c.after_steps("adam", "w", &[1], &[1.0f32])).contains("'stable' mask"));
}

#[test]
fn padded_positions_are_nobodys_business() {
    let golden = forward_file();
    assert!(passes(&golden, |c| c.forward_where("output/y", &[3], &[0.0, f32::NAN, -100.0], |index| index != 1)));
    failure(&golden, |c| c.forward_where("output/y", &[3], &[0.0, f32::NAN, -100.0], |index| index != 2));
    assert!(failure(&golden, |c| c.forward_where("output/y", &[3], &[0.0f32; 3], |_| false)).contains("nothing"));
}

#[test]
fn tables_are_relative_to_each_element_and_integers_exact() {
    let counts = Tensor::new([2], TensorData::I64(vec![3, 0])).unwrap();
    let golden = file([("lr", f32s(&[1.0, 1e-6, 0.0])), ("output/counts", counts)], json!({}));
    let compare = |lr: [f64; 3], counts: [i64; 2]| {
        move |c: &mut Comparison<'_>| {
            c.each_element("lr", &[3], &lr, 1e-6);
            c.exact("output/counts", &[2], &counts);
        }
    };
    let stored = f64::from(1e-6f32);
    assert!(passes(&golden, compare([1.0, stored, 0.0], [3, 0])));
    assert!(failure(&golden, compare([1.0, stored * 1.00001, 0.0], [3, 0])).contains("lr: element 1"));
    assert!(failure(&golden, compare([1.0, stored, 1e-30], [3, 0])).contains("lr: element 2"));
    assert!(failure(&golden, compare([1.0, stored, 0.0], [3, 1])).contains("output/counts: element 1"));
}

/// Writes `tensors` with `meta` in the header, and `sidecar` beside it.
fn store(path: &Path, tensors: &[(&str, f32)], meta: &str, sidecar: Option<&str>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let tensors: Tensors = tensors.iter().map(|&(key, value)| (key.to_string(), f32s(&[value]))).collect();
    let metadata: Metadata = [("meta".to_string(), meta.to_string())].into();
    weights::write(path, &tensors, &metadata).unwrap();
    if let Some(text) = sidecar {
        std::fs::write(path.with_extension("json"), text).unwrap();
    }
}

/// "one" gives 1 for every output, "panics" does what it says, the rest is not known.
fn family(file: &GoldenFile) -> Option<Run> {
    let one: Run = |case| {
        let mut comparison = Comparison::new(case);
        for (name, _) in case.outputs() {
            comparison.forward(&format!("output/{name}"), &[1], &[1.0f32]);
        }
        comparison.finish()
    };
    match file.kind() {
        "one" => Some(one),
        "panics" => Some(|_| panic!("out of {}", "cheese")),
        _ => None,
    }
}

#[test]
fn a_run_lists_counts_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let cases = r#"{"case": "one", "cases": {"right": {}, "wrong": {}, "empty": {}}}"#;
    store(&root.join("deep/er/ops.safetensors"), &[("right/output/y", 1.0), ("wrong/output/y", 2.0)], cases, None);
    // The sidecar speaks before the header.
    store(&root.join("flat.safetensors"), &[("output/y", 1.0)], r#"{"case": "nothing"}"#, Some(r#"{"case": "one"}"#));
    store(&root.join("panics.safetensors"), &[("output/y", 1.0)], "{}", None);
    store(&root.join("unknown.safetensors"), &[("output/y", 1.0)], "{}", None);
    store(&root.join("torn.safetensors"), &[("output/y", 1.0)], "{}", Some("{\"case\": "));
    std::fs::write(root.join("cut.safetensors"), b"\x08\0\0\0\0\0").unwrap();
    std::fs::write(root.join("README.md"), "no golden file").unwrap();

    let mut report = run_all(root, "", family, Vec::new());
    report.summary();
    assert_eq!((report.passed, report.failed, report.not_covered, report.cases()), (2, 5, 1, 8));
    let text = String::from_utf8(report.into_inner()).unwrap();
    for line in [
        "FAILED       cut: ",
        "FAILED       deep/er/ops/empty: ",
        "ok           deep/er/ops/right: worst 0.0e0 in output/y",
        "FAILED       deep/er/ops/wrong: output/y: element 0 is 1e0, expected 2e0, 5.0e-1 off",
        "ok           flat: ",
        "FAILED       panics: panicked: out of cheese",
        "FAILED       torn: ",
        "not covered  unknown: limbic has no 'unknown'",
        "golden: 2 passed, 5 failed, 1 not covered",
    ] {
        assert!(text.lines().any(|printed| printed.starts_with(line)), "no line '{line}' in\n{text}");
    }
}

#[test]
fn a_filter_chooses_cases() {
    let folder = tempfile::tempdir().unwrap();
    let cases = r#"{"case": "one", "cases": {"right": {}, "wrong": {}}}"#;
    let tensors = [("right/output/y", 1.0), ("wrong/output/y", 2.0), ("unlisted/output/y", 1.0)];
    store(&folder.path().join("ops.safetensors"), &tensors, cases, None);
    assert_eq!(labels(folder.path(), ""), ["ops/right", "ops/unlisted", "ops/wrong"]);
    assert_eq!(labels(folder.path(), "wro"), ["ops/wrong"]);
    let report = run_all(folder.path(), "right", family, std::io::sink());
    assert_eq!((report.passed, report.failed, report.not_covered), (1, 0, 0));
    assert_eq!(run_all(folder.path(), "no such case", family, std::io::sink()).cases(), 0);
}
