//! The table of kernel choices: which variant an op takes on which kind of device at which size. No search at start-up: a person reads
//! and edits it, and `cargo bench --bench tune` measures each line's alternatives and prints lines to paste here.
//!
//! What is no line here is no choice: it follows from a limit of WebGPU, or from the shapes alone whatever the device is.

use crate::gpu::Capabilities;

/// Kinds of devices that kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A software adapter: loads are dear, registers many, cores few.
    Software,
    /// A GPU with some compute units to fill.
    Integrated,
    /// A GPU with many.
    Discrete,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Software, Class::Integrated, Class::Discrete];

    /// What a device of these capabilities is.
    pub fn of(capabilities: &Capabilities) -> Self {
        match (capabilities.software, capabilities.discrete) {
            (true, _) => Class::Software,
            (false, false) => Class::Integrated,
            (false, true) => Class::Discrete,
        }
    }
}

/// What is chosen. The size that a line's bound is about is the one named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Knob {
    /// 1 where `matmul_small` takes the place of `matmul_subgroup`, by the multiply-adds: slower, but compiled in a fraction of the time.
    MatmulSmall,
    /// Rows of a register tile of `matmul_subgroup`, by the product's rows: a multiple of the subgroup and of 4.
    MatmulRows,
    /// The same where a size along memory is no multiple of 4, by the multiply-adds: a model has few of these products, mostly its first and
    /// last, and tall tiles take the driver long to compile.
    MatmulScalarRows,
    /// Columns per lane of such a tile, by the product's columns: a multiple of 4.
    MatmulColumns,
    /// Length of the pieces of k in `matmul_subgroup` where A is transposed, 0 for all of k at once, by the larger of m and n.
    MatmulPiece,
    /// Side of a tile of `matmul` in workgroup memory, by the elements of the result; 0 for the one of the least estimated time.
    MatmulTile,
    /// Percent of the multiply-add peak that a unit full of tiles reaches, by the side of the tile: for that estimate.
    MatmulShare,
    /// Units that work side by side, for that estimate.
    MatmulUnits,
    /// Rows of a register tile of `conv_subgroup`, by the filters of a group: a multiple of the subgroup.
    ConvRows,
    /// Side of a tile of `conv` in workgroup memory, by the filters of a group; where 64 would not fill the device it is 32 all the same.
    ConvTile,
    /// Workgroups that fill the device, for a convolution.
    ConvWorkgroups,
    /// Queries or keys of a lane in the subgroup kernels of attention (1, 2 or 4), by a head's width in fours.
    AttentionRows,
    /// Invocations of a workgroup in the other kernels of attention, at most.
    AttentionThreads,
    /// Of those, how many side by side along a row, by a head's width in fours.
    AttentionAcross,
    /// Scores that attention on cooperative matrices keeps in memory at a time, at most, by the scores of a head.
    AttentionScores,
    /// Fours of elements that an invocation of an elementwise kernel goes through in each of its streams, by how many fours a stream has.
    ElementRounds,
    /// Streams that it goes through at once, by how many fours there are in all.
    ElementStreams,
    /// Workgroups that a reduction is split into until there are so many.
    ReduceWorkgroups,
    /// Invocations that share a row of a reduction, by the row's length.
    ReduceLanes,
    /// 1 where each row (or each four columns), or each part of one, has an invocation to itself, by how many of them there are.
    ReduceAlone,
    /// Fours of columns that an invocation of a reduction of columns has, at most (1 or a power of two from 4 to 32), by the fours of all rows.
    ReduceSide,
    /// Parts of a row that a lane keeps in registers, at most: layer norm, softmax.
    RowParts,
    /// Invocations of a workgroup there.
    RowThreads,
    /// Rows that a team goes through in layer norm, by the rows in all.
    LayerNormRounds,
    /// Teams among which the backward pass of layer norm divides its rows: each leaves a row of partial sums.
    LayerNormTeams,
    /// Slices that those partial sums are added in.
    LayerNormSlices,
    /// Rows that a team goes through in softmax.
    SoftmaxRounds,
    /// Slices of a sequence in masked pooling.
    PoolingSlices,
}

/// A line of the table: on these classes, up to this size and above that of the line before, `value` is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub knob: Knob,
    pub classes: &'static [Class],
    /// The largest size that it is for; [`ANY`] for all that are left.
    pub up_to: usize,
    pub value: u32,
    /// Where the value comes from: adapter and date of a measurement, or that it is none.
    pub origin: &'static str,
}

