//! Large convolutions in mixed precision on cooperative matrices: the operands of the implicit product are written out as halves, padded to
//! whole matrices (`shaders/conv_pack.wgsl`), multiplied (`matmul_cooperative.wgsl`), and followed by what follows a convolution
//! (`conv_reduce.wgsl`).
//!
//! Written out, B is as many times what it was as windows overlap. So a large one is never there as a whole: a slice of its columns at
//! a time is packed and multiplied, which gives a slice of the result in every pass.

use super::kernel::Finish;
use super::product::{Geometry, Pass, Product, Reading};
use crate::gpu::{Capabilities, CooperativeMatrices};
use crate::ops::elementwise::groups;
use crate::ops::matmul::{CooperativeProduct, LEAST_WORK, Layout};
use crate::plan::{Dispatch, Lower, Operand};

/// Multiplications that an element of B must be packed for, and that a result must be the sum of: a GPU does about so many in 32 bits
/// while it moves what is written and read again for each. A guess, until such a device is measured.
const LEAST_USES: usize = 128;

/// How many times the work may become by filling operands up to whole matrices, and phases of strides up to the largest of them.
const MOST_FILLED: u64 = 3;

/// Bytes of a slice of B, and of its results.
const MOST_BYTES: usize = 128 << 20;
/// The same on a software adapter, which takes all that it can: it is there for tests, and slices are to be among them.
const MOST_BYTES_IN_SOFTWARE: usize = 1 << 20;

/// A pass whose operands are written out.
#[derive(Debug)]
pub(super) struct Unfolded {
    pass: Pass,
    geometry: Geometry,
    reading: Reading,
    product: Product,
    matrices: CooperativeMatrices,
    discrete: bool,
    /// Products: of groups and phases.
    layers: usize,
    /// Their sizes, filled up to whole matrices.
    rows: usize,
    columns: usize,
    k: usize,
    /// Columns at a time.
    slice: usize,
}

impl Unfolded {
    /// `pass` on `matrices`, if it is large enough, little of it is filling, and there is room.
    pub fn of(
        geometry: &Geometry,
        pass: Pass,
        matrices: &CooperativeMatrices,
        capabilities: &Capabilities,
    ) -> Option<Self> {
        let geometry = geometry.flattened();
        let reading = geometry.reading(pass, true);
        let product = geometry.product(pass, reading);
        let layers = geometry.groups * product.phases;
        let whole = |size: usize| size.next_multiple_of(matrices.tile as usize);
        let [rows, columns, k] = [product.rows, product.columns, product.k].map(whole);
        let work = geometry.flops() / 2;
        let filled = [rows, columns, k].iter().fold(layers as u64, |work, size| work.saturating_mul(*size as u64));
        let pays = product.rows.min(product.k) >= LEAST_USES && work >= LEAST_WORK && filled <= MOST_FILLED * work;
        if !pays && !capabilities.software {
            return None;
        }
        let slice = slice(layers, [rows, columns, k], matrices, capabilities)?;
        let (matrices, discrete) = (*matrices, capabilities.discrete);
        Some(Unfolded { pass, geometry, reading, product, matrices, discrete, layers, rows, columns, k, slice })
    }

    /// The first column and the product of every slice.
    fn slices(&self) -> Vec<(usize, CooperativeProduct)> {
        let layout = if self.pass == Pass::ToWeight { Layout::NT } else { Layout::NN };
        let product = |first: usize| {
            let sizes = [self.rows, self.columns_from(first), self.k].map(|size| size as u32);
            CooperativeProduct::of_whole(layout, self.layers as u32, sizes, &self.matrices, self.discrete)
        };
        (0..self.columns).step_by(self.slice).map(|first| (first, product(first))).collect()
    }

