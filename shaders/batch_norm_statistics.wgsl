// The mean of each share of x[:, c, :] and its sum of squares about that; where a channel is one share, what batch_norm_running.wgsl makes
// of them.
//
//   x [batch, channels, places], in parts (part.wgsl).
//
// Dispatch: a workgroup per share (batch_norm_share.wgsl), ACROSS of its lanes side by side along the parts and LANES / ACROSS along the
// samples. Overwrites its outputs.

// @import "part.wgsl"
// @import "team.wgsl"
// @import "batch_norm_share.wgsl"
// @if !SHARES
// @import "batch_norm_running.wgsl"
// @end

const ACROSS: u32 = 8u;

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<uniform> dims: Dims;
// @if SHARES
@group(0) @binding(2) var<storage, read_write> partial: array<vec2<f32>>;
// @end

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    if (index >= dims.shares) {
        return;
    }
    let share = share_of(index);
    var own = Part(0.0);
    for (var first = share.first_sample; first < share.last_sample; first += LANES / ACROSS) {
        let n = first + lane / ACROSS;
        let start = (n * dims.channels + share.channel) * dims.parts;
        var sample = Part(0.0);
        for (var part = share.first_part; part < share.last_part; part += ACROSS) {
            let p = part + lane % ACROSS;
            if (n < share.last_sample && p < share.last_part) {
                sample += x[start + p];
            }
        }
        own += sample;
    }
    var average = team_sum(vec2<f32>(total(own), 0.0), lane).x / elements(share);
    own = Part(0.0);
    var own_rest = Part(0.0);
    for (var first = share.first_sample; first < share.last_sample; first += LANES / ACROSS) {
        let n = first + lane / ACROSS;
        let start = (n * dims.channels + share.channel) * dims.parts;
        var sample = Part(0.0);
        var sample_rest = Part(0.0);
        for (var part = share.first_part; part < share.last_part; part += ACROSS) {
            let p = part + lane % ACROSS;
            if (n < share.last_sample && p < share.last_part) {
                let d = x[start + p] - Part(average);
                sample += d * d;
                sample_rest += d;
            }
        }
        own += sample;
        own_rest += sample_rest;
    }
    let sums = team_sum(vec2<f32>(total(own), total(own_rest)), lane);
    // what rounding took from the mean; about the true one the squares are less
    let rest = sums.y / elements(share);
    average += rest;
    let squares = max(sums.x - sums.y * rest, 0.0);
    if (lane == 0u) {
        // @if SHARES
        partial[index] = vec2<f32>(average, squares);
        // @end
        // @if !SHARES
        finish(share.channel, average, squares);
        // @end
    }
}
