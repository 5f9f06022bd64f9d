//! Which matmul kernel a product takes, and its geometry: plain data in, plain data out.
//!
//! The shaders are `matmul.wgsl` (tiles in workgroup memory, any adapter), `matmul_subgroup.wgsl` (register tiles spread by
//! subgroup broadcasts, for CPU adapters of one fixed subgroup size; `matmul_small.wgsl` for the smallest there) and
//! `matmul_reduce.wgsl` (the sum of split-k pieces).

use crate::gpu::Capabilities;
use crate::ops::choices::Knob;

/// How the operands are stored: N is [m, k] or [k, n], T its transpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// out = A B.
    NN,
    /// out = A Bᵀ: a linear layer's forward pass, its weight being [out, in].
    NT,
    /// out = Aᵀ B: a linear layer's weight gradient.
    TN,
}

/// One product: out [batch, m, n] over k.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Product {
    pub m: u32,
    pub n: u32,
    pub k: u32,
    pub batch: u32,
    pub layout: Layout,
    /// All offsets, strides, leading dimensions and the sizes along memory are multiples of 4 (see [`Product::sizes_align`]).
    pub vector: bool,
    /// The pre-activation is stored too.
    pub save_pre: bool,
    /// The epilogue's activation as `shared/activation.wgsl` numbers it; 0 is none.
    pub activation: u32,
}

/// A kernel and how to launch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// File name in `shaders/`, without its ending.
    pub shader: &'static str,
    /// Constants to override in it; equal shader and constants are one pipeline.
    pub constants: Vec<(&'static str, u32)>,
    /// To be folded into x and y.
    pub workgroups: u32,
    /// Pieces of k (`dims.splits`); above 1 they go to a workspace, and `matmul_reduce` follows.
    pub splits: u32,
    /// `dims.k_per_split`.
    pub k_per_split: u32,
    /// Floats of workspace: splits * batch * m * n, or 0.
    pub workspace: u64,
}

/// A tile shape of `matmul.wgsl`: as many rows as columns.
struct Tile {
    block: u32,
    block_k: u32,
    thread: u32,
}

const TILES: [Tile; 3] = [
    Tile { block: 128, block_k: 8, thread: 8 },
    Tile { block: 64, block_k: 16, thread: 4 },
    Tile { block: 32, block_k: 16, thread: 4 },
];

impl Product {
    /// Whether the sizes along memory allow vec4 accesses; offsets, strides and leading dimensions must be multiples of 4 as well.
    pub fn sizes_align(layout: Layout, m: u32, n: u32, k: u32) -> bool {
        let along_memory = match layout {
            Layout::NN => [k, n, n],
            Layout::NT => [k, k, n],
            Layout::TN => [m, n, n],
        };
        along_memory.iter().all(|size| size % 4 == 0)
    }

    fn multiply_adds(&self) -> usize {
        [self.m, self.n, self.k].iter().fold(self.batch as usize, |work, size| work.saturating_mul(*size as usize))
    }
}

/// Lanes of the kernel of register tiles, where it is taken.
fn register_lanes(capabilities: &Capabilities) -> Option<u32> {
    capabilities.fixed_subgroup().filter(|lanes| capabilities.software && [4, 8, 16].contains(lanes))
}

/// The kernel for `product` on a device.
pub fn choose(product: &Product, capabilities: &Capabilities) -> Choice {
    if let Some(lanes) = register_lanes(capabilities) {
        return match Knob::MatmulSmall.value(capabilities, product.multiply_adds()) {
            0 => by_subgroups(product, lanes, capabilities),
            _ => small(product),
        };
    }
    let elements = product.batch as usize * product.m as usize * product.n as usize;
    let listed = Knob::MatmulTile.value(capabilities, elements) as u32;
    let limits = &capabilities.limits;
    let usable = TILES.iter().filter(|tile| {
        let threads = (tile.block / tile.thread).pow(2);
        let floats = tile.block_k * (2 * tile.block + 8);
        let fits = threads <= limits.max_compute_invocations_per_workgroup;
        fits && floats * 4 <= limits.max_compute_workgroup_storage_size && [0, tile.block].contains(&listed)
    });
    let most_pieces = if capabilities.software { 1 } else { (product.k / MIN_PIECE).clamp(1, MAX_PIECES) };
    let options = usable.flat_map(|tile| (0..=most_pieces.ilog2()).map(move |power| (tile, 1 << power)));
    let timed = |(tile, pieces)| (cycles(product, tile, pieces, capabilities), tiled(product, tile, pieces));
    let options: Vec<(u64, Choice)> = options.map(timed).collect();
    let least = options.iter().map(|(cycles, _)| *cycles).min().unwrap_or(0);
    let fast = options.into_iter().filter(|(cycles, _)| *cycles <= least + least * TOO_CLOSE / 100);
    let best = fast.min_by_key(|(cycles, choice)| (choice.workspace, *cycles));
    best.map_or_else(|| tiled(product, &TILES[2], 1), |(_, choice)| choice)
}

/// Percent by which estimates of time may differ without saying which is faster: then the smaller workspace is better.
const TOO_CLOSE: u64 = 10;

