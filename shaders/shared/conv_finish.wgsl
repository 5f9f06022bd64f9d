// What happens to a finished element of a convolution, and where it goes.
//
//   out = activation(product + bias) + residual
//
// The importing file imports conv_places.wgsl. out is [batch, GROUPS * rows, places] (TO_WEIGHT: the weight's own [GROUPS * rows,
// columns]). OUT_VECTOR: places (TO_WEIGHT: columns) is a multiple of 4, so that four neighbours are one vec4.

// @import "activation.wgsl"

const OUT_VECTOR: u32 = 0u;
const BIAS: u32 = 0u;
const RESIDUAL: u32 = 0u;
const SAVE_PRE: u32 = 0u;
const ACTIVATION: u32 = 0u; // of activation.wgsl

// @if OUT_VECTOR
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if !OUT_VECTOR
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
// @end
@group(0) @binding(3) var<uniform> dims: Dims;
@group(0) @binding(4) var<storage, read> bias: array<f32>; // @buffer
// @if OUT_VECTOR
@group(0) @binding(5) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> pre: array<vec4<f32>>;
// @end
// @if !OUT_VECTOR
@group(0) @binding(5) var<storage, read> residual: array<f32>;
@group(0) @binding(6) var<storage, read_write> pre: array<f32>;
// @end

// Where an element of the result lies.
fn out_index(group: u32, row: u32, column: u32) -> u32 {
    // @if TO_WEIGHT
    return (group * FILTERS + row) * dims.columns + column;
    // @end
    // @if TO_INPUT
    return ((column / IN * GROUPS + group) * CHANNELS + row) * IN + column % IN;
    // @end
    // @if FORWARD
    return ((column / OUT * GROUPS + group) * FILTERS + row) * OUT + column % OUT;
    // @end
}

// Finishes four neighbouring elements of a row and writes them; what lies beyond the rows or columns is dropped. `split` is the piece
// of k that this product is of.
fn finish(group: u32, split: u32, row: u32, column: u32, product: vec4<f32>) {
    if (row >= dims.rows || column >= dims.columns) {
        return;
    }
    var value = product;
    // @if BIAS
    value += bias[group * FILTERS + row];
    // @end
    let start = split * dims.split_stride;
    // @if OUT_VECTOR
    let at = out_index(group, row, column);
    // @if SAVE_PRE
    pre[at >> 2u] = value;
    // @end
    value = activate(ACTIVATION, value);
    // @if RESIDUAL
    value += residual[at >> 2u];
    // @end
    out[(start + at) >> 2u] = value;
    // @end
    // @if !OUT_VECTOR
    var finished = activate(ACTIVATION, value);
    for (var i = 0u; i < min(4u, dims.columns - column); i++) {
        let at = out_index(group, row, column + i);
        // @if SAVE_PRE
        pre[at] = value.x;
        value = value.yzwx;
        // @end
        // @if RESIDUAL
        finished.x += residual[at];
        // @end
        out[start + at] = finished.x;
        finished = finished.yzwx;
    }
    // @end
}
