//! Large products in mixed precision on cooperative matrices: both operands as halves, padded to whole matrices (`matmul_pack.wgsl`), the
//! product (`matmul_cooperative.wgsl`), and what follows it (`matmul_reduce.wgsl`, as after any product that was split).

use super::Sizes;
use super::kernel::{Choice, Layout, Product};
use crate::gpu::{Capabilities, CooperativeMatrices};
use crate::ops::elementwise::groups;
use crate::plan::{Dispatch, Lower, Operand};

/// The kernel that packs operands; one that would only copy halves is left out by the plan.
const PACK: &str = "matmul_pack";

/// Multiplications below which the dispatches that are added cost more than is saved: some 30 us on a GPU of 1 TFLOP/s. A software
/// adapter, where nothing is saved, takes all that it can: it is there for tests.
pub(in crate::ops) const LEAST_WORK: u64 = 1 << 24;

/// A product on cooperative matrices: of whole ones, as its operands are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ops) struct CooperativeProduct {
    /// The product's kernel.
    pub(super) choice: Choice,
    layout: Layout,
    batch: usize,
    /// Rows and columns of the result and the length of its sums.
    m: usize,
    n: usize,
    k: usize,
}

impl CooperativeProduct {
    /// How `product` runs on `matrices`, if it is large enough and its result consists of whole ones. Rows may overhang, if there is one
    /// product: they come last.
    pub(super) fn new(product: &Product, matrices: &CooperativeMatrices, capabilities: &Capabilities) -> Option<Self> {
        let Product { m, n, k, batch, layout, .. } = *product;
        let tile = matrices.tile;
        let whole = n.is_multiple_of(tile) && (batch == 1 || m.is_multiple_of(tile));
        let work = [m, n, k].iter().fold(u64::from(batch), |work, size| work.saturating_mul(u64::from(*size)));
        if !whole || (work < LEAST_WORK && !capabilities.software) {
            return None;
        }
        let padded = [m.next_multiple_of(tile), n, k.next_multiple_of(tile)];
        Some(Self::of_whole(layout, batch, padded, matrices, capabilities.discrete))
    }

    /// `batch` products of `[m, k]` by `[k, n]`, all of these multiples of a matrix.
    pub(in crate::ops) fn of_whole(
        layout: Layout,
        batch: u32,
        [m, n, k]: [u32; 3],
        matrices: &CooperativeMatrices,
        discrete: bool,
    ) -> Self {
        let (tiles, splits, k_per_split) = spread(matrices, [m, n, k], batch, discrete);
        let block = matrices.block(tiles);
        let workgroups = [m.div_ceil(block), n.div_ceil(block), batch, splits];
        let elements = [splits, batch, m, n].iter().map(|size| u64::from(*size)).product();
        let choice = Choice {
            shader: "matmul_cooperative",
            constants: matrices.constants(tiles, [layout == Layout::TN, layout == Layout::NT]),
            workgroups: workgroups.iter().fold(1, |count: u32, along| count.saturating_mul(*along)),
            splits,
            k_per_split,
            workspace: elements,
        };
        let [batch, m, n, k] = [batch, m, n, k].map(|size| size as usize);
        CooperativeProduct { choice, layout, batch, m, n, k }
    }

    /// Pieces that the sums are left in.
    pub(in crate::ops) fn splits(&self) -> usize {
        self.choice.splits as usize
    }

    /// Elements of all pieces.
    pub(in crate::ops) fn elements(&self) -> usize {
        self.choice.workspace as usize
    }

    /// Emits all but what follows the product; its pieces.
    pub(super) fn emit(&self, cx: &mut Lower<'_>, sizes: &Sizes) -> Operand {
        let [a_size, b_size] = self.stored([self.m, self.n, self.k]);
        let [a_given, b_given] = self.stored([sizes.m, sizes.n, sizes.k]);
        let a = pack(cx, 0, sizes.a_batch, a_given, a_size);
        let b = pack(cx, 1, sizes.b_batch, b_given, b_size);
        let partials = cx.workspace(self.elements());
        self.multiply(cx, [(a, sizes.a_batch), (b, sizes.b_batch)], partials.clone());
        partials
    }

    /// Emits the product alone, of packed operands and how many matrices each of them is: one serves all.
    pub(in crate::ops) fn multiply(&self, cx: &mut Lower<'_>, operands: [(Operand, usize); 2], partials: Operand) {
        let [a_size, b_size] = self.stored([self.m, self.n, self.k]);
        let stride = |batch: usize, [rows, columns]: [usize; 2]| if batch == 1 { 0 } else { rows * columns };
        let [(a, a_batch), (b, b_batch)] = operands;
        let dispatch = Dispatch::new(self.choice.shader, &self.choice.constants, self.choice.workgroups)
            .bind("a", a)
            .bind("b", b)
            .bind("partials", partials)
            .set("m", self.m)
            .set("n", self.n)
            .set("k", self.k)
            .set("batch", self.batch)
            .set("lda", a_size[1])
            .set("ldb", b_size[1])
            .set("a_stride", stride(a_batch, a_size))
            .set("b_stride", stride(b_batch, b_size))
            .set("splits", self.splits())
            .set("k_per_split", self.choice.k_per_split as usize);
        cx.emit(dispatch);
    }

