// Masked multi-head attention, gradients of keys and values: dk = scale * ds^T q, dv = (dropout * p)^T dout, with p and ds as
// in attention_backward_q.wgsl, recomputed tile by tile.
//
// q, k, v, dout as in attention_forward.wgsl; stats [batch, heads, query_len] of attention_delta.wgsl; dk [batch, key_len,
// heads * HEAD_DIM], dv [batch, key_len, heads * VALUE_DIM]. Overwrites dk and dv. A masked key gets exactly 0.
// Dispatch: batch * heads * ceil(key_len / (4 * THREADS_Y)) workgroups, folded over x and y. Workgroup: THREADS_X * THREADS_Y.

const HEAD_DIM: u32 = 64u;
const VALUE_DIM: u32 = 64u;
const VECTOR: u32 = 1u;
const PAIR: u32 = 0u;
const DROPOUT: u32 = 1u;
const THREADS_X: u32 = 8u;
const THREADS_Y: u32 = 16u;
const DEPTH: u32 = 8u;
const OUT_VECS: u32 = 2u;
const STAGE: u32 = 16u;

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
// @import "attention_dropout.wgsl"
// @end
// @import "attention_mask_read.wgsl"
// @import "attention_tile.wgsl"

// (lse, delta) of a query; lse = 3e38 if it does not exist or sees no key.
fn query_stats(base: u32, query: u32) -> vec2<f32> {
    if (query >= dims.query_len) { return vec2<f32>(EMPTY_LSE, 0.0); }
    return stats[base + query];
}

fn query_live(base: u32, query: u32) -> bool {
    return query_stats(base, query).x < LIVE_LSE;
}

fn row_chunk(place: Place, dual: bool, key: u32, chunk: u32) -> vec4<f32> {
    if (key >= dims.key_len || chunk >= select(HEAD_CHUNKS, VALUE_CHUNKS, dual)) { return vec4<f32>(0.0); }
    if (dual) { return load_v(place, key, chunk); }
    return load_k(place, key, chunk);
}

// A query that sees no key may hold anything.
fn column_chunk(place: Place, dual: bool, query: u32, chunk: u32) -> vec4<f32> {
    let beyond = chunk >= select(HEAD_CHUNKS, VALUE_CHUNKS, dual);
    if (beyond || !query_live(query_base(place), query)) { return vec4<f32>(0.0); }
    if (dual) { return load_dout(place, query, chunk); }
    return load_q(place, query, chunk);
}

// One past the last query that sees any key, or 0 if this block has no valid key.
fn live_query_end(place: Place, thread: u32) -> u32 {
    var end = 0u;
    for (var query = thread; query < dims.query_len; query += THREADS) {
        if (query_live(query_base(place), query)) { end = query + 1u; }
    }
    end = workgroup_max(end, thread);
    if (PAIR != 0u || dims.has_mask == 0u) { return end; }
    let key = place.row0 + thread;
    return min(end, workgroup_max(select(0u, end, thread < TILE_ROWS && key_valid(place.sample, key)), thread));
}

// Which of a thread's four keys the query sees.
fn keys_valid(sample: u32, key: u32, query: u32, unpaired: vec4<bool>) -> vec4<bool> {
    if (PAIR == 0u) { return unpaired; }
    let bits = pair_word(sample, query, key / 32u) >> (key % 32u);
    return (vec4<u32>(bits) & vec4<u32>(1u, 2u, 4u, 8u)) != vec4<u32>(0u);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let place = find_place(group, groups, dims.key_len, TILE_ROWS);
    if (!place.exists) { return; }
    let tx = thread % THREADS_X;
    let ty = thread / THREADS_X;
    let row = place.row0 + 4u * ty;
    let position = query_base(place);
    let live = vec4<bool>(
        key_valid(place.sample, row), key_valid(place.sample, row + 1u),
        key_valid(place.sample, row + 2u), key_valid(place.sample, row + 3u),
    );

    var dk_sum: array<vec4<f32>, 4u * OUT_VECS>;
    var dv_sum: array<vec4<f32>, 4u * OUT_VECS>;
    // With a causal mask no query before the first key of this block sees any of it.
    let query_start = select(0u, place.row0 - place.row0 % TILE_COLS, dims.causal != 0u);
    let query_end = live_query_end(place, thread);
    for (var query0 = query_start; query0 < query_end; query0 += TILE_COLS) {
        let scores = tile_scores(place, false, query0, thread);
        let dweights = tile_scores(place, true, query0, thread);
        var dscores: array<vec4<f32>, COLS>;
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let col = tx + c * THREADS_X;
            let query = query0 + col;
            let column = query_stats(position, query);
            let valid = keys_valid(place.sample, row, query, live) & vec4<bool>(column.x < LIVE_LSE);
            let lse2 = select(0.0, column.x, column.x < LIVE_LSE) * LOG2_E;
            let weight = select(vec4<f32>(0.0), exp2(scores[c] * (dims.scale * LOG2_E) - lse2), valid);
            var kept = vec4<f32>(1.0);
            // @if DROPOUT
            kept = dropout_keys((position + query) * dims.key_len + row);
            // @end
            dscores[c] = select(vec4<f32>(0.0), weight * (kept * dweights[c] - column.y), valid);
            row_tile[col * WEIGHT_PITCH + ty] = weight * kept;
        }
        add_tile(&dv_sum, place, true, query0, thread);
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            row_tile[(tx + c * THREADS_X) * WEIGHT_PITCH + ty] = dscores[c];
        }
        add_tile(&dk_sum, place, false, query0, thread);
    }

    // @unroll
    for (var r = 0u; r < 4u; r++) {
        if (row + r < dims.key_len) {
            // @unroll
            for (var n = 0u; n < OUT_VECS; n++) {
                let chunk = tx + n * THREADS_X;
                store_dk(place, row + r, chunk, select(vec4<f32>(0.0), dk_sum[4u * n + r] * dims.scale, live[r]));
                store_dv(place, row + r, chunk, select(vec4<f32>(0.0), dv_sum[4u * n + r], live[r]));
            }
        }
    }
}
