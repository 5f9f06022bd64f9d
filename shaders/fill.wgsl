// out[i] = value.
//
// Dispatch: one invocation per `rounds` times four elements. Overwrites `out`; the padding up to 16 bytes is written too.

// @import "rounds.wgsl"

struct Dims { quads: u32, rounds: u32, value: f32 }

@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, dims.quads);
    for (var i = first; i < end; i += 8u) {
        out[i] = vec4<f32>(dims.value);
    }
}
