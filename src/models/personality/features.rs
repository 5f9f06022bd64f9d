//! Training in two halves: the extractors make features of all clips once, and a head is trained on those.

use super::fusion::{Personality, TRAITS};
use super::network::{PersonalityNetwork, TraitScorer};
use crate::error::Result;
use crate::graph::{Graph, Var};
use crate::models::RegressionLoss;
use crate::nn::Context;
use crate::plan::{Batch, Mode, ParameterStore, Plan};

/// The extractors of a network, as they are used for scoring.
pub struct FeatureExtractor {
    plan: Plan,
}

impl FeatureExtractor {
    pub fn new(store: &ParameterStore, model: &PersonalityNetwork, batch: usize) -> Result<Self> {
        let plan = Plan::new(store, Mode::Forward, |graph| {
            let [faces, flow] = model.inputs(graph, batch);
            let cx = Context { graph, parameters: model.parameters(), training: false };
            let [face, motion] = model.vectors(cx, faces, flow);
            face.named("face");
            motion.named("motion");
            Ok(())
        })?;
        Ok(FeatureExtractor { plan })
    }

    /// Features of the real clips of all `batches`, in order: of the face, `[clips, static_dim]`, and of the motion, `[clips, dynamic_dim]`.
    ///
    /// # Errors
    /// Where a batch does not fit the model's inputs.
    pub fn run_all(&self, batches: impl IntoIterator<Item = Batch>) -> Result<[Vec<f32>; 2]> {
        let mut features = [Vec::new(), Vec::new()];
        for batch in batches {
            batch.write_known_to(&self.plan)?;
            self.plan.run()?;
            for (name, features) in ["face", "motion"].into_iter().zip(&mut features) {
                let width = self.plan.output_shape(name)?.from_end(0);
                features.extend(self.plan.read(name)?.into_iter().take(batch.samples * width));
            }
        }
        Ok(features)
    }
}

fn inputs<'g>(model: &Personality, graph: &'g Graph, batch: usize) -> [Var<'g>; 2] {
    let config = model.config();
    [("faces", config.static_dim), ("motion", config.dynamic_dim)]
        .map(|(name, width)| graph.input(name, [batch, width]))
}

/// The training graph of a head alone, of batches that are full. Inputs `faces [batch, static_dim]`, `motion [batch, dynamic_dim]` and
/// `target [batch, 5]`; outputs `loss` and `traits`.
pub fn head_training_graph(model: &Personality, graph: &Graph, batch: usize, loss: RegressionLoss) -> Result<()> {
    let [face, motion] = inputs(model, graph, batch);
    let target = graph.input("target", [batch, TRAITS.len()]);
    let cx = Context { graph, parameters: model.parameters(), training: true };
    let traits = model.forward(cx, face, motion).traits.named("traits");
    let _scope = graph.scope("loss");
    loss.of(traits - target).mean().as_loss();
    Ok(())
}

impl TraitScorer {
    /// Of a head alone: its batches hold features.
    pub fn of_features(store: &ParameterStore, model: &Personality, batch: usize) -> Result<Self> {
        let plan = Plan::new(store, Mode::Forward, |graph| {
            let [face, motion] = inputs(model, graph, batch);
            let cx = Context { graph, parameters: model.parameters(), training: false };
            model.forward(cx, face, motion).traits.named("traits");
            Ok(())
        })?;
        Ok(TraitScorer { plan })
    }
}
