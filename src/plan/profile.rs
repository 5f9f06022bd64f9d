//! GPU time per dispatch: what a run spends its time on, by kernel, op and layer.

use super::Plan;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, KernelKey};
use std::fmt;
use std::ops::Range;

/// Timestamps that one query set may hold: WebGPU's limit is 4096.
const BATCH: usize = 2048;
/// Layers, and single dispatches, that a printed profile lists.
const LISTED: usize = 12;
/// Names of a layer's path by which a printed profile gathers.
const DEPTH: usize = 2;

/// The part of a step that a dispatch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pass {
    /// Forward, the loss among it.
    Forward,
    /// What a checkpoint scope computes again.
    Recomputed,
    /// Gradients.
    Backward,
    /// The optimiser, and running statistics.
    Update,
}

impl Pass {
    /// All of them, in the order in which a step comes to them.
    pub const ALL: [Pass; 4] = [Pass::Forward, Pass::Recomputed, Pass::Backward, Pass::Update];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Recomputed => "recomputed",
            Pass::Backward => "backward",
            Pass::Update => "update",
        }
    }
}

/// A dispatch with the GPU time that it took.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfiledDispatch {
    pub pass: Pass,
    /// The op; in an update the kernel.
    pub op: &'static str,
    /// The path of the layer, of several where siblings run as one launch; empty outside of all layers.
    pub layer: String,
    pub kernel: KernelKey,
    pub workgroups: [u32; 3],
    /// Floating-point operations of the op's products, as in [`crate::graph::LayerCount::flops`]: an op may take several dispatches.
    pub op_flops: u64,
    /// Bytes of all that the kernel has bound.
    pub bytes: u64,
    /// GPU time in microseconds.
    pub micros: f64,
}

impl ProfiledDispatch {
    /// Op and layer.
    pub fn name(&self) -> String {
        if self.layer.is_empty() { self.op.to_string() } else { format!("{} @ {}", self.op, self.layer) }
    }
}

/// Dispatches that have a name in common.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRow {
    pub name: String,
    pub calls: usize,
    pub micros: f64,
}

/// GPU time of every dispatch of a run, in order. As text, a table; [`Profile::trace`] draws it over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The adapter that it was measured on.
    pub adapter: String,
    pub dispatches: Vec<ProfiledDispatch>,
}

impl Profile {
    /// Microseconds of all dispatches.
    pub fn micros(&self) -> f64 {
        self.dispatches.iter().map(|dispatch| dispatch.micros).sum()
    }

    /// The dispatches gathered by what `name` says of them, the slowest first.
    pub fn rows(&self, name: impl Fn(&ProfiledDispatch) -> String) -> Vec<ProfileRow> {
        let mut rows: Vec<ProfileRow> = Vec::new();
        for dispatch in &self.dispatches {
            let (name, micros) = (name(dispatch), dispatch.micros);
            match rows.iter_mut().find(|row| row.name == name) {
                Some(row) => (row.calls, row.micros) = (row.calls + 1, row.micros + micros),
                None => rows.push(ProfileRow { name, calls: 1, micros }),
            }
        }
        rows.sort_by(|a, b| b.micros.total_cmp(&a.micros));
        rows
    }

    /// Every dispatch by itself, the slowest first.
    pub fn slowest(&self) -> Vec<&ProfiledDispatch> {
        let mut slowest: Vec<&ProfiledDispatch> = self.dispatches.iter().collect();
        slowest.sort_by(|a, b| b.micros.total_cmp(&a.micros));
        slowest
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.micros().max(f64::MIN_POSITIVE);
        let rows = |f: &mut fmt::Formatter<'_>, title: &str, rows: &[ProfileRow]| {
            writeln!(f, "{:>12} {:>7} {:>6}  {title}", "µs", "share", "calls")?;
            rows.iter().try_for_each(|ProfileRow { name, calls, micros }| {
                writeln!(f, "{micros:12.1} {:5.1} % {calls:6}  {name}", 100.0 * micros / total)
            })
        };
        let mut passes = self.rows(|dispatch| dispatch.pass.name().to_string());
        passes.sort_by_key(|row| Pass::ALL.iter().position(|pass| pass.name() == row.name));
        rows(f, "pass", &passes)?;
        rows(f, "op [kernel]", &self.rows(|dispatch| format!("{} [{}]", dispatch.op, dispatch.kernel.shader)))?;
        let path = |layer: &str| layer.split('.').take(DEPTH).collect::<Vec<_>>().join(".");
        let layers = self.rows(|dispatch| format!("{} {}", dispatch.pass.name(), path(&dispatch.layer)));
        rows(f, "layer", &layers[..layers.len().min(LISTED)])?;
        let slowest = self.slowest().into_iter().take(LISTED).map(|dispatch| ProfileRow {
            name: format!("{} [{}]", dispatch.name(), dispatch.kernel.shader),
            calls: 1,
            micros: dispatch.micros,
        });
        rows(f, "slowest dispatches", &slowest.collect::<Vec<_>>())
    }
}

