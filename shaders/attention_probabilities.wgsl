// Probabilities of a slice of attention's scores: weights = dropout(softmax(scale * scores)), and the rows' natural log-sum-exp.
//
// scores: rows of shared/attention_slice.wgsl; weights: the same, which the plan has hold halves; lse [batch, heads, query_len]. Masks,
// dropout and log-sum-exp are those of attention_forward.wgsl: a query without a valid key, or itself invalid, gets weights of 0 and
// lse = 3e38. What lies beyond the queries and keys becomes 0. Overwrites weights and, of the slice, lse.
//
// Dispatch: a team per row (team.wgsl).

const PAIR: u32 = 0u;
const DROPOUT: u32 = 1u;

// @import "team.wgsl"
// @import "attention_slice.wgsl"
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read> query_mask: array<u32>;
@group(0) @binding(4) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(6) var<uniform> step: Step;
// @import "random.wgsl"
// @import "attention_dropout.wgsl"
// @end
// @import "attention_mask_read.wgsl"

fn query_valid(row: Row) -> bool {
    return dims.has_query_mask == 0u || query_mask[row.sample * dims.query_len + row.query] != 0u;
}

// Scaled, as powers of two; LOWEST where masked.
fn masked_scores(at: u32, row: Row, key: u32) -> vec4<f32> {
    return select(vec4<f32>(LOWEST), scores[at >> 2u] * (dims.scale * LOG2_E), visible(row, key));
}

// 2^(s - top), 0 where masked.
fn powers(s: vec4<f32>, top: f32) -> vec4<f32> {
    return select(exp2(s - top), vec4<f32>(0.0), s <= vec4<f32>(MASKED));
}

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let index = (group.y * groups.x + group.x) * TEAMS + slot / LANES;
    let row = find_row(index);
    let start = index * dims.padded_keys;
    var key_end = row.key_end;
    if (key_end > 0u && !query_valid(row)) { key_end = 0u; }

    var top = LOWEST;
    var total = 0.0;
    for (var first = 0u; first < key_end; first += 4u * LANES) {
        let key = first + 4u * lane;
        if (key < key_end) {
            let s = masked_scores(start + key, row, key);
            let higher = max(top, max(max(s.x, s.y), max(s.z, s.w)));
            let weight = powers(s, higher);
            total = total * exp2(top - higher) + ((weight.x + weight.y) + (weight.z + weight.w));
            top = higher;
        }
    }
    let most = team_max(top, slot);
    total = team_sum(vec2<f32>(total * exp2(top - most), 0.0), slot).x;
    let live = total != 0.0;
    let log_sum = most + log2(total);

    for (var key = 4u * lane; key < dims.padded_keys && index < dims.rows; key += 4u * LANES) {
        var weight = vec4<f32>(0.0);
        if (live && key < key_end) {
            weight = powers(masked_scores(start + key, row, key), log_sum);
            // @if DROPOUT
            weight *= dropout_keys(row.position * dims.key_len + key);
            // @end
        }
        weights[(start + key) >> 2u] = weight;
    }
    if (lane == 0u && row.key_end > 0u) {
        lse[row.position] = select(EMPTY_LSE, log_sum * LN_2, live);
    }
}
