// With p = softmax(logits[row, :]), y = labels[row], w = weight or 1, K = columns, s = smoothing:
//     losses[row] = sum over c of t_c * -log(p_c),  t_c = w_c * ((1 - s) * [c = y] + s / K),   row_weights[row] = w_y;
// with FOCAL (s = 0) losses[row] = w_y * (1 - p_y)^gamma * -log(p_y),   row_weights[row] = 1.
// A row whose label is not below K is left out: 0 in all outputs. saved[row] = (log(sum(exp(logits))), -d loss / d log(p_y), of
// which with smoothing the sum of t) is for cross_entropy_backward.wgsl. logits: [rows, columns]; labels: [rows]; weight: [columns].
//
// Dispatch: a team (team.wgsl) per row. Overwrites its outputs.

// @import "team.wgsl"

const WEIGHT: u32 = 1u;
const FOCAL: u32 = 0u;
// Smoothing is more than 0.
const SMOOTH: u32 = 1u;
const LOWEST: f32 = -3.4028234663852886e38;

struct Dims { rows: u32, columns: u32, smoothing: f32, gamma: f32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> saved: array<vec2<f32>>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let wanted = (group.y * groups.x + group.x) * TEAMS + slot / LANES;
    // surplus teams read the last row along with the others, and write nothing
    let row = min(wanted, dims.rows - 1u);
    let base = row * dims.columns;
    let label = labels[row];

    var local_most = LOWEST;
    for (var start = 0u; start < dims.columns; start += LANES) {
        let c = start + lane;
        if (c < dims.columns) {
            local_most = max(local_most, logits[base + c]);
        }
    }
    let most = team_max(local_most, slot);
    // the label's own exponential apart: 1 - p_y without cancellation
    var local_sum = vec2<f32>(0.0);
    for (var start = 0u; start < dims.columns; start += LANES) {
        let c = start + lane;
        if (c < dims.columns) {
            let e = exp(logits[base + c] - most);
            local_sum += select(vec2<f32>(e, 0.0), vec2<f32>(0.0, e), c == label);
        }
    }
    let exponentials = team_sum(local_sum, slot);
    let sum = exponentials.x + exponentials.y;
    let log_sum = most + log(sum);
    var local_spread = vec2<f32>(0.0);
    // @if SMOOTH
    for (var start = 0u; start < dims.columns; start += LANES) {
        let c = start + lane;
        if (c < dims.columns) {
            let w = class_weight(c);
            local_spread += vec2<f32>(w * ((most - logits[base + c]) + log(sum)), w);
        }
    }
    // @end
    let spread = team_sum(local_spread, slot) * dims.smoothing / f32(dims.columns);

    if (wanted < dims.rows && lane == 0u) {
        if (label >= dims.columns) {
            losses[row] = 0.0;
            row_weights[row] = 0.0;
            saved[row] = vec2<f32>(log_sum, 0.0);
            return;
        }
        let surprise = (most - logits[base + label]) + log(sum);
        let w = class_weight(label);
        // @if FOCAL
        let others = exponentials.x / sum;
        let factor = focus(others);
        losses[row] = w * factor * surprise;
        row_weights[row] = 1.0;
        // surprise / others tends to 1 where both vanish
        let ratio = select(surprise / others, 1.0, others == 0.0);
        saved[row] = vec2<f32>(log_sum, w * factor * (1.0 + dims.gamma * (exponentials.y / sum) * ratio));
        // @end
        // @if !FOCAL
        losses[row] = (1.0 - dims.smoothing) * w * surprise + spread.x;
        row_weights[row] = w;
        saved[row] = vec2<f32>(log_sum, (1.0 - dims.smoothing) * w + spread.y);
        // @end
    }
}

// (1 - p)^gamma; pow is not defined at 0 everywhere, and here the smallest normal number serves as well.
fn focus(others: f32) -> f32 {
    return pow(max(others, 1.17549435e-38), dims.gamma);
}

fn class_weight(c: u32) -> f32 {
    // @if WEIGHT
    return weight[c];
    // @end
    // @if !WEIGHT
    return 1.0;
    // @end
}
