// dbias[c] = sum of dy[:, c, :], dweight[c] = sum of dy * (x - mean) / standard deviation: batch norm's gradients per channel, of which
// batch_norm_backward.wgsl makes dx as well.
//
// Dispatch: a workgroup (channel_sum.wgsl) per channel. Overwrites its outputs.

// @import "part.wgsl"
// @import "batch_norm_channel.wgsl"
// @import "channel_sum.wgsl"

struct Dims { batch: u32, channels: u32, parts: u32, epsilon: f32 }

@group(0) @binding(2) var<storage, read> x: array<Part>;
@group(0) @binding(3) var<storage, read> dy: array<Part>;
@group(0) @binding(4) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = group.y * groups.x + group.x;
    if (channel >= dims.channels) {
        return;
    }
    let known = statistics_of(channel, dims.epsilon);
    var own = vec2<f32>(0.0);
    for (var n = lane / LANES; n < dims.batch; n += SLICES) {
        let start = (n * dims.channels + channel) * dims.parts;
        for (var p = lane % LANES; p < dims.parts; p += LANES) {
            let d = dy[start + p];
            own += vec2<f32>(total(d * (x[start + p] - Part(known.x))), total(d));
        }
    }
    let sums = channel_sum(own, lane);
    if (lane == 0u) {
        dweight[channel] = sums.x * known.y;
        dbias[channel] = sums.y;
    }
}
