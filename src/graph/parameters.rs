//! Parameters: names, shapes and initial values. Plain data; the GPU buffers that hold them belong to the plan.

use super::Shape;
use crate::error::{Error, Result};

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same value.
    Constant(f32),
    /// Uniform in +-`bound`.
    Uniform { bound: f32 },
    /// Uniform in +-sqrt(6 / (fan_in + fan_out)), as Glorot and Bengio (2010) and Keras' `glorot_uniform`.
    Glorot { fan_in: usize, fan_out: usize },
    /// Normal with this standard deviation.
    Normal { std: f32 },
}

/// A part of a packed parameter: rows `start..start + rows` along the first axis, under a name of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its full path.
    pub name: String,
    /// Its first row.
    pub start: usize,
    /// How many rows it has.
    pub rows: usize,
}

/// What is known of a parameter before it has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// The path, as in `text_encoder.blocks.0.attention.query.weight`.
    pub name: String,
    /// Sizes of its axes, all parts together.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
    /// False for buffers and for frozen weights.
    pub trainable: bool,
    /// Set by the model itself rather than by an optimiser, as running statistics are.
    pub buffer: bool,
    /// Where several weights are stored as one so that one matmul serves them (query, key and value), the names and
    /// rows of each. Empty for an ordinary parameter. Files only ever see the parts.
    pub parts: Vec<Part>,
}

/// A parameter of a [`Parameters`] set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameter {
    pub(crate) index: usize,
    pub(crate) shape: Shape,
}

impl Parameter {
    /// Sizes of its axes.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}

/// All parameters of a model, in the order in which its layers made them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    specs: Vec<ParameterSpec>,
}

impl Parameters {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The builder that layers take; names are joined with dots.
    pub fn root(&mut self) -> Path<'_> {
        Path { parameters: self, prefix: String::new() }
    }

    /// What is known of each, in order of creation.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// Number of trainable values.
    pub fn trainable_count(&self) -> usize {
        self.specs.iter().filter(|spec| spec.trainable).map(|spec| spec.shape.len()).sum()
    }

    /// Number of values, trainable or not.
    pub fn count(&self) -> usize {
        self.specs.iter().map(|spec| spec.shape.len()).sum()
    }

    /// The parameter whose path is `name`.
    pub fn find(&self, name: &str) -> Option<Parameter> {
        let index = self.specs.iter().position(|spec| spec.name == name)?;
        Some(Parameter { index, shape: self.specs[index].shape })
    }

    /// Whether an optimiser may change `parameter`.
    pub fn is_trainable(&self, parameter: Parameter) -> bool {
        self.specs.get(parameter.index).is_some_and(|spec| spec.trainable)
    }

    /// Freezes (or thaws) every parameter whose path starts with one of `prefixes`; returns how many values that was. Buffers are no
    /// matter of training.
    pub fn set_trainable(&mut self, prefixes: &[&str], trainable: bool) -> usize {
        let meant = |spec: &&mut ParameterSpec| prefixes.iter().any(|prefix| spec.name.starts_with(prefix));
        let chosen = self.specs.iter_mut().filter(|spec| !spec.buffer).filter(meant);
        chosen
            .map(|spec| {
                spec.trainable = trainable;
                spec.shape.len()
            })
            .sum()
    }

    /// The names that files see, with their shapes: parts of packed parameters are listed one by one.
    pub fn named_shapes(&self) -> Vec<(String, Shape)> {
        self.specs.iter().flat_map(|spec| spec.named().into_iter().map(|(name, shape, _)| (name, shape))).collect()
    }

    /// Initial values, one vector per parameter. Each value depends only on `seed`, the parameter's name and its place
    /// in it, so adding a layer changes no other layer's start.
    pub fn initial_values(&self, seed: u64) -> Vec<Vec<f32>> {
        self.specs.iter().map(|spec| spec.initial_values(seed)).collect()
    }
}

