// Convolution and its gradients by register tiles, for CPU adapters of one fixed subgroup size.
//
//   Operands, the finish and split k are conv.wgsl's. Overwrites out.
//
// Dispatch: ceil(rows / ROWS) * ceil(columns / (4 * LANES)) * layers workgroups, folded into x and y.
// Workgroup: one subgroup of LANES invocations, without barriers or workgroup memory; a lane makes ROWS x 4 elements. LANES is the
// adapter's subgroup size; ROWS is a multiple of LANES and of TURN.
//
// As in matmul_subgroup.wgsl the lanes share the loads of A, four steps of k at a time, and broadcast them; each gathers its own
// columns of B; and the four are added up by themselves.

// @import "conv_loads.wgsl"
// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"

const LANES: u32 = 8u;
const ROWS: u32 = 32u;
const TURN: u32 = 2u; // rows finished at a time
const A_LOADS: u32 = ROWS / LANES;

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

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tiles_m = (dims.rows + ROWS - 1u) / ROWS;
    let tiles_n = (dims.columns + 4u * LANES - 1u) / (4u * LANES);
    let tile = id.x + id.y * ids.x;
    let layer = tile / (tiles_m * tiles_n);
    if (layer >= dims.layers) {
        return;
    }
    let view = view_of(layer);
    let first_row = tile / tiles_n % tiles_m * ROWS;
    let first_column = tile % tiles_n * (4u * LANES) + lane * 4u;
    if (tile % tiles_n * (4u * LANES) >= view.columns) {
        return;
    }
    let columns = columns_at(view, first_column);

    var acc: array<vec4<f32>, ROWS>;
    for (var depth = view.first_k; depth < view.k_end; depth += 4u) {
        var a_own: array<vec4<f32>, A_LOADS>;
        // @unroll
        for (var q = 0u; q < A_LOADS; q++) {
            a_own[q] = load_a(view, first_row + q * LANES + lane, depth);
        }
        let b_rows = load_b_rows(view, depth, columns);
        // @unroll
        for (var i = 0u; i < ROWS; i++) {
            var v: vec4<f32>;
            // @unroll
            for (var kk = 0u; kk < 4u; kk++) {
                v[kk] = subgroupBroadcast(a_own[i / LANES][kk], i % LANES);
            }
            let pair = fma(vec4<f32>(v.y), b_rows[1], v.x * b_rows[0]);
            let next = fma(vec4<f32>(v.w), b_rows[3], v.z * b_rows[2]);
            acc[i] += pair + next;
        }
    }

    let places = places_out(view, first_column);
    // the accumulators move up by a few rows per turn, so that the epilogue's code exists once for these
    for (var i = 0u; i < ROWS; i += TURN) {
        // @unroll
        for (var r = 0u; r < TURN; r++) {
            finish(view, first_row + i + r, places, acc[r]);
        }
        // @unroll
        for (var s = 0u; s < ROWS - TURN; s++) {
            acc[s] = acc[s + TURN];
        }
    }
}
