//! Whose bytes an operand is.

use super::lives::Lives;
use super::lower::Operand;
use super::program::Location;
use super::store::ParameterStore;
use crate::graph::{Recording, Source, TensorId};
use std::collections::HashMap;

/// A buffer, before there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Memory {
    /// One or more inputs.
    Input(usize),
    Slot(usize),
    /// Parameters of a chunk of the store.
    Values(usize),
    /// Their gradients.
    Gradients(usize),
    Outside(wgpu::Buffer),
}

/// What takes memory of the plan's own: an input, or what a slot is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    Tensor(TensorId),
    Workspace(usize),
}

/// Where an operand is, as far as that is settled before memory is planned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Whose {
    /// Wherever this one of [`Lives::owners`] will be.
    Owner(usize),
    There(Location<Memory>),
}

/// Which tensors share storage, and which have it in the store.
pub(super) struct Storage {
    /// Storage of every node output: views share their input's.
    pub root: HashMap<TensorId, TensorId>,
    /// Parameters and their gradients.
    pub gradients: Vec<(usize, TensorId)>,
}

impl Storage {
    pub fn root_of(&self, id: TensorId) -> TensorId {
        self.root.get(&id).copied().unwrap_or(id)
    }

    /// Whose bytes `operand` is; `None` for nobody's, and for those of several.
    pub fn whose(
        &self,
        store: &ParameterStore,
        recording: &Recording,
        lives: &Lives,
        operand: &Operand,
    ) -> Option<Whose> {
        match operand {
            Operand::Tensor(id) => self.tensor(store, recording, lives, self.root_of(*id)),
            Operand::Workspace(index) => lives.index(Owner::Workspace(*index)).map(Whose::Owner),
            Operand::Buffer { buffer, offset, size } => {
                Some(Whose::There(Location { buffer: Memory::Outside(buffer.clone()), offset: *offset, size: *size }))
            }
            Operand::Unused | Operand::Each(_) => None,
        }
    }

    fn tensor(&self, store: &ParameterStore, recording: &Recording, lives: &Lives, root: TensorId) -> Option<Whose> {
        let of_parameter = |parameter: usize, memory: fn(usize) -> Memory| {
            let place = store.place(parameter);
            let (offset, size) = (place.offset as u64 * 4, bytes(recording, root));
            Some(Whose::There(Location { buffer: memory(place.chunk), offset, size }))
        };
        if let Some((parameter, _)) = self.gradients.iter().find(|(_, gradient)| *gradient == root) {
            return of_parameter(*parameter, Memory::Gradients);
        }
        match &recording.tensor(root).source {
            Source::Parameter(parameter) => of_parameter(*parameter, Memory::Values),
            _ => lives.index(Owner::Tensor(root)).map(Whose::Owner),
        }
    }
}

/// A tensor's bytes as allocated: at least 16, in multiples of 16, so that vec4 bindings fit.
pub(super) fn bytes(recording: &Recording, id: TensorId) -> u64 {
    let tensor = recording.tensor(id);
    ((tensor.shape.len() * tensor.dtype.size()) as u64).max(16).next_multiple_of(16)
}
