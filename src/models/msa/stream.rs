//! Scoring a live stream chunk by chunk.

use super::task::{name_outputs, read_scores};
use super::{ClipScore, ModalityConfig, Msa, Stream};
use crate::error::{Error, Result};
use crate::graph::{Graph, Shape, Var};
use crate::nn::{Arrival, Context};
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// Tensors that one modality of a stream keeps from chunk to chunk: inputs of the plan, and the outputs that become them.
pub(super) struct Carried<'g> {
    graph: &'g Graph,
    modality: String,
    names: Vec<String>,
}

impl<'g> Carried<'g> {
    /// What the last chunk kept under `name`, zeros before the first.
    pub(super) fn take(&mut self, name: &str, shape: Shape) -> Var<'g> {
        let name = format!("{}/{name}", self.modality);
        self.names.push(name.clone());
        self.graph.input(&name, shape)
    }

    pub(super) fn keep(&self, name: &str, var: Var<'g>) {
        var.named(&next(&format!("{}/{name}", self.modality)));
    }
}

/// The output that becomes the input `name`.
fn next(name: &str) -> String {
    format!("{name}/next")
}

/// Scores one live stream with a causal model. Steps of the modalities come in chunks, as many of each as there are; keys and values, or
/// recurrent states, of earlier steps stay on the GPU, and only new steps are encoded. The modalities meet over what has come so far, so
/// that the score after a chunk is the score of the clip that ends with it.
pub struct StreamScorer {
    plan: Plan,
    modalities: Vec<ModalityConfig>,
    /// Most steps of a chunk, by modality.
    chunk: Vec<usize>,
    /// Steps so far, by modality.
    lens: Vec<usize>,
    carried: Vec<String>,
}

impl StreamScorer {
    /// For chunks of at most `chunk` steps, one number per modality.
    ///
    /// # Errors
    /// [`Error::Config`] where the model is not causal or `chunk` does not fit it; as [`Plan::new`].
    pub fn new(store: &ParameterStore, model: &Msa, chunk: &[usize]) -> Result<Self> {
        let modalities = model.config().modalities.clone();
        if !model.config().causal {
            return Err(Error::Config("only a causal model scores a stream: set causal, and train it so".to_string()));
        }
        if chunk.len() != modalities.len() || chunk.contains(&0) {
            let (count, given) = (modalities.len(), chunk.len());
            let message =
                format!("a stream of {count} modalities wants as many chunk lengths of 1 or more, got {given}");
            return Err(Error::Config(message));
        }
        let mut carried = Vec::new();
        let plan = Plan::new(store, Mode::Forward, |graph| {
            carried = build(graph, model, chunk);
            Ok(())
        })?;
        let stream = StreamScorer { plan, lens: vec![0; chunk.len()], chunk: chunk.to_vec(), modalities, carried };
        stream.clear()?;
        Ok(stream)
    }

    /// Steps so far, by modality.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// The plan of a chunk.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes the next steps of each modality, `[steps, dim]` row by row (none is fine), and scores what has come so far. Waits for the GPU.
    ///
    /// # Errors
    /// [`Error::Config`] where values are no whole steps, or more than a chunk or the model's longest sequence holds; then nothing was
    /// taken. Where the score is not finite.
    pub fn push(&mut self, steps: &[&[f32]]) -> Result<ClipScore> {
        let (batch, lens) = self.arrive(steps)?;
        batch.write_to(&self.plan)?;
        self.plan.gpu().check("scoring a chunk")?;
        let mut encoder = self.plan.begin();
        for name in &self.carried {
            let (from, shape) = self.plan.output_location(&next(name))?;
            let to = self.plan.input_location(name)?;
            encoder.copy_buffer_to_buffer(&from.buffer, from.offset, &to.buffer, to.offset, 4 * shape.len() as u64);
        }
        self.plan.gpu().queue().submit([encoder.finish()]);
        self.lens = lens;
        match read_scores(&self.plan, 1)?.pop() {
            Some(score) if score.score.is_finite() => Ok(score),
            _ => Err(Error::Config("the score is not finite: check the features and the weights".to_string())),
        }
    }

    /// Forgets what has come: the next chunk begins a new stream.
    pub fn reset(&mut self) -> Result<()> {
        self.clear()?;
        self.lens.fill(0);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        for name in &self.carried {
            let len = self.plan.output_shape(&next(name))?.len();
            self.plan.write(name, &vec![0.0; len])?;
        }
        Ok(())
    }

    /// The inputs for `steps`, and how many steps there are then.
    fn arrive(&self, steps: &[&[f32]]) -> Result<(Batch, Vec<usize>)> {
        let wrong = |message: String| Err(Error::Config(message));
        if steps.len() != self.modalities.len() {
            return wrong(format!("a chunk has {} modalities, got {}", self.modalities.len(), steps.len()));
        }
        let (mut batch, mut lens) = (Batch::new(1), Vec::with_capacity(steps.len()));
        for (((modality, values), chunk), before) in self.modalities.iter().zip(steps).zip(&self.chunk).zip(&self.lens)
        {
            let ModalityConfig { name, dim, seq_len } = modality;
            let count = values.len() / dim;
            if !values.len().is_multiple_of(*dim) {
                return wrong(format!("{} values of {name} are no whole steps of {dim} features", values.len()));
            }
            if count > *chunk {
                return wrong(format!(
                    "{count} steps of {name} are more than the {chunk} of a chunk: push them in parts"
                ));
            }
            if before + count > *seq_len {
                return wrong(format!(
                    "the model knows {seq_len} steps of {name}, and {before} have come: reset the stream, or train with a larger seq_len"
                ));
            }
            let mut padded = values.to_vec();
            padded.resize(chunk * dim, 0.0);
            batch = Arrival::write(batch.float(name, padded), name, [*chunk, *seq_len], *before, count);
            lens.push(before + count);
        }
        Ok((batch, lens))
    }
}

/// Writes the graph of a chunk and returns what it carries.
fn build(graph: &Graph, model: &Msa, chunk: &[usize]) -> Vec<String> {
    let cx = Context { graph, parameters: model.parameters(), training: false };
    let mut carried = Vec::new();
    let mut encoded = Vec::with_capacity(chunk.len());
    for ((modality, encoder), chunk) in model.config().modalities.iter().zip(&model.encoders).zip(chunk) {
        let ModalityConfig { name, dim, seq_len } = modality;
        let x = graph.input(name, [1, *chunk, *dim]);
        let arrival = Arrival::inputs(graph, name, *chunk, *seq_len);
        let mut keeps = Carried { graph, modality: name.clone(), names: Vec::new() };
        let rows = encoder.forward_stream(cx, x, &arrival, &mut keeps);
        let past = keeps.take("encoded", [*seq_len, rows.shape().from_end(0)].into());
        let all = arrival.put(rows, past);
        keeps.keep("encoded", all);
        carried.extend(keeps.names);
        encoded.push(Stream { x: all.unsqueeze(0), mask: arrival.seen });
    }
    name_outputs(&model.join(cx, encoded, Vec::new()).scored());
    carried
}
