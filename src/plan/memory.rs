//! Which tensors share a buffer. Two may take the same bytes where their lives do not touch, and lie side by side in one buffer where no
//! level binds one of them while it writes the other. The levels of the schedule are the clock, so neighbours in it never wait for
//! each other because of shared memory, and no dispatch binds a buffer both to read and to write.

use std::cmp::Reverse;

/// Offsets are multiples of this: the portable binding alignment.
pub(super) const ALIGN: u64 = 256;

/// A tensor's need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// What it takes.
    pub bytes: u64,
    /// The level that writes it first.
    pub first: usize,
    /// The last level at which it is alive.
    pub last: usize,
    /// The levels that bind it, ascending; the first of them is `first`.
    pub bound: Vec<usize>,
    /// Those of them that write it: one, unless it is several tensors side by side.
    pub written: Vec<usize>,
}

impl Life {
    /// Whether both are alive at some level.
    pub fn touches(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether some level writes one and binds the other.
    pub fn disturbs(&self, other: &Life) -> bool {
        let binds = |life: &Life, level: &usize| life.bound.binary_search(level).is_ok();
        self.written.iter().any(|level| binds(other, level)) || other.written.iter().any(|level| binds(self, level))
    }
}

/// The outcome of planning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    /// The slot of each life, in the order given.
    pub slot_of: Vec<usize>,
    /// Its first byte there.
    pub offset_of: Vec<u64>,
    /// The bytes of each slot.
    pub bytes: Vec<u64>,
    /// The most bytes alive at one level: no plan with fixed places can need less.
    pub lower_bound: u64,
}

impl Slots {
    /// The bytes of all slots.
    pub fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// The best of a few greedy plans: the largest tensors choose first, or those that live first, or those that take the most bytes times
/// levels. No slot is larger than `most` bytes, unless one tensor is.
pub fn assign(lives: &[Life], most: u64) -> Slots {
    let product = |life: &Life| (life.last - life.first + 1) as u64 * life.bytes;
    let plans = [
        greedy(lives, most, |life| (Reverse(life.bytes), life.first)),
        greedy(lives, most, |life| (life.first, Reverse(life.bytes))),
        greedy(lives, most, |life| (Reverse(product(life)), life.first)),
    ];
    let best = plans.into_iter().min_by_key(Slots::total).unwrap_or_default();
    Slots { lower_bound: lower_bound(lives.iter()), ..best }
}

/// The most bytes alive at one level.
pub(super) fn lower_bound<'a>(lives: impl Iterator<Item = &'a Life> + Clone) -> u64 {
    let end = lives.clone().map(|life| life.last + 1).max().unwrap_or(0);
    let mut change = vec![0i128; end + 1];
    for life in lives {
        change[life.first] += i128::from(life.bytes);
        change[life.last + 1] -= i128::from(life.bytes);
    }
    let alive = change.iter().scan(0, |alive, change| {
        *alive += change;
        Some(*alive)
    });
    alive.max().unwrap_or(0) as u64
}

/// Each life, by ascending `order`, takes the place for which the slots must grow least, then the one that it fills best.
fn greedy<K: Ord>(lives: &[Life], most: u64, order: impl Fn(&Life) -> K) -> Slots {
    let mut by_order: Vec<usize> = (0..lives.len()).collect();
    by_order.sort_by_key(|index| (order(&lives[*index]), *index));
    let mut slots = Slots { slot_of: vec![0; lives.len()], offset_of: vec![0; lives.len()], ..Slots::default() };
    let mut residents: Vec<Vec<usize>> = Vec::new();
    for index in by_order {
        let life = &lives[index];
        let place = |slot: usize| place_in(lives, life, &residents[slot], &slots, slot);
        let fits = |place: &Place| place.offset + life.bytes <= most;
        let found = (0..residents.len()).filter_map(place).filter(fits).min_by_key(|place| (place.growth, place.rest));
        // where a slot would grow by all of it, it might as well have one of its own
        let found = found.filter(|place| place.growth < life.bytes);
        let place = found.unwrap_or(Place { slot: residents.len(), offset: 0, growth: life.bytes, rest: 0 });
        if place.slot == residents.len() {
            residents.push(Vec::new());
            slots.bytes.push(0);
        }
        residents[place.slot].push(index);
        slots.bytes[place.slot] += place.growth;
        slots.slot_of[index] = place.slot;
        slots.offset_of[index] = place.offset;
    }
    slots
}

struct Place {
    slot: usize,
    offset: u64,
    /// Bytes by which the slot must grow.
    growth: u64,
    /// Bytes that stay free behind it.
    rest: u64,
}

/// The best place for `life` in a slot, if those that live there at the same time let it in.
fn place_in(lives: &[Life], life: &Life, residents: &[usize], slots: &Slots, slot: usize) -> Option<Place> {
    let mut taken: Vec<(u64, u64)> = Vec::new();
    for resident in residents {
        let other = &lives[*resident];
        if life.touches(other) {
            if life.disturbs(other) {
                return None;
            }
            taken.push((slots.offset_of[*resident], slots.offset_of[*resident] + other.bytes));
        }
    }
    taken.sort_unstable();
    // the end of the slot stands behind them all
    taken.push((u64::MAX, u64::MAX));
    let (mut free_from, mut best): (u64, Option<Place>) = (0, None);
    for (start, end) in taken {
        let until = start.min(slots.bytes[slot]);
        let last = start == u64::MAX;
        if last || free_from + life.bytes <= start {
            let needed = free_from + life.bytes;
            let place = Place {
                slot,
                offset: free_from,
                growth: needed.saturating_sub(slots.bytes[slot]),
                rest: until.saturating_sub(needed),
            };
            if best.as_ref().is_none_or(|best| (place.growth, place.rest) < (best.growth, best.rest)) {
                best = Some(place);
            }
        }
        free_from = free_from.max(end.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX));
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(bytes: u64, bound: &[usize]) -> Life {
        Life { bytes, first: bound[0], last: bound[bound.len() - 1], bound: bound.to_vec(), written: vec![bound[0]] }
    }

    #[test]
    fn lives_that_touch_take_other_bytes_and_others_the_same() {
        // each is read while the next is written: no two that touch may lie in one slot
        let lives = [life(100, &[0, 1]), life(80, &[1, 2]), life(60, &[2, 3]), life(100, &[3, 4])];
        let slots = assign(&lives, u64::MAX);
        assert_eq!(slots.slot_of, [0, 1, 0, 1]);
        // the first with the third, the second with the last: the best that whole slots can do
        assert_eq!((slots.total(), slots.lower_bound), (200, 180));
    }

    #[test]
    fn what_is_kept_for_later_lies_beside_what_is_used_now() {
        // three are kept from level 0, 1, 2 to the end, in the place of one that was three times as large
        let large = life(768, &[0, 1]);
        let kept = [life(256, &[2, 9]), life(256, &[3, 9]), life(256, &[4, 9])];
        let lives: Vec<Life> = std::iter::once(large).chain(kept).collect();
        let slots = assign(&lives, u64::MAX);
        assert_eq!((slots.total(), slots.lower_bound), (768, 768));
        assert_eq!(slots.offset_of.iter().max(), Some(&512));
        // no larger than a buffer may be
        assert!(assign(&lives[1..], 600).bytes.iter().all(|bytes| *bytes <= 600));
    }
}
