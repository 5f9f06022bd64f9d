//! Siblings as one launch: dispatches of one kernel over tensors of the same shapes that are independent of each other, such as the
//! encoders' of text, audio and video, become the members of one (`gpu/members.rs`). What they bind to an array is then either the same
//! for all, or lies in one buffer: what memory is planned for is bundled, what is in the store lies there already.

use super::lives::{Bundles, Lives};
use super::lower::{Dispatch, Operand, Scalar};
use super::program::Location;
use super::storage::{Memory, Whose};
use crate::error::Result;
use crate::gpu::{KernelKey, MOST_MEMBERS, Members, may_have_members};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A bundle is kept from its first member's beginning to its last one's end: how many times the bytes and levels that its members need
/// apart from each other it may take.
const MOST_IDLE: f64 = 1.25;
/// Bytes of which it does not matter.
const SMALL: u64 = 64 << 10;

/// A variable of a kernel and what a dispatch binds to it.
struct Use {
    whose: Option<Whose>,
    /// The kernel may write it.
    written: bool,
    /// Members of a launch may have one each.
    own: bool,
}

/// Dispatches that run as one launch.
type Group = Vec<usize>;

struct Grouping<'a> {
    dispatches: &'a [Dispatch],
    uses: Vec<Vec<Use>>,
    lives: &'a Lives,
    /// The dispatches that bind each owner.
    users: Vec<Vec<usize>>,
    bundles: Bundles,
    most: u64,
}

/// Groups neighbours in `dispatches` for which `time` is the same, no bundle being larger than `most` bytes.
pub(super) fn group(
    dispatches: &[Dispatch],
    time: impl Fn(&Dispatch) -> (usize, usize),
    lives: &Lives,
    whose: impl Fn(&Operand) -> Option<Whose>,
    most: u64,
) -> Result<(Vec<Dispatch>, Bundles)> {
    let uses = uses(dispatches, whose)?;
    let mut users = vec![Vec::new(); lives.owners.len()];
    for (index, uses) in uses.iter().enumerate() {
        uses.iter().filter_map(Use::owner).for_each(|owner| users[owner].push(index));
    }
    let bundles = Bundles::apart(lives.owners.len());
    let mut grouping = Grouping { dispatches, uses, lives, users, bundles, most };
    let mut groups: Vec<Group> = Vec::new();
    let mut start = 0;
    for run in dispatches.chunk_by(|one, other| time(one) == time(other)) {
        let first = groups.len();
        for index in start..start + run.len() {
            let open = (first..groups.len()).find(|group| grouping.admits(&groups[*group], index));
            match open {
                Some(group) => groups[group].push(index),
                None => groups.push(vec![index]),
            }
        }
        start += run.len();
    }
    let joined = groups.iter().map(|group| grouping.joined(group)).collect();
    Ok((joined, grouping.bundles))
}

fn uses(dispatches: &[Dispatch], whose: impl Fn(&Operand) -> Option<Whose>) -> Result<Vec<Vec<Use>>> {
    let mut kernels: HashMap<&KernelKey, Vec<(String, bool, bool)>> = HashMap::new();
    let mut all = Vec::with_capacity(dispatches.len());
    for dispatch in dispatches {
        let arrays = match kernels.entry(&dispatch.kernel) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(may_have_members(&dispatch.kernel.wgsl()?)),
        };
        let uses = dispatch.bindings.iter().map(|(name, operand)| {
            let array = arrays.iter().find(|(array, ..)| array == name);
            let (written, own) = array.map_or((true, false), |(_, written, own)| (*written, *own));
            Use { whose: whose(operand), written, own }
        });
        all.push(uses.collect());
    }
    Ok(all)
}

impl Use {
    fn owner(&self) -> Option<usize> {
        match self.whose {
            Some(Whose::Owner(owner)) => Some(owner),
            _ => None,
        }
    }
}

