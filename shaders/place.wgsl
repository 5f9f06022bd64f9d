// out[o, start + r step, c] = x[o, r, c], 0 elsewhere: the gradient of a slice, and padding. Elements are 4 bytes each, whatever
// they mean; with VECTOR c counts fours.
//
// Dispatch: one invocation per element (or four) of out[outer, size, inner]; each looks for its source. Overwrites `out`.

// @if VECTOR
alias Element = vec4<u32>;
// @end
// @if !VECTOR
alias Element = u32;
// @end

struct Dims { len: u32, size: u32, inner: u32, n: u32, start: u32, step: u32 }

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> out: array<Element>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let row = i / dims.inner;
    let o = row / dims.size;
    let at = row - o * dims.size;
    var value = Element(0u);
    // unsigned: what lies before `start` becomes huge
    let r = (at - dims.start) / dims.step;
    if (at >= dims.start && r < dims.n && dims.start + r * dims.step == at) {
        value = x[(o * dims.n + r) * dims.inner + (i - row * dims.inner)];
    }
    out[i] = value;
}
