// out[i] = value.
//
// Dispatch: one invocation per four elements. Overwrites `out`; the padding up to 16 bytes is written too.

struct Dims { quads: u32, value: f32 }

@group(0) @binding(0) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(1) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < dims.quads) {
        out[i] = vec4<f32>(dims.value);
    }
}
