// out[row, :] = x[row, :] where mask[row] is not 0, else zeros: what is there is not looked at. x, out: [rows, columns].
//
// Dispatch: one invocation per part. Overwrites `out`.

// @import "part.wgsl"

struct Dims { len: u32, parts: u32 }

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Part>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < dims.len) {
        var value = Part(0.0);
        if (mask[i / dims.parts] != 0u) {
            value = x[i];
        }
        out[i] = value;
    }
}
