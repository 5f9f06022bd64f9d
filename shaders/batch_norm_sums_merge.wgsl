// dweight[c] and dbias[c], the sums of what batch_norm_sums.wgsl found of each share of a channel.
//
// Dispatch: one invocation per channel, which goes through its shares in order. Overwrites its outputs.

struct Dims { channels: u32, shares: u32 }

@group(0) @binding(0) var<storage, read> partial: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(2) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let channel = (group.y * groups.x + group.x) * 64u + lane;
    if (channel >= dims.channels) {
        return;
    }
    var sums = vec2<f32>(0.0);
    for (var index = channel; index < dims.shares; index += dims.channels) {
        sums += partial[index];
    }
    dweight[channel] = sums.x;
    dbias[channel] = sums.y;
}
