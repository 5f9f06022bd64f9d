// packed[head, r, c] = x's elements of that head, 0 in hidden rows and beyond the last: an operand of matmul_cooperative.wgsl.
//
// x and the hidden rows: shared/attention_rows.wgsl; packed [matrices, padded_rows, width]. What is hidden is not read, so that NaN
// there is no factor of anything. The plan has `packed` hold halves, and x where it does already.
//
// Dispatch: one invocation per four elements of `packed`, folded into x and y. Overwrites `packed`.

// @import "attention_rows.wgsl"
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> packed: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.quads) {
        return;
    }
    let quad = find_quad(i);
    var value = vec4<f32>(0.0);
    if (quad.exists && !quad.hidden) {
        value = x[quad.at >> 2u];
    }
    packed[i] = value;
}
