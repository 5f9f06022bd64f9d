// What happens to a finished element of a convolution, and where it goes.
//
//   out = last(activation(norm(product + bias)) + residual)
//   norm(v) = (v - mean) / sqrt(variance + epsilon) * scale + shift, per row
//
// out is [batch, groups * rows, places] (TO_WEIGHT: the weight's own [groups * rows, columns]). OUT_VECTOR: places (TO_WEIGHT: columns;
// with SPAN a row) is a multiple of 4, so that four neighbours are one vec4. The importing file declares View and Dims, or imports
// conv_view.wgsl, and binds OPERANDS arrays before these.

// @import "activation.wgsl"

const OUT_VECTOR: u32 = 0u;
const BIAS: u32 = 0u;
const NORM: u32 = 0u;
const SCALE: u32 = 0u;
const SHIFT: u32 = 0u;
const SAVE_PRE: u32 = 0u; // of the activation, which has no norm then
const ACTIVATION: u32 = 0u; // of activation.wgsl
const RESIDUAL: u32 = 0u;
const LAST: u32 = 0u; // of activation.wgsl

// @if OUT_VECTOR
@group(0) @binding(OPERANDS) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if !OUT_VECTOR
@group(0) @binding(OPERANDS) var<storage, read_write> out: array<f32>;
// @end
@group(0) @binding(OPERANDS + 1u) var<uniform> dims: Dims;
// @if BIAS
@group(0) @binding(OPERANDS + 2u) var<storage, read> bias: array<f32>; // @buffer
// @end
// @if RESIDUAL
// @if OUT_VECTOR
@group(0) @binding(OPERANDS + 2u + BIAS) var<storage, read> residual: array<vec4<f32>>;
// @end
// @if !OUT_VECTOR
@group(0) @binding(OPERANDS + 2u + BIAS) var<storage, read> residual: array<f32>;
// @end
// @end
// @if SAVE_PRE
// @if OUT_VECTOR
@group(0) @binding(OPERANDS + 2u + BIAS + RESIDUAL) var<storage, read_write> pre: array<vec4<f32>>;
// @end
// @if !OUT_VECTOR
@group(0) @binding(OPERANDS + 2u + BIAS + RESIDUAL) var<storage, read_write> pre: array<f32>;
// @end
// @end
// @if NORM
@group(0) @binding(OPERANDS + 2u + BIAS + RESIDUAL) var<storage, read> mean: array<f32>; // @buffer
@group(0) @binding(OPERANDS + 3u + BIAS + RESIDUAL) var<storage, read> variance: array<f32>; // @buffer
// @if SCALE
@group(0) @binding(OPERANDS + 4u + BIAS + RESIDUAL) var<storage, read> scale: array<f32>; // @buffer
// @end
// @if SHIFT
@group(0) @binding(OPERANDS + 4u + BIAS + RESIDUAL + SCALE) var<storage, read> shift: array<f32>; // @buffer
// @end
// @end

// Where up to four elements of row 0 lie.
struct Places { at: vec4<u32>, count: u32 }

// Finishes four neighbouring elements of a row and writes them; what lies beyond the rows or columns is dropped.
fn finish(view: View, row: u32, places: Places, product: vec4<f32>) {
    if (row >= dims.rows || places.count == 0u) {
        return;
    }
    var value = product;
    let channel = view.group * dims.rows + row;
    // @if BIAS
    value += bias[channel];
    // @end
    // @if NORM
    value = (value - mean[channel]) * (1.0 / sqrt(variance[channel] + dims.epsilon));
    // @if SCALE
    value *= scale[channel];
    // @end
    // @if SHIFT
    value += shift[channel];
    // @end
    // @end
    let start = view.split * dims.split_stride;
    // @if OUT_VECTOR
    let at = places.at.x + row * dims.out_pitch;
    // @if SAVE_PRE
    pre[at >> 2u] = value;
    // @end
    value = activate(ACTIVATION, value);
    // @if RESIDUAL
    value = activate(LAST, value + residual[at >> 2u]);
    // @end
    out[(start + at) >> 2u] = value;
    // @end
    // @if !OUT_VECTOR
    var rest = places.at + row * dims.out_pitch;
    var finished = activate(ACTIVATION, value);
    for (var i = 0u; i < places.count; i++) {
        // @if SAVE_PRE
        pre[rest.x] = value.x;
        value = value.yzwx;
        // @end
        // @if RESIDUAL
        finished.x = activate(LAST, vec4<f32>(finished.x + residual[rest.x])).x;
        // @end
        out[start + rest.x] = finished.x;
        finished = finished.yzwx;
        rest = rest.yzwx;
    }
    // @end
}