    /// Rows and columns of A and B as they are stored, where the product has these sizes.
    fn stored(&self, [m, n, k]: [usize; 3]) -> [[usize; 2]; 2] {
        match self.layout {
            Layout::NN => [[m, k], [k, n]],
            Layout::NT => [[m, k], [n, k]],
            Layout::TN => [[k, m], [k, n]],
        }
    }
}

/// Matrices along a subgroup's share of a block, pieces of k and their length: as many workgroups as keep the device busy, in large
/// blocks rather than small ones, and in few pieces. Guesses, until such a device is measured.
fn spread(matrices: &CooperativeMatrices, [m, n, k]: [u32; 3], batch: u32, discrete: bool) -> (u32, u32, u32) {
    const LEAST_PIECE: u32 = 256;
    const MOST_PIECES: u32 = 32;
    let wanted = if discrete { 128 } else { 16 };
    let blocks = |tiles| {
        let block = matrices.block(tiles);
        m.div_ceil(block).saturating_mul(n.div_ceil(block)).saturating_mul(batch)
    };
    // half of a large block would idle beside a result this narrow
    let narrow = m.min(n) <= matrices.block(2);
    let tiles = if blocks(4) >= wanted && !narrow { 4 } else { 2 };
    let pieces = wanted.div_ceil(blocks(tiles)).min(k / LEAST_PIECE).clamp(1, MOST_PIECES);
    let length = k.div_ceil(pieces).next_multiple_of(matrices.tile);
    (tiles, k.div_ceil(length), length)
}

/// Emits the packing of input `index`, `matrices` of `size`, to halves of `padded` size.
fn pack(cx: &mut Lower<'_>, index: usize, matrices: usize, size: [usize; 2], padded: [usize; 2]) -> Operand {
    let elements = matrices * padded[0] * padded[1];
    let vector = size[1].is_multiple_of(4);
    let defines = [("VECTOR", u32::from(vector)), ("SCALAR", u32::from(!vector))];
    let packed = cx.workspace(elements / 2);
    let mut dispatch = Dispatch::new(PACK, &defines, groups(elements / 4))
        .bind("x", cx.input(index))
        .bind("packed", packed.clone())
        .set("quads", elements / 4)
        .set("rows", size[0])
        .set("columns", size[1])
        .set("padded_rows", padded[0])
        .set("padded_columns", padded[1]);
    dispatch.kernel.halves = vec!["packed".to_string()];
    cx.emit(dispatch);
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::choices::{Class, capabilities};

    const MATRICES: [CooperativeMatrices; 2] =
        [CooperativeMatrices { tile: 8, lanes: 8 }, CooperativeMatrices { tile: 16, lanes: 32 }];

    fn device() -> Capabilities {
        capabilities(Class::Discrete, None)
    }

    fn product(m: u32, n: u32, k: u32, batch: u32) -> Product {
        Product { m, n, k, batch, layout: Layout::NN, vector: true, save_pre: false, activation: 0 }
    }

    #[test]
    fn small_products_and_results_with_a_part_of_a_matrix_stay_where_they_are() {
        for matrices in MATRICES {
            let taken =
                |m, n, k, batch| CooperativeProduct::new(&product(m, n, k, batch), &matrices, &device()).is_some();
            assert!(taken(256, 256, 256, 1) && taken(257, 256, 259, 1) && taken(256, 256, 259, 3));
            assert!(!taken(256, 256, 255, 1) && !taken(256, 260, 4096, 1) && !taken(260, 256, 4096, 2));
            assert!(!taken(2048, 1, 65536, 1));
            let software = capabilities(Class::Software, None);
            assert!(CooperativeProduct::new(&product(3, 16, 5, 1), &matrices, &software).is_some());
        }
    }

    #[test]
    fn pieces_are_whole_matrices_and_cover_k_once() {
        let classes = [Class::Discrete, Class::Integrated];
        for (matrices, class) in MATRICES.into_iter().flat_map(|matrices| classes.map(|class| (matrices, class))) {
            let device = capabilities(class, None);
            for k in (1..9000).step_by(61) {
                for batch in [1, 5] {
                    let Some(CooperativeProduct { choice, m, k: padded, .. }) =
                        CooperativeProduct::new(&product(320, 256, k, batch), &matrices, &device)
                    else {
                        continue;
                    };
                    let (splits, length) = (choice.splits as usize, choice.k_per_split as usize);
                    assert!(length.is_multiple_of(matrices.tile as usize), "{choice:?}");
                    assert!(splits * length >= padded && (splits - 1) * length < padded, "{k}: {choice:?}");
                    assert_eq!(choice.workspace, (splits * batch as usize * m * 256) as u64);
                }
            }
        }
    }

    #[test]
    fn large_products_take_large_blocks_and_long_ones_are_split() {
        let spread = |sizes, discrete| spread(&MATRICES[1], sizes, 1, discrete);
        assert_eq!(spread([4096, 4096, 4096], true), (4, 1, 4096));
        assert_eq!(spread([2048, 256, 256], true), (2, 1, 256));
        assert_eq!(spread([256, 256, 2048], true), (2, 8, 256));
        assert_eq!(spread([512, 512, 2048], false), (4, 1, 2048));
        assert_eq!(spread([65536, 64, 512], true), (2, 1, 512));
    }
}