impl ParameterSpec {
    /// `(name, shape, first value)` of each tensor that a file holds for this parameter.
    pub fn named(&self) -> Vec<(String, Shape, usize)> {
        if self.parts.is_empty() {
            return vec![(self.name.clone(), self.shape, 0)];
        }
        let row = self.shape.len() / self.shape.axis(0).max(1);
        let part = |part: &Part| (part.name.clone(), self.shape.with_axis(0, part.rows), part.start * row);
        self.parts.iter().map(part).collect()
    }

    fn initial_values(&self, seed: u64) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.shape.len());
        for (name, shape, _) in self.named() {
            let mut random = Random::new(seed, &name);
            let draw = |random: &mut Random| match self.init {
                Init::Zeros => 0.0,
                Init::Ones => 1.0,
                Init::Constant(value) => value,
                Init::Uniform { bound } => random.uniform(bound),
                Init::Glorot { fan_in, fan_out } => random.uniform((6.0 / (fan_in + fan_out) as f32).sqrt()),
                Init::Normal { std } => random.normal() * std,
            };
            values.extend((0..shape.len()).map(|_| draw(&mut random)));
        }
        values
    }
}

/// SplitMix64 keyed by seed and name.
struct Random(u64);

impl Random {
    fn new(seed: u64, name: &str) -> Self {
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Random(hash ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn uniform(&mut self, bound: f32) -> f32 {
        ((self.unit() * 2.0 - 1.0) * f64::from(bound)) as f32
    }

    /// Box-Muller.
    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.unit()).cos()) as f32
    }
}

/// A place in the tree of names; layers make their parameters through it.
pub struct Path<'a> {
    parameters: &'a mut Parameters,
    prefix: String,
}

impl Path<'_> {
    /// The place `name` below this one.
    pub fn at(&mut self, name: impl std::fmt::Display) -> Path<'_> {
        Path { prefix: self.join(&name.to_string()), parameters: self.parameters }
    }

    /// A parameter of this layer.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Parameter {
        self.push(name, shape.into(), init, Vec::new())
    }

    /// A tensor that is saved with the parameters but set by the layer itself, such as a running statistic
    /// ([`super::Graph::update`]).
    pub fn buffer(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Parameter {
        let made = self.push(name, shape.into(), init, Vec::new());
        let spec = &mut self.parameters.specs[made.index];
        (spec.trainable, spec.buffer) = (false, true);
        made
    }

    /// Several weights with equal trailing axes as one parameter, stacked along the first axis: `parts` gives the name
    /// and first size of each.
    pub fn packed(&mut self, name: &str, parts: &[(&str, usize)], row: &[usize], init: Init) -> Parameter {
        let mut start = 0;
        let parts: Vec<Part> = parts
            .iter()
            .map(|(part, rows)| {
                let part = Part { name: self.join(part), start, rows: *rows };
                start += rows;
                part
            })
            .collect();
        let axes: Vec<usize> = std::iter::once(start).chain(row.iter().copied()).collect();
        self.push(name, Shape::new(&axes), init, parts)
    }

    /// The full path of this place.
    pub fn name(&self) -> &str {
        &self.prefix
    }

    fn push(&mut self, name: &str, shape: Shape, init: Init, parts: Vec<Part>) -> Parameter {
        let index = self.parameters.specs.len();
        let name = self.join(name);
        self.parameters.specs.push(ParameterSpec { name, shape, init, trainable: true, buffer: false, parts });
        Parameter { index, shape }
    }

    fn join(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }
}

/// Checks that `values` fit `parameters`: as many vectors, each of its parameter's length.
pub fn check_values(parameters: &Parameters, values: &[Vec<f32>]) -> Result<()> {
    if values.len() != parameters.specs.len() {
        let message = format!("{} value vectors for {} parameters", values.len(), parameters.specs.len());
        return Err(Error::Config(message));
    }
    for (spec, value) in parameters.specs.iter().zip(values) {
        if spec.shape.len() != value.len() {
            let message = format!("has {} values but its shape is {}", value.len(), spec.shape);
            return Err(Error::Tensor { name: spec.name.clone(), message });
        }
    }
    Ok(())
}
