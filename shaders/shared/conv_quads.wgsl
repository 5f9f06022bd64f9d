// B of conv_rows*.wgsl as row_span.wgsl reads it: elements 4 * index .., the nearest there are where that lies outside.

const OPERANDS: u32 = 2u; // a and b

// @if B_QUADS
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;

fn quad_of(index: i32) -> vec4<f32> {
    return b[clamp(index, 0, i32(dims.b_quads) - 1)];
}
// @end
// @if !B_QUADS
@group(0) @binding(1) var<storage, read> b: array<f32>;

fn quad_of(index: i32) -> vec4<f32> {
    let at = 4 * clamp(index, 0, i32(dims.b_quads) - 1);
    return vec4<f32>(b[at], b[at + 1], b[at + 2], b[at + 3]);
}
// @end
