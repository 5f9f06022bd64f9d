//! Batch normalisation (Ioffe and Szegedy 2015) of `[batch, channels, ..]`, by the batch's own statistics or by running ones.

use super::choices::Knob;
use super::elementwise::groups;
use super::team::Team;
use super::{Backward, Op};
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// What differs between PyTorch and Keras.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormOptions {
    /// Added to the variance.
    pub epsilon: f32,
    /// The weight of a batch's statistics in the running ones. PyTorch calls this momentum, Keras one minus it.
    pub momentum: f32,
    /// Whether the running variance takes in the batch's unbiased variance (PyTorch) or its biased one (Keras).
    pub unbiased: bool,
}

impl BatchNormOptions {
    /// PyTorch's defaults.
    pub fn pytorch() -> Self {
        BatchNormOptions { epsilon: 1e-5, momentum: 0.1, unbiased: true }
    }

    /// Keras' defaults.
    pub fn keras() -> Self {
        BatchNormOptions { epsilon: 1e-3, momentum: 0.01, unbiased: false }
    }
}

/// Inputs x, running mean, running variance, then weight and bias where there; outputs y and, in training, the batch's mean and
/// 1 / standard deviation, and the running mean and variance as they are after this batch. All but x and y are `[channels]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BatchNorm {
    pub options: BatchNormOptions,
    /// Whether by the batch's own statistics.
    pub training: bool,
    pub weight: bool,
    pub bias: bool,
}

/// x as `[batch, channels, places]`, and parts of 4 places or of 1.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    batch: usize,
    channels: usize,
    places: usize,
    part: usize,
}

impl Sizes {
    fn of(x: Shape) -> Self {
        let places = x.axes()[2..].iter().product::<usize>();
        let part = if places.is_multiple_of(4) { 4 } else { 1 };
        Sizes { batch: x.axis(0), channels: x.axis(1), places, part }
    }

    fn parts(&self) -> usize {
        self.places / self.part
    }

    /// Elements of a channel.
    fn count(&self) -> usize {
        self.batch * self.places
    }

    fn vector(&self) -> (&'static str, u32) {
        ("VECTOR", u32::from(self.part == 4))
    }

    /// A launch over all elements, plane by plane.
    fn by_plane(&self, shader: &'static str, defines: &[(&'static str, u32)], capabilities: &Capabilities) -> Dispatch {
        let planes = self.batch * self.channels;
        let rounds = Knob::ElementRounds.value(capabilities, planes * self.parts());
        // neighbours begin at a multiple of 8 where that is no waste
        let chunks = self.parts().div_ceil(rounds);
        let chunks = if rounds == 1 { chunks } else { chunks.next_multiple_of(8).min(self.parts()) };
        Dispatch::new(shader, &[&[self.vector()], defines].concat(), groups(planes * chunks))
            .set("planes", planes)
            .set("channels", self.channels)
            .set("parts", self.parts())
            .set("chunks", chunks)
    }
}

/// How the statistics of a channel are found: shares of `samples` samples by `length` parts each have a team, and another launch makes one
/// of several shares.
struct Shares {
    sizes: Sizes,
    options: BatchNormOptions,
    team: Team,
    samples: usize,
    length: usize,
}

impl Shares {
    /// As many as keep the device busy, none of them tiny.
    fn choose(sizes: Sizes, options: BatchNormOptions, capabilities: &Capabilities) -> Self {
        // loads of a lane
        const FEWEST: usize = 16;
        // shares that an invocation goes through in the end
        const MOST: usize = 64;
        let team = Team::of_blocks(capabilities);
        let wanted = Knob::ReduceWorkgroups.value(capabilities, sizes.channels) / sizes.channels;
        let shares = wanted.min(sizes.batch * sizes.parts() / (team.lanes * FEWEST)).clamp(1, MOST);
        let samples = sizes.batch.div_ceil(shares);
        let pieces = shares / sizes.batch.div_ceil(samples);
        Shares { sizes, options, team, samples, length: sizes.parts().div_ceil(pieces) }
    }

    /// Shares of all channels.
    fn count(&self) -> usize {
        let [batch, parts] = [self.sizes.batch.div_ceil(self.samples), self.sizes.parts().div_ceil(self.length)];
        self.sizes.channels * batch * parts
    }

    /// Whether a channel has several.
    fn several(&self) -> bool {
        self.count() > self.sizes.channels
    }

