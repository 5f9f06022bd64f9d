// out[b] = epilogue(alpha * op(A[b]) op(B[b])): matrix product by register tiles, for CPU adapters of one fixed subgroup size.
//
//   Operands, layouts, VECTOR and SCALAR, split k and the epilogue are matmul.wgsl's. Overwrites out.
//
// Dispatch: ceil(n / (COLUMNS * LANES)) * ceil(m / ROWS) * batch * splits workgroups, folded into x and y.
// Workgroup: one subgroup of LANES invocations, without barriers or workgroup memory; a lane makes ROWS x COLUMNS elements.
// LANES is the adapter's subgroup size; ROWS is a multiple of LANES, of 4 and of TURN.
//
// On software adapters loads cost as much as arithmetic, so each element is loaded once per subgroup: the lanes share the loads of
// A, for four steps of k at a time, and broadcast them; each loads its own columns of B. All four steps are added to one
// accumulator before the next: there are more accumulators than registers, and so each travels once instead of four times. They are
// added up by themselves first: Mesa makes a product and a sum of an fma, so that costs nothing, and rounding errors are half as large.
//
// Beyond m and n, edge elements are read again, and their products dropped; beyond k, A counts as zero.

// @import "matmul_epilogue.wgsl"

const VECTOR: u32 = 1u;
const SCALAR: u32 = 0u;
const SAVE_PRE: u32 = 0u;
const ACTIVATION: u32 = 0u; // of shared/activation.wgsl
const A_TRANSPOSED: u32 = 0u;
const B_TRANSPOSED: u32 = 0u;
const LANES: u32 = 8u;
const ROWS: u32 = 32u;
const COLUMNS: u32 = 4u;
const TURN: u32 = 2u; // rows finished at a time

const QUADS: u32 = COLUMNS / 4u;
const ACCUMULATORS: u32 = ROWS * QUADS;
const A_LOADS: u32 = ROWS / LANES;

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

// Four neighbours of memory from `column` of a stored row on. Beyond the matrix its edge is read; along k, A is zero there.
fn load_a(row_start: u32, column: u32, columns: u32) -> vec4<f32> {
    // @if VECTOR
    return a[(row_start + min(column, columns - 4u)) >> 2u];
    // @end
    // @if SCALAR
    let last = columns - 1u;
    let value = vec4<f32>(
        a[row_start + min(column, last)],
        a[row_start + min(column + 1u, last)],
        a[row_start + min(column + 2u, last)],
        a[row_start + min(column + 3u, last)],
    );
    if (A_TRANSPOSED != 0u) {
        return value;
    }
    return select(vec4<f32>(0.0), value, vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(columns));
    // @end
}

