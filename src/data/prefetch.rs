//! Work done ahead on a thread.

use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the one who takes had to wait for the one who makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Items taken.
    pub taken: u64,
    /// How many of them were not ready when they were asked for.
    pub waited: u64,
    /// Spent waiting for those.
    pub time: Duration,
}

impl std::ops::AddAssign for Waits {
    fn add_assign(&mut self, other: Waits) {
        self.taken += other.taken;
        self.waited += other.waited;
        self.time += other.time;
    }
}

/// An iterator whose items a thread makes ahead, in their order. An error is the last item; a thread that panics is one too. Dropping it
/// stops the thread.
pub struct Prefetch<T> {
    /// `None` once all is taken.
    items: Option<Receiver<Result<T>>>,
    thread: Option<JoinHandle<()>>,
    waits: Waits,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Makes `items` on a thread, at most `ahead` (at least 1) beyond the one that it is making.
    ///
    /// # Errors
    /// [`Error::Io`] where no thread can be started.
    pub fn new(ahead: usize, items: impl Iterator<Item = Result<T>> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = sync_channel(ahead.max(1));
        let make = move || {
            for item in items {
                let last = item.is_err();
                // nobody takes any more where this fails
                if sender.send(item).is_err() || last {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("prefetch".to_string()).spawn(make);
        let thread = thread.map_err(|error| Error::io("the thread that reads ahead", error))?;
        Ok(Prefetch { items: Some(receiver), thread: Some(thread), waits: Waits::default() })
    }

    /// Of all items so far.
    pub fn waits(&self) -> Waits {
        self.waits
    }

    fn receive(&mut self) -> Option<Result<T>> {
        let items = self.items.as_ref()?;
        match items.try_recv() {
            Ok(item) => Some(item),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let asked = Instant::now();
                let item = items.recv().ok()?;
                self.waits.waited += 1;
                self.waits.time += asked.elapsed();
                Some(item)
            }
        }
    }
}

impl<T: Send + 'static> Iterator for Prefetch<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let item = self.receive();
        self.waits.taken += u64::from(item.is_some());
        if matches!(item, Some(Ok(_))) {
            return item;
        }
        self.items = None;
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        match item {
            None if panicked => {
                Some(Err(Error::Config("the thread that reads ahead stopped in the middle".to_string())))
            }
            item => item,
        }
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        self.items = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
