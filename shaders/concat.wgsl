// out[o, offset + j] = x[o, j]: one part of a concatenation, rows of `run` into rows of `out_run`. Elements are 4 bytes each,
// whatever they mean; with VECTOR all sizes count fours.
//
// Dispatch: one invocation per element (or four) of x. Overwrites its part of `out` and leaves the rest.

// @if VECTOR
alias Element = vec4<u32>;
// @end
// @if !VECTOR
alias Element = u32;
// @end

struct Dims { len: u32, run: u32, out_run: u32, offset: u32 }

@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> out: array<Element>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < dims.len) {
        let row = i / dims.run;
        out[row * dims.out_run + dims.offset + (i - row * dims.run)] = x[i];
    }
}