    /// Emits it over A and B as `shaders/shared/conv_view.wgsl` defines them.
    pub fn emit(&self, cx: &mut Lower<'_>, [a, b, out]: [Operand; 3], finish: &Finish) {
        let slices = self.slices();
        let pieces = slices.iter().map(|(_, product)| product.elements()).max().unwrap_or(0);
        let packed_a = cx.workspace(self.layers * self.rows * self.k / 2);
        let packed_b = cx.workspace(self.layers * self.k * self.slice / 2);
        let partials = cx.workspace(pieces);
        for (first, product) in slices {
            let pack = self.pack(first).bind("a", a.clone()).bind("b", b.clone());
            cx.emit(pack.bind("packed_a", packed_a.clone()).bind("packed_b", packed_b.clone()));
            let operands = [&packed_a, &packed_b].map(|operand| (operand.clone(), self.layers));
            product.multiply(cx, operands, partials.clone());
            let reduce = self.reduce(first, product.splits(), finish);
            cx.emit(finish.clone().bind(reduce.bind("partials", partials.clone()).bind("out", out.clone())));
        }
    }

    /// Packs B's columns from `first` on, and with the first ones A.
    fn pack(&self, first: usize) -> Dispatch {
        let constants = self.constants(|name| name != "OUT_VECTOR");
        let quads_of_a = if first == 0 { self.rows * self.k / 4 } else { 0 };
        let blocks_of_b = self.k * self.columns_from(first) / 16;
        let mut dispatch = Dispatch::new("conv_pack", &constants, groups(self.layers * (quads_of_a + blocks_of_b)));
        dispatch.kernel.halves = vec!["packed_a".to_string(), "packed_b".to_string()];
        self.set(dispatch, first, 1)
    }

    /// Sums `pieces` of the product with these columns up, and does what follows.
    fn reduce(&self, first: usize, pieces: usize, finish: &Finish) -> Dispatch {
        const GIVEN: [&str; 5] = ["TO_INPUT", "TO_WEIGHT", "STRIDED", "SPAN", "OUT_VECTOR"];
        let mut constants = self.constants(|name| GIVEN.contains(&name));
        constants.extend(finish.constants());
        let quads = self.layers * self.product.rows * self.columns_from(first) / 4;
        self.set(Dispatch::new("conv_reduce", &constants, groups(quads)), first, pieces)
    }

    fn constants(&self, given: impl Fn(&str) -> bool) -> Vec<(&'static str, u32)> {
        let constants = self.geometry.constants(self.pass, &self.product, self.reading);
        constants.into_iter().filter(|(name, _)| given(name)).collect()
    }

    /// Columns of the slice that begins with column `first`.
    fn columns_from(&self, first: usize) -> usize {
        self.slice.min(self.columns - first)
    }

    fn set(&self, dispatch: Dispatch, first: usize, pieces: usize) -> Dispatch {
        let dispatch = dispatch
            .set("layers", self.layers)
            .set("splits", 1)
            .set("k_per_split", self.product.k)
            .set("split_stride", 0)
            .set("padded_rows", self.rows)
            .set("padded_columns", self.columns_from(first))
            .set("padded_k", self.k)
            .set("first_column", first)
            .set("pieces", pieces);
        self.geometry.set(self.pass, &self.product, dispatch)
    }
}

