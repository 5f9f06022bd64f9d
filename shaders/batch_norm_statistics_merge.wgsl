// A batch's statistics (batch_norm_running.wgsl) of what batch_norm_statistics.wgsl found of each share of a channel: Chan, Golub and
// LeVeque 1979.
//
// Dispatch: one invocation per channel, which goes through its shares in order. Overwrites its outputs.

// @import "part.wgsl"
// @import "batch_norm_share.wgsl"
// @import "batch_norm_running.wgsl"

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = (group.y * groups.x + group.x) * 64u + lane;
    if (channel >= dims.channels) {
        return;
    }
    var count = 0.0;
    var average = 0.0;
    var squares = 0.0;
    for (var index = channel; index < dims.shares; index += dims.channels) {
        let share = partial[index];
        let more = elements(share_of(index));
        let distance = share.x - average;
        let weight = more / (count + more);
        average += distance * weight;
        squares += share.y + distance * distance * count * weight;
        count += more;
    }
    finish(channel, average, squares);
}
