//! Accuracy, recall and F1 over classes.

use super::table::markdown;
use super::{check_lengths, share};
use crate::{Error, Result};

/// The scores of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassScores {
    /// Of the predictions of this class, the share that is right; 0 if it was never predicted.
    pub precision: f64,
    /// Of the clips of this class, the share that was found; 0 if there is none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if both are.
    pub f1: f64,
    /// How many clips truly are of this class.
    pub support: u64,
}

/// How well classes were told apart. All shares are in [0, 1].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassificationMetrics {
    /// The share that is right; in speech emotion called WA, weighted accuracy.
    pub accuracy: f64,
    /// UA, unweighted accuracy: the mean recall over all classes, one that never occurs counting as 0.
    pub unweighted_accuracy: f64,
    /// WF1: the mean F1 with each class weighted by its TRUE count, scikit-learn's `f1_score(truth, predicted,
    /// average="weighted")`. (Some published code swaps the two arguments and weights by the predicted count.)
    pub weighted_f1: f64,
    /// The mean F1 over all classes.
    pub macro_f1: f64,
    /// Scores of class 0, 1, ...
    pub classes: Vec<ClassScores>,
    /// `confusion[true class][predicted class]` counts clips.
    pub confusion: Vec<Vec<u64>>,
}

impl ClassificationMetrics {
    /// Compares predicted classes with true ones; both are in `0..classes`.
    ///
    /// # Errors
    /// [`Error::Config`] if the lengths differ, there is nothing to compare, or a class is out of range.
    pub fn compute(predicted: &[usize], truth: &[usize], classes: usize) -> Result<Self> {
        check_lengths(predicted.len(), truth.len())?;
        let mut confusion = vec![vec![0u64; classes]; classes];
        for (at, (&predicted, &truth)) in predicted.iter().zip(truth).enumerate() {
            let cell = confusion.get_mut(truth).and_then(|row| row.get_mut(predicted)).ok_or_else(|| {
                Error::Config(format!("clip {at}: class {predicted} against {truth}, but there are {classes} classes"))
            })?;
            *cell += 1;
        }
        Ok(ClassificationMetrics::from_confusion(confusion))
    }

    fn from_confusion(confusion: Vec<Vec<u64>>) -> Self {
        let scores: Vec<ClassScores> = (0..confusion.len()).map(|class| class_scores(&confusion, class)).collect();
        let count: u64 = scores.iter().map(|class| class.support).sum();
        let right: u64 = confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
        let mean = |score: fn(&ClassScores) -> f64| share(scores.iter().map(score).sum(), scores.len() as f64);
        let weighted: f64 = scores.iter().map(|class| class.f1 * class.support as f64).sum();
        ClassificationMetrics {
            accuracy: share(right as f64, count as f64),
            unweighted_accuracy: mean(|class| class.recall),
            weighted_f1: share(weighted, count as f64),
            macro_f1: mean(|class| class.f1),
            classes: scores,
            confusion,
        }
    }
}

/// The scores of `class`, a row and column of the square table `confusion`.
fn class_scores(confusion: &[Vec<u64>], class: usize) -> ClassScores {
    let right = confusion[class][class] as f64;
    let support: u64 = confusion[class].iter().sum();
    let predicted: u64 = confusion.iter().map(|row| row[class]).sum();
    ClassScores {
        precision: share(right, predicted as f64),
        recall: share(right, support as f64),
        f1: share(2.0 * right, (support + predicted) as f64),
        support,
    }
}

/// The metrics of several models, in percent, as a Markdown table that also reads well as text.
pub fn classification_table<'a>(rows: impl IntoIterator<Item = (&'a str, &'a ClassificationMetrics)>) -> String {
    let mut cells = vec![["model", "accuracy", "mean recall", "weighted F1", "mean F1"].map(String::from).to_vec()];
    cells.extend(rows.into_iter().map(|(name, metrics)| {
        let shares = [metrics.accuracy, metrics.unweighted_accuracy, metrics.weighted_f1, metrics.macro_f1];
        std::iter::once(name.to_string()).chain(shares.map(|share| format!("{:.2}", 100.0 * share))).collect()
    }));
    markdown(cells, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn agrees_with_counts_by_hand() {
        // Class 2 is never predicted, class 3 never occurs and never is predicted.
        let metrics = ClassificationMetrics::compute(&[0, 0, 1, 1, 1, 0], &[0, 0, 0, 1, 2, 1], 4).unwrap();
        assert_eq!(metrics.confusion, [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]);
        assert_relative_eq!(metrics.accuracy, 0.5);
        let expected = [(2.0 / 3.0, 2.0 / 3.0, 3), (1.0 / 3.0, 0.5, 2), (0.0, 0.0, 1), (0.0, 0.0, 0)];
        for (class, (precision, recall, support)) in metrics.classes.iter().zip(expected) {
            assert_relative_eq!(class.precision, precision, max_relative = 1e-15);
            assert_relative_eq!(class.recall, recall, max_relative = 1e-15);
            assert_eq!(class.support, support);
        }
        assert_relative_eq!(metrics.classes[1].f1, 0.4, max_relative = 1e-15);
        assert_relative_eq!(metrics.macro_f1, (2.0 / 3.0 + 0.4) / 4.0, max_relative = 1e-15);
        assert_relative_eq!(metrics.weighted_f1, (2.0 / 3.0 * 3.0 + 0.4 * 2.0) / 6.0, max_relative = 1e-15);
        assert_relative_eq!(metrics.unweighted_accuracy, (2.0 / 3.0 + 0.5) / 4.0, max_relative = 1e-15);
    }

    #[test]
    fn the_table_is_in_percent() {
        let metrics = ClassificationMetrics::compute(&[0, 1, 1, 1], &[0, 0, 1, 1], 2).unwrap();
        let table = classification_table([("happy or not", &metrics)]);
        assert!(table.contains("| happy or not |    75.00 |       75.00 |       73.33 |   73.33 |"), "{table}");
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(ClassificationMetrics::compute(&[0], &[0, 1], 2).is_err());
        assert!(ClassificationMetrics::compute(&[], &[], 2).is_err());
        let message = ClassificationMetrics::compute(&[0, 2], &[0, 1], 2).unwrap_err().to_string();
        assert!(message.contains("clip 1: class 2 against 1, but there are 2 classes"), "{message}");
        assert!(ClassificationMetrics::compute(&[0], &[0], 0).is_err());
    }
}