/// A piece of k is at least this long.
const MIN_PIECE: u32 = 128;
const MAX_PIECES: u32 = 32;

/// A rough estimate of the time in cycles of a GPU whose units do 128 multiply-adds per cycle: the tiles that the busiest unit gets,
/// and for a split product the second dispatch and the traffic of its pieces.
fn cycles(product: &Product, tile: &Tile, pieces: u32, capabilities: &Capabilities) -> u64 {
    const SECOND_DISPATCH: u64 = 5000;
    const BYTES_PER_CYCLE: u64 = 2000;
    let count = u64::from(tiles(product, tile.block, tile.block)) * u64::from(pieces);
    let units = Knob::MatmulUnits.value(capabilities, count as usize) as u64;
    let share = Knob::MatmulShare.value(capabilities, tile.block as usize) as u64;
    let per_tile = u64::from(tile.block.pow(2)) * u64::from(product.k.div_ceil(pieces)) * 100 / (128 * share);
    let multiply = count.div_ceil(units) * per_tile;
    if pieces == 1 {
        return multiply;
    }
    let elements = u64::from(product.batch) * u64::from(product.m) * u64::from(product.n);
    multiply + SECOND_DISPATCH + 8 * elements * u64::from(pieces) / BYTES_PER_CYCLE
}

/// Tiles over all batches.
fn tiles(product: &Product, block_m: u32, block_n: u32) -> u32 {
    product.m.div_ceil(block_m).saturating_mul(product.n.div_ceil(block_n)).saturating_mul(product.batch)
}

fn tiled(product: &Product, tile: &Tile, pieces: u32) -> Choice {
    let count = tiles(product, tile.block, tile.block);
    let (splits, k_per_split) = split(product.k, tile.block_k, pieces);
    let mut constants = layout_constants(product);
    constants.extend([
        ("BLOCK_M", tile.block),
        ("BLOCK_N", tile.block),
        ("BLOCK_K", tile.block_k),
        ("THREAD_M", tile.thread),
        ("THREAD_N", tile.thread),
    ]);
    finished("matmul", constants, product, count, splits, k_per_split)
}

/// Register tiles of so many rows, and columns per lane, as the table says; more of them also take longer to compile.
fn by_subgroups(product: &Product, lanes: u32, capabilities: &Capabilities) -> Choice {
    let rows = match product.vector {
        true => Knob::MatmulRows.value(capabilities, product.m as usize),
        false => Knob::MatmulScalarRows.value(capabilities, product.multiply_adds()),
    };
    let rows = (rows as u32).max(lanes);
    let columns = Knob::MatmulColumns.value(capabilities, product.n as usize) as u32;
    let mut constants = layout_constants(product);
    constants.extend([("LANES", lanes), ("ROWS", rows), ("COLUMNS", columns)]);
    let count = tiles(product, rows, columns * lanes);
    let pieces = match Knob::MatmulPiece.value(capabilities, product.m.max(product.n) as usize) as u32 {
        length if length > 0 && product.layout == Layout::TN => product.k.div_ceil(length),
        _ => 1,
    };
    let (splits, k_per_split) = split(product.k, 4, pieces);
    finished("matmul_subgroup", constants, product, count, splits, k_per_split)
}

/// Four neighbouring elements of the result for each invocation.
fn small(product: &Product) -> Choice {
    let whole = Product { vector: false, ..*product };
    finished("matmul_small", layout_constants(&whole), product, quads_in_workgroups(product), 1, product.k)
}

/// Workgroups whose invocations make four neighbouring elements of the result each.
fn quads_in_workgroups(product: &Product) -> u32 {
    const THREADS: u32 = 64;
    let quads = u64::from(product.batch) * u64::from(product.m) * u64::from(product.n.div_ceil(4));
    u32::try_from(quads.div_ceil(u64::from(THREADS))).unwrap_or(u32::MAX)
}

/// Cuts k into about `pieces` pieces of equal length, a multiple of `step`: how many there are, and their length.
fn split(k: u32, step: u32, pieces: u32) -> (u32, u32) {
    let length = k.div_ceil(pieces).next_multiple_of(step);
    (k.div_ceil(length), length)
}

