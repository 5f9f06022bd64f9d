// partials[s, b] = op(A[b]) op(B[b]) over piece s of k: matrix product of halves by cooperative matrices, summed in 32 bits.
//
//   A is [m, k], or [k, m] under A_TRANSPOSED; B is [k, n], or [n, k] under B_TRANSPOSED; rows lda and ldb apart, matrices a_stride
//   and b_stride. All of these, m, n, k and k_per_split are multiples of TILE: matmul_pack.wgsl pads with zeros. partials is dense;
//   matmul_reduce.wgsl sums it and does what follows a product. Overwrites partials.
//
// Dispatch: ceil(m / BLOCK) * ceil(n / BLOCK) * batch * splits workgroups, folded into x and y.
// Workgroup: 2 x 2 subgroups of LANES invocations; each makes TILES x TILES matrices of TILE x TILE elements.
//
// Matrices are loaded straight from the buffers: nothing passes from one invocation to another, so no barrier is needed and the
// memory model has nothing to order. Past the last row or column a subgroup multiplies the last matrix there once more, and drops it.

enable f16;
enable wgpu_cooperative_matrix;

const TILE_8: u32 = 0u;
const TILE_16: u32 = 1u;
const A_TRANSPOSED: u32 = 0u;
const B_TRANSPOSED: u32 = 0u;
const LANES: u32 = 32u;
const TILES: u32 = 4u;

const TILE: u32 = 8u * TILE_8 + 16u * TILE_16;
const THREADS: u32 = 4u * LANES;
const SHARE: u32 = TILES * TILE;
const BLOCK: u32 = 2u * SHARE;
const SUMS: u32 = TILES * TILES;

// @if TILE_8
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
// @end
// @if TILE_16
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
// @end

// Not called Dims, whose members src/gpu/preprocess.rs makes look as if they varied: control flow must be uniform here.
struct Sizes {
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    lda: u32,
    ldb: u32,
    a_stride: u32,
    b_stride: u32,
    splits: u32,
    k_per_split: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<f16>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> dims: Sizes;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
) {
    let blocks_m = (dims.m + BLOCK - 1u) / BLOCK;
    let blocks_n = (dims.n + BLOCK - 1u) / BLOCK;
    let block = group.x + group.y * groups.x;
    let layer = block / (blocks_m * blocks_n);
    if (layer >= dims.batch * dims.splits) {
        return;
    }
    let batch = layer % dims.batch;
    let first_row = block / blocks_n % blocks_m * BLOCK + subgroup / 2u * SHARE;
    let first_column = block % blocks_n * BLOCK + subgroup % 2u * SHARE;
    let first_k = layer / dims.batch * dims.k_per_split;
    let end_k = min(dims.k, first_k + dims.k_per_split);
    let a_start = batch * dims.a_stride;
    let b_start = batch * dims.b_stride;

    var sums: array<Sum, SUMS>;
    for (var depth = first_k; depth < end_k; depth += TILE) {
        var right: array<Right, TILES>;
        // @unroll
        for (var j = 0u; j < TILES; j++) {
            let column = min(first_column + j * TILE, dims.n - TILE);
            // @if B_TRANSPOSED
            right[j] = coopLoad<Right>(&b[b_start + column * dims.ldb + depth], dims.ldb);
            // @end
            // @if !B_TRANSPOSED
            right[j] = coopLoadT<Right>(&b[b_start + depth * dims.ldb + column], dims.ldb);
            // @end
        }
        // @unroll
        for (var i = 0u; i < TILES; i++) {
            let row = min(first_row + i * TILE, dims.m - TILE);
            // @if A_TRANSPOSED
            let left = coopLoad<Left>(&a[a_start + depth * dims.lda + row], dims.lda);
            // @end
            // @if !A_TRANSPOSED
            let left = coopLoadT<Left>(&a[a_start + row * dims.lda + depth], dims.lda);
            // @end
            // @unroll
            for (var j = 0u; j < TILES; j++) {
                sums[i * TILES + j] = coopMultiplyAdd(left, right[j], sums[i * TILES + j]);
            }
        }
    }

    // the place and the distance have names because naga's SPIR-V writer wants them evaluated before the store
    let columns = dims.n;
    // @unroll
    for (var i = 0u; i < TILES; i++) {
        // @unroll
        for (var j = 0u; j < TILES; j++) {
            let sum = sums[i * TILES + j];
            let row = first_row + i * TILE;
            let column = first_column + j * TILE;
            let at = (layer * dims.m + row) * columns + column;
            if (row < dims.m && column < columns) {
                coopStoreT(sum, &partials[at], columns);
            }
        }
    }
}