const fn line(knob: Knob, classes: &'static [Class], up_to: usize, value: u32, origin: &'static str) -> Line {
    Line { knob, classes, up_to, value, origin }
}

/// No bound.
pub const ANY: usize = usize::MAX;

const EVERY: &[Class] = &Class::ALL;
const SOFTWARE: &[Class] = &[Class::Software];
const INTEGRATED: &[Class] = &[Class::Integrated];
const DISCRETE: &[Class] = &[Class::Discrete];
const GPUS: &[Class] = &[Class::Integrated, Class::Discrete];

/// By `cargo bench --bench tune` on two cores of an AMD EPYC (Zen 3).
const LLVMPIPE: &str = "llvmpipe (LLVM 15.0.6, 256 bits), 2026-11-26";
/// The same on two cores of an Intel Xeon with AVX-512.
const XEON: &str = "llvmpipe (LLVM 15.0.6, 256 bits) with AVX-512, 2026-11-27";
/// The same on two cores of an AMD EPYC (Zen 5), with AVX-512 too.
const ZEN_5: &str = "llvmpipe (LLVM 15.0.6, 256 bits) on Zen 5, 2026-11-27";
/// Taken when the kernel was written, after trying it on llvmpipe; not by the bench.
const TRIED: &str = "tried on llvmpipe (LLVM 15.0.6, 256 bits), 2026-11";
const ANALOGY: &str = "by analogy, not measured";

use Knob::*;

