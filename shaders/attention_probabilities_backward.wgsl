// The probabilities of attention_probabilities.wgsl once more, and the gradient of the scores: weights = dropout * p,
// dscores = boost * p * (dropout * dweights - delta), p = exp(scale * scores - lse).
//
// scores, dweights: rows of shared/attention_slice.wgsl; weights, dscores: the same, which the plan has hold halves; stats [batch, heads,
// query_len] of attention_delta.wgsl. What is masked, dropped, or beyond the queries and keys becomes 0. Overwrites weights and dscores.
//
// Dispatch: one invocation per four elements, folded into x and y.

const PAIR: u32 = 0u;
const DROPOUT: u32 = 1u;

// @import "attention_slice.wgsl"
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dweights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dscores: array<vec4<f32>>;
// @if DROPOUT
// @import "step.wgsl"
@group(0) @binding(7) var<uniform> step: Step;
// @import "random.wgsl"
// @import "attention_dropout.wgsl"
// @end
// @import "attention_mask_read.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    let quads = dims.padded_keys / 4u;
    if (i >= dims.rows * quads) {
        return;
    }
    let row = find_row(i / quads);
    let key = i % quads * 4u;
    var kept_weight = vec4<f32>(0.0);
    var dscore = vec4<f32>(0.0);
    if (key < row.key_end && stats[row.position].x < LIVE_LSE) {
        let stat = stats[row.position];
        let seen = visible(row, key);
        let weight = select(vec4<f32>(0.0), exp2(scores[i] * (dims.scale * LOG2_E) - stat.x * LOG2_E), seen);
        var kept = vec4<f32>(1.0);
        // @if DROPOUT
        kept = dropout_keys(row.position * dims.key_len + key);
        // @end
        kept_weight = weight * kept;
        dscore = select(vec4<f32>(0.0), weight * (kept * dweights[i] - stat.y), seen) * dims.boost;
    }
    weights[i] = kept_weight;
    dscores[i] = dscore;
}
