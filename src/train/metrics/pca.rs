//! Principal component analysis, in f64.

use super::check_finite;
use crate::{Error, Result};

/// The directions in which rows vary most.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    /// Unit vectors, the strongest first; the largest value of each is positive.
    components: Vec<Vec<f64>>,
    variances: Vec<f64>,
    total: f64,
}

impl Pca {
    /// The first `count` components of `rows`, all of one length, at least two.
    ///
    /// # Errors
    /// [`Error::Config`] where rows differ in length, are fewer than two or all the same, or a value is not finite.
    pub fn fit(rows: &[Vec<f32>], count: usize) -> Result<Self> {
        let dim = rows.first().map_or(0, Vec::len);
        if rows.len() < 2 || dim == 0 || rows.iter().any(|row| row.len() != dim) {
            let message =
                format!("{} rows, the first of {dim} values: a PCA wants two or more of one length", rows.len());
            return Err(Error::Config(message));
        }
        rows.iter().try_for_each(|row| check_finite("feature", row))?;
        let n = rows.len();
        let mean: Vec<f64> =
            (0..dim).map(|d| rows.iter().map(|row| f64::from(row[d])).sum::<f64>() / n as f64).collect();
        let centred: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect()).collect();
        // the smaller of rows * rows' and rows' * rows has the same eigenvalues, but for zeros
        let by_rows = n <= dim;
        let vectors: Vec<Vec<f64>> = if by_rows {
            centred.clone()
        } else {
            (0..dim).map(|d| centred.iter().map(|row| row[d]).collect()).collect()
        };
        let gram: Vec<Vec<f64>> = vectors.iter().map(|a| vectors.iter().map(|b| dot(a, b)).collect()).collect();
        let (values, eigenvectors) = symmetric_eigen(gram);
        let total = values.iter().map(|value| value.max(0.0)).sum::<f64>() / (n - 1) as f64;
        if total <= 0.0 {
            return Err(Error::Config("all rows are the same: they have no principal components".to_string()));
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        // what remains of a spectrum's end is rounding
        let least = values[order[0]] * 1e-12;
        let mut pca = Pca { mean, components: Vec::new(), variances: Vec::new(), total };
        for index in order.into_iter().take(count).filter(|index| values[*index] > least) {
            let eigenvector: Vec<f64> = eigenvectors.iter().map(|row| row[index]).collect();
            let component = if by_rows {
                (0..dim).map(|d| eigenvector.iter().zip(&centred).map(|(e, row)| e * row[d]).sum()).collect()
            } else {
                eigenvector
            };
            pca.components.push(oriented(component));
            pca.variances.push(values[index] / (n - 1) as f64);
        }
        Ok(pca)
    }

    /// Unit vectors, the strongest first.
    pub fn components(&self) -> &[Vec<f64>] {
        &self.components
    }

    /// The unbiased variance along each component.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// Each component's share of the whole variance.
    pub fn explained(&self) -> Vec<f64> {
        self.variances.iter().map(|variance| variance / self.total).collect()
    }

