//! Attention: against f64 over odd shapes and all masks, on the kernels of every kind of adapter; gradients; the padding laws.

mod support;

use limbic::graph::{Graph, Shape, Var};
use limbic::ops::attention::{AttentionMasks, AttentionOptions, Projections, attention};
use proptest::prelude::*;
use support::{Value, assert_close, cases, check_gradients, discrete_gpu, float, gpu, noise, portable_gpu, run_on};

#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    heads: usize,
    query_len: usize,
    key_len: usize,
    head_dim: usize,
    key_mask: bool,
    query_mask: bool,
    causal: bool,
    pair: bool,
}

impl Case {
    fn inputs(&self) -> Vec<Value> {
        let width = self.heads * self.head_dim;
        let ragged = |len: usize| {
            let value = |sample: usize, step: usize| u32::from(step < len.saturating_sub(sample * 2) && sample != 1);
            let values = (0..self.batch).flat_map(|sample| (0..len).map(move |step| value(sample, step))).collect();
            Value::Integer(Shape::from([self.batch, len]), values)
        };
        let pair = (0..self.query_len * self.key_len).map(|index| u32::from(index * 7 % 5 != 0)).collect();
        vec![
            float([self.batch, self.query_len, width], 1),
            float([self.batch, self.key_len, width], 2),
            float([self.batch, self.key_len, width], 3),
            ragged(self.key_len),
            ragged(self.query_len),
            Value::Integer(Shape::from([self.query_len, self.key_len]), pair),
        ]
    }

    fn build<'g>(&self, v: &[Var<'g>], dropout: f32) -> Vec<Var<'g>> {
        let masks = AttentionMasks {
            key: self.key_mask.then_some(v[3]),
            query: self.query_mask.then_some(v[4]),
            pair: self.pair.then_some(v[5]),
            causal: self.causal,
        };
        let projections = Projections::Separate { query: v[0], key: v[1], value: v[2] };
        let attended = attention(projections, masks, AttentionOptions { heads: self.heads, scale: None, dropout });
        vec![attended.output]
    }

    /// In f64; the harness scales float inputs by 1.5.
    fn reference(&self, inputs: &[Value]) -> Vec<f64> {
        let floats = |index: usize| match &inputs[index] {
            Value::Float(_, values) => values.iter().map(|value| f64::from(value * 1.5)).collect::<Vec<f64>>(),
            _ => Vec::new(),
        };
        let bits = |index: usize| match &inputs[index] {
            Value::Integer(_, values) => values.clone(),
            _ => Vec::new(),
        };
        let (q, k, v) = (floats(0), floats(1), floats(2));
        let (key_mask, query_mask, pair) = (bits(3), bits(4), bits(5));
        let (width, dim) = (self.heads * self.head_dim, self.head_dim);
        let mut out = vec![0.0; self.batch * self.query_len * width];
        for sample in 0..self.batch {
            for head in 0..self.heads {
                for i in 0..self.query_len {
                    let sees = |j: usize| {
                        (!self.key_mask || key_mask[sample * self.key_len + j] != 0)
                            && (!self.query_mask || query_mask[sample * self.query_len + i] != 0)
                            && (!self.causal || j <= i)
                            && (!self.pair || pair[i * self.key_len + j] != 0)
                    };
                    let row = |x: &[f64], len: usize, step: usize| {
                        let start = (sample * len + step) * width + head * dim;
                        x[start..start + dim].to_vec()
                    };
                    let query = row(&q, self.query_len, i);
                    let score = |j: usize| {
                        let key = row(&k, self.key_len, j);
                        query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() / (dim as f64).sqrt()
                    };
                    let scores: Vec<(usize, f64)> =
                        (0..self.key_len).filter(|j| sees(*j)).map(|j| (j, score(j))).collect();
                    let top = scores.iter().fold(f64::MIN, |most, (_, score)| most.max(*score));
                    let total: f64 = scores.iter().map(|(_, score)| (score - top).exp()).sum();
                    for (j, score) in scores {
                        let weight = (score - top).exp() / total;
                        for (d, value) in row(&v, self.key_len, j).into_iter().enumerate() {
                            out[(sample * self.query_len + i) * width + head * dim + d] += weight * value;
                        }
                    }
                }
            }
        }
        out
    }
}

