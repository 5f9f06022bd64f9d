//! What is measured of a model: its architecture, the time of a forward pass, the scores of clips.

use crate::architecture::{Architecture, Build, Purpose};
use crate::candidates::Candidate;
use crate::msa::{ModelConfig, batch_shape, wanted};
use crate::report::{Row, Scores, Timing};
use limbic::Result;
use limbic::data::{Batches, Clip, Corpus};
use limbic::gpu::Gpu;
use limbic::graph::Graph;
use limbic::models::msa::{BatchShape, RegressionLoss, Scorer, scoring_graph, training_graph};
use limbic::plan::ParameterStore;
use std::time::Instant;

/// Runs before the first that counts: the driver compiles and the clocks rise.
const WARM_UP: usize = 3;

/// A model that is ready to score.
struct Subject<'a> {
    candidate: &'a Candidate,
    scorer: Scorer,
}

/// The figures of all `candidates`: `clips` scored, `runs` forward passes of `batch` clips timed, one model after the other in turn.
pub fn measure(
    gpu: &Gpu,
    candidates: &[Candidate],
    corpus: &Corpus,
    clips: &[Clip],
    [batch, depth, runs]: [usize; 3],
) -> Result<Vec<Row>> {
    let subject = |candidate| Subject::new(gpu, candidate, batch);
    let subjects = candidates.iter().map(subject).collect::<Result<Vec<_>>>()?;
    let scores = subjects.iter().map(|subject| subject.score(corpus, clips)).collect::<Result<Vec<_>>>()?;
    let times = time(gpu, &subjects, runs)?;
    let row = |((subject, scores_of), times): ((&Subject<'_>, &Vec<f32>), Vec<f64>)| {
        Ok(Row {
            model: subject.candidate.name.clone(),
            architecture: subject.architecture(gpu, batch, depth)?,
            forward: Timing::of(times, batch),
            scores: Scores::of(scores_of, scores.first().unwrap_or(scores_of)),
            values: scores_of.clone(),
        })
    };
    subjects.iter().zip(&scores).zip(times).map(row).collect()
}

impl<'a> Subject<'a> {
    fn new(gpu: &Gpu, candidate: &'a Candidate, batch: usize) -> Result<Self> {
        let model = candidate.model.as_ref();
        let store = ParameterStore::new(gpu, model.parameters(), &candidate.weights)?;
        let scorer = Scorer::new(&store, model, &batch_shape(model, batch))?;
        Ok(Subject { candidate, scorer })
    }

    fn architecture(&self, gpu: &Gpu, batch: usize, depth: usize) -> Result<Architecture> {
        let parameters = self.candidate.model.parameters();
        Architecture::of(gpu, parameters, &build(&self.candidate.config)?, batch, depth)
    }

    fn score(&self, corpus: &Corpus, clips: &[Clip]) -> Result<Vec<f32>> {
        let model = self.candidate.model.as_ref();
        let batches = Batches::new(corpus, clips, &wanted(model), self.scorer.shape().batch)?;
        Ok(self.scorer.run_all(batches.in_order())?.iter().map(|clip| clip.score).collect())
    }
}

fn build(config: &ModelConfig) -> Result<Build> {
    let model = config.build()?;
    Ok(Box::new(move |graph: &Graph, batch: usize, purpose: Purpose| {
        let shape = BatchShape::full(batch, model.modalities());
        match purpose {
            Purpose::Inference => scoring_graph(model.as_ref(), graph, &shape),
            Purpose::Training => training_graph(model.as_ref(), graph, &shape, RegressionLoss::Mse),
        }
    }))
}

/// Seconds of each subject's forward passes, from submission to the last result. In turn, so that what else the machine does falls
/// on all of them.
fn time(gpu: &Gpu, subjects: &[Subject<'_>], runs: usize) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::with_capacity(runs); subjects.len()];
    for run in 0..WARM_UP + runs {
        for (subject, times) in subjects.iter().zip(&mut times) {
            let begun = Instant::now();
            subject.scorer.plan().run()?;
            gpu.wait()?;
            if run >= WARM_UP {
                times.push(begun.elapsed().as_secs_f64());
            }
        }
    }
    Ok(times)
}
