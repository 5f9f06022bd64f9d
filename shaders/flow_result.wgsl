// y[pair, 0..2, row, column] = the flow of a level after its last warp, a median of 3 x 3, in pixels, to the right and down.
//
//   flow [pairs, 4, height, stride], of flow_solve.wgsl; y [pairs, y_planes, height, y_stride].
//
// Dispatch: one invocation per pixel of a pair. Overwrites the first `width` columns of the first two planes of `y`.

struct Dims { len: u32, height: u32, width: u32, stride: u32, y_planes: u32, y_stride: u32 }

@group(0) @binding(0) var<storage, read> flow: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

// @import "flow_median.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let column = index % dims.width;
    let row = index / dims.width % dims.height;
    let pair = index / (dims.height * dims.width);
    let found = median_flow(pair, row, column);
    let at = (pair * dims.y_planes * dims.height + row) * dims.y_stride + column;
    y[at] = found.x;
    y[at + dims.height * dims.y_stride] = found.y;
}
