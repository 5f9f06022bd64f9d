//! The numbers that every multimodal sentiment paper prints, and their table.

use super::table::markdown;
use super::{ClassificationMetrics, RegressionMetrics};
use crate::Result;

/// Sentiment as MOSI and MOSEI are scored, labels in [-3, 3]. Accuracies and F1 are shares in [0, 1].
///
/// - Acc-2 has two conventions. "has0" asks whether prediction and label agree on `>= 0`, over all clips. "non0" drops the
///   clips whose label is exactly 0 and asks for `> 0`.
/// - F1 goes with either; the two classes are weighted by their TRUE counts, `f1_score(truth, predicted,
///   average="weighted")` in scikit-learn, the convention of MMSA. MulT and MISA swap the arguments and so weight by the
///   predicted counts: their F1 is not comparable to the digit.
/// - Acc-7 and Acc-5 clip both sides to +-3 and +-2, then round half to even (numpy's `round`), then ask for equality.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct SentimentMetrics {
    /// Mean absolute error.
    pub mae: f64,
    /// Pearson's correlation; 0 if the predictions or the labels are all the same.
    pub pearson: f64,
    pub acc7: f64,
    pub acc5: f64,
    pub acc2_has0: f64,
    pub f1_has0: f64,
    /// 0 if [`non0_clips`](Self::non0_clips) is.
    pub acc2_non0: f64,
    /// 0 if [`non0_clips`](Self::non0_clips) is.
    pub f1_non0: f64,
    /// How many clips were scored.
    pub clips: usize,
    /// How many of them have a label other than 0.
    pub non0_clips: usize,
}

impl SentimentMetrics {
    /// Scores one prediction per clip against its label.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the lengths differ, there is nothing to compare, or a value is not finite.
    pub fn compute(predicted: &[f32], truth: &[f32]) -> Result<Self> {
        let regression = RegressionMetrics::compute(predicted, truth)?;
        let pairs: Vec<(f32, f32)> = predicted.iter().copied().zip(truth.iter().copied()).collect();
        let non0: Vec<(f32, f32)> = pairs.iter().copied().filter(|&(_, truth)| truth != 0.0).collect();
        let (acc2_has0, f1_has0) = binary(&pairs, |value| value >= 0.0)?;
        let (acc2_non0, f1_non0) = if non0.is_empty() { (0.0, 0.0) } else { binary(&non0, |value| value > 0.0)? };
        Ok(SentimentMetrics {
            mae: regression.mae,
            pearson: regression.pearson,
            acc7: rounded_accuracy(&pairs, 3.0),
            acc5: rounded_accuracy(&pairs, 2.0),
            acc2_has0,
            f1_has0,
            acc2_non0,
            f1_non0,
            clips: pairs.len(),
            non0_clips: non0.len(),
        })
    }
}

/// Accuracy and weighted F1 of the sign, `positive` telling the two classes apart.
fn binary(pairs: &[(f32, f32)], positive: impl Fn(f32) -> bool) -> Result<(f64, f64)> {
    let predicted: Vec<usize> = pairs.iter().map(|&(predicted, _)| usize::from(positive(predicted))).collect();
    let truth: Vec<usize> = pairs.iter().map(|&(_, truth)| usize::from(positive(truth))).collect();
    let metrics = ClassificationMetrics::compute(&predicted, &truth, 2)?;
    Ok((metrics.accuracy, metrics.weighted_f1))
}

fn rounded_accuracy(pairs: &[(f32, f32)], limit: f32) -> f64 {
    let class = |value: f32| value.clamp(-limit, limit).round_ties_even();
    let right = pairs.iter().filter(|&&(predicted, truth)| class(predicted) == class(truth)).count();
    right as f64 / pairs.len() as f64
}

const HEADER: [&str; 9] = ["model", "MAE", "r", "Acc-7", "Acc-5", "Acc-2 has0", "F1 has0", "Acc-2 non0", "F1 non0"];

/// The metrics of several models as a Markdown table that also reads well as text. MAE and r have three decimals,
/// accuracies and F1 are in percent, as the papers print them; "-" where no clip has a label other than 0.
pub fn sentiment_table<'a>(rows: impl IntoIterator<Item = (&'a str, &'a SentimentMetrics)>) -> String {
    let mut cells = vec![HEADER.map(String::from).to_vec()];
    cells.extend(rows.into_iter().map(|(name, metrics)| row(name, metrics)));
    markdown(cells, 1)
}

