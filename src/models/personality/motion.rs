//! Optical flow of clips, computed once: a training then reads it again and again.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::graph::Parameters;
use crate::ops::optical_flow::FlowOptions;
use crate::plan::{Mode, ParameterStore, Plan};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Clips of one shape to the flow between their frames.
pub struct FlowExtractor {
    plan: Plan,
    batch: usize,
    frames: usize,
    size: usize,
}

impl FlowExtractor {
    /// For `batch` clips at a time, of `frames` frames of `size` x `size`.
    pub fn new(gpu: &Gpu, batch: usize, frames: usize, size: usize, options: FlowOptions) -> Result<Self> {
        let store = ParameterStore::new(gpu, &Parameters::new(), &[])?;
        let plan = Plan::new(&store, Mode::Forward, |graph| {
            graph.input("frames", [batch, 1, frames, size, size]).clip_flow(&options).named("flow");
            Ok(())
        })?;
        Ok(FlowExtractor { plan, batch, frames, size })
    }

    /// The flow of each clip, `[2, frames - 1, size, size]`, in pixels to the right and down, from its gray levels `[frames, size, size]`.
    ///
    /// # Errors
    /// Where a clip has another number of levels, or the GPU fails.
    pub fn run(&self, clips: &[&[u8]]) -> Result<Vec<Vec<f16>>> {
        let levels = self.frames * self.size * self.size;
        if let Some(odd) = clips.iter().find(|clip| clip.len() != levels) {
            let (found, frames, size) = (odd.len(), self.frames, self.size);
            return Err(Error::Config(format!("{found} levels are not {frames} frames of {size} x {size}")));
        }
        let mut flows = Vec::with_capacity(clips.len());
        let mut values = vec![0.0; self.batch * levels];
        for clips in clips.chunks(self.batch) {
            for (row, clip) in values.chunks_exact_mut(levels).zip(clips) {
                row.iter_mut().zip(*clip).for_each(|(value, level)| *value = f32::from(*level) / 255.0);
            }
            self.plan.write("frames", &values)?;
            self.plan.run()?;
            let flow = self.plan.read("flow")?;
            let each = flow.chunks_exact(flow.len() / self.batch).take(clips.len());
            flows.extend(each.map(|values| {
                let mut flow = vec![f16::ZERO; values.len()];
                flow.convert_from_f32_slice(values);
                flow
            }));
        }
        Ok(flows)
    }
}