    /// `row` along the components.
    pub fn project(&self, row: &[f32]) -> Vec<f64> {
        let centred: Vec<f64> = row.iter().zip(&self.mean).map(|(x, mean)| f64::from(*x) - mean).collect();
        self.components.iter().map(|component| dot(component, &centred)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Of length 1, with the largest value positive, so that the same rows always give the same picture.
fn oriented(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().fold(0.0f64, |most, x| if x.abs() > most.abs() { *x } else { most });
    let length = dot(&vector, &vector).sqrt() * if largest < 0.0 { -1.0 } else { 1.0 };
    vector.into_iter().map(|x| x / length).collect()
}

/// Eigenvalues, and eigenvectors in columns, of a symmetric matrix: cyclic Jacobi rotations (Golub and Van Loan, section 8.5).
fn symmetric_eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const MOST_SWEEPS: usize = 60;
    let n = a.len();
    let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let norm: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..MOST_SWEEPS {
        let off: f64 = (0..n).map(|i| a[i][i + 1..].iter().map(|x| x * x).sum::<f64>()).sum();
        if off <= norm * 1e-30 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] != 0.0 {
                    rotate(&mut a, &mut v, p, q);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), v)
}

/// Makes `a[p][q]` zero.
fn rotate(a: &mut [Vec<f64>], v: &mut [Vec<f64>], p: usize, q: usize) {
    let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    let turn = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
    for row in a.iter_mut().chain(v.iter_mut()) {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    let (upper, lower) = a.split_at_mut(q);
    for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
        (*x, *y) = turn(*x, *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_are_the_known_ones() {
        // 2 on the diagonal, 1 beside it: 2 + 2 cos(k pi / (n + 1))
        let n = 6;
        let matrix = (0..n).map(|i: usize| (0..n).map(|j| [2.0, 1.0, 0.0][i.abs_diff(j).min(2)]).collect()).collect();
        let (mut values, vectors) = symmetric_eigen(matrix);
        values.sort_by(f64::total_cmp);
        for (k, value) in values.iter().rev().enumerate() {
            let known = 2.0 + 2.0 * ((k + 1) as f64 * std::f64::consts::PI / (n + 1) as f64).cos();
            assert!((value - known).abs() < 1e-12, "{value} is not {known}");
        }
        let column = |index: usize| vectors.iter().map(|row| row[index]).collect::<Vec<f64>>();
        assert!(dot(&column(0), &column(3)).abs() < 1e-12 && (dot(&column(2), &column(2)) - 1.0).abs() < 1e-12);
    }

    /// Rows with deviations 3 along (3, 4, 0) / 5 and 1 along (4, -3, 0) / 5, around (1, 2, 3).
    fn rows() -> Vec<Vec<f32>> {
        let place = |(a, b): (f64, f64)| {
            let [x, y] = [(3.0 * a + 4.0 * b) / 5.0, (4.0 * a - 3.0 * b) / 5.0];
            vec![(1.0 + x) as f32, (2.0 + y) as f32, 3.0]
        };
        [(3.0, 1.0), (-3.0, 1.0), (3.0, -1.0), (-3.0, -1.0)].map(place).to_vec()
    }

    #[test]
    fn components_variances_and_places_are_the_known_ones() {
        for rows in [rows(), rows()[..3].to_vec()] {
            // four rows go by their columns, three by themselves
            let pca = Pca::fit(&rows, 3).unwrap();
            assert_eq!(pca.components().len(), 2, "the third direction has nothing");
            assert!((pca.explained().iter().sum::<f64>() - 1.0).abs() < 1e-6);
            assert!(pca.components().iter().all(|c| (dot(c, c) - 1.0).abs() < 1e-12));
        }
        let pca = Pca::fit(&rows(), 2).unwrap();
        let wanted = [[0.6, 0.8, 0.0], [0.8, -0.6, 0.0]];
        for (component, wanted) in pca.components().iter().zip(wanted) {
            assert!(component.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{component:?}");
        }
        let variances = [4.0 * 9.0 / 3.0, 4.0 / 3.0];
        assert!(pca.variances().iter().zip(variances).all(|(a, b)| (a - b).abs() < 1e-5), "{:?}", pca.variances());
        let place = pca.project(&rows()[1]);
        assert!((place[0] + 3.0).abs() < 1e-6 && (place[1] - 1.0).abs() < 1e-6, "{place:?}");
    }

    #[test]
    fn components_are_numpys() {
        let rows = super::super::features::tests::features().concat();
        let pca = Pca::fit(&rows, 5).unwrap();
        let near = |a: &[f64], b: &[f64]| assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-7), "{a:?} {b:?}");
        // numpy.linalg.eigh(numpy.cov(rows.T)), the largest eigenvalue first
        near(pca.variances(), &[1.48760855, 0.88026651, 0.37961007, 0.29764463, 0.25269221]);
        near(&pca.explained(), &[0.45108819, 0.2669236, 0.11510933, 0.09025491, 0.07662397]);
        near(&pca.components()[0], &[0.55291944, 0.42525851, -0.28082513, 0.56237779, -0.34395314]);
        near(&pca.components()[1], &[-0.13620064, 0.1519249, -0.66615143, 0.11904273, 0.70741735]);
        near(&pca.project(&rows[0])[..2], &[-1.1797501383559088, -0.9536346851305912]);
    }

    #[test]
    fn rows_without_components_are_refused() {
        assert!(Pca::fit(&[vec![1.0, 2.0]], 2).is_err() && Pca::fit(&[vec![1.0], vec![1.0, 2.0]], 1).is_err());
        assert!(
            Pca::fit(&[vec![1.0, 2.0], vec![1.0, 2.0]], 2).unwrap_err().to_string().contains("all rows are the same")
        );
        assert!(Pca::fit(&[vec![f32::NAN], vec![1.0]], 1).is_err());
    }
}
