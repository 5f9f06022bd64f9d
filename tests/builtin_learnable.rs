//! The built-in corpus asks for all three modalities: what a simple regression makes of each alone and of them together.
#![cfg(feature = "data")]

use limbic::data::Clip;
use limbic::data::builtin::*;

/// Ridge regression with a bias, by Cholesky: the solution of `(X'X + penalty I) w = X'y` in f64.
struct Ridge(Vec<f64>);

impl Ridge {
    fn fit(rows: &[Vec<f64>], targets: &[f64], penalty: f64) -> Self {
        let n = rows[0].len() + 1;
        let (mut a, mut b) = (vec![vec![0.0; n]; n], vec![0.0; n]);
        for (row, y) in rows.iter().zip(targets) {
            let x: Vec<f64> = row.iter().copied().chain([1.0]).collect();
            for i in 0..n {
                b[i] += x[i] * y;
                (0..=i).for_each(|j| a[i][j] += x[i] * x[j]);
            }
        }
        // L replaces the lower triangle of A, then L z = b and L' w = z.
        for i in 0..n {
            a[i][i] += if i + 1 < n { penalty } else { 1e-9 };
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
                a[i][j] = if i == j { (a[i][i] - dot).sqrt() } else { (a[i][j] - dot) / a[j][j] };
            }
            b[i] = (b[i] - (0..i).map(|k| a[i][k] * b[k]).sum::<f64>()) / a[i][i];
        }
        for i in (0..n).rev() {
            b[i] = (b[i] - (i + 1..n).map(|k| a[k][i] * b[k]).sum::<f64>()) / a[i][i];
        }
        Ridge(b)
    }

    fn predict(&self, row: &[f64]) -> f64 {
        row.iter().chain([&1.0]).zip(&self.0).map(|(x, w)| x * w).sum()
    }
}

/// Mean of each feature over the clip's steps, brought to about unit size.
fn pooled(clip: &Clip, m: usize) -> Vec<f64> {
    let s = &clip.sequences[m];
    let dim = s.values.len() / s.len;
    let mean = |f: usize| s.values.iter().skip(f).step_by(dim).map(|&x| f64::from(x)).sum::<f64>() / s.len as f64;
    (0..dim).map(|f| 2.0 * mean(f)).collect()
}

fn mae(predicted: &[f64], truth: &[f64]) -> f64 {
    predicted.iter().zip(truth).map(|(p, y)| (p - y).abs()).sum::<f64>() / truth.len() as f64
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let dot = |x: &[f64], mx: f64, y: &[f64], my: f64| x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>();
    dot(a, ma, b, mb) / (dot(a, ma, a, ma) * dot(b, mb, b, mb)).sqrt()
}

fn labels(clips: &[Clip]) -> Vec<f64> {
    clips.iter().map(|c| f64::from(c.label)).collect()
}

/// Fits on training rows and predicts test rows.
fn learn(made: &Builtin, row: impl Fn(&Clip) -> Vec<f64>, targets: &[f64]) -> (Ridge, Vec<f64>) {
    let rows: Vec<_> = made.corpus.train.iter().map(&row).collect();
    let ridge = Ridge::fit(&rows, targets, 20.0);
    let predicted = made.corpus.test.iter().map(|c| ridge.predict(&row(c))).collect();
    (ridge, predicted)
}

/// Reads the words back from their standardised vectors, as the nearest of all words that the corpus uses.
fn read_words(clip: &Clip, vocabulary: &[(String, Vec<f32>)]) -> String {
    let nearest = |v: &[f32]| {
        let far = |w: &[f32]| v.iter().zip(w).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let best = vocabulary.iter().min_by(|a, b| far(&a.1).total_cmp(&far(&b.1))).unwrap();
        best.0.clone()
    };
    clip.sequences[0].values.chunks(WORD_DIM).map(nearest).collect::<Vec<_>>().join(" ")
}

