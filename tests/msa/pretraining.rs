//! Contrastive pre-training: its loss and every gradient against f64, the masking law, what is handed over, and that encoders learn to find
//! a clip's other modalities.

use crate::model::{Sample, config, finite, store_of, three};
use crate::support::noise;
use limbic::Error;
use limbic::graph::{LOSS_SCALE, Precision};
use limbic::models::msa::{
    BatchShape, ContrastConfig, ContrastiveEncoders, Embedder, Encoder, ModalityConfig, Msa, MsaConfig,
    pretraining_graph,
};
use limbic::plan::{Batch, Mode, ParameterStore, Plan};

/// Real steps of text, audio and video: the third clip has no audio, the fifth no text, the last nothing at all, as rows that pad a batch.
const LENS: [&[usize]; 6] = [&[4, 9, 2], &[6, 1, 7], &[3, 0, 5], &[2, 12, 4], &[0, 5, 3], &[0, 0, 0]];
const SEQ_LENS: [usize; 3] = [6, 12, 7];
const CONTRAST: ContrastConfig = ContrastConfig { projection_dim: 8, temperature: 0.3 };

fn encoders(config: &MsaConfig) -> ContrastiveEncoders {
    ContrastiveEncoders::new(config, CONTRAST).expect("encoders")
}

fn shape() -> BatchShape {
    BatchShape { batch: LENS.len(), seq_lens: SEQ_LENS.to_vec() }
}

fn batch(config: &MsaConfig, sample: &Sample) -> Batch {
    let one = |batch: Batch, (index, modality): (usize, &ModalityConfig)| {
        let batch = batch.float(&modality.name, sample.features[index].clone());
        batch.integer(&format!("{}_mask", modality.name), sample.masks[index].clone())
    };
    config.modalities.iter().enumerate().fold(Batch::new(sample.batch), one)
}

/// A pre-training step and what it is a step of.
struct Trial<'a> {
    model: &'a ContrastiveEncoders,
    store: ParameterStore,
    plan: Plan,
}

impl<'a> Trial<'a> {
    fn new(model: &'a ContrastiveEncoders, precision: Precision) -> Self {
        let store = store_of(model.parameters());
        let plan = Plan::new(&store, Mode::Gradients, |graph| {
            graph.set_precision(precision);
            pretraining_graph(model, graph, &shape())
        });
        let plan = plan.expect("a plan");
        if plan.has_input(LOSS_SCALE) {
            plan.write(LOSS_SCALE, &[256.0]).expect("the loss scale");
        }
        Trial { model, store, plan }
    }

    fn loss(&self, sample: &Sample) -> f32 {
        batch(self.model.config(), sample).write_to(&self.plan).expect("the inputs");
        self.plan.run().expect("a run");
        self.plan.read("loss").expect("the loss")[0]
    }

    /// The loss and the gradient of each parameter; in mixed precision the gradients are a power of two too large.
    fn step(&self, sample: &Sample) -> (f32, Vec<Vec<f32>>) {
        let loss = self.loss(sample);
        (loss, self.store.download_gradients().expect("gradients"))
    }
}

/// The loss in f64, of encoders without blocks: projection, positions, mean of the valid steps, projection; then InfoNCE both ways.
struct Reference<'a> {
    model: &'a ContrastiveEncoders,
    sample: &'a Sample,
}