fn finished(
    shader: &'static str,
    mut constants: Vec<(&'static str, u32)>,
    product: &Product,
    tiles: u32,
    splits: u32,
    k_per_split: u32,
) -> Choice {
    // the pieces of a split product are stored raw: the epilogue is the reduction's
    let whole = splits == 1;
    constants.push(("SAVE_PRE", u32::from(product.save_pre && whole)));
    constants.push(("ACTIVATION", if whole { product.activation } else { 0 }));
    let elements = u64::from(product.batch) * u64::from(product.m) * u64::from(product.n);
    let workspace = if splits > 1 { u64::from(splits) * elements } else { 0 };
    Choice { shader, constants, workgroups: tiles.saturating_mul(splits), splits, k_per_split, workspace }
}

fn layout_constants(product: &Product) -> Vec<(&'static str, u32)> {
    vec![
        ("VECTOR", u32::from(product.vector)),
        ("SCALAR", u32::from(!product.vector)),
        ("A_TRANSPOSED", u32::from(product.layout == Layout::TN)),
        ("B_TRANSPOSED", u32::from(product.layout == Layout::NT)),
    ]
}

/// The reduction that follows a split product.
pub fn reduction(product: &Product) -> Choice {
    Choice {
        shader: "matmul_reduce",
        constants: vec![
            ("VECTOR", u32::from(product.vector)),
            ("SCALAR", u32::from(!product.vector)),
            ("SAVE_PRE", u32::from(product.save_pre)),
            ("ACTIVATION", product.activation),
        ],
        workgroups: quads_in_workgroups(product),
        splits: 1,
        k_per_split: product.k,
        workspace: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::choices::{Class, capabilities};

    fn gpu() -> Capabilities {
        capabilities(Class::Discrete, None)
    }

    fn product(m: u32, n: u32, k: u32, layout: Layout) -> Product {
        let vector = Product::sizes_align(layout, m, n, k);
        Product { m, n, k, batch: 1, layout, vector, save_pre: false, activation: 0 }
    }

    fn constant(choice: &Choice, name: &str) -> Option<u32> {
        choice.constants.iter().find(|constant| constant.0 == name).map(|constant| constant.1)
    }

    #[test]
    fn pieces_cover_k_exactly_once() {
        for device in [gpu(), capabilities(Class::Software, Some(8))] {
            for k in (1..5000).step_by(7) {
                for layout in [Layout::NN, Layout::NT, Layout::TN] {
                    let choice = choose(&product(512, 33, k, layout), &device);
                    assert!(
                        u64::from(choice.splits) * u64::from(choice.k_per_split) >= u64::from(k),
                        "{k}: {choice:?}"
                    );
                    assert!((choice.splits - 1) * choice.k_per_split < k, "{k}: {choice:?}");
                    assert_eq!(choice.k_per_split % constant(&choice, "BLOCK_K").unwrap_or(4), 0);
                    assert_eq!(choice.workspace > 0, choice.splits > 1);
                }
            }
        }
    }

    #[test]
    fn large_products_take_large_tiles_and_long_ones_are_split() {
        let large = choose(&product(4096, 4096, 4096, Layout::NT), &gpu());
        assert_eq!((constant(&large, "BLOCK_M"), large.splits, large.workgroups), (Some(128), 1, 1024));
        let long = choose(&product(256, 256, 2048, Layout::TN), &gpu());
        assert!(long.splits > 1 && long.workgroups >= 64, "{long:?}");
        let small = choose(&product(33, 40, 64, Layout::NN), &gpu());
        assert_eq!((constant(&small, "BLOCK_M"), small.splits, small.workgroups), (Some(32), 1, 4));
    }

    #[test]
    fn of_choices_about_as_fast_the_one_with_the_least_workspace_is_taken() {
        // 1.4 % apart: 128 x 128 in four pieces, 64 x 64 in one
        assert_eq!(choose(&product(2048, 256, 768, Layout::NN), &gpu()).splits, 1);
        // 8 % apart: 128 x 128 in 16 pieces, 64 x 64 in four
        let weight = choose(&product(512, 256, 2048, Layout::TN), &gpu());
        assert_eq!((constant(&weight, "BLOCK_M"), weight.splits), (Some(64), 4));
    }

    #[test]
    fn the_smallest_products_of_a_software_adapter_go_without_tiles() {
        let software = capabilities(Class::Software, Some(8));
        let shader = |m, k, device| choose(&product(m, 64, k, Layout::NT), device).shader;
        assert_eq!((shader(256, 1, &software), shader(257, 1, &software)), ("matmul_small", "matmul_subgroup"));
        assert_eq!((shader(2, 3, &gpu()), shader(2, 3, &capabilities(Class::Software, None))), ("matmul", "matmul"));
        assert_eq!(choose(&product(3, 261, 5, Layout::TN), &software).workgroups, 4);
    }

    #[test]
    fn a_forced_tile_is_taken() {
        let forced = Capabilities { forced: vec![("MatmulTile".to_string(), 64)], ..gpu() };
        assert_eq!(constant(&choose(&product(4096, 4096, 4096, Layout::NT), &forced), "BLOCK_M"), Some(64));
    }

    #[test]
    fn a_device_without_room_for_a_tile_gets_a_smaller_one() {
        let mut small = gpu();
        small.limits.max_compute_invocations_per_workgroup = 64;
        let choice = choose(&product(4096, 4096, 64, Layout::NT), &small);
        assert_eq!(constant(&choice, "BLOCK_M"), Some(32));
    }

    #[test]
    fn a_split_product_leaves_its_epilogue_to_the_reduction() {
        let long = Product { save_pre: true, activation: 2, ..product(256, 256, 2048, Layout::TN) };
        let choice = choose(&long, &gpu());
        assert_eq!((constant(&choice, "SAVE_PRE"), constant(&choice, "ACTIVATION")), (Some(0), Some(0)));
        let rest = reduction(&long);
        assert_eq!((constant(&rest, "SAVE_PRE"), constant(&rest, "ACTIVATION")), (Some(1), Some(2)));
        assert_eq!(rest.workgroups, 256);
    }
}
