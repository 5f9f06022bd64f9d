// Masked multi-head attention, gradient of the queries, for software adapters whose subgroups have LANES lanes: as
// attention_backward_q.wgsl, same bindings, shapes and results.
//
// A lane owns ROWS queries. Dispatch: batch * heads * ceil(query_len / (LANES * ROWS)) workgroups, folded over x and y.
// Workgroup: LANES, one subgroup.

const HEAD_DIM: u32 = 64u;
const VALUE_DIM: u32 = 64u;
const VECTOR: u32 = 1u;
const PAIR: u32 = 0u;
const DROPOUT: u32 = 1u;
const LANES: u32 = 8u;
const ROWS: u32 = 4u;
const TILE_COLS: u32 = 16u;
const GROUP: u32 = 1u; // columns whose rows are loaded together, so that no lane idles

// @import "attention_dims.wgsl"
// @import "attention_place.wgsl"
@group(0) @binding(0) var<uniform> dims: Dims;
// @import "attention_q.wgsl"
// @import "attention_k.wgsl"
// @import "attention_v.wgsl"
// @import "attention_dout.wgsl"
@group(0) @binding(5) var<storage, read> mask: array<u32>;
@group(0) @binding(6) var<storage, read> stats: array<vec2<f32>>;
// @import "attention_dq.wgsl"
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(8) var<uniform> step: Step;
// @import "random.wgsl"
// @end
// @import "attention_mask_read.wgsl"
// @import "attention_subgroup.wgsl"
// @import "attention_subgroup_query.wgsl"

// log2 of a tile's weights, LOWEST where masked, and their gradients; a lane reads only what it wrote.
var<workgroup> tile: array<vec4<f32>, TILE_COLS * LANES>;
var<workgroup> dtile: array<vec4<f32>, TILE_COLS * LANES>;

fn row_chunk(place: Place, dual: bool, row: u32, chunk: u32) -> vec4<f32> {
    let query = min(row, dims.query_len - 1u);
    if (dual) { return load_dout(place, query, chunk); }
    return load_q(place, query, chunk);
}

fn column_chunk(place: Place, dual: bool, column: u32, chunk: u32) -> vec4<f32> {
    let key = min(column, dims.key_len - 1u);
    if (dual) { return load_v(place, key, chunk); }
    return load_k(place, key, chunk);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let place = find_place(group, groups, dims.query_len, TILE_ROWS);
    if (!place.exists) { return; }
    let row = place.row0 + lane;
    let position = query_base(place) + row;

    var row_lse = vec4<f32>(EMPTY_LSE);
    var row_delta = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
        if (row + r * LANES < dims.query_len) {
            row_lse[r] = stats[position + r * LANES].x;
            row_delta[r] = stats[position + r * LANES].y;
        }
    }
    let live = row_lse < vec4<f32>(LIVE_LSE);
    row_lse = select(vec4<f32>(0.0), row_lse, live) * LOG2_E;

    var result: array<vec4<f32>, ROWS * OUT_CHUNKS>;
    let key_end = visible_key_end(place, any(live), lane);
    for (var key0 = 0u; key0 < key_end; key0 += TILE_COLS) {
        let bits = visible_bits(place, key0, lane);
        let scores = tile_scores(place, false, key0, lane);
        // @unroll
        for (var c = 0u; c < TILE_COLS; c++) {
            var s = vec4<f32>(LOWEST);
            // @unroll
            for (var r = 0u; r < ROWS; r++) {
                s[r] = scores[c * ROWS + r] * (dims.scale * LOG2_E) - row_lse[r];
            }
            tile[c * LANES + lane] = select(vec4<f32>(LOWEST), s, (bits & vec4<u32>(1u << c)) != vec4<u32>(0u));
        }
        let dweights = tile_scores(place, true, key0, lane);
        // @unroll
        for (var c = 0u; c < TILE_COLS; c++) {
            var s = vec4<f32>(0.0);
            // @unroll
            for (var r = 0u; r < ROWS; r++) {
                s[r] = dweights[c * ROWS + r];
            }
            dtile[c * LANES + lane] = s;
        }
        for (var first = 0u; first < TILE_COLS; first += GROUP) {
            var spread: array<vec4<f32>, GROUP_LOADS>;
            var weights: array<vec4<f32>, GROUP>;
            // @unroll
            for (var t = 0u; t < GROUP_LOADS; t++) {
                let chunk = (t * LANES + lane) % OUT_CHUNKS;
                let c = first + (t * LANES + lane) / OUT_CHUNKS;
                if (chunk < HEAD_CHUNKS && column_readable(bits, key0, c)) { spread[t] = column_chunk(place, false, key0 + c, chunk); }
            }
            // @unroll
            for (var g = 0u; g < GROUP; g++) {
                let s = tile[(first + g) * LANES + lane];
                var dweight = dtile[(first + g) * LANES + lane];
                // @if DROPOUT
                // @unroll
                for (var r = 0u; r < ROWS; r++) {
                    dweight[r] *= dropout_scale(dims.node, (position + r * LANES) * dims.key_len + key0 + first + g, dims.dropout);
                }
                // @end
                weights[g] = select(exp2(s) * (dweight - row_delta), vec4<f32>(0.0), s <= vec4<f32>(MASKED));
            }
            add_weighted(&result, weights, spread);
        }
    }

    for (var first = 0u; first < OUT_CHUNKS; first += TURN) {
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            let query = row + r * LANES;
            if (query < dims.query_len) {
                // @unroll
                for (var n = 0u; n < TURN; n++) {
                    store_dq(place, query, first + n, select(vec4<f32>(0.0), result[r * OUT_CHUNKS + n] * dims.scale, live[r]));
                }
            }
        }
        advance(&result);
    }
}
