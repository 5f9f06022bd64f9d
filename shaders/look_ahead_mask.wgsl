// mask[query, key] = 1 where key <= query, else 0: no position sees a later one. mask: [size, size].
//
// Dispatch: one invocation per element. Overwrites `mask`.

struct Dims { size: u32 }

@group(0) @binding(0) var<storage, read_write> mask: array<u32>;
@group(0) @binding(1) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < dims.size * dims.size) {
        mask[i] = select(0u, 1u, i % dims.size <= i / dims.size);
    }
}
