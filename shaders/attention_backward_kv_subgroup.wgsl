// Masked multi-head attention, gradients of keys and values, for software adapters whose subgroups have LANES lanes: as
// attention_backward_kv.wgsl, same bindings, shapes and results.
//
// A lane owns ROWS keys. Dispatch: batch * heads * ceil(key_len / (LANES * ROWS)) workgroups, folded over x and y.
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
// @import "attention_dk.wgsl"
// @import "attention_dv.wgsl"
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(9) var<uniform> step: Step;
// @import "random.wgsl"
// @end
// @import "attention_mask_read.wgsl"
// @import "attention_subgroup.wgsl"

// log2 of a tile's weights, LOWEST where masked, and their gradients; a lane reads only what it wrote.
var<workgroup> tile: array<vec4<f32>, TILE_COLS * LANES>;
var<workgroup> dtile: array<vec4<f32>, TILE_COLS * LANES>;

fn row_chunk(place: Place, dual: bool, row: u32, chunk: u32) -> vec4<f32> {
    let key = min(row, dims.key_len - 1u);
    if (dual) { return load_v(place, key, chunk); }
    return load_k(place, key, chunk);
}

fn column_chunk(place: Place, dual: bool, column: u32, chunk: u32) -> vec4<f32> {
    let query = min(column, dims.query_len - 1u);
    if (dual) { return load_dout(place, query, chunk); }
    return load_q(place, query, chunk);
}

// One past the last query that sees any key, 0 if no key of this block is live.
fn live_query_end(base: u32, live: bool, lane: u32) -> u32 {
    var end = 0u;
    for (var query = lane; query < dims.query_len; query += LANES) {
        if (stats[base + query].x < LIVE_LSE) { end = query + 1u; }
    }
    return select(0u, subgroupMax(end), subgroupAny(live));
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let place = find_place(group, groups, dims.key_len, TILE_ROWS);
    if (!place.exists) { return; }
    let row = place.row0 + lane;
    let position = query_base(place);
    var live = vec4<bool>(false);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
        live[r] = key_valid(place.sample, row + r * LANES);
    }

    var dk_sum: array<vec4<f32>, ROWS * OUT_CHUNKS>;
    var dv_sum: array<vec4<f32>, ROWS * OUT_CHUNKS>;
    let query_end = live_query_end(position, any(live), lane);
    // With a causal mask no query before the first key of this block sees any of it.
    let query_start = select(0u, place.row0 - place.row0 % TILE_COLS, dims.causal != 0u);
    for (var query0 = query_start; query0 < query_end; query0 += TILE_COLS) {
        var flags: array<bool, TILE_LOADS>;
        var lse2: array<f32, TILE_LOADS>;
        var words: array<u32, TILE_LOADS>;
        // @unroll
        for (var t = 0u; t < TILE_LOADS; t++) {
            let query = query0 + t * LANES + lane;
            let value = stats[position + min(query, dims.query_len - 1u)].x;
            flags[t] = query < dims.query_len && value < LIVE_LSE;
            lse2[t] = select(0.0, value, flags[t]) * LOG2_E;
            if (PAIR != 0u) { words[t] = pair_word(place.sample, query, place.row0 / 32u); }
        }
        let bits = column_bits(flags);
        let scores = tile_scores(place, false, query0, lane);
        // @unroll
        for (var c = 0u; c < TILE_COLS; c++) {
            let shift = subgroupBroadcast(lse2[c / LANES], c % LANES);
            var seen = vec4<bool>((bits & (1u << c)) != 0u);
            if (PAIR != 0u) {
                let pairs = subgroupBroadcast(words[c / LANES], c % LANES) >> (row % 32u);
                seen = seen & ((vec4<u32>(pairs) & (vec4<u32>(1u) << (vec4<u32>(0u, 1u, 2u, 3u) * LANES))) != vec4<u32>(0u));
            }
            var s = vec4<f32>(LOWEST);
            // @unroll
            for (var r = 0u; r < ROWS; r++) {
                s[r] = scores[c * ROWS + r] * (dims.scale * LOG2_E) - shift;
            }
            tile[c * LANES + lane] = select(vec4<f32>(LOWEST), s, seen);
        }
        let dweights = tile_scores(place, true, query0, lane);
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
            var spread_dout: array<vec4<f32>, GROUP_LOADS>;
            var weights: array<vec4<f32>, GROUP>;
            var dscores: array<vec4<f32>, GROUP>;
            // @unroll
            for (var t = 0u; t < GROUP_LOADS; t++) {
                let chunk = (t * LANES + lane) % OUT_CHUNKS;
                let c = first + (t * LANES + lane) / OUT_CHUNKS;
                if ((bits & (1u << c)) != 0u) {
                    if (chunk < HEAD_CHUNKS) { spread[t] = column_chunk(place, false, query0 + c, chunk); }
                    if (chunk < VALUE_CHUNKS) { spread_dout[t] = column_chunk(place, true, query0 + c, chunk); }
                }
            }
            // @unroll
            for (var g = 0u; g < GROUP; g++) {
                let s = tile[(first + g) * LANES + lane];
                let dweight = dtile[(first + g) * LANES + lane];
                let query = min(query0 + first + g, dims.query_len - 1u);
                let hidden = s <= vec4<f32>(MASKED);
                var kept = vec4<f32>(1.0);
                // @if DROPOUT
                // @unroll
                for (var r = 0u; r < ROWS; r++) {
                    kept[r] = dropout_scale(dims.node, (position + query) * dims.key_len + row + r * LANES, dims.dropout);
                }
                // @end
                let weight = exp2(s);
                weights[g] = select(weight * kept, vec4<f32>(0.0), hidden);
                dscores[g] = select(weight * (kept * dweight - stats[position + query].y), vec4<f32>(0.0), hidden);
            }
            add_weighted(&dv_sum, weights, spread_dout);
            add_weighted(&dk_sum, dscores, spread);
        }
    }

    for (var first = 0u; first < OUT_CHUNKS; first += TURN) {
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            let key = row + r * LANES;
            if (key < dims.key_len) {
                // @unroll
                for (var n = 0u; n < TURN; n++) {
                    store_dk(place, key, first + n, select(vec4<f32>(0.0), dk_sum[r * OUT_CHUNKS + n] * dims.scale, live[r]));
                    store_dv(place, key, first + n, select(vec4<f32>(0.0), dv_sum[r * OUT_CHUNKS + n], live[r]));
                }
            }
        }
        advance(&dk_sum);
        advance(&dv_sum);
    }
}
