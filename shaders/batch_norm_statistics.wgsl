// mean[c] and spread[c] = 1 / sqrt(variance + epsilon) of x[:, c, :], the variance biased and about the mean found before; and
// what running statistics become: running + momentum * (of this batch - running), the variance times dims.correction.
//
//   x [batch, channels, places], in parts (part.wgsl).
//
// Dispatch: a workgroup (channel_sum.wgsl) per channel. Overwrites its outputs.

// @import "part.wgsl"
// @import "channel_sum.wgsl"

struct Dims { batch: u32, channels: u32, parts: u32, count: f32, epsilon: f32, momentum: f32, correction: f32 }

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<storage, read> running_mean: array<f32>; // @buffer
@group(0) @binding(2) var<storage, read> running_variance: array<f32>; // @buffer
@group(0) @binding(3) var<storage, read_write> mean: array<f32>;
@group(0) @binding(4) var<storage, read_write> spread: array<f32>;
@group(0) @binding(5) var<storage, read_write> next_mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> next_variance: array<f32>;
@group(0) @binding(7) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y * groups.x + group.x;
    if (channel >= dims.channels) {
        return;
    }
    var own = 0.0;
    for (var n = lane / LANES; n < dims.batch; n += SLICES) {
        let start = (n * dims.channels + channel) * dims.parts;
        for (var p = lane % LANES; p < dims.parts; p += LANES) {
            own += total(x[start + p]);
        }
    }
    let average = channel_sum(vec2<f32>(own, 0.0), lane).x / dims.count;
    own = 0.0;
    for (var n = lane / LANES; n < dims.batch; n += SLICES) {
        let start = (n * dims.channels + channel) * dims.parts;
        for (var p = lane % LANES; p < dims.parts; p += LANES) {
            let d = x[start + p] - Part(average);
            own += total(d * d);
        }
    }
    let variance = channel_sum(vec2<f32>(own, 0.0), lane).x / dims.count;
    if (lane == 0u) {
        mean[channel] = average;
        spread[channel] = 1.0 / sqrt(variance + dims.epsilon);
        next_mean[channel] = running_mean[channel] + dims.momentum * (average - running_mean[channel]);
        next_variance[channel] =
            running_variance[channel] + dims.momentum * (dims.correction * variance - running_variance[channel]);
    }
}
