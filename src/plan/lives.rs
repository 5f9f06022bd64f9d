//! How long each tensor and workspace is needed, and which lie in one buffer side by side.

use super::memory::{ALIGN, Life};
use super::storage::{Memory, Owner, Storage, bytes};
use super::{is_external, keep};
use crate::graph::Recording;
use std::collections::{HashMap, HashSet};

/// Elements of a workspace, and the node that it serves.
pub(super) type Workspace = (usize, usize);

/// All that takes memory of the plan's own.
pub(super) struct Lives {
    pub owners: Vec<Owned>,
    index: HashMap<Owner, usize>,
}

pub(super) struct Owned {
    pub life: Life,
    /// An input, which has its place for good.
    pub input: bool,
}

impl Lives {
    /// Of nodes at `levels`; the workspaces `kept` live to the end.
    pub fn new(
        recording: &Recording,
        storage: &Storage,
        levels: &[usize],
        workspaces: &[Workspace],
        kept: &HashSet<usize>,
    ) -> Self {
        let end = levels.iter().max().map_or(0, |last| last + 1);
        let placed = keep(storage.gradients.iter().map(|(_, id)| *id));
        let mut lives = Lives { owners: Vec::new(), index: HashMap::new() };
        for (_, id) in &recording.inputs {
            lives.touch(Owner::Tensor(*id), bytes(recording, *id), 0, true);
        }
        for (node_index, node) in recording.nodes.iter().enumerate() {
            for id in node.outputs.iter().chain(&node.inputs).map(|id| storage.root_of(*id)) {
                if !is_external(&recording.tensor(id).source) && !placed.contains(&id) {
                    lives.touch(Owner::Tensor(id), bytes(recording, id), levels[node_index], false);
                }
            }
        }
        for id in recording.outputs.iter().map(|(_, id)| storage.root_of(*id)) {
            if lives.index(Owner::Tensor(id)).is_some_and(|index| !lives.owners[index].input) {
                lives.touch(Owner::Tensor(id), 0, end, false);
            }
        }
        for (index, (elements, node)) in workspaces.iter().enumerate() {
            let bytes = (*elements as u64 * 4).max(16).next_multiple_of(16);
            lives.touch(Owner::Workspace(index), bytes, levels[*node], false);
            if kept.contains(&index) {
                lives.touch(Owner::Workspace(index), bytes, end, false);
            }
        }
        for Owned { life, .. } in &mut lives.owners {
            life.bound.sort_unstable();
            life.bound.dedup();
            life.written = vec![life.first];
        }
        lives
    }

    /// The place of `owner` in [`Lives::owners`].
    pub fn index(&self, owner: Owner) -> Option<usize> {
        self.index.get(&owner).copied()
    }

    fn touch(&mut self, owner: Owner, bytes: u64, level: usize, input: bool) {
        let next = self.owners.len();
        let index = *self.index.entry(owner).or_insert(next);
        if index == next {
            let life = Life { bytes, first: level, last: level, bound: Vec::new(), written: Vec::new() };
            self.owners.push(Owned { life, input });
        }
        let life = &mut self.owners[index].life;
        life.first = life.first.min(level);
        life.last = life.last.max(level);
        life.bound.push(level);
    }
}

/// Owners that lie in one buffer, one behind the other, because siblings that run as one launch bind them: a number for each owner, the
/// same for those of one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bundles(Vec<usize>);

impl Bundles {
    /// Each of `count` owners by itself.
    pub fn apart(count: usize) -> Self {
        Bundles((0..count).collect())
    }

    pub fn of(&self, owner: usize) -> usize {
        self.0[owner]
    }

    pub fn join(&mut self, one: usize, other: usize) {
        let (to, from) = (self.0[one], self.0[other]);
        self.0.iter_mut().filter(|bundle| **bundle == from).for_each(|bundle| *bundle = to);
    }

    /// The owners of a bundle.
    pub fn owners(&self, bundle: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len()).filter(move |owner| self.0[*owner] == bundle)
    }
}

/// What memory planning sees: bundles.
pub(super) struct Homes {
    /// Of those that share slots.
    pub lives: Vec<Life>,
    /// Bytes and owners of the inputs' buffers.
    pub inputs: Vec<(u64, Vec<usize>)>,
    /// Of each owner: its bundle among them, and its first byte there.
    of: Vec<(Home, u64)>,
}

#[derive(Debug, Clone, Copy)]
enum Home {
    Life(usize),
    Input(usize),
}

impl Homes {
    pub fn new(lives: &Lives, bundles: &Bundles) -> Self {
        let mut homes = Homes { lives: Vec::new(), inputs: Vec::new(), of: Vec::new() };
        let mut known: HashMap<usize, Home> = HashMap::new();
        for (owner, Owned { life, input }) in lives.owners.iter().enumerate() {
            let found = known.get(&bundles.of(owner)).copied();
            let home = match (found, input) {
                (Some(home), _) => home,
                (None, true) => Home::Input(homes.inputs.len()),
                (None, false) => Home::Life(homes.lives.len()),
            };
            known.insert(bundles.of(owner), home);
            let offset = homes.add(home, owner, life);
            homes.of.push((home, offset));
        }
        for life in &mut homes.lives {
            for levels in [&mut life.bound, &mut life.written] {
                levels.sort_unstable();
                levels.dedup();
            }
        }
        homes
    }

    /// Where the owner comes to lie in its bundle.
    fn add(&mut self, home: Home, owner: usize, life: &Life) -> u64 {
        match home {
            Home::Input(index) if index == self.inputs.len() => self.inputs.push((life.bytes, vec![owner])),
            Home::Life(index) if index == self.lives.len() => self.lives.push(life.clone()),
            Home::Input(index) => {
                let (bytes, owners) = &mut self.inputs[index];
                owners.push(owner);
                return behind(bytes, life.bytes);
            }
            Home::Life(index) => {
                let bundle = &mut self.lives[index];
                bundle.first = bundle.first.min(life.first);
                bundle.last = bundle.last.max(life.last);
                bundle.bound.extend(&life.bound);
                bundle.written.extend(&life.written);
                return behind(&mut bundle.bytes, life.bytes);
            }
        }
        0
    }

    /// The buffer of an owner, and its first byte there, where lives have the slots and offsets given.
    pub fn place(&self, owner: usize, slot_of: &[usize], offset_of: &[u64]) -> (Memory, u64) {
        match self.of[owner] {
            (Home::Input(index), offset) => (Memory::Input(index), offset),
            (Home::Life(life), offset) => (Memory::Slot(slot_of[life]), offset_of[life] + offset),
        }
    }
}

/// Makes room for `more` bytes behind `bytes`; returns where.
fn behind(bytes: &mut u64, more: u64) -> u64 {
    let offset = bytes.next_multiple_of(ALIGN);
    *bytes = offset + more;
    offset
}
