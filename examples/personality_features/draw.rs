//! One function per picture of features; each returns the file and what it shows.

use limbic::Result;
use limbic::train::metrics::{FeatureMetrics, Pca, quantile};
use limbic::viz::{CurvesOptions, Group, GroupsOptions, MatrixOptions, Series, curves, matrix, scatter_groups};
use std::path::{Path, PathBuf};

/// A file and what it shows.
pub type Picture = (PathBuf, &'static str);

/// The clips in the plane of the first two principal components.
pub fn components(names: &[String], subjects: &[Vec<Vec<f32>>], out: &Path) -> Result<Picture> {
    let pca = Pca::fit(&subjects.concat(), 2)?;
    let place = |clip: &Vec<f32>| {
        let at = pca.project(clip);
        (at[0], at.get(1).copied().unwrap_or(0.0))
    };
    let group = |(name, clips): (&String, &Vec<Vec<f32>>)| Group {
        name: name.clone(),
        points: clips.iter().map(place).collect(),
    };
    let groups: Vec<Group> = names.iter().zip(subjects).map(group).collect();
    let share = |index: usize| 100.0 * pca.explained().get(index).copied().unwrap_or(0.0);
    let options = GroupsOptions {
        title: "Features of clips, by subject".to_string(),
        x_label: format!("first component ({:.0} % of the variance)", share(0)),
        y_label: format!("second component ({:.0} %)", share(1)),
        ..Default::default()
    };
    let path = out.join("features_pca.svg");
    scatter_groups(&path, &groups, &options)?;
    Ok((path, "the features in the plane of their first two principal components"))
}

/// How alike the clips of each two subjects are.
pub fn similarities(names: &[String], metrics: &FeatureMetrics, out: &Path) -> Result<Picture> {
    let options = MatrixOptions {
        title: "Similarity of clips, by subject".to_string(),
        value_label: "mean cosine similarity".to_string(),
        decimals: 2,
        // the numbers where there is room for them
        cell: (700.0 / names.len() as f64).clamp(8.0, 64.0),
        ..Default::default()
    };
    let path = out.join("features_similarity.svg");
    matrix(&path, names, names, &metrics.similarities, &options)?;
    Ok((path, "mean cosine similarity of the clips of each two subjects"))
}

/// Quantiles of each dimension of the features over all clips, the dimensions in the order of their medians.
pub fn distribution(subjects: &[Vec<Vec<f32>>], out: &Path) -> Result<Picture> {
    const SHARES: [(f64, &str); 5] = [(0.95, "95 %"), (0.75, "75 %"), (0.5, "median"), (0.25, "25 %"), (0.05, "5 %")];
    let dimensions = subjects[0][0].len();
    let column = |d: usize| subjects.iter().flatten().map(|clip| clip[d]).collect::<Vec<f32>>();
    let mut quantiles: Vec<[f64; 5]> =
        (0..dimensions).map(|d| SHARES.map(|(share, _)| quantile(&column(d), share))).collect();
    quantiles.sort_by(|a, b| a[2].total_cmp(&b[2]));
    let series = SHARES.iter().enumerate().map(|(index, (_, name))| {
        Series::new(*name, &quantiles.iter().map(|quantiles| quantiles[index]).collect::<Vec<f64>>())
    });
    let options = CurvesOptions {
        title: "Distribution of each feature over all clips".to_string(),
        x_label: "dimension, by its median".to_string(),
        y_label: "activation".to_string(),
        ..Default::default()
    };
    let path = out.join("features_distribution.svg");
    curves(&path, &series.collect::<Vec<_>>(), &options)?;
    Ok((path, "quantiles of each dimension of the features over all clips"))
}
