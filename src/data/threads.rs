//! The same work on many things, by several threads.

use crate::error::{Error, Result};
use std::num::NonZeroUsize;

/// `work` of each of `jobs`, in their order, or the first error in that order. `threads` 0 takes as many as the machine has; the outcome
/// does not depend on it.
pub(crate) fn in_threads<T: Sync, R: Send>(
    threads: usize,
    jobs: &[T],
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let all = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = if threads == 0 { all } else { threads };
    let share = jobs.len().div_ceil(threads.clamp(1, 256)).max(1);
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> =
            jobs.chunks(share).map(|part| scope.spawn(move || part.iter().map(work).collect::<Vec<_>>())).collect();
        let stopped = |_| vec![Err(Error::Config("a thread that makes clips stopped: use one thread".to_string()))];
        running.into_iter().flat_map(|thread| thread.join().unwrap_or_else(stopped)).collect()
    })
}
