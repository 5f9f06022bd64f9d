// packed_a[layer, row, k] = A, packed_b[layer, k, column] = B: the operands of a convolution as a matrix product (shared/conv_view.wgsl),
// written out (im2col) for matmul_cooperative.wgsl, whose sizes are its tiles'.
//
//   packed_a [layers, padded_rows, padded_k]; packed_b [layers, padded_k, padded_columns], TO_WEIGHT [layers, padded_columns, padded_k],
//   has the columns from first_column on. What the padding adds and what is beyond A and B is 0. All padded sizes are multiples of 4.
//   The plan has both hold halves, and a and b where they do already. Overwrites packed_b, and with the first columns packed_a.
//
// Dispatch: one invocation per four elements of packed_a, if it is written, and per 4 x 4 of packed_b, 64 a workgroup.

// @import "conv_loads.wgsl"

const PACKED: u32 = 1u;

// @if A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
// @end
// @if !A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<f32>;
// @end
// @if B_QUADS
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// @end
// @if !B_QUADS
@group(0) @binding(1) var<storage, read> b: array<f32>;
// @end
@group(0) @binding(2) var<storage, read_write> packed_a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> packed_b: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> dims: Dims;

fn pack_a(index: u32) {
    let quads = divisor(dims.padded_k / 4u);
    let line = large_quotient(index, quads);
    let layer = large_quotient(line, divisor(dims.padded_rows));
    let row = line - layer * dims.padded_rows;
    let k = (index - line * quads.by) * 4u;
    let view = view_of(layer);
    var value = vec4<f32>(0.0);
    if (row < dims.rows && k < view.k_end) {
        value = load_a(view, row, k);
    }
    packed_a[index] = value;
}

fn pack_b(index: u32) {
    // blocks along the lines of packed_b, and down
    // @if !TO_WEIGHT
    let across = divisor(dims.padded_columns / 4u);
    let down = divisor(dims.padded_k / 4u);
    // @end
    // @if TO_WEIGHT
    let across = divisor(dims.padded_k / 4u);
    let down = divisor(dims.padded_columns / 4u);
    // @end
    let lines = large_quotient(index, across);
    let quad = index - lines * across.by;
    let layer = large_quotient(lines, down);
    let view = view_of(layer);
    var values: array<vec4<f32>, 4>;
    // @if !TO_WEIGHT
    let k = (lines - layer * down.by) * 4u;
    let column = dims.first_column + quad * 4u;
    if (k < view.k_end && column < view.columns) {
        values = load_b_rows(view, k, columns_at(view, column));
    }
    // @end
    // @if TO_WEIGHT
    let k = quad * 4u;
    let column = dims.first_column + (lines - layer * down.by) * 4u;
    let there = vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(view.k_end);
    if (k < view.k_end && column < view.columns) {
        let columns = columns_at(view, column);
        // @unroll
        for (var i = 0u; i < 4u; i++) {
            values[i] = load_b_along(view, k, columns.parts[i]);
        }
    }
    // @end
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        // @if !TO_WEIGHT
        let there = vec4<bool>(k + i < view.k_end);
        // @end
        packed_b[(lines * 4u + i) * across.by + quad] = select(vec4<f32>(0.0), values[i], there);
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let quads_k = dims.padded_k / 4u;
    let of_a = select(0u, dims.layers * dims.padded_rows * quads_k, dims.first_column == 0u);
    let of_b = dims.layers * quads_k * (dims.padded_columns / 4u);
    if (index < of_a) {
        pack_a(index);
    } else if (index - of_a < of_b) {
        pack_b(index - of_a);
    }
}