/// All lines; those of one knob and class by their bounds.
#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    line(MatmulSmall,      EVERY,  1 << 14,     1, TRIED),
    line(MatmulSmall,      EVERY,      ANY,     0, TRIED),
    line(MatmulRows,       EVERY,      ANY,    32, LLVMPIPE),
    line(MatmulScalarRows, EVERY,  1 << 26,     8, TRIED),
    line(MatmulScalarRows, EVERY,      ANY,    32, TRIED),
    line(MatmulColumns,    EVERY,      ANY,     4, LLVMPIPE),
    line(MatmulPiece,      EVERY,      ANY,     0, LLVMPIPE),
    line(MatmulTile,       EVERY,      ANY,     0, ANALOGY),
    line(MatmulShare,      EVERY,       32,    35, ANALOGY),
    line(MatmulShare,      EVERY,       64,    50, ANALOGY),
    line(MatmulShare,      EVERY,      ANY,    70, ANALOGY),
    line(MatmulUnits,      SOFTWARE,   ANY,     4, ANALOGY),
    line(MatmulUnits,      INTEGRATED, ANY,    16, ANALOGY),
    line(MatmulUnits,      DISCRETE,   ANY,   128, ANALOGY),
    line(ConvRows,         EVERY,        8,     8, LLVMPIPE),
    line(ConvRows,         EVERY,       16,    16, LLVMPIPE),
    line(ConvRows,         EVERY,       32,    32, LLVMPIPE),
    line(ConvRows,         EVERY,      ANY,    64, LLVMPIPE),
    line(ConvTile,         EVERY,       32,    32, ANALOGY),
    line(ConvTile,         EVERY,      ANY,    64, ANALOGY),
    line(ConvWorkgroups,   SOFTWARE,   ANY,    16, LLVMPIPE),
    line(ConvWorkgroups,   INTEGRATED, ANY,    32, ANALOGY),
    line(ConvWorkgroups,   DISCRETE,   ANY,   256, ANALOGY),
    line(AttentionRows,    EVERY,       64,     4, LLVMPIPE),
    line(AttentionRows,    EVERY,      ANY,     1, ANALOGY),
    line(AttentionThreads, EVERY,      ANY,   128, ANALOGY),
    line(AttentionAcross,  EVERY,       16,     8, ANALOGY),
    line(AttentionAcross,  EVERY,      ANY,    16, ANALOGY),
    line(AttentionScores,  EVERY,      ANY, 1 << 24, ANALOGY),
    line(ElementRounds,    SOFTWARE, 1 << 12,   4, XEON),
    line(ElementRounds,    SOFTWARE, 1 << 17,   8, XEON),
    line(ElementRounds,    SOFTWARE,   ANY,    32, XEON),
    line(ElementRounds,    GPUS,       ANY,     1, ANALOGY),
    line(ElementStreams,   SOFTWARE,   ANY,     4, XEON),
    line(ElementStreams,   GPUS,       ANY,     1, ANALOGY),
    line(ReduceWorkgroups, SOFTWARE,   ANY,    16, LLVMPIPE),
    line(ReduceWorkgroups, INTEGRATED, ANY,   128, ANALOGY),
    line(ReduceWorkgroups, DISCRETE,   ANY,  1024, ANALOGY),
    line(ReduceLanes,      SOFTWARE,    16,     1, ANALOGY),
    line(ReduceLanes,      SOFTWARE,  1024,     8, LLVMPIPE),
    line(ReduceLanes,      SOFTWARE,   ANY,    64, LLVMPIPE),
    line(ReduceLanes,      GPUS,        16,     1, ANALOGY),
    line(ReduceLanes,      GPUS,      1024,     8, ANALOGY),
    line(ReduceLanes,      GPUS,       ANY,    64, ANALOGY),
    line(ReduceAlone,      SOFTWARE,    63,     0, TRIED),
    line(ReduceAlone,      SOFTWARE,   ANY,     1, TRIED),
    line(ReduceAlone,      GPUS,       ANY,     0, ANALOGY),
    line(ReduceSide,       SOFTWARE, 1 << 18,   4, ZEN_5),
    line(ReduceSide,       SOFTWARE,   ANY,    32, ZEN_5),
    line(ReduceSide,       GPUS,       ANY,     1, ANALOGY),
    line(RowParts,         SOFTWARE,   ANY,    32, LLVMPIPE),
    line(RowParts,         GPUS,       ANY,     8, ANALOGY),
    line(RowThreads,       SOFTWARE,   ANY,     8, LLVMPIPE),
    line(RowThreads,       GPUS,       ANY,   128, ANALOGY),
    line(LayerNormRounds,  SOFTWARE,   ANY,    16, LLVMPIPE),
    line(LayerNormRounds,  GPUS,      8191,     1, ANALOGY),
    line(LayerNormRounds,  GPUS,     12287,     2, ANALOGY),
    line(LayerNormRounds,  GPUS,     16383,     3, ANALOGY),
    line(LayerNormRounds,  GPUS,     20479,     4, ANALOGY),
    line(LayerNormRounds,  GPUS,     24575,     5, ANALOGY),
    line(LayerNormRounds,  GPUS,     28671,     6, ANALOGY),
    line(LayerNormRounds,  GPUS,     32767,     7, ANALOGY),
    line(LayerNormRounds,  GPUS,       ANY,     8, ANALOGY),
    line(LayerNormTeams,   SOFTWARE,   ANY,    64, LLVMPIPE),
    line(LayerNormTeams,   GPUS,       ANY,  1024, ANALOGY),
    line(LayerNormSlices,  SOFTWARE,   ANY,     1, TRIED),
    line(LayerNormSlices,  GPUS,       ANY,    16, ANALOGY),
    line(SoftmaxRounds,    SOFTWARE,   ANY,    16, LLVMPIPE),
    line(SoftmaxRounds,    GPUS,       ANY,     1, ANALOGY),
    line(PoolingSlices,    SOFTWARE,   ANY,     1, LLVMPIPE),
    line(PoolingSlices,    GPUS,       ANY,     8, ANALOGY),
];