impl Reference<'_> {
    fn loss(&self, values: &[Vec<f64>]) -> f64 {
        let count = self.sample.masks.len();
        let embedded: Vec<Vec<Option<Vec<f64>>>> = (0..count).map(|modality| self.embed(values, modality)).collect();
        let mut losses = Vec::new();
        for (first, second) in (0..count).flat_map(|second| (0..second).map(move |first| (first, second))) {
            let both = embedded[first].iter().zip(&embedded[second]);
            let pairs: Vec<(&Vec<f64>, &Vec<f64>)> =
                both.filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?))).collect();
            let entropy = |own: usize, of: &dyn Fn(usize) -> f64| {
                (0..pairs.len()).map(|other| of(other).exp()).sum::<f64>().ln() - of(own)
            };
            let similarity = |i: usize, j: usize| dot(pairs[i].0, pairs[j].1) / f64::from(CONTRAST.temperature);
            let both_ways = (0..pairs.len())
                .map(|own| entropy(own, &|j| similarity(own, j)) + entropy(own, &|i| similarity(i, own)));
            losses.push(0.5 * both_ways.sum::<f64>() / pairs.len() as f64);
        }
        losses.iter().sum::<f64>() / losses.len() as f64
    }

    /// Each clip's vector of length 1, where it has the modality.
    fn embed(&self, values: &[Vec<f64>], modality: usize) -> Vec<Option<Vec<f64>>> {
        let config = &self.model.config().modalities[modality];
        let of = |name: String| {
            let specs = self.model.parameters().specs();
            &values[specs.iter().position(|spec| spec.name == name).unwrap_or_else(|| panic!("no {name}"))]
        };
        let encoder = format!("{}_encoder", config.name);
        let (weight, bias) = (of(format!("{encoder}.projection.weight")), of(format!("{encoder}.projection.bias")));
        let positions = of(format!("{encoder}.position.embeddings"));
        let (last, last_bias) =
            (of(format!("contrast.{}.weight", config.name)), of(format!("contrast.{}.bias", config.name)));
        let (seq_len, dim, width) = (self.sample.seq_lens[modality], config.dim, bias.len());
        let clip = |clip: usize| {
            let len = LENS[clip][modality];
            let mut mean = vec![0.0; width];
            for step in 0..len {
                let row = &self.sample.features[modality][(clip * seq_len + step) * dim..][..dim];
                let row: Vec<f64> = row.iter().map(|value| f64::from(*value)).collect();
                for (unit, mean) in mean.iter_mut().enumerate() {
                    let x = dot(&weight[unit * dim..][..dim], &row) + bias[unit] + positions[step * width + unit];
                    *mean += x / len as f64;
                }
            }
            let projected: Vec<f64> = last_bias
                .iter()
                .enumerate()
                .map(|(unit, bias)| dot(&last[unit * width..][..width], &mean) + bias)
                .collect();
            let length = dot(&projected, &projected).sqrt();
            (len > 0).then(|| projected.iter().map(|value| value / length).collect())
        };
        (0..LENS.len()).map(clip).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn the_loss_and_every_gradient_are_those_of_a_float64_reference() {
    let mut config = MsaConfig { n_layers_mod: 0, ..three() };
    config.modalities.iter_mut().zip(SEQ_LENS).for_each(|(modality, seq_len)| modality.seq_len = seq_len);
    let model = encoders(&config);
    let trial = Trial::new(&model, Precision::F32);
    let sample = Sample::new(&config, &SEQ_LENS, &LENS, f32::NAN);
    let (loss, gradients) = trial.step(&sample);

    let reference = Reference { model: &model, sample: &sample };
    let values = trial.store.download().unwrap();
    let mut values: Vec<Vec<f64>> =
        values.iter().map(|values| values.iter().map(|value| f64::from(*value)).collect()).collect();
    let expected = reference.loss(&values);
    assert!((f64::from(loss) - expected).abs() < 1e-5 * expected, "{loss}, expected {expected}");
    let largest = gradients.iter().flatten().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(largest > 0.01, "{largest}");
    const STEP: f64 = 1e-5;
    for (index, spec) in model.parameters().specs().iter().enumerate() {
        for place in 0..spec.shape.len() {
            let at = values[index][place];
            let mut moved = |by: f64| {
                values[index][place] = at + by;
                reference.loss(&values)
            };
            let measured = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            values[index][place] = at;
            let found = f64::from(gradients[index][place]);
            let error = (found - measured).abs();
            assert!(error < 1e-5 * f64::from(largest), "{} at {place}: {found}, expected {measured}", spec.name);
        }
    }
}

/// Transformers, recurrence and convolution, one of them causal.
fn configs() -> Vec<MsaConfig> {
    let of = |encoder| MsaConfig { encoder, causal: encoder == Encoder::Gru, ..three() };
    [Encoder::Transformer, Encoder::Gru, Encoder::Tcn, Encoder::Multiscale].map(of).to_vec()
}

/// Along a random direction of the weights of each part.
#[test]
fn gradients_of_every_kind_of_encoder_are_those_that_differences_measure() {
    const STEP: f32 = 1e-3;
    for config in configs() {
        let model = encoders(&config);
        let trial = Trial::new(&model, Precision::F32);
        let sample = Sample::new(&config, &SEQ_LENS, &LENS, f32::NAN);
        let (weights, (_, gradients)) = (trial.store.download().unwrap(), trial.step(&sample));
        let specs = model.parameters().specs();
        for part in ["text_encoder.", "audio_encoder.", "video_encoder.", "contrast."] {
            let along: Vec<Vec<f32>> = specs
                .iter()
                .enumerate()
                .map(|(index, spec)| match spec.name.starts_with(part) && spec.trainable {
                    true => noise(spec.shape.len(), 40 + index as u64),
                    false => vec![0.0; spec.shape.len()],
                })
                .collect();
            let moved = |by: f32| {
                let one = |(values, along): (&Vec<f32>, &Vec<f32>)| {
                    values.iter().zip(along).map(|(value, d)| value + by * d).collect()
                };
                trial.store.upload(&weights.iter().zip(&along).map(one).collect::<Vec<_>>()).unwrap();
                f64::from(trial.loss(&sample))
            };
            let measured = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            let pairs = gradients.iter().flatten().zip(along.iter().flatten());
            let terms: Vec<f64> = pairs.map(|(g, d)| f64::from(*g) * f64::from(*d)).collect();
            let (expected, scale) = (terms.iter().sum::<f64>(), dot(&terms, &terms).sqrt());
            assert!(scale > 0.0, "{part} of {:?}: no gradient", config.encoder);
            let tolerance = 2e-2 * scale.max(expected.abs()) + 1e-3;
            let what = format!("{part} of {:?}", config.encoder);
            assert!((measured - expected).abs() <= tolerance, "{what}: {expected} expected, {measured} measured");
        }
    }
}

fn bits(outcome: &(f32, Vec<Vec<f32>>)) -> Vec<u32> {
    std::iter::once(&outcome.0).chain(outcome.1.iter().flatten()).map(|value| value.to_bits()).collect()
}

#[test]
fn what_padding_holds_changes_no_loss_no_gradient_and_no_embedding_bit_for_bit() {
    for config in configs() {
        let model = encoders(&config);
        // what is kept as halves hardly depends on the encoder
        let precisions: &[_] = match config.encoder {
            Encoder::Transformer => &[Precision::F32, Precision::Mixed],
            _ => &[Precision::F32],
        };
        for precision in precisions.iter().copied() {
            let sample = |pad| Sample::new(&config, &SEQ_LENS, &LENS, pad);
            let trial = Trial::new(&model, precision);
            let embedder = Embedder::new(&trial.store, &model, &shape(), precision).unwrap();
            let embed = |pad| embedder.run(&batch(&config, &sample(pad))).unwrap();
            let (base, embedded) = (trial.step(&sample(0.0)), embed(0.0));
            assert!(base.0 > 0.0 && base.1.iter().all(|gradient| finite(gradient)));
            assert!(base.1.iter().flatten().any(|value| *value != 0.0));
            for pad in [f32::NAN, f32::INFINITY, 3e38] {
                let padded = trial.step(&sample(pad));
                assert!(bits(&padded) == bits(&base), "{:?}, {precision:?}, padding of {pad}", config.encoder);
                assert_eq!(embed(pad), embedded);
            }
        }
    }
}

#[test]
fn embeddings_are_of_length_one_and_zeros_where_a_clip_lacks_the_modality() {
    let model = encoders(&three());
    let trial = Trial::new(&model, Precision::F32);
    let embedder = Embedder::new(&trial.store, &model, &shape(), Precision::F32).unwrap();
    let sample = Sample::new(&three(), &SEQ_LENS, &LENS, f32::NAN);
    let embedded = embedder.run(&batch(&three(), &sample)).unwrap();
    assert_eq!(embedded.clips.len(), LENS.len());
    for (clip, lens) in embedded.clips.iter().zip(LENS) {
        for (vector, len) in clip.iter().zip(lens) {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            let expected = if *len == 0 { 0.0 } else { 1.0 };
            assert!(vector.len() == 8 && (length - expected).abs() < 1e-6, "{length} for {len} steps");
        }
    }
    let loss = trial.loss(&sample);
    assert!((embedded.loss - loss).abs() < 1e-6 * loss, "without dropout the losses are one");
}

/// The encoders start as the model's do, and give it back theirs alone.
#[test]
fn only_encoders_are_handed_over() {
    for config in configs() {
        let (model, msa) = (encoders(&config), Msa::new(&config).unwrap());
        let start = msa.parameters().initial_values(3);
        let mut values = start.clone();
        model.hand_over(&model.parameters().initial_values(3), msa.parameters(), &mut values).unwrap();
        assert_eq!(values, start, "both start alike");
        let learnt = store_of(model.parameters()).download().unwrap();
        model.hand_over(&learnt, msa.parameters(), &mut values).unwrap();
        for ((spec, before), after) in msa.parameters().specs().iter().zip(&start).zip(&values) {
            assert_eq!(spec.name.contains("_encoder."), before != after, "{}", spec.name);
        }
        let encoders = model.parameters().specs().iter().filter(|spec| spec.name.contains("_encoder.")).count();
        assert_eq!(start.iter().zip(&values).filter(|(before, after)| before != after).count(), encoders);
    }
}

#[test]
fn what_cannot_be_contrasted_is_an_error_that_says_so() {
    let refused = |config: &MsaConfig, contrast| match ContrastiveEncoders::new(config, contrast) {
        Err(Error::Config(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(refused(&config(&[("text", 5)]), CONTRAST).contains("two or more"));
    for temperature in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30] {
        assert!(refused(&three(), ContrastConfig { temperature, ..CONTRAST }).contains("temperature"));
    }
    assert!(refused(&three(), ContrastConfig { projection_dim: 0, ..CONTRAST }).contains("projection_dim"));
    assert!(refused(&three(), ContrastConfig { projection_dim: 1 << 40, ..CONTRAST }).contains("projections"));
    assert!(refused(&MsaConfig { model_dim: 0, ..three() }, CONTRAST).contains("model_dim"));

    let (model, other) = (encoders(&three()), Msa::new(&MsaConfig { ff_dim: 32, ..three() }).unwrap());
    let learnt = model.parameters().initial_values(1);
    let mut values = other.parameters().initial_values(1);
    let error = model.hand_over(&learnt, other.parameters(), &mut values).unwrap_err();
    assert!(matches!(&error, Error::Tensor { name, .. } if name.contains("blocks.0")), "{error}");
    assert!(model.hand_over(&learnt[1..], other.parameters(), &mut values).is_err());
}

/// Made-up clips whose words, voice and face have causes in common.
#[cfg(feature = "data")]
mod learning {
    use crate::support::gpu;
    use limbic::data::Batches;
    use limbic::data::builtin::{BuiltinConfig, generate};
    use limbic::graph::Precision;
    use limbic::models::msa::*;
    use limbic::plan::ParameterStore;
    use limbic::train::metrics::RetrievalMetrics;
    use limbic::train::{OptimizerConfig, StepSettings, Trainer};

    #[test]
    fn encoders_learn_to_find_the_other_modalities_of_clips_that_they_never_saw() {
        const BATCH: usize = 32;
        let made = generate(BuiltinConfig { train: 96, valid: 0, test: 64, ..BuiltinConfig::default() }).unwrap();
        let corpus = &made.corpus;
        let modality = |of: &limbic::data::Modality| ModalityConfig { name: of.name.clone(), dim: of.dim, seq_len: 20 };
        let modalities: Vec<_> = corpus.modalities.iter().map(modality).collect();
        let wanted: Vec<_> = modalities.iter().map(|modality| (modality.name.clone(), modality.seq_len)).collect();
        let config = MsaConfig { model_dim: 32, ff_dim: 64, ..MsaConfig::preset(Preset::Small, modalities) };
        let model = ContrastiveEncoders::new(&config, ContrastConfig::default()).unwrap();
        let shape = BatchShape::full(BATCH, &config.modalities);
        let store = ParameterStore::new(&gpu(), model.parameters(), &model.parameters().initial_values(7)).unwrap();
        let embedder = Embedder::new(&store, &model, &shape, Precision::F32).unwrap();
        let held_out = Batches::new(corpus, &corpus.test, &wanted, BATCH).unwrap();
        let measure = || {
            let embed = |batch| embedder.run(&batch).unwrap().clips;
            let clips: Vec<_> = held_out.in_order().flat_map(embed).collect();
            RetrievalMetrics::between_modalities(&clips).unwrap()
        };
        let before = measure();
        let batches = Batches::new(corpus, &corpus.train, &wanted, BATCH).unwrap();
        let build = |graph: &limbic::graph::Graph| pretraining_graph(&model, graph, &shape);
        let mut trainer = Trainer::new(&store, OptimizerConfig::adamw(0.01), 7, build).unwrap();
        for epoch in 0..14 {
            for batch in batches.shuffled(7, epoch) {
                let batch = batch.without(&["target", "sample_weight"]);
                trainer.step(batch, StepSettings { learning_rate: 5e-3, beta1: None }).unwrap();
            }
        }
        trainer.finish().unwrap();
        let after = measure();
        println!("before {before:?}\nafter {after:?}");
        // of 64 clips, 32.5; the deviation of such a mean is about 1.5
        let chance = (after.count + 1) as f64 / 2.0;
        assert!(before.mean_rank > 0.9 * chance, "{before:?}");
        assert!(after.mean_rank < 0.85 * chance, "{after:?}");
        assert!(after.recall_at_5 > 1.5 * 5.0 / after.count as f64, "{after:?}");
    }
}
