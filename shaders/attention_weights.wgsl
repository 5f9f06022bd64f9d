// The attention probabilities themselves, for pictures and tests: weights = exp(scale * q k^T - lse), 0 where masked.
//
// q, k as in attention_forward.wgsl; lse [batch, heads, query_len] of the forward pass; weights [batch, heads, query_len,
// key_len]. Overwrites weights. Without dropout. A query without a valid key gets zeros.
// Dispatch: batch * heads * ceil(query_len / (4 * THREADS_Y)) workgroups, folded over x and y. Workgroup: THREADS_X * THREADS_Y.

const HEAD_DIM: u32 = 64u;
const VALUE_DIM: u32 = 64u;
const VECTOR: u32 = 1u;
const PAIR: u32 = 0u;
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
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
// @import "attention_mask_read.wgsl"
// @import "attention_tile.wgsl"
// @import "attention_tile_query.wgsl"

fn row_chunk(place: Place, dual: bool, query: u32, chunk: u32) -> vec4<f32> {
    if (query >= dims.query_len || chunk >= HEAD_CHUNKS) { return vec4<f32>(0.0); }
    return load_q(place, query, chunk);
}

fn column_chunk(place: Place, dual: bool, key: u32, chunk: u32) -> vec4<f32> {
    if (!key_valid(place.sample, key) || chunk >= HEAD_CHUNKS) { return vec4<f32>(0.0); }
    return load_k(place, key, chunk);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let place = find_place(group, groups, dims.query_len, TILE_ROWS);
    if (!place.exists) { return; }
    let tx = thread % THREADS_X;
    let row = place.row0 + 4u * (thread / THREADS_X);
    let position = query_base(place) + row;
    for (var key0 = 0u; key0 < dims.key_len; key0 += TILE_COLS) {
        let scores = tile_scores(place, false, key0, thread);
        let words = row_words(place.sample, row, key0);
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let col = tx + c * THREADS_X;
            let valid = pair_valid(place.sample, words, key0, col);
            // @unroll
            for (var r = 0u; r < 4u; r++) {
                if (row + r < dims.query_len && key0 + col < dims.key_len) {
                    let row_lse = lse[position + r];
                    let live = valid[r] && row_lse < LIVE_LSE;
                    let weight = exp2((scores[c][r] * dims.scale - select(0.0, row_lse, live)) * LOG2_E);
                    weights[(position + r) * dims.key_len + key0 + col] = select(0.0, weight, live);
                }
            }
        }
    }
}