impl Plan {
    /// GPU time of every dispatch over what the inputs now hold: its median over `runs` runs, after one that does not count.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the adapter has no timestamps between dispatches.
    pub fn profile(&self, runs: usize) -> Result<Profile> {
        let mut dispatches = self.program.profile(&self.submissions, runs)?;
        for (index, dispatch) in dispatches.iter_mut().enumerate() {
            // siblings are of one op and one pass
            let (_, numbers) = self.program.describe(index);
            let nodes = numbers.iter().map(|number| &self.recording.nodes[*number]);
            if let Some(node) = nodes.clone().next() {
                dispatch.pass = match (node.recomputes(), node.backward) {
                    (true, _) => Pass::Recomputed,
                    (false, true) => Pass::Backward,
                    (false, false) => Pass::Forward,
                };
                dispatch.op = node.op.name();
            }
            dispatch.layer = nodes.map(|node| node.layer.as_str()).collect::<Vec<_>>().join(", ");
            dispatch.op_flops = numbers.iter().map(|number| self.recording.flops(*number)).sum();
        }
        Ok(Profile { adapter: self.gpu.info().name.clone(), dispatches })
    }
}

/// The median of each of `count` times over `runs` calls of `measure`, after one that does not count.
pub(super) fn medians(runs: usize, measure: impl Fn() -> Result<Vec<f64>>) -> Result<Vec<f64>> {
    let warm = measure()?;
    let runs = (0..runs.max(1)).map(|_| measure()).collect::<Result<Vec<_>>>()?;
    let median = |index: usize| {
        let mut times: Vec<f64> = runs.iter().map(|run| run[index]).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok((0..warm.len()).map(median).collect())
}

/// The pieces of a submission that a query set is large enough for.
fn queried(submission: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = submission.end;
    submission.clone().step_by(BATCH - 1).map(move |first| first..end.min(first + BATCH - 1))
}

/// Microseconds of GPU time of each dispatch of `submissions`. `record` records a range of them, and writes timestamp 0 before the first, n
/// after the n-th.
pub(super) fn times(
    gpu: &Gpu,
    submissions: &[Range<usize>],
    record: impl Fn(&mut wgpu::CommandEncoder, Range<usize>, &wgpu::QuerySet),
) -> Result<Vec<f64>> {
    if !gpu.capabilities().timestamps {
        let why = "it has no timestamp queries between dispatches, so there is no profile".to_string();
        return Err(Error::Unsupported { adapter: gpu.info().name.clone(), why });
    }
    let period = f64::from(gpu.queue().get_timestamp_period());
    let mut times = Vec::new();
    for range in submissions.iter().flat_map(queried) {
        let number = range.len();
        let size = (number as u64 + 1) * 8;
        let buffer = gpu.guarded("profiling", || {
            let queries = gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count: number as u32 + 1,
            });
            let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("profile"),
                size,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            record(&mut encoder, range, &queries);
            encoder.resolve_query_set(&queries, 0..number as u32 + 1, &buffer, 0);
            gpu.queue().submit([encoder.finish()]);
            buffer
        })?;
        let (bytes, _) = gpu.read(&buffer, 0, size)?.wait()?;
        let ticks = bytemuck::pod_collect_to_vec::<u8, u64>(&bytes);
        times.extend(ticks.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period / 1000.0));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::{BATCH, queried};

    #[test]
    fn a_piece_and_its_first_timestamp_fit_a_query_set() {
        assert_eq!(queried(&(1..BATCH + 1)).collect::<Vec<_>>(), [1..BATCH, BATCH..BATCH + 1]);
        assert_eq!(queried(&(3..3)).count(), 0);
    }
}
