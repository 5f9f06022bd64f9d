// Masked multi-head attention, forward: out = dropout(softmax(scale * q k^T)) v, the scores never stored.
//
// q [batch, query_len, heads * HEAD_DIM], k [batch, key_len, heads * HEAD_DIM], v [batch, key_len, heads * VALUE_DIM], each
// with its own offset and strides; out [batch, query_len, heads * VALUE_DIM]; lse [batch, heads, query_len], the natural
// log-sum-exp of the scaled scores. Overwrites out and lse. A query without a valid key, or itself invalid, gets out = 0 and
// lse = 3e38. What a mask hides is dropped by selection, so it may hold anything.
// Online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867; tiling: Dao et al. 2022, arXiv:2205.14135.
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
@group(0) @binding(4) var<storage, read> mask: array<u32>;
@group(0) @binding(5) var<storage, read> query_mask: array<u32>;
// @import "attention_out.wgsl"
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(8) var<uniform> step: Step;
// @import "random.wgsl"
// @import "attention_dropout.wgsl"
// @end
// @import "attention_mask_read.wgsl"
// @import "attention_tile.wgsl"
// @import "attention_tile_query.wgsl"

fn query_valid(sample: u32, query: u32) -> bool {
    if (query >= dims.query_len) { return false; }
    return dims.has_query_mask == 0u || query_mask[sample * dims.query_len + query] != 0u;
}

fn row_chunk(place: Place, dual: bool, query: u32, chunk: u32) -> vec4<f32> {
    if (query >= dims.query_len || chunk >= HEAD_CHUNKS) { return vec4<f32>(0.0); }
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

    var top = vec4<f32>(LOWEST);
    var total = vec4<f32>(0.0);
    var result: array<vec4<f32>, 4u * OUT_VECS>;
    let key_end = visible_key_end(place, thread);
    for (var key0 = 0u; key0 < key_end; key0 += TILE_COLS) {
        var scores = tile_scores(place, false, key0, thread);
        let words = row_words(place.sample, row, key0);
        let before = top;
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let col = tx + c * THREADS_X;
            scores[c] = select(vec4<f32>(LOWEST), scores[c] * (dims.scale * LOG2_E), pair_valid(place.sample, words, key0, col));
            top = max(top, scores[c]);
        }
        col_tile[tx * THREADS_Y + ty] = top;
        workgroupBarrier();
        for (var x = 0u; x < THREADS_X; x++) {
            top = max(top, col_tile[x * THREADS_Y + ty]);
        }
        let shrink = exp2(before - top);
        total *= shrink;
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let col = tx + c * THREADS_X;
            var weight = select(exp2(scores[c] - top), vec4<f32>(0.0), scores[c] <= vec4<f32>(MASKED));
            total += weight;
            // @if DROPOUT
            weight *= dropout_queries(position * dims.key_len + key0 + col);
            // @end
            row_tile[col * WEIGHT_PITCH + ty] = weight;
        }
        // @unroll
        for (var n = 0u; n < OUT_VECS; n++) {
            result[4u * n] *= shrink.x;
            result[4u * n + 1u] *= shrink.y;
            result[4u * n + 2u] *= shrink.z;
            result[4u * n + 3u] *= shrink.w;
        }
        add_tile(&result, place, true, key0, thread);
    }

    col_tile[tx * THREADS_Y + ty] = total;
    workgroupBarrier();
    total = vec4<f32>(0.0);
    for (var x = 0u; x < THREADS_X; x++) {
        total += col_tile[x * THREADS_Y + ty];
    }
    // @unroll
    for (var r = 0u; r < 4u; r++) {
        if (row + r < dims.query_len) {
            let live = total[r] != 0.0 && query_valid(place.sample, row + r);
            let inverse = 1.0 / total[r];
            // @unroll
            for (var n = 0u; n < OUT_VECS; n++) {
                let x = select(vec4<f32>(0.0), result[4u * n + r] * inverse, live);
                store_out(place, row + r, tx + n * THREADS_X, x);
            }
            if (tx == 0u) {
                lse[position + r] = select(EMPTY_LSE, (top[r] + log2(total[r])) * LN_2, live);
            }
        }
    }
}