impl Grouping<'_> {
    /// Whether dispatch `index` can be one more member of `group`; if so, what it binds is bundled with what the others do.
    fn admits(&mut self, group: &[usize], index: usize) -> bool {
        let alike = |member: &usize| alike(&self.dispatches[*member], &self.dispatches[index]);
        if group.len() >= MOST_MEMBERS || !group.iter().all(alike) {
            return false;
        }
        let Some(bundles) = self.bundled(group, index) else { return false };
        self.bundles = bundles;
        true
    }

    fn bundled(&self, group: &[usize], index: usize) -> Option<Bundles> {
        let mut bundles = self.bundles.clone();
        let mut touched = Vec::new();
        let mut apart = false;
        for (place, added) in self.uses[index].iter().enumerate() {
            let others = || group.iter().map(|member| &self.uses[*member][place]);
            if others().all(|other| other.whose == added.whose) {
                continue;
            }
            apart = true;
            match (&self.uses[group[0]][place].whose, &added.whose) {
                (Some(Whose::Owner(one)), Some(Whose::Owner(other))) if added.own => {
                    if self.lives.owners[*one].input != self.lives.owners[*other].input {
                        return None;
                    }
                    bundles.join(*one, *other);
                    touched.push(*one);
                }
                (Some(Whose::There(one)), Some(Whose::There(other))) if added.own && one.buffer == other.buffer => {
                    let there = others().chain([added]).filter_map(|part| match &part.whose {
                        Some(Whose::There(location)) => Some(location),
                        _ => None,
                    });
                    (span(there)? <= self.most).then_some(())?;
                }
                _ => return None,
            }
        }
        let fits = touched.iter().all(|owner| self.fits(&bundles, bundles.of(*owner)));
        (apart && fits).then_some(bundles)
    }

    /// Whether a bundle is small enough, not kept for long in vain, and never bound twice by a dispatch that writes it.
    fn fits(&self, bundles: &Bundles, bundle: usize) -> bool {
        let owners: Vec<usize> = bundles.owners(bundle).collect();
        let lives = || owners.iter().map(|owner| &self.lives.owners[*owner].life);
        let first = lives().map(|life| life.first).min().unwrap_or(0);
        let last = lives().map(|life| life.last).max().unwrap_or(0);
        let bytes: u64 = lives().map(|life| life.bytes.next_multiple_of(super::memory::ALIGN)).sum();
        let product = |bytes: u64, first: usize, last: usize| bytes as f64 * (last - first + 1) as f64;
        let needed: f64 = lives().map(|life| product(life.bytes, life.first, life.last)).sum();
        let input = self.lives.owners[owners[0]].input;
        let kept_in_vain = !input && bytes > SMALL && product(bytes, first, last) > MOST_IDLE * needed;
        let apart = |user: &usize| self.keeps_apart(bundles, bundle, *user);
        bytes <= self.most && !kept_in_vain && owners.iter().flat_map(|owner| &self.users[*owner]).all(apart)
    }

    /// Whether dispatch `index` binds `bundle` to read only, or to write one of its owners only.
    fn keeps_apart(&self, bundles: &Bundles, bundle: usize, index: usize) -> bool {
        let within = |used: &&Use| used.owner().is_some_and(|owner| bundles.of(owner) == bundle);
        let bound = || self.uses[index].iter().filter(within);
        let first = bound().next().and_then(Use::owner);
        bound().all(|used| !used.written) || bound().all(|used| used.written && used.owner() == first)
    }

    /// The members of a group as one dispatch.
    fn joined(&self, group: &[usize]) -> Dispatch {
        let first = &self.dispatches[group[0]];
        let members = || group.iter().map(|index| &self.dispatches[*index]);
        let mut joined = first.clone();
        if group.len() == 1 {
            return joined;
        }
        let mut own = Members::default();
        for (place, (name, operand)) in joined.bindings.iter_mut().enumerate() {
            if group.iter().any(|index| self.uses[*index][place].whose != self.uses[group[0]][place].whose) {
                *operand = Operand::Each(members().map(|member| member.bindings[place].1.clone()).collect());
                own.arrays.push(name.to_string());
            }
        }
        for (place, (name, scalar)) in joined.scalars.iter_mut().enumerate() {
            if members().any(|member| member.scalars[place].1 != *scalar) {
                let mut words = scalar.words();
                words.iter_mut().zip(members()).for_each(|(word, member)| *word = member.scalars[place].1.words()[0]);
                *scalar = Scalar::Each(words);
                own.scalars.push(name.to_string());
            }
        }
        own.arrays.sort();
        own.scalars.sort();
        joined.kernel.members = own;
        joined.nodes = members().flat_map(|member| member.nodes.iter().copied()).collect();
        joined.label = label(members().map(|member| member.label.as_str()));
        joined
    }
}

/// Whether two dispatches differ in nothing but operands, floats, and the node that dropout draws for: kernels branch on sizes, and
/// barriers must not stand under a branch on what is a member's own.
fn alike(one: &Dispatch, other: &Dispatch) -> bool {
    let names = |one: &[(&str, Operand)], other: &[(&str, Operand)]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.0 == other.0)
    };
    let numbers = |(one, other): (&(&str, Scalar), &(&str, Scalar))| match (one, other) {
        ((name, Scalar::F32(_)), (other, Scalar::F32(_))) => name == other,
        (("node", Scalar::U32(_)), ("node", Scalar::U32(_))) => true,
        _ => one == other,
    };
    one.kernel == other.kernel
        && one.groups == other.groups
        && names(&one.bindings, &other.bindings)
        && one.scalars.len() == other.scalars.len()
        && one.scalars.iter().zip(&other.scalars).all(numbers)
}

/// From the first byte to the last.
fn span<'a>(there: impl Iterator<Item = &'a Location<Memory>> + Clone) -> Option<u64> {
    let first = there.clone().map(|location| location.offset).min()?;
    Some(there.map(|location| location.offset + location.size).max()? - first)
}

/// `op [kernel] @ layer, layer`.
fn label<'a>(mut labels: impl Iterator<Item = &'a str>) -> String {
    let mut joined = labels.next().unwrap_or_default().to_string();
    let (op, _) = joined.split_once(" @ ").unwrap_or((&joined, ""));
    let head = format!("{op} @ ");
    for label in labels {
        joined = format!("{joined}, {}", label.strip_prefix(&head).unwrap_or(label));
    }
    joined
}
