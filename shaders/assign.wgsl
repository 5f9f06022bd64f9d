// out[i] = x[i] where status[0], which turns 0 when a step went wrong, is not 0 and x[i] is finite: what running statistics become.
//
// Dispatch: one invocation per element. Overwrites `out`.

struct Dims { len: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>; // @buffer
@group(0) @binding(1) var<storage, read> status: array<f32>; // @buffer
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len || status[0] == 0.0) {
        return;
    }
    let value = x[i];
    // the exponent's bits tell: no comparison may be trusted with NaN
    if ((bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u) {
        out[i] = value;
    }
}
