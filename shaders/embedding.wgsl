// out[t, c] = table[ids[t], c], 0 where the id is out of range. With VECTOR c counts fours.
//
// Dispatch: one invocation per element (or four) of out[tokens, columns]. Overwrites `out`.

// @if VECTOR
alias Element = vec4<f32>;
// @end
// @if !VECTOR
alias Element = f32;
// @end

struct Dims { len: u32, columns: u32, rows: u32 }

@group(0) @binding(0) var<storage, read> table: array<Element>; // @buffer
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<Element>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let token = i / dims.columns;
    let row = ids[token];
    var value = Element(0.0);
    if (row < dims.rows) {
        value = table[row * dims.columns + (i - token * dims.columns)];
    }
    out[i] = value;
}
