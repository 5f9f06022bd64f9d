// dbias[c] = sum of dy[:, c, :], dweight[c] = sum of dy * (x - mean) / standard deviation: batch norm's gradients per channel, of which
// batch_norm_backward.wgsl makes dx as well; or both of each share of a channel.
//
// Dispatch: a workgroup per share (batch_norm_share.wgsl), ACROSS of its lanes side by side along the parts and LANES / ACROSS along the
// samples. Overwrites its outputs.

// @import "part.wgsl"
// @import "team.wgsl"
// @import "batch_norm_share.wgsl"
// @import "batch_norm_channel.wgsl"

const ACROSS: u32 = 8u;

@group(0) @binding(2) var<storage, read> x: array<Part>;
@group(0) @binding(3) var<storage, read> dy: array<Part>;
@group(0) @binding(4) var<uniform> dims: Dims;
// @if SHARES
@group(0) @binding(5) var<storage, read_write> partial: array<vec2<f32>>;
// @end
// @if !SHARES
@group(0) @binding(5) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbias: array<f32>;
// @end

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    if (index >= dims.shares) {
        return;
    }
    let share = share_of(index);
    let known = statistics_of(share.channel, dims.epsilon);
    var own_weight = Part(0.0);
    var own_bias = Part(0.0);
    for (var first = share.first_sample; first < share.last_sample; first += LANES / ACROSS) {
        let n = first + lane / ACROSS;
        let start = (n * dims.channels + share.channel) * dims.parts;
        var sample_weight = Part(0.0);
        var sample_bias = Part(0.0);
        for (var part = share.first_part; part < share.last_part; part += ACROSS) {
            let p = part + lane % ACROSS;
            if (n < share.last_sample && p < share.last_part) {
                let d = dy[start + p];
                sample_weight += d * (x[start + p] - Part(known.x));
                sample_bias += d;
            }
        }
        own_weight += sample_weight;
        own_bias += sample_bias;
    }
    let sums = team_sum(vec2<f32>(total(own_weight), total(own_bias)), lane) * vec2<f32>(known.y, 1.0);
    if (lane == 0u) {
        // @if SHARES
        partial[index] = sums;
        // @end
        // @if !SHARES
        dweight[share.channel] = sums.x;
        dbias[share.channel] = sums.y;
        // @end
    }
}