/// Columns at a time, of about equal slices: as many as there is room for, if that is worth a launch, and for A as a whole.
fn slice(
    layers: usize,
    [rows, columns, k]: [usize; 3],
    matrices: &CooperativeMatrices,
    capabilities: &Capabilities,
) -> Option<usize> {
    let limits = &capabilities.limits;
    let room = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) as usize;
    let most = room.min(if capabilities.software { MOST_BYTES_IN_SOFTWARE } else { MOST_BYTES });
    let tile = matrices.tile as usize;
    let of_column = layers * (2 * k).max(4 * rows);
    let fitting = most / of_column / tile * tile;
    if fitting < columns.min(matrices.block(4) as usize) || layers * rows * k * 2 > room {
        return None;
    }
    Some(columns.div_ceil(columns.div_ceil(fitting)).next_multiple_of(tile))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::{Padding, Windows};
    use super::*;
    use crate::ops::choices::{Class, capabilities};

    const MATRICES: [CooperativeMatrices; 2] =
        [CooperativeMatrices { tile: 8, lanes: 8 }, CooperativeMatrices { tile: 16, lanes: 32 }];
    const PASSES: [Pass; 3] = [Pass::Forward, Pass::ToInput, Pass::ToWeight];

    /// Windows of `kernel` x `kernel` over images of `size` x `size`.
    fn geometry(batch: usize, [channels, filters]: [usize; 2], size: usize, kernel: usize, stride: usize) -> Geometry {
        let windows = Windows { stride: vec![stride], padding: Padding::Each(vec![kernel / 2]), ..Windows::default() };
        let axes = windows.over(&[size, size], &[kernel, kernel], false).unwrap();
        Geometry { batch, groups: 1, channels, filters, rank: 2, axes }
    }

    fn of(class: Class, geometry: &Geometry, pass: Pass) -> Option<Unfolded> {
        Unfolded::of(geometry, pass, &MATRICES[1], &capabilities(class, None))
    }

    #[test]
    fn what_would_not_pay_stays_where_it_is_but_for_tests() {
        let taken = |geometry: &Geometry| PASSES.map(|pass| of(Class::Discrete, geometry, pass).is_some());
        assert_eq!(taken(&geometry(8, [256, 256], 14, 3, 1)), [true; 3]);
        assert_eq!(taken(&geometry(8, [256, 256], 14, 3, 2)), [true; 3]);
        assert_eq!(taken(&geometry(8, [256, 512], 14, 1, 1)), [true; 3]);
        // of the input's four phases three would be filled with zeros
        assert_eq!(taken(&geometry(8, [256, 512], 28, 1, 2)), [true, false, true]);
        assert_eq!(taken(&geometry(8, [256, 64], 14, 3, 1)), [false, true, false], "packed for few rows");
        assert_eq!(taken(&geometry(1, [128, 128], 4, 1, 1)), [false; 3], "little work");
        let depthwise = Geometry { groups: 4, ..geometry(8, [1, 1], 28, 3, 1) };
        assert_eq!(taken(&depthwise), [false; 3]);
        assert!(PASSES.iter().all(|pass| of(Class::Software, &depthwise, *pass).is_some()));
    }

    #[test]
    fn slices_are_whole_matrices_and_cover_the_columns_once() {
        let cases =
            [geometry(64, [64, 128], 112, 3, 1), geometry(3, [130, 190], 57, 3, 2), geometry(9, [256, 140], 13, 1, 1)];
        for (matrices, class) in MATRICES.iter().flat_map(|matrices| Class::ALL.map(|class| (matrices, class))) {
            for (geometry, pass) in cases.iter().flat_map(|geometry| PASSES.map(|pass| (geometry, pass))) {
                let Some(unfolded) = Unfolded::of(geometry, pass, matrices, &capabilities(class, None)) else {
                    continue;
                };
                let Unfolded { columns, slice, k, .. } = unfolded;
                assert!([columns, slice, k].iter().all(|size| size.is_multiple_of(matrices.tile as usize)));
                let slices = unfolded.slices();
                assert_eq!(slices.iter().map(|(first, _)| unfolded.columns_from(*first)).sum::<usize>(), columns);
                let most = if class == Class::Software { MOST_BYTES_IN_SOFTWARE } else { MOST_BYTES };
                assert!(unfolded.layers * k * slice * 2 <= most, "{unfolded:?}");
                let limit = capabilities(class, None).limits.max_storage_buffer_binding_size;
                assert!(slices.iter().all(|(_, product)| product.elements() as u64 * 4 <= limit), "{unfolded:?}");
            }
        }
    }

    #[test]
    fn large_convolutions_go_in_slices_and_what_has_no_room_stays_where_it_is() {
        let slices = |geometry: &Geometry, pass| of(Class::Discrete, geometry, pass).map(|taken| taken.slices().len());
        let large = geometry(64, [128, 128], 56, 3, 1);
        assert_eq!(PASSES.map(|pass| slices(&large, pass)), [Some(4), Some(4), Some(4)]);
        // a column of the gradient of the weight is as long as all images are large
        assert_eq!(slices(&geometry(256, [128, 128], 112, 3, 1), Pass::ToWeight), None);
    }
}
