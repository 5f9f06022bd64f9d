// y[pair, :, row, column] = the flow of the finest level after its last warp, a median of 3 x 3.
//
//   flow [pairs, 4, height, stride], of flow_solve.wgsl; y [pairs, 2, height, width], in pixels, to the right and down.
//
// Dispatch: one invocation per pixel of a pair. Overwrites `y`.

struct Dims { len: u32, height: u32, width: u32, stride: u32 }

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
    let pixels = dims.height * dims.width;
    let pair = index / pixels;
    let found = median_flow(pair, index % pixels / dims.width, index % dims.width);
    y[pair * pixels + index] = found.x;
    y[pair * pixels + index + pixels] = found.y;
}