#[test]
fn no_modality_is_enough_and_together_they_are() {
    let made = generate(BuiltinConfig { train: 600, valid: 0, test: 300, seed: 21, ..Default::default() }).unwrap();
    let (train, test) = (labels(&made.corpus.train), labels(&made.corpus.test));
    let bounds = [made.best_possible.text, made.best_possible.audio, made.best_possible.video];
    let rule = made.best_possible.all;

    let mut best_alone = f64::INFINITY;
    for (m, bound) in bounds.iter().enumerate() {
        let (_, predicted) = learn(&made, |c| pooled(c, m), &train);
        let (error, r) = (mae(&predicted, &test), pearson(&predicted, &test));
        let name = &made.corpus.modalities[m].name;
        println!("{name}: MAE {error:.3} r {r:.3}; best possible {:.3} and {:.3}", bound.mae, bound.r);
        assert!(error > 3.0 * rule.mae, "{name} alone is nearly enough: MAE {error:.3}");
        assert!(r > 0.15, "{name} tells nothing: r {r:.3}");
        assert!(r < bound.r + 0.1, "{name} alone beats what is possible: r {r:.3} over {:.3}", bound.r);
        best_alone = best_alone.min(error);
    }

    let all = |c: &Clip| (0..3).flat_map(|m| pooled(c, m)).collect::<Vec<_>>();
    let (_, together) = learn(&made, all, &train);
    let sum = mae(&together, &test);
    println!("all, added up: MAE {sum:.3} r {:.3}", pearson(&together, &test));
    assert!(sum < 0.87 * best_alone, "together {sum:.3}, best alone {best_alone:.3}");

    // Causes recovered from features alone: tones and arousal by regression, what is said from the word vectors.
    let cause = |of: &dyn Fn(&Causes) -> f64, m: usize| {
        let targets: Vec<f64> = made.causes[0].iter().map(of).collect();
        learn(&made, |c| pooled(c, m), &targets).0
    };
    let (voice, face) = (cause(&|c| f64::from(c.voice), 1), cause(&|c| f64::from(c.face), 2));
    let arousal = cause(&|c| f64::from(c.arousal), 1);
    let texts: std::collections::BTreeSet<&str> =
        made.corpus.train.iter().chain(&made.corpus.test).flat_map(|c| c.text.split(' ')).collect();
    let ruler = &made.standardisers[0];
    let vector = |word: &str| {
        let mut s = limbic::data::Sequence { len: 1, values: word_vector(word).to_vec() };
        ruler.apply(&mut s).unwrap();
        (word.to_owned(), s.values)
    };
    let vocabulary: Vec<_> = texts.into_iter().map(vector).collect();
    let causes_of = |c: &Clip| {
        let words = f64::from(literal_polarity(&read_words(c, &vocabulary)));
        let [v, f, a] = [(&voice, 1), (&face, 2), (&arousal, 1)].map(|(ridge, m)| ridge.predict(&pooled(c, m)));
        [words, v, f, a]
    };

    let products = |c: &Clip| {
        let x = causes_of(c);
        let mut out = x.to_vec();
        for i in 0..4 {
            for j in i..4 {
                out.push(x[i] * x[j]);
                out.extend((j..4).map(|k| x[i] * x[j] * x[k]));
            }
        }
        out
    };
    let (_, multiplied) = learn(&made, products, &train);
    let product = mae(&multiplied, &test);
    println!("all, multiplied: MAE {product:.3} r {:.3}", pearson(&multiplied, &test));
    assert!(product < 0.75 * sum, "products {product:.3}, sums {sum:.3}");

    let ruled = |c: &Clip| {
        let [words, v, f, a] = causes_of(c);
        let tone = |x: f64| (1.15 * x).round().clamp(-1.0, 1.0) as i8;
        let causes =
            Causes { words: words as i8, voice: tone(v), face: tone(f), arousal: a.round().clamp(0.0, 2.0) as u8 };
        causes.expected().clamp(-3.0, 3.0)
    };
    let predicted: Vec<f64> = made.corpus.test.iter().map(ruled).collect();
    let error = mae(&predicted, &test);
    println!("the rule on measured causes: MAE {error:.3}; best possible {:.3}", rule.mae);
    assert!(error < 0.42, "the label cannot be recovered from the features: MAE {error:.3}");
    assert!(error > 0.9 * rule.mae, "better than possible: MAE {error:.3}, bound {:.3}", rule.mae);
    let known: Vec<f64> = made.causes[2].iter().map(|c| c.expected().clamp(-3.0, 3.0)).collect();
    assert!((mae(&known, &test) - rule.mae).abs() < 0.04);
}