fn load_b(row_start: u32, column: u32, columns: u32) -> vec4<f32> {
    // @if VECTOR
    return b[(row_start + min(column, columns - 4u)) >> 2u];
    // @end
    // @if SCALAR
    let last = columns - 1u;
    return vec4<f32>(
        b[row_start + min(column, last)],
        b[row_start + min(column + 1u, last)],
        b[row_start + min(column + 2u, last)],
        b[row_start + min(column + 3u, last)],
    );
    // @end
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let m = dims.m;
    let n = dims.n;
    let tiles_m = (m + ROWS - 1u) / ROWS;
    let tiles_n = (n + COLUMNS * LANES - 1u) / (COLUMNS * LANES);
    let tile = group.x + group.y * groups.x;
    let layer = tile / (tiles_m * tiles_n);
    if (layer >= dims.batch * dims.splits) {
        return;
    }
    let batch = layer % dims.batch;
    let split = layer / dims.batch;
    let first_row = (tile / tiles_n % tiles_m) * ROWS;
    let first_column = (tile % tiles_n) * COLUMNS * LANES;
    let first_k = split * dims.k_per_split;
    let k = min(dims.k, first_k + dims.k_per_split);
    let a_start = dims.a_offset + batch_start(batch, dims.a_outer, dims.a_inner);
    let b_start = dims.b_offset + batch_start(batch, dims.b_outer, dims.b_inner);
    let lda = dims.lda;
    let ldb = dims.ldb;

    var acc: array<vec4<f32>, ACCUMULATORS>;
    for (var depth = first_k; depth < k; depth += 4u) {
        var a_own: array<vec4<f32>, A_LOADS>;
        // @unroll
        for (var q = 0u; q < A_LOADS; q++) {
            if (A_TRANSPOSED == 0u) {
                let row = min(first_row + q * LANES + lane, m - 1u);
                a_own[q] = load_a(a_start + row * lda, depth, k);
            } else {
                let t = q * LANES + lane;
                let at = min(depth + t % 4u, k - 1u);
                a_own[q] = load_a(a_start + at * lda, first_row + t / 4u * 4u, m);
                if (depth + t % 4u >= k) {
                    a_own[q] = vec4<f32>(0.0);
                }
            }
        }
        // row kk of B's four: b_rows[kk * QUADS + j]
        var b_rows: array<vec4<f32>, 4u * QUADS>;
        // @unroll
        for (var j = 0u; j < QUADS; j++) {
            let column = first_column + (j * LANES + lane) * 4u;
            if (B_TRANSPOSED != 0u) {
                let s0 = load_b(b_start + min(column, n - 1u) * ldb, depth, k);
                let s1 = load_b(b_start + min(column + 1u, n - 1u) * ldb, depth, k);
                let s2 = load_b(b_start + min(column + 2u, n - 1u) * ldb, depth, k);
                let s3 = load_b(b_start + min(column + 3u, n - 1u) * ldb, depth, k);
                b_rows[0u * QUADS + j] = vec4<f32>(s0.x, s1.x, s2.x, s3.x);
                b_rows[1u * QUADS + j] = vec4<f32>(s0.y, s1.y, s2.y, s3.y);
                b_rows[2u * QUADS + j] = vec4<f32>(s0.z, s1.z, s2.z, s3.z);
                b_rows[3u * QUADS + j] = vec4<f32>(s0.w, s1.w, s2.w, s3.w);
            } else {
                // @unroll
                for (var kk = 0u; kk < 4u; kk++) {
                    b_rows[kk * QUADS + j] = load_b(b_start + min(depth + kk, k - 1u) * ldb, column, n);
                }
            }
        }
        // @unroll
        for (var i = 0u; i < ROWS; i++) {
            var v: vec4<f32>;
            // @unroll
            for (var kk = 0u; kk < 4u; kk++) {
                if (A_TRANSPOSED == 0u) {
                    v[kk] = subgroupBroadcast(a_own[i / LANES][kk], i % LANES);
                } else {
                    v[kk] = subgroupBroadcast(a_own[(i / 4u * 4u + kk) / LANES][i % 4u], (i / 4u * 4u + kk) % LANES);
                }
            }
            // @unroll
            for (var j = 0u; j < QUADS; j++) {
                let pair = fma(vec4<f32>(v.y), b_rows[QUADS + j], v.x * b_rows[j]);
                let next = fma(vec4<f32>(v.w), b_rows[3u * QUADS + j], v.z * b_rows[2u * QUADS + j]);
                acc[i * QUADS + j] += pair + next;
            }
        }
    }

    // the accumulators move up by a few rows per turn, so that the epilogue's code exists once for these
    let out_start = batch_start(batch, dims.out_outer, dims.out_inner);
    for (var i = 0u; i < ROWS; i += TURN) {
        // @unroll
        for (var r = 0u; r < TURN; r++) {
            // @unroll
            for (var j = 0u; j < QUADS; j++) {
                finish(
                    group.z,
                    batch,
                    split,
                    out_start,
                    first_row + i + r,
                    first_column + (j * LANES + lane) * 4u,
                    acc[r * QUADS + j],
                );
            }
        }
        // @unroll
        for (var s = 0u; s < ACCUMULATORS - TURN * QUADS; s++) {
            acc[s] = acc[s + TURN * QUADS];
        }
    }
}