    /// The launch that goes through all elements.
    fn dispatch(&self, shader: &'static str, defines: &[(&'static str, u32)]) -> Dispatch {
        let across = self.sizes.parts().next_power_of_two().min(self.team.lanes) as u32;
        let shares = [self.sizes.vector(), ("ACROSS", across), ("SHARES", u32::from(self.several()))];
        let defines = [&shares[..], &self.team.constants(), defines].concat();
        self.sized(Dispatch::new(shader, &defines, self.count() as u32))
    }

    /// A launch with an invocation per channel, which makes one of its shares.
    fn merge(&self, shader: &'static str, defines: &[(&'static str, u32)]) -> Dispatch {
        Dispatch::new(shader, defines, groups(self.sizes.channels))
    }

    /// Sets the `Dims` of `batch_norm_share.wgsl`.
    fn sized(&self, dispatch: Dispatch) -> Dispatch {
        let BatchNormOptions { epsilon, momentum, unbiased } = self.options;
        let count = self.sizes.count() as f32;
        dispatch
            .set("batch", self.sizes.batch)
            .set("channels", self.sizes.channels)
            .set("parts", self.sizes.parts())
            .set("samples", self.samples)
            .set("length", self.length)
            .set("shares", self.count())
            .set_float("count", count)
            .set_float("epsilon", epsilon)
            .set_float("momentum", momentum)
            .set_float("correction", if unbiased { count / (count - 1.0) } else { 1.0 })
    }

    /// Emits `all`, which goes through all elements, and `merge` where that leaves several shares; `results` binds what the last one writes.
    fn emit(&self, cx: &mut Lower<'_>, all: Dispatch, merge: Dispatch, results: impl Fn(Dispatch) -> Dispatch) {
        if !self.several() {
            cx.emit(results(all));
            return;
        }
        let partial = cx.workspace(2 * self.count());
        cx.emit(all.bind("partial", partial.clone()));
        cx.emit(results(merge.bind("partial", partial)));
    }
}

impl BatchNorm {
    /// What its inputs after x are.
    pub fn parameters(&self) -> Vec<&'static str> {
        let there = [true, true, self.weight, self.bias];
        let names = ["mean", "variance", "scale", "shift"].into_iter().zip(there);
        names.filter_map(|(name, there)| there.then_some(name)).collect()
    }

    fn weight_index(&self) -> usize {
        3
    }

    fn bias_index(&self) -> usize {
        self.weight_index() + usize::from(self.weight)
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output_count(&self) -> usize {
        if self.training { 5 } else { 1 }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.first().ok_or("wants a tensor")?;
        if let Some(odd) = inputs.iter().find(|tensor| tensor.dtype != DType::F32) {
            return Err(format!("wants float tensors, got {:?}", odd.dtype));
        }
        if x.shape.rank() < 2 || x.shape.is_empty() {
            return Err(format!("wants [batch, channels, ..] with elements, got {}", x.shape));
        }
        let channels = Shape::new(&[x.shape.axis(1)]);
        if let Some(odd) = inputs[1..].iter().find(|tensor| tensor.shape != channels) {
            let shape = odd.shape;
            return Err(format!("x is {}, so statistics, weight and bias must be {channels}, got {shape}", x.shape));
        }
        if self.training && Sizes::of(x.shape).count() < 2 {
            return Err(format!("one value per channel in {} has no variance: train with larger batches", x.shape));
        }
        let mut outputs = vec![(x.shape, DType::F32)];
        if self.training {
            outputs.extend([(channels, DType::F32); 4]);
        }
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let Some(dy) = cx.grad(0) else { return gradients };
        let [mean, spread] = if self.training { [1, 2].map(|i| cx.output(i)) } else { [1, 2].map(|i| cx.input(i)) };
        let mut inputs = vec![dy, cx.input(0), mean, spread];
        inputs.extend(self.weight.then(|| cx.input(self.weight_index())));
        let needs = |there: bool, index: usize| there && cx.needs(index);
        let parameters = [needs(self.weight, self.weight_index()), needs(self.bias, self.bias_index())];
        let op = BatchNormBackward { forward: *self, dx: cx.needs(0), parameters: parameters.contains(&true) };
        let made = cx.graph().apply(op, &inputs);
        gradients[0] = op.dx.then_some(made[0]);
        if parameters[0] {
            gradients[self.weight_index()] = Some(made[1]);
        }
        if parameters[1] {
            gradients[self.bias_index()] = Some(made[2]);
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let sizes = Sizes::of(cx.input_shape(0));
        let options = self.options;
        if self.training {
            let shares = Shares::choose(sizes, options, cx.capabilities());
            let all = shares.dispatch("batch_norm_statistics", &[]).bind("x", cx.input(0));
            let merge = shares.sized(shares.merge("batch_norm_statistics_merge", &[sizes.vector()]));
            let [old_mean, old_variance] = [1, 2].map(|i| cx.input(i));
            let [mean, spread, next_mean, next_variance] = [1, 2, 3, 4].map(|i| cx.output(i));
            shares.emit(cx, all, merge, |dispatch| {
                dispatch
                    .bind("running_mean", old_mean.clone())
                    .bind("running_variance", old_variance.clone())
                    .bind("mean", mean.clone())
                    .bind("spread", spread.clone())
                    .bind("next_mean", next_mean.clone())
                    .bind("next_variance", next_variance.clone())
            });
        }
        let defines = [
            ("RUNNING", u32::from(!self.training)),
            ("WEIGHT", u32::from(self.weight)),
            ("BIAS", u32::from(self.bias)),
        ];
        let [mean, spread] = if self.training { [1, 2].map(|i| cx.output(i)) } else { [1, 2].map(|i| cx.input(i)) };
        let mut dispatch = sizes
            .by_plane("batch_norm", &defines, cx.capabilities())
            .bind("x", cx.input(0))
            .bind("y", cx.output(0))
            .bind("mean", mean)
            .bind("spread", spread);
        if self.weight {
            dispatch = dispatch.bind("weight", cx.input(self.weight_index()));
        }
        if self.bias {
            dispatch = dispatch.bind("bias", cx.input(self.bias_index()));
        }
        cx.emit(dispatch.set_float("epsilon", options.epsilon));
        Ok(())
    }
}

/// Inputs dy, x, mean, 1 / standard deviation (or, of running statistics, the variance), then weight if there; outputs dx, dweight, dbias.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BatchNormBackward {
    forward: BatchNorm,
    /// Whether dx is wanted.
    dx: bool,
    /// Whether dweight or dbias is.
    parameters: bool,
}

