// out[b] = epilogue(alpha * op(A[b]) op(B[b])): matrix product by tiles in workgroup memory, any adapter.
//
//   out [batch, m, n]; the epilogue (bias, activation, dropout, residual) is shared/matmul_epilogue.wgsl's. Overwrites out.
//   A is [m, k], or [k, m] under A_TRANSPOSED; B is [k, n], or [n, k] under B_TRANSPOSED; rows lda and ldb apart.
//   VECTOR: offsets, strides, leading dimensions and the sizes along memory are multiples of 4. SCALAR (the other): anything.
//   With dims.splits > 1, piece s of k goes to out + s * split_stride, for matmul_reduce.wgsl to sum.
//
// Dispatch: ceil(n / BLOCK_N) * ceil(m / BLOCK_M) * batch * splits workgroups, folded into x and y.
// Workgroup: THREADS invocations; each makes THREAD_M x THREAD_N elements of a BLOCK_M x BLOCK_N tile, over BLOCK_K of k at a time.
//
// Both tiles consist of 4 x 4 blocks, each stored as four vec4 along memory: rows of the block where memory runs along m or n,
// columns of it where memory runs along k. So copies into the tiles and reads from them are vec4 in every layout, and a
// block of the other kind is transposed in registers by the one who reads it. The tiles' rows are padded by one vec4 against
// bank conflicts. The next tile's elements are loaded into registers before this tile is multiplied.

// @import "matmul_epilogue.wgsl"

const VECTOR: u32 = 1u;
const SCALAR: u32 = 0u;
const SAVE_PRE: u32 = 0u;
const ACTIVATION: u32 = 0u; // of shared/activation.wgsl
const A_TRANSPOSED: u32 = 0u;
const B_TRANSPOSED: u32 = 0u;
const BLOCK_M: u32 = 64u;
const BLOCK_N: u32 = 64u;
const BLOCK_K: u32 = 16u;
const THREAD_M: u32 = 4u;
const THREAD_N: u32 = 4u;

const THREADS_M: u32 = BLOCK_M / THREAD_M;
const THREADS_N: u32 = BLOCK_N / THREAD_N;
const THREADS: u32 = THREADS_M * THREADS_N;
// vec4 per invocation: accumulators of a row and of all rows; copies into the tiles
const QUADS_N: u32 = THREAD_N / 4u;
const QUADS_M: u32 = THREAD_M / 4u;
const ACCUMULATORS: u32 = THREAD_M * QUADS_N;
const A_COPIES: u32 = BLOCK_M * BLOCK_K / 4u / THREADS;
const B_COPIES: u32 = BLOCK_N * BLOCK_K / 4u / THREADS;
const A_STRIDE: u32 = BLOCK_M / 4u + 1u;
const B_STRIDE: u32 = BLOCK_N / 4u + 1u;

// @if VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if SCALAR
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
// @end
@group(0) @binding(5) var<uniform> dims: Dims;
@group(0) @binding(6) var<uniform> step: Step;
// @if SAVE_PRE
// @if VECTOR
@group(0) @binding(7) var<storage, read_write> pre: array<vec4<f32>>;
// @end
// @if SCALAR
@group(0) @binding(7) var<storage, read_write> pre: array<f32>;
// @end
// @end

var<workgroup> a_tile: array<vec4<f32>, BLOCK_K * A_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, BLOCK_K * B_STRIDE>;

// Four neighbours of memory, from row `row` and column `column` of a stored matrix on; zeros outside it.
fn load_a(start: u32, row: u32, column: u32, rows: u32, columns: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    if (row < rows && column < columns) {
        let at = start + row * dims.lda + column;
        // @if VECTOR
        value = a[at >> 2u];
        // @end
        // @if SCALAR
        let last = columns - column;
        value.x = a[at];
        if (last > 1u) { value.y = a[at + 1u]; }
        if (last > 2u) { value.z = a[at + 2u]; }
        if (last > 3u) { value.w = a[at + 3u]; }
        // @end
    }
    return value;
}

