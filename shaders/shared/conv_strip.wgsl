// What conv_rows*.wgsl share: the sizes of the windows, B as row_span.wgsl reads it, and which elements an invocation has.

// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"

const KERNEL_H: u32 = 3u;
const KERNEL_W: u32 = 3u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const FOURS: u32 = 1u;

const TAPS: u32 = KERNEL_H * KERNEL_W;
// Windows that a row lies under.
const OPEN: u32 = (KERNEL_H + STRIDE_H - 1u) / STRIDE_H;

const OPERANDS: u32 = 2u; // a and b

// @if ONCE
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // @stream
// @end
// @if !ONCE
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// @end

// Elements 4 * index .., the nearest there are where that lies outside.
fn quad_of(index: i32) -> vec4<f32> {
    return b[clamp(index, 0, i32(dims.b_quads) - 1)];
}

// FOURS times four neighbouring elements of the rows of a channel's slice of the depth.
struct Strip {
    exists: bool,
    channel: u32,
    // among the slices of all channels of all images
    slice: u32,
    // of the first element
    column: u32,
}

// Strip `index`, where rows have `width` elements.
fn strip_of(index: u32, width: u32) -> Strip {
    let strips = divisor((width + 4u * FOURS - 1u) / (4u * FOURS));
    let slice = large_quotient(index, strips);
    let plane = large_quotient(slice, divisor(dims.in_d));
    let channel = plane - quotient(plane, divisor(dims.groups)) * dims.groups;
    return Strip(slice < dims.batch * dims.groups * dims.in_d, channel, slice, (index - slice * strips.by) * 4u * FOURS);
}