impl Op for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn output_count(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.get(1).ok_or("wants dy and x")?;
        let channels = Shape::new(&[x.shape.axis(1)]);
        Ok(vec![(x.shape, DType::F32), (channels, DType::F32), (channels, DType::F32)])
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let BatchNorm { options, training, weight, .. } = self.forward;
        let sizes = Sizes::of(cx.input_shape(1));
        let running = ("RUNNING", u32::from(!training));
        if training || self.parameters {
            let shares = Shares::choose(sizes, options, cx.capabilities());
            let all = shares
                .dispatch("batch_norm_sums", &[running])
                .bind("x", cx.input(1))
                .bind("dy", cx.input(0))
                .bind("mean", cx.input(2))
                .bind("spread", cx.input(3));
            let merge = shares.merge("batch_norm_sums_merge", &[]);
            let merge = merge.set("channels", sizes.channels).set("shares", shares.count());
            let [dweight, dbias] = [1, 2].map(|i| cx.output(i));
            shares.emit(cx, all, merge, |dispatch| {
                dispatch.bind("dweight", dweight.clone()).bind("dbias", dbias.clone())
            });
        }
        if !self.dx {
            return Ok(());
        }
        let defines = [running, ("WEIGHT", u32::from(weight))];
        let mut dispatch = sizes
            .by_plane("batch_norm_backward", &defines, cx.capabilities())
            .bind("dy", cx.input(0))
            .bind("dx", cx.output(0))
            .bind("mean", cx.input(2))
            .bind("spread", cx.input(3));
        if weight {
            dispatch = dispatch.bind("weight", cx.input(4));
        }
        if training {
            dispatch = dispatch.bind("x", cx.input(1)).bind("dweight", cx.output(1)).bind("dbias", cx.output(2));
        }
        cx.emit(dispatch.set_float("count", sizes.count() as f32).set_float("epsilon", options.epsilon));
        Ok(())
    }
}

/// Statistics of the channels, all `[channels]`.
#[derive(Debug, Clone, Copy)]
pub struct Running<'g> {
    pub mean: Var<'g>,
    pub variance: Var<'g>,
}

impl<'g> Var<'g> {
    /// Each channel of `[batch, channels, ..]` normalised by this batch's mean and biased variance, then scaled by `weight` and
    /// shifted by `bias`, both `[channels]`. Also returns what `running` is after this batch ([`crate::graph::Graph::update`]
    /// keeps it).
    pub fn batch_norm(
        self,
        weight: Option<Var<'g>>,
        bias: Option<Var<'g>>,
        running: Running<'g>,
        options: BatchNormOptions,
    ) -> (Var<'g>, Running<'g>) {
        let made = self.batch_norm_by(weight, bias, running, options, true);
        (made[0], Running { mean: made[3], variance: made[4] })
    }

    /// Each channel of `[batch, channels, ..]` normalised by `running`, then scaled and shifted: what inference does.
    pub fn batch_norm_by_running(
        self,
        weight: Option<Var<'g>>,
        bias: Option<Var<'g>>,
        running: Running<'g>,
        epsilon: f32,
    ) -> Var<'g> {
        let options = BatchNormOptions { epsilon, ..BatchNormOptions::pytorch() };
        self.batch_norm_by(weight, bias, running, options, false)[0]
    }

    fn batch_norm_by(
        self,
        weight: Option<Var<'g>>,
        bias: Option<Var<'g>>,
        running: Running<'g>,
        options: BatchNormOptions,
        training: bool,
    ) -> Vec<Var<'g>> {
        let op = BatchNorm { options, training, weight: weight.is_some(), bias: bias.is_some() };
        let inputs: Vec<Var<'g>> =
            [self, running.mean, running.variance].into_iter().chain(weight).chain(bias).collect();
        self.graph().apply(op, &inputs)
    }
}
