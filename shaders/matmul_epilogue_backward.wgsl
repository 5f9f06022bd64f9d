// dpre = dy * dropout * activation'(pre): the gradient through a matmul's epilogue, back to its product plus bias.
//
// `activation` 0 reads no `pre`; `dropout` 0 draws nothing. The dropout mask is the forward's, drawn again from the same numbers.
// Dispatch: one invocation per four elements. Overwrites `dpre`.

// @import "step.wgsl"
// @import "random.wgsl"
// @import "activation.wgsl"

struct Dims { quads: u32, activation: u32, node: u32, dropout: f32 }

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> pre: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dpre: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<uniform> step: Step;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.quads) {
        return;
    }
    var gradient = dy[i];
    if (dims.dropout > 0.0) {
        gradient *= dropout_scale_quad(dims.node, i * 4u, dims.dropout);
    }
    if (dims.activation != 0u) {
        gradient *= activate_derivative(dims.activation, pre[i]);
    }
    dpre[i] = gradient;
}
