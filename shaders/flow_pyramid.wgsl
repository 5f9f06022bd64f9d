// y[plane, i, j] = x[plane] around (2 i, 2 j), weighted by 1 4 6 4 1 along both axes: the next coarser level of a pyramid
// (Burt and Adelson, 1983). Pixel 0 stays at 0, so that positions just halve. Beyond the border the border's pixels go on.
//
//   x [planes, in_height, in_width]; y [planes, (in_height + 1) / 2, (in_width + 1) / 2].
//
// Dispatch: one invocation per element of y. Overwrites `y`.

struct Dims { len: u32, in_height: u32, in_width: u32, height: u32, width: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

const BINOMIAL = array<f32, 5>(0.0625, 0.25, 0.375, 0.25, 0.0625);

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let column = i32(index % dims.width) * 2;
    let row = i32(index / dims.width % dims.height) * 2;
    let start = index / (dims.width * dims.height) * dims.in_height * dims.in_width;
    let last = vec2<i32>(i32(dims.in_width), i32(dims.in_height)) - 1;
    var sum = 0.0;
    // @unroll
    for (var r = 0u; r < 5u; r++) {
        let line = start + u32(clamp(row + i32(r) - 2, 0, last.y)) * dims.in_width;
        var part = 0.0;
        for (var c = 0; c < 5; c++) {
            part += BINOMIAL[c] * x[line + u32(clamp(column + c - 2, 0, last.x))];
        }
        sum += BINOMIAL[r] * part;
    }
    y[index] = sum;
}
