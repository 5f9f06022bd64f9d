//! Which kernel goes through the steps: how many rows of the batch a workgroup takes, and how the weight lies for it.

use super::Cell;
use crate::gpu::Capabilities;
use crate::graph::Var;
use crate::plan::Dispatch;

/// The most hidden units: the gates' gradients of one row, 4 floats a unit, fill the workgroup memory that every adapter has.
pub const MOST_HIDDEN: usize = WORKGROUP_FLOATS / 4;
const WORKGROUP_FLOATS: usize = 4096;

/// Accumulators of a lane on software adapters: what matmul's tiles have there.
const MOST_SUMS: usize = 64;

/// A walk through the steps, or back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    pub cell: Cell,
    pub masked: bool,
    pub reverse: bool,
    pub batch: usize,
    pub seq: usize,
    pub hidden: usize,
}

impl Walk {
    /// Through the steps: two states of a row, and an LSTM's cells, are in workgroup memory.
    pub(super) fn forward(&self, capabilities: &Capabilities, flags: &[(&'static str, u32)]) -> Dispatch {
        let floats = (1 + self.cell.states()) * self.capacity();
        let team = Team::choose(capabilities, self, floats, self.cell.gates());
        self.dispatch("recurrent", &team, self.hidden, flags)
    }

    /// Back: the gradients of a row's gates are in workgroup memory.
    pub(super) fn backward(&self, capabilities: &Capabilities, flags: &[(&'static str, u32)]) -> Dispatch {
        let team = Team::choose(capabilities, self, self.cell.gates() * self.capacity(), 1);
        self.dispatch("recurrent_backward", &team, self.cell.gates() * self.hidden, flags)
    }

    /// Hidden units that workgroup memory is laid out for: a power of two, so that few kernels serve all sizes.
    fn capacity(&self) -> usize {
        self.hidden.next_power_of_two().max(64)
    }

    /// Neighbours along k that are read at once.
    fn part(&self) -> usize {
        if self.hidden.is_multiple_of(4) { 4 } else { 1 }
    }

    /// `depth`: how many products each sum has.
    fn dispatch(&self, shader: &'static str, team: &Team, depth: usize, flags: &[(&'static str, u32)]) -> Dispatch {
        let width = team.rows.min(4);
        let numbers = [
            ("CAPACITY", self.capacity()),
            ("PART", self.part()),
            ("LANES", team.lanes),
            ("UNITS", team.units),
            ("WIDTH", width),
            ("QUADS", team.rows / width),
        ];
        let switches = [
            ("LSTM", self.cell == Cell::Lstm),
            ("MASK", self.masked),
            ("VECTOR", self.part() == 4),
            ("SUBGROUP", team.subgroup),
            ("PAIR", width == 2),
            ("SINGLE", width == 1),
        ];
        let numbers = numbers.map(|(name, value)| (name, value as u32));
        let switches = switches.map(|(name, on)| (name, u32::from(on)));
        let defines = [flags, numbers.as_slice(), switches.as_slice()].concat();
        Dispatch::new(shader, &defines, self.batch.div_ceil(team.rows) as u32)
            .set("batch", self.batch)
            .set("seq", self.seq)
            .set("hidden", self.hidden)
            .set("parts", depth / self.part())
            .set("reverse", usize::from(self.reverse))
    }
}

/// The invocations of a workgroup and what each does.
struct Team {
    /// Rows of the batch that it takes: 1, 2, 4 or 8.
    rows: usize,
    lanes: usize,
    /// Hidden units of a lane at a time.
    units: usize,
    subgroup: bool,
}

impl Team {
    /// `floats`: workgroup memory that a row takes; `columns`: sums per hidden unit.
    fn choose(capabilities: &Capabilities, walk: &Walk, floats: usize, columns: usize) -> Self {
        let hidden = walk.hidden;
        // Rows share the loads of the weights, but each workgroup goes through the steps alone: a CPU has few cores to fill, a GPU many.
        let wanted = match (capabilities.software, capabilities.discrete) {
            (true, _) => walk.batch.div_ceil(2).min(8),
            (false, true) => walk.batch.div_ceil(128).min(4),
            (false, false) => walk.batch.div_ceil(16).min(4),
        };
        let rows = wanted.next_power_of_two().min(floor_power_of_two(WORKGROUP_FLOATS / floats));
        let fixed = capabilities.fixed_subgroup().map(|lanes| lanes as usize);
        match fixed.filter(|lanes| capabilities.software && [4, 8, 16].contains(lanes)) {
            Some(lanes) => {
                let most = (MOST_SUMS / (columns * rows)).max(1);
                Team { rows, lanes, units: hidden.div_ceil(lanes).next_power_of_two().min(most), subgroup: true }
            }
            None => Team { rows, lanes: hidden.next_power_of_two().clamp(32, 256), units: 1, subgroup: false },
        }
    }
}

fn floor_power_of_two(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

/// `weight_hh` for the way through the steps, a column per gate: [hidden / 4, gates * hidden, 4], or [hidden, gates * hidden] where hidden
/// is no multiple of 4. Neighbouring lanes read neighbouring places, four steps along k at a time.
pub(super) fn along_columns(weight: Var<'_>) -> Var<'_> {
    let weight = weight.detach();
    match *weight.shape().axes() {
        [rows, hidden] if hidden.is_multiple_of(4) => weight.reshape([rows, hidden / 4, 4]).permute(&[1, 0, 2]),
        [_, _] => weight.transpose(0, 1),
        _ => weight,
    }
}

/// `weight_hh` for the way back, a column per hidden unit: [gates * hidden / 4, hidden, 4], or as it is.
pub(super) fn along_rows(weight: Var<'_>) -> Var<'_> {
    let weight = weight.detach();
    match *weight.shape().axes() {
        [rows, hidden] if hidden.is_multiple_of(4) => weight.reshape([rows / 4, 4, hidden]).permute(&[0, 2, 1]),
        _ => weight,
    }
}
