// dlogits[row, c] = dlosses[row] * (saved[row].y * p_c - t_c), p_c = exp(logits[row, c] - saved[row].x); without smoothing
// t_c = saved[row].y where c is the label, else 0. See cross_entropy.wgsl.
//
// Dispatch: one invocation per part (part.wgsl) of the logits. Overwrites `dlogits`.

// @import "part.wgsl"
// @import "box.wgsl"

const WEIGHT: u32 = 1u;
// Smoothing is more than 0.
const SMOOTH: u32 = 1u;

// `parts` in all, `row_parts` in a row.
struct Dims { parts: u32, row_parts: u32, columns: u32, smoothing: f32 }

@group(0) @binding(0) var<storage, read> logits: array<Part>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<Part>;
@group(0) @binding(3) var<storage, read> saved: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> dlosses: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<Part>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.parts) {
        return;
    }
    let row = large_quotient(i, divisor(dims.row_parts));
    let part = i - row * dims.row_parts;
    let label = labels[row];
    let known = saved[row];
    // @if VECTOR
    let labelled = vec4<u32>(4u * part) + vec4<u32>(0u, 1u, 2u, 3u) == vec4<u32>(label);
    // @end
    // @if !VECTOR
    let labelled = part == label;
    // @end
    // @if SMOOTH
    let spread = dims.smoothing / f32(dims.columns);
    let t = class_weights(part) * (select(Part(0.0), Part(1.0 - dims.smoothing), labelled) + spread);
    // @end
    // @if !SMOOTH
    let t = select(Part(0.0), Part(known.y), labelled);
    // @end
    let gradient = dlosses[row] * (known.y * exp(logits[i] - known.x) - t);
    // whatever the logits are where there is no such class
    dlogits[i] = select(Part(0.0), gradient, label < dims.columns);
}

fn class_weights(part: u32) -> Part {
    // @if WEIGHT
    return weight[part];
    // @end
    // @if !WEIGHT
    return Part(1.0);
    // @end
}
