//! Timing: warm-up, replays per submission, a wait for a quiet machine, medians with their spread.

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
    /// The first run, in which kernels are compiled (and by some libraries tuned); one replay.
    pub first: f64,
    /// Share of the machine's processors that other programs took meanwhile, where the system says.
    pub others: Option<f64>,
    /// Processor seconds that a replay took in all threads of this program: on a software adapter that is the device's own
    /// time, and hardly depends on what else the machine does.
    pub cpu: Option<f64>,
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Three runs, and no waiting for a quiet machine.
    pub quick: bool,
    /// Seconds to wait for a quiet machine, at most.
    pub patience: f64,
    /// Replays per submission; by default 1 on a software adapter, elsewhere as many as take [`SUBMISSION`].
    pub replays: Option<u32>,
    /// Seconds after which the runs of a row are enough, if they are at least 10; half of them warm it up.
    pub enough: f64,
    /// Seconds that the runs of a row may take in all before there are fewer than 10, but at least 3.
    pub longest: f64,
}

/// Something that does a row so many times and returns when the device is done.
pub type Timed<'a> = &'a mut dyn FnMut(u32) -> Result<()>;

/// How to measure.
pub struct Stopwatch {
    software: bool,
    pace: Pace,
}

impl Stopwatch {
    pub fn new(gpu: &Gpu, pace: Pace) -> Self {
        Stopwatch { software: gpu.capabilities().software, pace }
    }

    /// Times `work`.
    pub fn time(&self, mut work: impl FnMut(u32) -> Result<()>) -> Result<Timing> {
        let mut timings = self.time_in_turn(&mut [&mut work])?;
        Ok(timings.pop().unwrap_or_default())
    }

    /// Times all `works`, after their warm-up one run of each in turn: what else the machine does falls on all alike.
    pub fn time_in_turn(&self, works: &mut [Timed<'_>]) -> Result<Vec<Timing>> {
        let mut replays = Vec::new();
        let mut round = 0.0;
        for work in works.iter_mut() {
            let mut once = |replays: u32| seconds(|| work(replays));
            let first = once(1)?;
            let fit = self.replays(&mut once)?;
            round += self.warm_up(fit, &mut once)?;
            replays.push((fit, first));
        }
        let runs = self.runs(round / works.len() as f64, round);
        if !self.pace.quick {
            system::wait_until_quiet(self.pace.patience);
        }
        let load = system::Load::begin();
        let mut all = vec![(Vec::with_capacity(runs), Some(0.0)); works.len()];
        for _ in 0..runs {
            for ((work, (replays, _)), (taken, cpu)) in works.iter_mut().zip(&replays).zip(&mut all) {
                let own = system::Load::begin();
                taken.push(seconds(|| work(*replays))? / f64::from(*replays));
                *cpu = cpu.zip(own.own()).map(|(sum, own)| sum + own);
            }
        }
        let others = load.others();
        let timing = |((taken, cpu), (replays, first)): ((Vec<f64>, Option<f64>), (u32, f64))| {
            let cpu = cpu.map(|own| own / (runs as f64 * f64::from(replays)));
            Timing { others, cpu, first, ..of(taken, replays) }
        };
        Ok(all.into_iter().zip(replays).map(timing).collect())
    }

    /// How many runs, of which one takes `run` and one of each `round` seconds.
    fn runs(&self, run: f64, round: f64) -> usize {
        if self.pace.quick {
            return 3;
        }
        let least = ((self.pace.longest / round) as usize).clamp(3, 10);
        ((self.pace.enough / run) as usize).clamp(least, 200)
    }

    fn replays(&self, once: &mut impl FnMut(u32) -> Result<f64>) -> Result<u32> {
        if let Some(replays) = self.pace.replays {
            return Ok(replays.max(1));
        }
        let mut replays = 1;
        if !self.software {
            while replays < MOST_REPLAYS && once(replays)? < SUBMISSION {
                replays *= 2;
            }
        }
        Ok(replays)
    }

    /// Runs until times settle: for half of what is enough, and three times unless a single run is that long. Returns the last time.
    fn warm_up(&self, replays: u32, once: &mut impl FnMut(u32) -> Result<f64>) -> Result<f64> {
        let begun = Instant::now();
        let (least, most) = if self.pace.quick { (1, 1) } else { (3, 20) };
        let mut last = once(replays)?;
        for run in 1..most {
            if begun.elapsed() > Duration::from_secs_f64(self.pace.enough / 2.0) && (run >= least || last > 1.0) {
                break;
            }
            last = once(replays)?;
        }
        Ok(last)
    }
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
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
