// dlogits[row, c] = dlosses[row] * (saved[row].y * p_c - t_c), p_c = exp(logits[row, c] - saved[row].x); without smoothing
// t_c = saved[row].y where c is the label, else 0. See cross_entropy.wgsl.
//
// Dispatch: one invocation per element. Overwrites `dlogits`.

const WEIGHT: u32 = 1u;
// Smoothing is more than 0.
const SMOOTH: u32 = 1u;

struct Dims { len: u32, columns: u32, smoothing: f32 }

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> saved: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> dlosses: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let row = i / dims.columns;
    let c = i % dims.columns;
    let label = labels[row];
    if (label >= dims.columns) {
        dlogits[i] = 0.0;
        return;
    }
    let known = saved[row];
    // @if SMOOTH
    let t = class_weight(c) * (select(0.0, 1.0 - dims.smoothing, c == label) + dims.smoothing / f32(dims.columns));
    // @end
    // @if !SMOOTH
    let t = select(0.0, known.y, c == label);
    // @end
    dlogits[i] = dlosses[row] * (known.y * exp(logits[i] - known.x) - t);
}

fn class_weight(c: u32) -> f32 {
    // @if WEIGHT
    return weight[c];
    // @end
    // @if !WEIGHT
    return 1.0;
    // @end
}
