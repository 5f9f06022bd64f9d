// Convolution in 1 to 3 dimensions, and its gradients, as an implicit matrix product by tiles in workgroup memory, any adapter.
//
//   What A, B, rows, columns and k are is shared/conv_view.wgsl's, what happens to a finished element shared/conv_finish.wgsl's.
//   With dims.splits > 1, piece s of k goes to out + s * split_stride, for reduce_columns.wgsl to sum. Overwrites out.
//
// Dispatch: ceil(rows / BLOCK_M) * ceil(columns / BLOCK_N) * layers workgroups, folded into x and y; layers are groups * splits * phases.
// Workgroup: (BLOCK_M / 4) * (BLOCK_N / 4) invocations; each makes 4 x 4 elements, over BLOCK_K of k at a time. The next tile's
// elements are loaded into registers before this tile is multiplied.

// @import "conv_loads.wgsl"
// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"

const BLOCK_M: u32 = 64u;
const BLOCK_N: u32 = 64u;
const BLOCK_K: u32 = 16u;

const THREADS_M: u32 = BLOCK_M / 4u;
const THREADS_N: u32 = BLOCK_N / 4u;
const THREADS: u32 = THREADS_M * THREADS_N;
const QUADS_K: u32 = BLOCK_K / 4u;
const A_COPIES: u32 = BLOCK_M * QUADS_K / THREADS;
const B_COPIES: u32 = BLOCK_K * THREADS_N / THREADS;

// @if A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
// @end
// @if !A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<f32>;
// @end
// @if B_QUADS
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// @end
// @if !B_QUADS
@group(0) @binding(1) var<storage, read> b: array<f32>;
// @end

// A by vec4 along k: [quad of k][row]; B by vec4 along its columns: [k][quad of columns].
var<workgroup> a_tile: array<vec4<f32>, QUADS_K * BLOCK_M>;
var<workgroup> b_tile: array<vec4<f32>, BLOCK_K * THREADS_N>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tiles_m = (dims.rows + BLOCK_M - 1u) / BLOCK_M;
    let tiles_n = (dims.columns + BLOCK_N - 1u) / BLOCK_N;
    let tile = id.x + id.y * ids.x;
    let layer = tile / (tiles_m * tiles_n);
    if (layer >= dims.layers) {
        return;
    }
    let view = view_of(layer);
    let first_row = tile / tiles_n % tiles_m * BLOCK_M;
    let first_column = tile % tiles_n * BLOCK_N;
    if (first_column >= view.columns) {
        return;
    }
    let tx = thread % THREADS_N;
    let ty = thread / THREADS_N;
    // an invocation always fetches the same columns of B
    let columns = columns_at(view, first_column + tx * 4u);

    var acc: array<vec4<f32>, 4>;
    var a_next: array<vec4<f32>, A_COPIES>;
    var b_next: array<vec4<f32>, B_COPIES>;
    // one turn more than there are tiles: turn t loads tile t and multiplies tile t - 1; none where no tap counts
    let turns_end = select(0u, view.k_end + BLOCK_K, view.k_end > view.first_k);
    for (var depth = view.first_k; depth < turns_end; depth += BLOCK_K) {
        // @unroll
        for (var c = 0u; c < A_COPIES; c++) {
            let t = thread + c * THREADS;
            a_next[c] = load_a(view, first_row + t / QUADS_K, depth + t % QUADS_K * 4u);
        }
        // @unroll
        for (var c = 0u; c < B_COPIES; c++) {
            b_next[c] = load_b(view, min(depth + ty + c * THREADS_M, view.k_end - 1u), columns);
        }
        if (depth > view.first_k) {
            // @unroll
            for (var quad = 0u; quad < QUADS_K; quad++) {
                let b0 = b_tile[(quad * 4u) * THREADS_N + tx];
                let b1 = b_tile[(quad * 4u + 1u) * THREADS_N + tx];
                let b2 = b_tile[(quad * 4u + 2u) * THREADS_N + tx];
                let b3 = b_tile[(quad * 4u + 3u) * THREADS_N + tx];
                // @unroll
                for (var i = 0u; i < 4u; i++) {
                    let row = a_tile[quad * BLOCK_M + i * THREADS_M + ty];
                    acc[i] = fma(vec4<f32>(row.x), b0, acc[i]);
                    acc[i] = fma(vec4<f32>(row.y), b1, acc[i]);
                    acc[i] = fma(vec4<f32>(row.z), b2, acc[i]);
                    acc[i] = fma(vec4<f32>(row.w), b3, acc[i]);
                }
            }
        }
        workgroupBarrier();
        // @unroll
        for (var c = 0u; c < A_COPIES; c++) {
            let t = thread + c * THREADS;
            a_tile[t % QUADS_K * BLOCK_M + t / QUADS_K] = a_next[c];
        }
        // @unroll
        for (var c = 0u; c < B_COPIES; c++) {
            b_tile[(ty + c * THREADS_M) * THREADS_N + tx] = b_next[c];
        }
        workgroupBarrier();
    }
    let places = places_out(view, first_column + tx * 4u);
    for (var i = 0u; i < 4u; i++) {
        finish(view, first_row + i * THREADS_M + ty, places, acc[0]);
        acc[0] = acc[1];
        acc[1] = acc[2];
        acc[2] = acc[3];
    }
}
