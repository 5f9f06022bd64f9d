//! Timing: warm-up, replays per submission, a wait for a quiet machine, medians with their spread.

use crate::options::Options;
use crate::system;
use limbic::Result;
use limbic::gpu::Gpu;
use std::time::{Duration, Instant};

/// What a submission should last at least on a GPU, so that its launch does not count.
const SUBMISSION: f64 = 0.020;
/// Replays in one submission, at most.
const MOST_REPLAYS: u32 = 1024;

/// Seconds per replay over all runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub runs: usize,
    pub replays: u32,
    /// Share of the machine's processors that other programs took meanwhile, where the system says.
    pub others: Option<f64>,
    /// Processor seconds that a replay took in all threads of this program: on a software adapter that is the device's own
    /// time, and hardly depends on what else the machine does.
    pub cpu: Option<f64>,
}

/// How to measure.
pub struct Stopwatch<'a> {
    gpu: &'a Gpu,
    options: &'a Options,
}

impl<'a> Stopwatch<'a> {
    pub fn new(gpu: &'a Gpu, options: &'a Options) -> Self {
        Stopwatch { gpu, options }
    }

    /// Times `work`, which is given a number of replays and returns when the device is done with them.
    pub fn time(&self, mut work: impl FnMut(u32) -> Result<()>) -> Result<Timing> {
        let mut once = |replays: u32| -> Result<f64> {
            let begun = Instant::now();
            work(replays)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        once(1)?;
        let replays = self.replays(&mut once)?;
        let estimate = self.warm_up(replays, &mut once)?;
        let runs = if self.options.quick { 3 } else { ((2.0 / estimate) as usize).clamp(10, 200) };
        if !self.options.quick {
            system::wait_until_quiet(self.options.patience);
        }
        let load = system::Load::begin();
        let mut seconds = Vec::with_capacity(runs);
        for _ in 0..runs {
            seconds.push(once(replays)? / f64::from(replays));
        }
        let cpu = load.own().map(|own| own / (runs as f64 * f64::from(replays)));
        Ok(Timing { others: load.others(), cpu, ..of(seconds, replays) })
    }

    fn replays(&self, once: &mut impl FnMut(u32) -> Result<f64>) -> Result<u32> {
        if let Some(replays) = self.options.replays {
            return Ok(replays.max(1));
        }
        let mut replays = 1;
        if !self.gpu.capabilities().software {
            while replays < MOST_REPLAYS && once(replays)? < SUBMISSION {
                replays *= 2;
            }
        }
        Ok(replays)
    }

    /// Runs until times settle: for a second, and three times unless a single run is that long. Returns the last time.
    fn warm_up(&self, replays: u32, once: &mut impl FnMut(u32) -> Result<f64>) -> Result<f64> {
        let begun = Instant::now();
        let (least, most) = if self.options.quick { (1, 1) } else { (3, 20) };
        let mut last = once(replays)?;
        for run in 1..most {
            if begun.elapsed() > Duration::from_secs(1) && (run >= least || last > 1.0) {
                break;
            }
            last = once(replays)?;
        }
        Ok(last)
    }
}

/// The timing of `seconds`, one value per run.
pub fn of(mut seconds: Vec<f64>, replays: u32) -> Timing {
    seconds.sort_by(f64::total_cmp);
    Timing {
        median: seconds.get(seconds.len() / 2).copied().unwrap_or_default(),
        min: seconds.first().copied().unwrap_or_default(),
        max: seconds.last().copied().unwrap_or_default(),
        runs: seconds.len(),
        replays,
        ..Timing::default()
    }
}
