// dx = weight / standard deviation * (dy - (dbias + dweight * (x - mean) / standard deviation) / count): batch norm's gradient. With running
// statistics, which do not depend on x, dx = weight / standard deviation * dy.
//
// Dispatch: dims.chunks invocations per plane of x [batch, channels, places], each for every chunks-th part (part.wgsl) of it. Overwrites
// `dx`.

// @import "part.wgsl"
// @import "batch_norm_channel.wgsl"

const WEIGHT: u32 = 1u;

struct Dims { planes: u32, channels: u32, parts: u32, chunks: u32, count: f32, epsilon: f32 }

@group(0) @binding(2) var<storage, read> dy: array<Part>;
@group(0) @binding(3) var<storage, read_write> dx: array<Part>;
@group(0) @binding(4) var<uniform> dims: Dims;
@group(0) @binding(5) var<storage, read> weight: array<f32>; // @buffer
@group(0) @binding(6) var<storage, read> x: array<Part>;
@group(0) @binding(7) var<storage, read> dweight: array<f32>; // @buffer
@group(0) @binding(8) var<storage, read> dbias: array<f32>; // @buffer

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
    // @if WEIGHT
    scale *= weight[channel];
    // @end
    // @if !RUNNING
    let of_bias = dbias[channel] / dims.count;
    let of_weight = dweight[channel] * known.y / dims.count;
    // @end
    for (var p = index - plane * dims.chunks; p < dims.parts; p += dims.chunks) {
        let at = plane * dims.parts + p;
        var value = dy[at];
        // @if !RUNNING
        value -= Part(of_bias) + of_weight * (x[at] - Part(known.x));
        // @end
        dx[at] = scale * value;
    }
}
