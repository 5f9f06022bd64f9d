// out[i] = x[i] * s[i], s[i] = 0 with `probability`, else 1 / (1 - probability): drawn from (seed, step, node, i), so that the
// backward pass, the same kernel over dy, draws the same.
//
// Dispatch: one invocation per `rounds` times four elements. Overwrites `out`; the padding up to 16 bytes is written too.

// @import "step.wgsl"
// @import "random.wgsl"
// @import "rounds.wgsl"

struct Dims { quads: u32, rounds: u32, node: u32, probability: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // @stream
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;
@group(0) @binding(3) var<uniform> step: Step;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, dims.quads);
    for (var i = first; i < end; i += 8u) {
        out[i] = x[i] * dropout_scale_quad(dims.node, 4u * i, dims.probability);
    }
}
