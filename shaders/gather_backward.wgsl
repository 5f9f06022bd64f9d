// dx[o, r, c] = sum over j of dy[o, j, c] where index[o, j, c] = r, in the order of j: the gradient of gather.
//
// Dispatch: one invocation per element of dx[outer, n, inner]; each looks through its `count` indices. Overwrites `dx`.

struct Dims { len: u32, inner: u32, count: u32, n: u32 }

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let row = i / dims.inner % dims.n;
    var at = i / (dims.inner * dims.n) * dims.count * dims.inner + i % dims.inner;
    var total = 0.0;
    for (var j = 0u; j < dims.count; j++) {
        if (index[at] == row) {
            total += dy[at];
        }
        at += dims.inner;
    }
    dx[i] = total;
}
