// out's elements of a head = factor * sum over s of partials[s, head, r, c], 0 in hidden rows: the product of matmul_cooperative.wgsl,
// whose sums were split, back to its place.
//
// partials [splits, matrices, padded_rows, width]; out and the hidden rows: shared/attention_rows.wgsl. Whatever the product of a
// hidden row is, NaN included, it is dropped.
//
// Dispatch: one invocation per four elements of a piece, folded into x and y. Overwrites the slice's rows of `out`.

// @import "attention_rows.wgsl"
@group(0) @binding(3) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    let quad = find_quad(i);
    if (!quad.exists) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var s = 0u; s < dims.splits; s++) {
        sum += partials[s * dims.quads + i];
    }
    out[quad.at >> 2u] = select(dims.factor * sum, vec4<f32>(0.0), quad.hidden);
}
