//! The big five as ChaLearn First Impressions scores them: 1 - mean absolute error, with correlation and agreement beside it.

use super::check_lengths;
use super::regression::{RegressionMetrics, is_constant, mean};
use super::table::markdown;
use crate::Result;

/// How well one trait was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct TraitScores {
    /// 1 - mean absolute error, the challenge's score for labels in [0, 1]: 1 is perfect.
    pub accuracy: f64,
    /// PCC, Pearson's correlation; 0 if the predictions or the labels are all the same.
    pub pearson: f64,
    /// CCC, Lin's concordance correlation (1989) with population variances: 2 cov / (var + var + (difference of means)^2). 0 where
    /// [`TraitScores::pearson`] is.
    pub concordance: f64,
}

/// [`TraitScores`] of each of the five traits, in the order of the labels, and their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct PersonalityMetrics {
    pub traits: [TraitScores; 5],
    pub mean: TraitScores,
}

impl PersonalityMetrics {
    /// Compares predictions with labels, a row per clip.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if the lengths differ, there is nothing to compare, or a value is not finite.
    pub fn compute(predicted: &[[f32; 5]], truth: &[[f32; 5]]) -> Result<Self> {
        let mut traits = [TraitScores { accuracy: 0.0, pearson: 0.0, concordance: 0.0 }; 5];
        for (index, scores) in traits.iter_mut().enumerate() {
            *scores = TraitScores::compute(&column(predicted, index), &column(truth, index))?;
        }
        Ok(PersonalityMetrics::of(traits))
    }

    /// What someone scores on `truth` who predicts each trait's mean over `training`, whatever is seen. Print it beside every model: on
    /// First Impressions it is about 0.88.
    ///
    /// # Errors
    /// As [`PersonalityMetrics::compute`].
    pub fn of_the_mean(training: &[[f32; 5]], truth: &[[f32; 5]]) -> Result<Self> {
        check_lengths(training.len(), training.len())?;
        let means = std::array::from_fn(|index| mean(&column(training, index)) as f32);
        PersonalityMetrics::compute(&vec![means; truth.len()], truth)
    }

    /// Of scores known otherwise, a corpus' best possible for example.
    pub fn of(traits: [TraitScores; 5]) -> Self {
        let over = |score: Score| traits.iter().map(score).sum::<f64>() / traits.len() as f64;
        let mean = TraitScores {
            accuracy: over(|scores| scores.accuracy),
            pearson: over(|scores| scores.pearson),
            concordance: over(|scores| scores.concordance),
        };
        PersonalityMetrics { traits, mean }
    }
}

impl TraitScores {
    /// Compares the predictions of one trait with its labels.
    ///
    /// # Errors
    /// As [`PersonalityMetrics::compute`].
    pub fn compute(predicted: &[f32], truth: &[f32]) -> Result<Self> {
        let RegressionMetrics { mae, pearson, .. } = RegressionMetrics::compute(predicted, truth)?;
        Ok(TraitScores { accuracy: 1.0 - mae, pearson, concordance: concordance(predicted, truth) })
    }
}

fn column(rows: &[[f32; 5]], index: usize) -> Vec<f32> {
    rows.iter().map(|row| row[index]).collect()
}

fn concordance(a: &[f32], b: &[f32]) -> f64 {
    if is_constant(a) || is_constant(b) {
        return 0.0;
    }
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut product) = (0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a) - mean_a, f64::from(b) - mean_b);
        both += a * a + b * b;
        product += a * b;
    }
    2.0 * product / (both + a.len() as f64 * (mean_a - mean_b).powi(2))
}

type Score = fn(&TraitScores) -> f64;

