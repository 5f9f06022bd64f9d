// mask[row] = 1 where any of x[row, :] differs from `pad`, else 0. x: [rows, columns].
//
// Dispatch: one invocation per row. Overwrites `mask`.

// @import "is_nan.wgsl"

struct Dims { rows: u32, columns: u32, pad: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> mask: array<u32>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (group.y * groups.x + group.x) * 64u + lane;
    if (row >= dims.rows) {
        return;
    }
    var real = 0u;
    for (var column = 0u; column < dims.columns; column++) {
        let value = x[row * dims.columns + column];
        // a NaN must not pass for padding
        if (is_nan(value) || value != dims.pad) {
            real = 1u;
            break;
        }
    }
    mask[row] = real;
}
