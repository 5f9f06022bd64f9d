// partials[block] = sum of the squares of a block's gradients, times gradient_scale squared.
//
// gradients: a chunk of the parameter store; blocks: (first quad, elements, variable, group) each, a block within one
// variable; what lies in the last quad beyond its elements is not counted.
// Dispatch: a team (team.wgsl) per block, from `first_block` of `partials` on, one a workgroup. Overwrites.

// @import "team.wgsl"

struct Dims { blocks: u32, first_block: u32, gradient_scale: f32 }

@group(0) @binding(0) var<storage, read> gradients: array<vec4<f32>>; // @stream
@group(0) @binding(1) var<storage, read> blocks: array<vec4<u32>>; // @buffer
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    if (index >= dims.blocks) {
        return;
    }
    let block = blocks[index];
    var sum = vec4<f32>(0.0);
    for (var start = 0u; 4u * start < block.y; start += LANES) {
        let i = start + lane;
        if (4u * i < block.y) {
            let g = gradients[block.x + i] * dims.gradient_scale;
            let exists = vec4<u32>(0u, 1u, 2u, 3u) + 4u * i < vec4<u32>(block.y);
            sum += select(vec4<f32>(0.0), g * g, exists);
        }
    }
    let total = team_sum(vec2<f32>((sum.x + sum.y) + (sum.z + sum.w), 0.0), lane).x;
    if (lane == 0u) {
        partials[dims.first_block + index] = total;
    }
}
