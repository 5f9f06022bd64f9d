// out[o, j, c] = x[o, index[o, j, c], c], 0 where the index is out of range. Elements are 4 bytes each, whatever they mean.
//
// Dispatch: one invocation per element of out[outer, count, inner]. Overwrites `out`.

struct Dims { len: u32, inner: u32, count: u32, n: u32 }

@group(0) @binding(0) var<storage, read> x: array<u32>; // @buffer
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let row = index[i];
    var value = 0u;
    if (row < dims.n) {
        let at = i / dims.inner;
        value = x[(at / dims.count * dims.n + row) * dims.inner + (i - at * dims.inner)];
    }
    out[i] = value;
}