fn load_b(start: u32, row: u32, column: u32, rows: u32, columns: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    if (row < rows && column < columns) {
        let at = start + row * dims.ldb + column;
        // @if VECTOR
        value = b[at >> 2u];
        // @end
        // @if SCALAR
        let last = columns - column;
        value.x = b[at];
        if (last > 1u) { value.y = b[at + 1u]; }
        if (last > 2u) { value.z = b[at + 2u]; }
        if (last > 3u) { value.w = b[at + 3u]; }
        // @end
    }
    return value;
}

// Where copy `t` of a tile comes from, relative to the tile's first element, and where in the tile it goes.
struct Place {
    outer: u32, // along m or n
    depth: u32, // along k
    slot: u32,
}

fn place(t: u32, along_k: bool, block: u32, stride: u32) -> Place {
    if (along_k) {
        // memory runs along k: a vec4 is a column of its 4 x 4 block
        let outer = t / (BLOCK_K / 4u);
        let quad = t % (BLOCK_K / 4u);
        return Place(outer, quad * 4u, (quad * 4u + outer % 4u) * stride + outer / 4u);
    }
    let quads = block / 4u;
    return Place((t % quads) * 4u, t / quads, (t / quads) * stride + t % quads);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let m = dims.m;
    let n = dims.n;
    let tiles_m = (m + BLOCK_M - 1u) / BLOCK_M;
    let tiles_n = (n + BLOCK_N - 1u) / BLOCK_N;
    let tile = group.x + group.y * groups.x;
    let layer = tile / (tiles_m * tiles_n);
    if (layer >= dims.batch * dims.splits) {
        return;
    }
    let batch = layer % dims.batch;
    let split = layer / dims.batch;
    let first_row = (tile / tiles_n % tiles_m) * BLOCK_M;
    let first_column = (tile % tiles_n) * BLOCK_N;
    let first_k = split * dims.k_per_split;
    let k = min(dims.k, first_k + dims.k_per_split);
    let a_start = dims.a_offset + batch_start(batch, dims.a_outer, dims.a_inner);
    let b_start = dims.b_offset + batch_start(batch, dims.b_outer, dims.b_inner);

    // 8 x 4 invocations are neighbours: few distinct addresses per 32 in each read of a tile
    let tx = thread % 8u + thread / 32u % (THREADS_N / 8u) * 8u;
    let ty = thread / 8u % 4u + thread / 32u / (THREADS_N / 8u) * 4u;

    var acc: array<vec4<f32>, ACCUMULATORS>;
    var a_next: array<vec4<f32>, A_COPIES>;
    var b_next: array<vec4<f32>, B_COPIES>;

    // one turn more than there are tiles: turn t loads tile t and multiplies tile t - 1
    for (var depth = first_k; depth < k + BLOCK_K; depth += BLOCK_K) {
        // @unroll
        for (var c = 0u; c < A_COPIES; c++) {
            let p = place(thread + c * THREADS, A_TRANSPOSED == 0u, BLOCK_M, A_STRIDE);
            if (A_TRANSPOSED == 0u) {
                a_next[c] = load_a(a_start, first_row + p.outer, depth + p.depth, m, k);
            } else {
                a_next[c] = load_a(a_start, depth + p.depth, first_row + p.outer, k, m);
            }
        }
        // @unroll
        for (var c = 0u; c < B_COPIES; c++) {
            let p = place(thread + c * THREADS, B_TRANSPOSED != 0u, BLOCK_N, B_STRIDE);
            if (B_TRANSPOSED != 0u) {
                b_next[c] = load_b(b_start, first_column + p.outer, depth + p.depth, n, k);
            } else {
                b_next[c] = load_b(b_start, depth + p.depth, first_column + p.outer, k, n);
            }
        }
        if (depth > first_k) {
            // @unroll
            for (var quad = 0u; quad < BLOCK_K / 4u; quad++) {
                // row kk of B's blocks: b_rows[kk * QUADS_N + j]
                var b_rows: array<vec4<f32>, 4u * QUADS_N>;
                // @unroll
                for (var j = 0u; j < QUADS_N; j++) {
                    let at = quad * 4u * B_STRIDE + j * THREADS_N + tx;
                    let s0 = b_tile[at];
                    let s1 = b_tile[at + B_STRIDE];
                    let s2 = b_tile[at + 2u * B_STRIDE];
                    let s3 = b_tile[at + 3u * B_STRIDE];
                    if (B_TRANSPOSED != 0u) {
                        b_rows[0u * QUADS_N + j] = vec4<f32>(s0.x, s1.x, s2.x, s3.x);
                        b_rows[1u * QUADS_N + j] = vec4<f32>(s0.y, s1.y, s2.y, s3.y);
                        b_rows[2u * QUADS_N + j] = vec4<f32>(s0.z, s1.z, s2.z, s3.z);
                        b_rows[3u * QUADS_N + j] = vec4<f32>(s0.w, s1.w, s2.w, s3.w);
                    } else {
                        b_rows[0u * QUADS_N + j] = s0;
                        b_rows[1u * QUADS_N + j] = s1;
                        b_rows[2u * QUADS_N + j] = s2;
                        b_rows[3u * QUADS_N + j] = s3;
                    }
                }
                // @unroll
                for (var r = 0u; r < QUADS_M; r++) {
                    let at = quad * 4u * A_STRIDE + r * THREADS_M + ty;
                    let s0 = a_tile[at];
                    let s1 = a_tile[at + A_STRIDE];
                    let s2 = a_tile[at + 2u * A_STRIDE];
                    let s3 = a_tile[at + 3u * A_STRIDE];
                    // four rows of m, each along k
                    var rows = array<vec4<f32>, 4>(s0, s1, s2, s3);
                    if (A_TRANSPOSED != 0u) {
                        rows = array<vec4<f32>, 4>(
                            vec4<f32>(s0.x, s1.x, s2.x, s3.x),
                            vec4<f32>(s0.y, s1.y, s2.y, s3.y),
                            vec4<f32>(s0.z, s1.z, s2.z, s3.z),
                            vec4<f32>(s0.w, s1.w, s2.w, s3.w),
                        );
                    }
                    // @unroll
                    for (var kk = 0u; kk < 4u; kk++) {
                        // @unroll
                        for (var i = 0u; i < 4u; i++) {
                            // @unroll
                            for (var j = 0u; j < QUADS_N; j++) {
                                acc[(r * 4u + i) * QUADS_N + j] = fma(
                                    vec4<f32>(rows[i][kk]),
                                    b_rows[kk * QUADS_N + j],
                                    acc[(r * 4u + i) * QUADS_N + j],
                                );
                            }
                        }
                    }
                }
            }
        }
        if (depth < k) {
            workgroupBarrier();
            // @unroll
            for (var c = 0u; c < A_COPIES; c++) {
                a_tile[place(thread + c * THREADS, A_TRANSPOSED == 0u, BLOCK_M, A_STRIDE).slot] = a_next[c];
            }
            // @unroll
            for (var c = 0u; c < B_COPIES; c++) {
                b_tile[place(thread + c * THREADS, B_TRANSPOSED != 0u, BLOCK_N, B_STRIDE).slot] = b_next[c];
            }
            workgroupBarrier();
        }
    }

    // the accumulators move up by a row per turn, so that the epilogue's code exists once
    let out_start = batch_start(batch, dims.out_outer, dims.out_inner);
    for (var i = 0u; i < THREAD_M; i++) {
        let row = first_row + (i / 4u * THREADS_M + ty) * 4u + i % 4u;
        // @unroll
        for (var j = 0u; j < QUADS_N; j++) {
            finish(group.z, batch, split, out_start, row, first_column + (j * THREADS_N + tx) * 4u, acc[j]);
        }
        // @unroll
        for (var s = 0u; s < ACCUMULATORS - QUADS_N; s++) {
            acc[s] = acc[s + QUADS_N];
        }
    }
}
