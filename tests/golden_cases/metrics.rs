//! Metrics against scikit-learn's and numpy's.

use limbic::train::metrics::{ClassScores, ClassificationMetrics, RegressionMetrics};

use crate::golden_harness::{Case, Comparison, Outcome};

/// The files hold f64 results rounded to f32.
const ROUNDED_TO_F32: f64 = 1e-7;

pub fn run(case: &Case<'_>) -> Outcome {
    let mut comparison = Comparison::new(case);
    let result = match case.settings().get("classes").and_then(|classes| classes.as_u64()) {
        Some(classes) => classification(case, classes as usize, &mut comparison),
        None => regression(case, &mut comparison),
    };
    if let Err(message) = result {
        comparison.problem(message);
    }
    comparison.finish()
}

fn classification(case: &Case<'_>, classes: usize, comparison: &mut Comparison<'_>) -> Result<(), String> {
    let labels = |key| -> Result<Vec<usize>, String> {
        let values = case.need(key)?.as_i64().ok_or("labels are not i64")?;
        values.iter().map(|&label| usize::try_from(label).map_err(|error| error.to_string())).collect()
    };
    let metrics = ClassificationMetrics::compute(&labels("input/pred")?, &labels("input/true")?, classes)
        .map_err(|error| error.to_string())?;
    let scores = [
        ("output/accuracy", metrics.accuracy),
        ("output/weighted_f1", metrics.weighted_f1),
        ("output/macro_f1", metrics.macro_f1),
    ];
    for (key, value) in scores {
        comparison.each_element(key, &[], &[value], ROUNDED_TO_F32);
    }
    let per_class = |score: fn(&ClassScores) -> f64| metrics.classes.iter().map(score).collect::<Vec<f64>>();
    let columns = [
        ("output/per_class_f1", per_class(|class| class.f1)),
        ("output/precision", per_class(|class| class.precision)),
        ("output/recall", per_class(|class| class.recall)),
    ];
    for (key, values) in columns {
        comparison.each_element(key, &[classes], &values, ROUNDED_TO_F32);
    }
    let counts: Vec<i64> = metrics.confusion.iter().flatten().map(|&count| count as i64).collect();
    comparison.exact("output/confusion", &[classes, classes], &counts);
    Ok(())
}

fn regression(case: &Case<'_>, comparison: &mut Comparison<'_>) -> Result<(), String> {
    let values = |key| case.need(key)?.as_f32().ok_or("values are not f32".to_string());
    let metrics =
        RegressionMetrics::compute(values("input/pred")?, values("input/true")?).map_err(|error| error.to_string())?;
    let row = [metrics.mae, metrics.mse, metrics.rmse, metrics.pearson, metrics.r2];
    comparison.each_element("output/mae_mse_rmse_pearson_r2", &[row.len()], &row, ROUNDED_TO_F32);
    Ok(())
}