prop_compose! {
    fn case()(
        batch in 1usize..4, heads in 1usize..4,
        query_len in prop_oneof![Just(1usize), 2usize..20, Just(33), Just(67)],
        key_len in prop_oneof![Just(1usize), 2usize..20, Just(33), Just(70)],
        // few widths: each is a kernel of its own to compile
        head_dim in prop_oneof![Just(1usize), Just(6), Just(16)],
        key_mask in any::<bool>(), query_mask in any::<bool>(), causal in any::<bool>(), pair in any::<bool>(),
    ) -> Case {
        Case { batch, heads, query_len, key_len, head_dim, key_mask, query_mask, causal, pair }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn every_kernel_agrees_with_f64(case in case()) {
        let inputs = case.inputs();
        let expected = case.reference(&inputs);
        for gpu in [gpu(), portable_gpu(), discrete_gpu()] {
            let outcome = run_on(&gpu, &inputs, |_, v| case.build(v, 0.0)).unwrap();
            assert_close(&format!("{case:?}"), &outcome.outputs[0], &expected, 5e-6);
        }
    }
}

const CHECKED: Case = Case {
    batch: 3,
    heads: 2,
    query_len: 7,
    key_len: 9,
    head_dim: 6,
    key_mask: true,
    query_mask: false,
    causal: false,
    pair: false,
};

#[test]
fn gradients_with_every_mask_and_with_dropout() {
    for (name, case, dropout) in [
        ("key mask", CHECKED, 0.0),
        ("query mask", Case { query_mask: true, ..CHECKED }, 0.0),
        ("causal", Case { causal: true, ..CHECKED }, 0.0),
        ("pair", Case { pair: true, key_mask: false, ..CHECKED }, 0.0),
        ("dropout", CHECKED, 0.4),
        ("wide head", Case { head_dim: 128, heads: 1, ..CHECKED }, 0.0),
        ("widest head", Case { head_dim: 256, heads: 1, ..CHECKED }, 0.0),
        ("wide head over many", Case { batch: 1, heads: 1, query_len: 35, key_len: 33, head_dim: 128, ..CHECKED }, 0.0),
    ] {
        check_gradients(name, &case.inputs(), |_, v| case.build(v, dropout));
    }
}

/// Packed projections are the separate ones side by side: the same results and gradients.
/// With one key nothing depends on the query or the key, to the last bit: an optimiser that divides by the gradient's size would make
/// steps of rounding.
#[test]
fn a_single_key_gives_query_and_key_no_gradient() {
    for key_mask in [false, true] {
        let case = Case {
            batch: 3,
            heads: 2,
            query_len: 4,
            key_len: 1,
            head_dim: 12,
            key_mask,
            query_mask: false,
            causal: false,
            pair: false,
        };
        for gpu in [gpu(), portable_gpu(), discrete_gpu()] {
            let outcome = run_on(&gpu, &case.inputs(), |_, v| case.build(v, 0.0)).unwrap();
            for index in [0, 1] {
                assert!(outcome.gradients[index].as_ref().unwrap().iter().all(|gradient| *gradient == 0.0));
            }
            assert!(outcome.gradients[2].as_ref().unwrap().iter().any(|gradient| *gradient != 0.0));
            assert_close("one key", &outcome.outputs[0], &case.reference(&case.inputs()), 1e-6);
        }
    }
}

#[test]
fn packed_projections_give_what_separate_ones_give() {
    let (batch, seq, heads, width) = (2, 9, 2, 8);
    let packed = noise(batch * seq * 3 * width, 5);
    let part = |index: usize| {
        let rows = packed.chunks(3 * width).flat_map(|row| row[index * width..(index + 1) * width].to_vec());
        Value::Float(Shape::from([batch, seq, width]), rows.collect())
    };
    let options = AttentionOptions { heads, scale: None, dropout: 0.0 };
    for gpu in [gpu(), portable_gpu()] {
        let together = [Value::Float(Shape::from([batch, seq, 3 * width]), packed.clone())];
        let one = run_on(&gpu, &together, |_, v| {
            vec![attention(Projections::Packed(v[0]), AttentionMasks::default(), options).output]
        })
        .unwrap();
        let three = run_on(&gpu, &[part(0), part(1), part(2)], |_, v| {
            let projections = Projections::Separate { query: v[0], key: v[1], value: v[2] };
            vec![attention(projections, AttentionMasks::default(), options).output]
        })
        .unwrap();
        assert_eq!(one.outputs, three.outputs);
        let gradient = one.gradients[0].clone().unwrap();
        for index in 0..3 {
            let rows = gradient.chunks(3 * width).flat_map(|row| row[index * width..(index + 1) * width].to_vec());
            assert_eq!(rows.collect::<Vec<f32>>(), three.gradients[index].clone().unwrap());
        }
    }
}

/// NaN and infinity in masked keys and values change no output and no gradient, bit for bit; masked keys get none.
#[test]
fn what_padding_holds_changes_nothing() {
    let case = Case { query_mask: true, ..CHECKED };
    let clean = case.inputs();
    let width = case.heads * case.head_dim;
    let mut poisoned = clean.clone();
    let Value::Integer(_, mask) = clean[3].clone() else { panic!("a mask") };
    for index in [1, 2] {
        let Value::Float(_, values) = &mut poisoned[index] else { panic!("floats") };
        for (step, row) in values.chunks_mut(width).enumerate().filter(|(step, _)| mask[*step] == 0) {
            row.fill(if step % 2 == 0 { f32::NAN } else { f32::INFINITY });
        }
    }
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
    for gpu in [gpu(), portable_gpu(), discrete_gpu()] {
        let before = run_on(&gpu, &clean, |_, v| case.build(v, 0.0)).unwrap();
        let after = run_on(&gpu, &poisoned, |_, v| case.build(v, 0.0)).unwrap();
        assert_eq!(bits(&before.outputs[0]), bits(&after.outputs[0]));
        assert_eq!(bits(before.gradients[0].as_ref().unwrap()), bits(after.gradients[0].as_ref().unwrap()));
        for index in [1, 2] {
            let gradient = after.gradients[index].as_ref().unwrap();
            assert_eq!(bits(before.gradients[index].as_ref().unwrap()), bits(gradient));
            let masked = gradient.chunks(width).enumerate().filter(|(step, _)| mask[*step] == 0);
            assert!(masked.flat_map(|(_, row)| row).all(|value| *value == 0.0));
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors_that_name_the_op() {
    let build = |query: [usize; 3], key: [usize; 3], heads: usize, mask: [usize; 2]| {
        let graph = Graph::new();
        let (query, key) = (graph.input("q", query), graph.input("k", key));
        let masks = AttentionMasks { key: Some(graph.mask_input("m", mask)), ..AttentionMasks::default() };
        let projections = Projections::Separate { query, key, value: key };
        attention(projections, masks, AttentionOptions { heads, scale: None, dropout: 0.0 });
        graph.finish().unwrap_err().to_string()
    };
    for message in [
        build([2, 3, 8], [2, 5, 8], 3, [2, 5]),
        build([2, 3, 8], [1, 5, 8], 2, [1, 5]),
        build([2, 3, 8], [2, 5, 4], 2, [2, 5]),
        build([2, 3, 8], [2, 5, 8], 2, [2, 3]),
        build([2, 3, 8], [2, 5, 8], 0, [2, 5]),
    ] {
        assert!(message.contains("attention"), "{message}");
    }
}
