//! Which tensors share a buffer. Two may where their lives do not touch; the levels of the schedule are the clock, so that
//! neighbours in it never wait for each other because of shared memory.

/// A tensor's need: bytes, and the first and last level at which it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What it takes.
    pub bytes: u64,
    /// The level that writes it.
    pub first: usize,
    /// The last level that reads it.
    pub last: usize,
}

/// The outcome of planning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The slot of each life, in the order given.
    pub slot_of: Vec<usize>,
    /// The bytes of each slot.
    pub bytes: Vec<u64>,
    /// The most bytes alive at one level: no plan with fixed buffers can need less.
    pub lower_bound: u64,
}

/// The better of two greedy plans: the largest tensors choose first, or those that live first.
pub fn assign(lives: &[Life]) -> Slots {
    let mut by_size: Vec<usize> = (0..lives.len()).collect();
    by_size.sort_by_key(|index| (std::cmp::Reverse(lives[*index].bytes), lives[*index].first, *index));
    let mut by_time: Vec<usize> = (0..lives.len()).collect();
    by_time.sort_by_key(|index| (lives[*index].first, std::cmp::Reverse(lives[*index].bytes), *index));
    let (by_size, by_time) = (greedy(lives, &by_size), greedy(lives, &by_time));
    let total = |slots: &Slots| slots.bytes.iter().sum::<u64>();
    let mut slots = if total(&by_time) < total(&by_size) { by_time } else { by_size };
    let end = lives.iter().map(|life| life.last + 1).max().unwrap_or(0);
    let alive_at = |level: usize| {
        let alive = lives.iter().filter(|life| life.first <= level && level <= life.last);
        alive.map(|life| life.bytes).sum::<u64>()
    };
    slots.lower_bound = (0..end).map(alive_at).max().unwrap_or(0);
    slots
}

/// Each life in `order` takes, among the slots that are free while it lasts, the one that must grow least, then the one that it
/// fills best.
fn greedy(lives: &[Life], order: &[usize]) -> Slots {
    let mut slots = Slots { slot_of: vec![0; lives.len()], ..Slots::default() };
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    for index in order {
        let life = lives[*index];
        let free =
            |spans: &Vec<(usize, usize)>| spans.iter().all(|(first, last)| life.last < *first || *last < life.first);
        let fit = |slot: &usize| (life.bytes.saturating_sub(slots.bytes[*slot]), slots.bytes[*slot]);
        let slot = (0..taken.len()).filter(|slot| free(&taken[*slot])).min_by_key(fit).unwrap_or(taken.len());
        if slot == taken.len() {
            taken.push(Vec::new());
            slots.bytes.push(0);
        }
        taken[slot].push((life.first, life.last));
        slots.bytes[slot] = slots.bytes[slot].max(life.bytes);
        slots.slot_of[*index] = slot;
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_that_touch_do_not_share_and_others_do() {
        let life = |bytes, first, last| Life { bytes, first, last };
        let lives = [life(100, 0, 1), life(80, 1, 2), life(60, 2, 3), life(100, 3, 4)];
        let slots = assign(&lives);
        for (a, left) in lives.iter().enumerate() {
            for (b, right) in lives.iter().enumerate().skip(a + 1) {
                let touch = left.first <= right.last && right.first <= left.last;
                assert!(!touch || slots.slot_of[a] != slots.slot_of[b]);
            }
        }
        // the first with the third, the second with the last: the best that whole slots can do
        assert_eq!(slots.bytes.iter().sum::<u64>(), 200);
        assert_eq!(slots.lower_bound, 180);
    }
}