fn row(name: &str, metrics: &SentimentMetrics) -> Vec<String> {
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let non0 = |share: f64| if metrics.non0_clips == 0 { "-".into() } else { percent(share) };
    vec![
        name.to_string(),
        format!("{:.3}", metrics.mae),
        format!("{:.3}", metrics.pearson),
        percent(metrics.acc7),
        percent(metrics.acc5),
        percent(metrics.acc2_has0),
        percent(metrics.f1_has0),
        non0(metrics.acc2_non0),
        non0(metrics.f1_non0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn acc2_has_two_conventions() {
        // label 0 counts as positive in has0 and is dropped in non0; a prediction of 0 is positive in has0 only.
        let predicted = [0.0, -0.1, 0.0, 1.0, -1.0, 0.5];
        let truth = [0.0, 0.0, 1.0, -2.0, -1.0, 2.0];
        let metrics = SentimentMetrics::compute(&predicted, &truth).unwrap();
        // has0: right, wrong, right, wrong, right, right. non0: 0 > 0 is false against true, wrong, right, right.
        assert_relative_eq!(metrics.acc2_has0, 4.0 / 6.0);
        assert_relative_eq!(metrics.acc2_non0, 2.0 / 4.0);
        assert_eq!((metrics.clips, metrics.non0_clips), (6, 4));
    }

    #[test]
    fn f1_is_weighted_by_the_true_counts() {
        // Truth: 3 positive, 1 negative; predicted: 1 positive, 3 negative.
        let metrics = SentimentMetrics::compute(&[1.0, -1.0, -1.0, -1.0], &[1.0, 2.0, 3.0, -1.0]).unwrap();
        let (positive, negative) = (2.0 * 1.0 / 4.0, 2.0 * 1.0 / 4.0);
        assert_relative_eq!(metrics.f1_non0, (3.0 * positive + negative) / 4.0);
        // Here the classes' F1 differ, so that the swapped convention gives another number.
        let metrics = SentimentMetrics::compute(&[1.0, 1.0, -1.0, -1.0, -1.0], &[1.0, 2.0, 3.0, 3.0, -1.0]).unwrap();
        let (positive, negative) = (2.0 * 2.0 / 6.0, 2.0 * 1.0 / 4.0);
        assert_relative_eq!(metrics.f1_has0, (4.0 * positive + negative) / 5.0, max_relative = 1e-15);
        assert_relative_eq!(metrics.f1_non0, metrics.f1_has0);
    }

    #[test]
    fn rounding_is_half_to_even_after_clipping() {
        let right = |predicted: f32, truth: f32, acc: fn(&SentimentMetrics) -> f64| {
            acc(&SentimentMetrics::compute(&[predicted], &[truth]).unwrap()) == 1.0
        };
        let (acc7, acc5) = (|m: &SentimentMetrics| m.acc7, |m: &SentimentMetrics| m.acc5);
        for (predicted, class) in
            [(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, 0.0), (-1.5, -2.0), (-2.5, -2.0), (9.0, 3.0)]
        {
            assert!(right(predicted, class, acc7), "{predicted} is class {class} of 7");
        }
        assert!(!right(2.5, 3.0, acc7) && !right(0.5, 1.0, acc7));
        // 2.6 and 1.8 are both clipped or rounded to 2 of 5, but 3 and 2 of 7.
        assert!(right(2.6, 1.8, acc5) && !right(2.6, 1.8, acc7));
        assert!(right(-3.0, -2.0, acc5) && !right(-3.0, -2.0, acc7));
    }

    #[test]
    fn labels_that_are_all_zero_have_no_non0_score() {
        let metrics = SentimentMetrics::compute(&[0.3, -0.2], &[0.0, 0.0]).unwrap();
        assert_eq!((metrics.non0_clips, metrics.acc2_non0, metrics.f1_non0, metrics.pearson), (0, 0.0, 0.0, 0.0));
        assert!(sentiment_table([("zeros", &metrics)]).contains("|          - |       - |"));
    }

    #[test]
    fn the_table_is_markdown_and_aligned() {
        let metrics = SentimentMetrics::compute(&[1.0, -1.4, 2.0], &[1.0, -1.0, 3.0]).unwrap();
        let table = sentiment_table([("fusion", &metrics), ("text | only", &metrics)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
        assert!(lines[1].starts_with("|:---") && lines[1].ends_with("---:|"));
        assert!(lines[2].starts_with("| fusion       | 0.467 |"), "{table}");
        assert!(lines[3].starts_with("| text \\| only |"), "{table}");
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(SentimentMetrics::compute(&[1.0], &[]).is_err());
        assert!(SentimentMetrics::compute(&[], &[]).is_err());
        assert!(SentimentMetrics::compute(&[f32::NAN], &[1.0]).is_err());
    }
}
