// out = finish(sum over pieces of partials): the second half of a convolution on cooperative matrices, in a fixed order.
//
//   partials [pieces, layers, padded_rows, padded_columns] has the columns from first_column on; rows, columns and where they go are
//   shared/conv_view.wgsl's, what happens to a finished element is shared/conv_finish.wgsl's. Overwrites out.
//
// Dispatch: one invocation per layer, row and four neighbouring columns, 64 a workgroup.

// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"

const OPERANDS: u32 = 1u;
const PACKED: u32 = 1u;

@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = divisor(dims.padded_columns / 4u);
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let line = large_quotient(index, quads);
    let layer = large_quotient(line, divisor(dims.rows));
    if (layer >= dims.layers) {
        return;
    }
    let row = line - layer * dims.rows;
    let quad = index - line * quads.by;
    var sum = vec4<f32>(0.0);
    for (var piece = 0u; piece < dims.pieces; piece++) {
        sum += partials[((piece * dims.layers + layer) * dims.padded_rows + row) * quads.by + quad];
    }
    let view = view_of(layer);
    finish(view, row, places_out(view, dims.first_column + quad * 4u), sum);
}
