//! limbic in mixed precision against PyTorch and Keras: the ops of the sentiment models, and those models.

mod golden_cases;
mod golden_harness;

use golden_harness::{GoldenFile, Run, mix, run_all};
use std::path::Path;

#[test]
fn the_sentiment_models_and_their_ops_are_right_but_for_rounding() {
    mix();
    let family = |file: &GoldenFile| -> Option<Run> { golden_cases::family(file) };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for filter in ["msa_", "attention", "norm", "tensor", "activations"] {
        let mut text = Vec::new();
        let mut report = run_all(&root, filter, family, &mut text);
        report.summary();
        let (cases, failed) = (report.cases(), report.failed);
        assert!(cases > 0 && failed == 0, "{filter}: {failed} of {cases} failed\n{}", String::from_utf8_lossy(&text));
    }
}
