//! How kernels that reduce rows (layer norm, softmax, cross entropy) spread a row over invocations: `shaders/shared/team.wgsl`.

use super::choices::Knob;
use crate::gpu::Capabilities;

/// `lanes` invocations share a row and `teams` rows share a workgroup; each lane holds up to `keep` parts of a row in registers, and a
/// longer row is `tiles` such pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Team {
    pub lanes: usize,
    pub teams: usize,
    pub keep: usize,
    pub tiles: usize,
    /// Parts of four elements rather than one.
    pub vector: bool,
    /// A team is a subgroup, rather than a tree over workgroup memory.
    pub subgroup: bool,
    /// Parts in a row.
    pub parts: usize,
}

impl Team {
    /// The team for rows of `columns` elements.
    pub(crate) fn choose(capabilities: &Capabilities, columns: usize) -> Self {
        let vector = columns.is_multiple_of(4);
        let parts = if vector { columns / 4 } else { columns };
        let fixed = capabilities.fixed_subgroup().map(|size| size as usize);
        let [most, threads] = [Knob::RowParts, Knob::RowThreads].map(|knob| knob.value(capabilities, parts));
        let (lanes, subgroup) = if capabilities.software {
            // One SIMD register of lanes, many values in each: a software driver pays for loads and barriers.
            (if parts == 1 { 1 } else { 8 }, fixed == Some(8))
        } else {
            match fixed.filter(|size| (16..=64).contains(size) && parts > 2 && parts <= most * size) {
                Some(size) => (size, true),
                None => (parts.div_ceil(4).next_power_of_two().min(256), false),
            }
        };
        let keep = parts.div_ceil(lanes).min(most);
        Team {
            lanes,
            teams: (threads / lanes).max(1),
            keep,
            tiles: parts.div_ceil(lanes * keep),
            vector,
            subgroup: subgroup && lanes > 1,
            parts,
        }
    }

    /// A team whose sums run in the same order whatever the row's length: padding a row further changes no bit. Parts are of four
    /// elements always; where `vector` is false the kernel reads them one by one.
    pub(crate) fn of_any_length(capabilities: &Capabilities, columns: usize) -> Self {
        let lanes = if capabilities.software { 8 } else { 32 };
        Team {
            lanes,
            teams: if capabilities.software { 1 } else { 4 },
            keep: 1,
            tiles: 1,
            vector: columns.is_multiple_of(4),
            subgroup: capabilities.fixed_subgroup() == Some(lanes as u32),
            parts: columns.div_ceil(4),
        }
    }

    /// The team for rows that are read one element at a time, as often few.
    pub(crate) fn of_columns(capabilities: &Capabilities, columns: usize) -> Self {
        let wide = if capabilities.software { 8 } else { 32 };
        let lanes = if columns <= 16 { 1 } else { wide };
        Team {
            lanes,
            teams: 64 / lanes,
            keep: 1,
            tiles: 1,
            vector: false,
            subgroup: lanes > 1 && capabilities.fixed_subgroup() == Some(lanes as u32),
            parts: columns,
        }
    }

    /// The team for blocks of thousands of elements, one a workgroup: on software adapters a subgroup, which goes through memory in order.
    pub(crate) fn of_blocks(capabilities: &Capabilities) -> Self {
        let lanes = if capabilities.software { 8 } else { 64 };
        let subgroup = capabilities.fixed_subgroup() == Some(lanes as u32);
        Team { lanes, teams: 1, keep: 1, tiles: 1, vector: true, subgroup, parts: lanes }
    }

    /// Whether the lanes meet in workgroup memory.
    pub(crate) fn tree(&self) -> bool {
        self.lanes > 1 && !self.subgroup
    }

    /// The constants of `team.wgsl`.
    pub(crate) fn constants(&self) -> [(&'static str, u32); 4] {
        [
            ("LANES", self.lanes as u32),
            ("TEAMS", self.teams as u32),
            ("TREE", u32::from(self.tree())),
            ("SUBGROUP", u32::from(self.subgroup)),
        ]
    }

    /// The constants of `part.wgsl` and `team.wgsl`, before `more`.
    pub(crate) fn defines<'a>(&self, more: &[(&'a str, u32)]) -> Vec<(&'a str, u32)> {
        let mut defines = vec![("VECTOR", u32::from(self.vector))];
        defines.extend(self.constants());
        defines.extend_from_slice(more);
        defines
    }

    /// [`Team::defines`] for kernels that keep a row in registers.
    pub(crate) fn keeping<'a>(&self, more: &[(&'a str, u32)]) -> Vec<(&'a str, u32)> {
        let mut defines = self.defines(&[("KEEP", self.keep as u32), ("TILES", self.tiles as u32)]);
        defines.extend_from_slice(more);
        defines
    }

    /// Workgroups for `rows` rows, `rounds` to a team.
    pub(crate) fn groups(&self, rows: usize, rounds: usize) -> u32 {
        rows.div_ceil(rounds).div_ceil(self.teams) as u32
    }
}
