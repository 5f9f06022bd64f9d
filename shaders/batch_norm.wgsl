// y = (x - mean) / standard deviation * weight + bias, per channel of x [batch, channels, places], in parts (part.wgsl).
//
// Dispatch: one invocation per part. Overwrites `y`.

// @import "part.wgsl"
// @import "batch_norm_channel.wgsl"

const WEIGHT: u32 = 1u;
const BIAS: u32 = 1u;

struct Dims { len: u32, channels: u32, parts: u32, epsilon: f32 }

@group(0) @binding(2) var<storage, read> x: array<Part>;
@group(0) @binding(3) var<storage, read_write> y: array<Part>;
@group(0) @binding(4) var<uniform> dims: Dims;
@group(0) @binding(5) var<storage, read> weight: array<f32>; // @buffer
@group(0) @binding(6) var<storage, read> bias: array<f32>; // @buffer

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let channel = index / dims.parts % dims.channels;
    let known = statistics_of(channel, dims.epsilon);
    var value = (x[index] - Part(known.x)) * known.y;
    // @if WEIGHT
    value *= weight[channel];
    // @end
    // @if BIAS
    value += Part(bias[channel]);
    // @end
    y[index] = value;
}
