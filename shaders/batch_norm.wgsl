// y = (x - mean) / standard deviation * weight + bias, per channel of x [batch, channels, places], in parts (part.wgsl).
//
// Dispatch: dims.chunks invocations per plane of x, each for every chunks-th part of it. Overwrites `y`.

// @import "part.wgsl"
// @import "batch_norm_channel.wgsl"

const WEIGHT: u32 = 1u;
const BIAS: u32 = 1u;

struct Dims { planes: u32, channels: u32, parts: u32, chunks: u32, epsilon: f32 }

@group(0) @binding(2) var<storage, read> x: array<Part>;
@group(0) @binding(3) var<storage, read_write> y: array<Part>;
@group(0) @binding(4) var<uniform> dims: Dims;
@group(0) @binding(5) var<storage, read> weight: array<f32>; // @buffer
@group(0) @binding(6) var<storage, read> bias: array<f32>; // @buffer

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    let plane = index / dims.chunks;
    if (plane >= dims.planes) {
        return;
    }
    let channel = plane % dims.channels;
    let known = statistics_of(channel, dims.epsilon);
    var scale = known.y;
    var shift = 0.0;
    // @if WEIGHT
    scale *= weight[channel];
    // @end
    // @if BIAS
    shift = bias[channel];
    // @end
    for (var p = index - plane * dims.chunks; p < dims.parts; p += dims.chunks) {
        let at = plane * dims.parts + p;
        y[at] = (x[at] - Part(known.x)) * scale + Part(shift);
    }
}