/// The scores of several models as a Markdown table that also reads well as text: for each measure a row per model, with the columns
/// `names` and the mean.
pub fn personality_table(names: &[&str; 5], rows: &[(&str, PersonalityMetrics)]) -> String {
    let header = ["", ""].iter().chain(names).chain(&["mean"]);
    let mut cells = vec![header.map(|cell| cell.to_string()).collect::<Vec<_>>()];
    let measures: [(&str, Score); 3] =
        [("1 - MAE", |scores| scores.accuracy), ("PCC", |scores| scores.pearson), ("CCC", |scores| scores.concordance)];
    for (measure, score) in measures {
        for (name, metrics) in rows {
            let scores = metrics.traits.iter().chain([&metrics.mean]);
            let numbers = scores.map(|scores| format!("{:.4}", score(scores)));
            cells.push([measure.to_string(), name.to_string()].into_iter().chain(numbers).collect());
        }
    }
    markdown(cells, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    /// `values` as the label of every trait.
    fn rows(values: &[f32]) -> Vec<[f32; 5]> {
        values.iter().map(|&value| [value; 5]).collect()
    }

    #[test]
    fn agrees_with_sums_by_hand() {
        // errors .25, .25, 0, .5; means .5 and .625, sums of squares .3125 and .1875, of products .1875
        let (predicted, truth) = ([0.25, 0.75, 0.125, 0.875], [0.5, 0.5, 0.125, 0.375]);
        let scores = TraitScores::compute(&predicted, &truth).unwrap();
        let squares = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let (pp, tt) = (squares(&[0.25, 0.75, 0.125, 0.875], 0.5), squares(&[0.5, 0.5, 0.125, 0.375], 0.375));
        // (-.25 * .125) + (.25 * .125) + (-.375 * -.25) + (.375 * 0)
        let pt = 0.09375;
        assert_relative_eq!(scores.accuracy, 0.75, max_relative = 1e-15);
        assert_relative_eq!(scores.pearson, pt / (pp * tt).sqrt(), max_relative = 1e-14);
        let by_hand = 2.0 * pt / 4.0 / (pp / 4.0 + tt / 4.0 + 0.125f64.powi(2));
        assert_relative_eq!(scores.concordance, by_hand, max_relative = 1e-14);
    }

    #[test]
    fn concordance_sees_scale_and_shift_where_correlation_does_not() {
        let truth = [0.25f32, 0.5, 0.75];
        let half = TraitScores::compute(&truth.map(|t| 0.5 * t), &truth).unwrap();
        assert_relative_eq!(half.pearson, 1.0, max_relative = 1e-14);
        // covariance half the variance 1/24, means .25 and .5
        let variance = 1.0 / 24.0;
        assert_relative_eq!(half.concordance, variance / (1.25 * variance + 0.0625), max_relative = 1e-14);
        let exact = TraitScores::compute(&truth, &truth).unwrap();
        assert_eq!((exact.accuracy, exact.concordance), (1.0, 1.0));
        let opposite = TraitScores::compute(&truth.map(|t| 1.0 - t), &truth).unwrap();
        assert_relative_eq!(opposite.concordance, -1.0, max_relative = 1e-14);
    }

    #[test]
    fn each_trait_is_its_own_and_the_mean_is_over_the_five() {
        let truth = vec![[0.0, 0.25, 0.5, 0.75, 1.0], [1.0, 0.75, 0.25, 0.5, 0.0]];
        let predicted = vec![[0.0, 0.5, 0.5, 0.25, 1.0], [1.0, 0.5, 0.25, 0.5, 0.5]];
        let metrics = PersonalityMetrics::compute(&predicted, &truth).unwrap();
        assert_eq!(metrics.traits.map(|scores| scores.accuracy), [1.0, 0.75, 1.0, 0.75, 0.75]);
        for (scores, pearson) in metrics.traits.iter().zip([1.0, 0.0, 1.0, -1.0, 1.0]) {
            assert_relative_eq!(scores.pearson, pearson, max_relative = 1e-14);
        }
        assert_relative_eq!(metrics.mean.accuracy, 0.85, max_relative = 1e-14);
        assert_relative_eq!(metrics.mean.pearson, 0.4, max_relative = 1e-14);
    }

    #[test]
    fn the_mean_of_the_training_labels_is_the_baseline() {
        let metrics = PersonalityMetrics::of_the_mean(&rows(&[0.25, 0.75, 0.5]), &rows(&[0.25, 0.5, 1.0])).unwrap();
        assert_relative_eq!(metrics.mean.accuracy, 0.75, max_relative = 1e-7);
        assert_eq!((metrics.mean.pearson, metrics.mean.concordance), (0.0, 0.0));
        assert!(PersonalityMetrics::of_the_mean(&[], &rows(&[0.5])).is_err());
    }

    #[test]
    fn the_table_is_markdown_and_aligned() {
        let metrics = PersonalityMetrics::compute(&rows(&[0.5, 0.25]), &rows(&[0.5, 0.5])).unwrap();
        let table = personality_table(&["O", "C", "E", "A", "N"], &[("model", metrics), ("a | b", metrics)]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 8);
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
        assert!(lines[1].starts_with("|:---") && lines[1].ends_with("---:|"), "{table}");
        assert!(lines[2].starts_with("| 1 - MAE | model  | 0.8750 |"), "{table}");
        assert!(lines[7].starts_with("| CCC     | a \\| b | 0.0000 |"), "{table}");
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(PersonalityMetrics::compute(&rows(&[0.5]), &[]).is_err());
        assert!(PersonalityMetrics::compute(&[], &[]).is_err());
        let message = PersonalityMetrics::compute(&rows(&[0.5, f32::NAN]), &rows(&[0.5, 0.5])).unwrap_err().to_string();
        assert!(message.contains("prediction 1 is NaN"), "{message}");
    }
}