impl Knob {
    /// Its lines for a class, by their bounds.
    pub fn lines(self, class: Class) -> impl Iterator<Item = &'static Line> {
        TABLE.iter().filter(move |line| line.knob == self && line.classes.contains(&class))
    }

    /// The line for a size on a class.
    pub fn line(self, class: Class, size: usize) -> Option<&'static Line> {
        self.lines(class).find(|line| size <= line.up_to)
    }

    /// What `cargo bench --bench tune` turns it to: all of them are sound on any device that has the kernel. Empty for what no bench
    /// measures by itself.
    pub fn values(self) -> &'static [u32] {
        match self {
            MatmulSmall => &[0, 1],
            MatmulRows => &[16, 32, 64],
            MatmulScalarRows => &[8, 16, 32],
            MatmulColumns => &[4, 8],
            MatmulPiece => &[0, 256, 512, 1024],
            MatmulTile => &[0, 32, 64, 128],
            ConvRows => &[8, 16, 32, 64],
            ConvTile => &[32, 64],
            ConvWorkgroups => &[8, 16, 32, 64, 256],
            AttentionRows => &[1, 2, 4],
            AttentionThreads => &[64, 128],
            AttentionAcross => &[8, 16],
            ElementRounds => &[1, 4, 8, 16, 32, 64],
            ElementStreams => &[1, 2, 4],
            ReduceWorkgroups => &[4, 16, 64, 256, 1024],
            ReduceLanes => &[1, 8, 64],
            ReduceAlone => &[0, 1],
            ReduceSide => &[1, 4, 8, 32],
            RowParts => &[8, 16, 32],
            RowThreads => &[8, 32, 128],
            LayerNormRounds => &[1, 4, 16, 64],
            LayerNormTeams => &[16, 64, 256, 1024],
            SoftmaxRounds => &[1, 4, 16, 64],
            PoolingSlices => &[1, 8],
            MatmulShare | MatmulUnits | AttentionScores | LayerNormSlices => &[],
        }
    }

    /// What is taken on a device at a size: what is forced there ([`crate::gpu::GpuOptions::forced`]), or what the table says.
    pub fn value(self, capabilities: &Capabilities, size: usize) -> usize {
        // what is in no list may be unsound, and 0 divides
        let sound = |value: &u32| self.values().contains(value) || (self.values().is_empty() && *value > 0);
        let named = |(name, value): &(String, u32)| (*name == format!("{self:?}")).then_some(*value);
        let forced = || capabilities.forced.iter().find_map(named).filter(sound);
        // the tests hold the table to having a line for every class and size
        let listed = || self.line(Class::of(capabilities), size).map_or(1, |line| line.value);
        forced().unwrap_or_else(listed) as usize
    }
}

#[cfg(test)]
pub(crate) fn capabilities(class: Class, subgroup: Option<u32>) -> Capabilities {
    Capabilities {
        software: class == Class::Software,
        discrete: class == Class::Discrete,
        subgroup: subgroup.map(|size| (size, size)),
        f16: false,
        timestamps: false,
        texture_reads: None,
        groups: false,
        forced: Vec::new(),
        cooperative: crate::gpu::Cooperative::Off,
        limits: crate::gpu::required_limits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn knobs() -> BTreeSet<Knob> {
        TABLE.iter().map(|line| line.knob).collect()
    }

    #[test]
    fn lines_of_a_knob_leave_no_gap_and_do_not_overlap() {
        for (knob, class) in knobs().into_iter().flat_map(|knob| Class::ALL.map(|class| (knob, class))) {
            let bounds: Vec<usize> = knob.lines(class).map(|line| line.up_to).collect();
            assert!(bounds.is_sorted_by(|a, b| a < b), "{knob:?} on {class:?}: {bounds:?}");
            assert_eq!(bounds.last(), Some(&ANY), "{knob:?} on {class:?}");
        }
    }

    #[test]
    fn every_line_says_where_it_comes_from() {
        let said = |origin: &str| origin == ANALOGY || origin.contains("20");
        assert!(TABLE.iter().all(|line| said(line.origin)));
    }

    proptest! {
        #[test]
        fn a_size_takes_the_one_line_that_it_lies_in(size in prop_oneof![0usize..100, any::<usize>()]) {
            for (knob, class) in knobs().into_iter().flat_map(|knob| Class::ALL.map(|class| (knob, class))) {
                let lines: Vec<&Line> = knob.lines(class).collect();
                let above = |index: usize| index == 0 || size > lines[index - 1].up_to;
                let fits: Vec<&&Line> =
                    lines.iter().enumerate().filter(|(index, line)| above(*index) && size <= line.up_to).map(|(_, line)| line).collect();
                prop_assert_eq!(fits.len(), 1);
                prop_assert_eq!(knob.value(&capabilities(class, None), size), fits[0].value as usize);
            }
        }
    }

    #[test]
    fn what_is_forced_counts_for_its_knob_alone() {
        let forced = Capabilities { forced: vec![("ConvRows".to_string(), 16)], ..capabilities(Class::Software, None) };
        assert_eq!((ConvRows.value(&forced, 100), MatmulRows.value(&forced, 100)), (16, 32));
        let unsound = Capabilities { forced: vec![("ConvRows".to_string(), 0)], ..forced };
        assert_eq!(ConvRows.value(&unsound, 100), 64);
    }
}
