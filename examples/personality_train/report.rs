//! What is printed and drawn: data, results, pictures.

use crate::personality::{Data, labels};
use limbic::Result;
use limbic::data::builtin::Knows;
use limbic::data::video::VideoCorpus;
use limbic::models::personality::TRAITS;
use limbic::train::metrics::{PersonalityMetrics, TraitScores, personality_table};
use limbic::viz::{ScatterOptions, scatter};
use std::path::Path;

pub fn describe_data(corpus: &VideoCorpus) {
    let shape = &corpus.shape;
    println!("data      {}", corpus.name);
    let [train, valid, test] = [&corpus.train, &corpus.valid, &corpus.test].map(Vec::len);
    println!("          {train} training, {valid} validation, {test} test clips");
    if corpus.missing > 0 {
        println!("          {} clips have labels but no pictures and were left out", corpus.missing);
    }
    println!(
        "          {} faces of {1} x {1}, {2} frames of {3} x {3}",
        shape.faces, shape.face_size, shape.frames, shape.frame_size
    );
}

/// The test scores beside predict-the-mean and, where it is known, the best possible; a picture per trait.
pub fn results(out: &Path, data: &Data, predicted: &[[f32; 5]]) -> Result<()> {
    let truth = labels(&data.corpus.test);
    let mut rows = vec![
        ("faces and motion", PersonalityMetrics::compute(predicted, &truth)?),
        ("predict the mean", PersonalityMetrics::of_the_mean(&labels(&data.corpus.train), &truth)?),
    ];
    if let Some(talking) = &data.talking {
        let best = |knows| {
            let scores = talking.best_possible(knows);
            PersonalityMetrics::of(scores.map(|(mae, r)| TraitScores {
                accuracy: 1.0 - mae,
                pearson: r,
                concordance: r,
            }))
        };
        rows.push(("best possible", best(Knows::All)));
        rows.push(("best, face alone", best(Knows::Face)));
        rows.push(("best, motion alone", best(Knows::Motion)));
    }
    println!("\ntest clips: {}\n", truth.len());
    println!("{}", personality_table(&TRAITS, &rows));
    for (index, name) in TRAITS.iter().enumerate() {
        let column = |rows: &[[f32; 5]]| rows.iter().map(|row| row[index]).collect::<Vec<f32>>();
        let options = ScatterOptions {
            title: format!("{name} of the test clips"),
            range: Some((0.0, 1.0)),
            ..Default::default()
        };
        scatter(out.join(format!("predicted_{name}.svg")), &column(&truth), &column(predicted), &options)?;
    }
    Ok(())
}
