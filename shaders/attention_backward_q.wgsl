// Masked multi-head attention, gradient of the queries: dq = scale * ds k, ds = p * (dropout * dout v^T - delta),
// p = exp(scale * q k^T - lse), recomputed tile by tile.
//
// q, k, v, dout as in attention_forward.wgsl; stats [batch, heads, query_len] of attention_delta.wgsl; dq [batch, query_len,
// heads * HEAD_DIM]. Overwrites dq. A query without a valid key gets exactly 0.
// The two-kernel form of Dao 2023, arXiv:2307.08691, without atomics.
// Dispatch: batch * heads * ceil(query_len / (4 * THREADS_Y)) workgroups, folded over x and y. Workgroup: THREADS_X * THREADS_Y.

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
// @import "attention_dq.wgsl"
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(8) var<uniform> step: Step;
// @import "random.wgsl"
// @import "attention_dropout.wgsl"
// @end
// @import "attention_mask_read.wgsl"
// @import "attention_tile.wgsl"
// @import "attention_tile_query.wgsl"

fn row_chunk(place: Place, dual: bool, query: u32, chunk: u32) -> vec4<f32> {
    if (query >= dims.query_len || chunk >= select(HEAD_CHUNKS, VALUE_CHUNKS, dual)) { return vec4<f32>(0.0); }
    if (dual) { return load_dout(place, query, chunk); }
    return load_q(place, query, chunk);
}

fn column_chunk(place: Place, dual: bool, key: u32, chunk: u32) -> vec4<f32> {
    if (!key_valid(place.sample, key) || chunk >= select(HEAD_CHUNKS, VALUE_CHUNKS, dual)) { return vec4<f32>(0.0); }
    if (dual) { return load_v(place, key, chunk); }
    return load_k(place, key, chunk);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let place = find_place(group, groups, dims.query_len, TILE_ROWS);
    if (!place.exists) { return; }
    let tx = thread % THREADS_X;
    let ty = thread / THREADS_X;
    let row = place.row0 + 4u * ty;
    let position = query_base(place) + row;

    var row_lse = vec4<f32>(EMPTY_LSE);
    var row_delta = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < 4u; r++) {
        if (row + r < dims.query_len) {
            row_lse[r] = stats[position + r].x;
            row_delta[r] = stats[position + r].y;
        }
    }
    let live = row_lse < vec4<f32>(LIVE_LSE);
    row_lse = select(vec4<f32>(0.0), row_lse, live) * LOG2_E;

    var result: array<vec4<f32>, 4u * OUT_VECS>;
    let key_end = visible_key_end(place, thread);
    for (var key0 = 0u; key0 < key_end; key0 += TILE_COLS) {
        let scores = tile_scores(place, false, key0, thread);
        let dweights = tile_scores(place, true, key0, thread);
        let words = row_words(place.sample, row, key0);
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let col = tx + c * THREADS_X;
            let weight = exp2(scores[c] * (dims.scale * LOG2_E) - row_lse);
            var dweight = dweights[c];
            // @if DROPOUT
            dweight *= dropout_queries(position * dims.key_len + key0 + col);
            // @end
            let valid = pair_valid(place.sample, words, key0, col) & live;
            row_tile[col * WEIGHT_PITCH + ty] = select(vec4<f32>(0.0), weight * (dweight - row_delta), valid);
        }
        add_tile(&result, place, false, key0, thread);
    }

    // @unroll
    for (var r = 0u; r < 4u; r++) {
        if (row + r < dims.query_len) {
            // @unroll
            for (var n = 0u; n < OUT_VECS; n++) {
                let x = select(vec4<f32>(0.0), result[4u * n + r] * dims.scale, live[r]);
                store_dq(place, row + r, tx + n * THREADS_X, x);
            }
        }
    }
}
