//! What a plan asks of the GPU besides its arithmetic: launches, waits between them, bytes.

use std::collections::HashMap;

/// Counts of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Kernel launches.
    pub dispatches: usize,
    /// Launches that wait for earlier ones. wgpu tracks whole buffers: one that was written is waited for by whoever binds it next, and
    /// one that was read by whoever writes it next.
    pub barriers: usize,
    /// Bytes of the tensors that launches read, each as often as it is bound.
    pub bytes_read: u64,
    /// Bytes of those that they may write.
    pub bytes_written: u64,
}

/// A buffer as a launch binds it.
pub(super) struct Bound<B = wgpu::Buffer> {
    pub buffer: B,
    /// Of the tensors in it that the launch uses.
    pub bytes: u64,
    pub written: bool,
}

/// Counts launches in order.
pub(super) struct Count<B = wgpu::Buffer> {
    pub traffic: Traffic,
    /// Whether the last launch that bound a buffer wrote it.
    last: HashMap<B, bool>,
}

impl<B> Default for Count<B> {
    fn default() -> Self {
        Count { traffic: Traffic::default(), last: HashMap::new() }
    }
}

impl<B: Eq + std::hash::Hash> Count<B> {
    /// Counts a launch that binds `all`.
    pub fn dispatch(&mut self, all: Vec<Bound<B>>) {
        let waits = |bound: &Bound<B>| self.last.get(&bound.buffer).is_some_and(|written| *written || bound.written);
        self.traffic.dispatches += 1;
        self.traffic.barriers += usize::from(all.iter().any(waits));
        for Bound { buffer, bytes, written } in all {
            let sum = if written { &mut self.traffic.bytes_written } else { &mut self.traffic.bytes_read };
            *sum += bytes;
            self.last.insert(buffer, written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_after_a_writer_waits_and_readers_do_not_wait_for_readers() {
        let mut count = Count::default();
        let mut launch = |read: &[char], written: char| {
            let before = count.traffic.barriers;
            let bound = |buffer: char, written| Bound { buffer, bytes: 16, written };
            count.dispatch(read.iter().map(|buffer| bound(*buffer, false)).chain([bound(written, true)]).collect());
            count.traffic.barriers - before
        };
        let waited = [launch(&['x'], 'a'), launch(&['x'], 'b'), launch(&['a', 'b'], 'c'), launch(&['a'], 'd')];
        assert_eq!(waited, [0, 0, 1, 0]);
        assert_eq!([launch(&['x'], 'd'), launch(&['c'], 'x')], [1, 1], "written twice; written after it was read");
        let Traffic { dispatches, barriers, bytes_read, bytes_written } = count.traffic;
        assert_eq!((dispatches, barriers, bytes_read, bytes_written), (6, 3, 112, 96));
    }
}
