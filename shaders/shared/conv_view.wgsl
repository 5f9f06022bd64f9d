// A convolution as a matrix product: which element of which operand stands where. conv_loads.wgsl reads the operands as they
// are, conv_places.wgsl knows where results go; nothing is copied together first (no im2col) but by conv_pack.wgsl.
//
//   rows x columns, over k           | rows (A)            | columns (B)           | k
//   forward:   out[n, f, p]          | filters             | (n, p), p of OUT      | (channel, tap) of x
//   TO_INPUT:  dx[n, c, q]           | channels            | (n, q), q of IN       | (tap, filter) of dy
//   TO_WEIGHT: dweight[f, (c, tap)]  | filters             | (channel, tap)        | (n, p), p of OUT
//
// for each of dims.groups groups. A has k along memory: weight [filters, (c, tap)], its transpose [channels, (tap, f)], or dy. B is x
// or dy, [batch, groups * channels, depth, height, width]; what the padding adds counts as zero and is never read.
//
// With strides, elements of the input whose place leaves the same remainder along every axis lie under the same taps: they are a dense
// convolution of dy with those alone. TO_INPUT goes through these phases one after the other, as a further axis of workgroups.
//
// Sizes are uniforms, so that one pipeline serves a network's layers. The importing file binds `dims`, or imports conv_finish.wgsl.

// @import "box.wgsl"

// Neither: forward.
const TO_INPUT: u32 = 0u;
const TO_WEIGHT: u32 = 0u;
// k's length, or what of it lies together in A, is a multiple of 4.
const A_VECTOR: u32 = 0u;
// Windows of one element, side by side, and their number a multiple of 4: columns lie as B's elements do. Not for TO_WEIGHT.
const B_VECTOR: u32 = 0u;
// Four neighbouring columns are neighbours along a row of B, and read as two vec4; rows of sites are filled up to multiples of 4.
const SPAN: u32 = 0u;
// TO_WEIGHT: the same of four neighbouring k; rows of windows are multiples of 4.
const SPAN_K: u32 = 0u;
// One of these three: B is an array of vec4.
const B_QUADS: u32 = 0u;
// Windows of one element.
const POINT: u32 = 0u;
// Whether a place may lie outside B along that axis.
const CHECK_D: u32 = 0u;
const CHECK_H: u32 = 1u;
const CHECK_W: u32 = 1u;
// TO_INPUT where a stride is not 1.
const STRIDED: u32 = 0u;

// Sizes are those of a group; columns and k those of the largest phase. k is cut into `splits` pieces of k_per_split, and piece s is
// written split_stride elements after piece s - 1. From one row to the next it is a_pitch elements in A, out_pitch in the result.
struct Dims {
    rows: u32,
    columns: u32,
    k: u32,
    layers: u32,
    splits: u32,
    k_per_split: u32,
    split_stride: u32,
    a_pitch: u32,
    out_pitch: u32,
    // B's length
    b_quads: u32,
    batch: u32,
    groups: u32,
    channels: u32,
    filters: u32,
    in_d: u32,
    in_h: u32,
    in_w: u32,
    out_d: u32,
    out_h: u32,
    out_w: u32,
    kernel_d: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_d: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_d: u32,
    dilation_h: u32,
    dilation_w: u32,
    // zeros before the first element
    before_d: u32,
    before_h: u32,
    before_w: u32,
    // @if NORM
    // added to the variance
    epsilon: f32,
    // @end
    // @if PACKED
    // sizes filled up to whole matrices, of columns first_column and after, and the pieces that the products' k was cut into
    padded_rows: u32,
    padded_columns: u32,
    padded_k: u32,
    first_column: u32,
    pieces: u32,
    // @end
    // @if STRIDED
    // of stride and dilation the greatest common divisor, and the first tap that is `common` beyond a multiple of the stride
    common_d: u32,
    common_h: u32,
    common_w: u32,
    turn_d: u32,
    turn_h: u32,
    turn_w: u32,
    // @end
}

// What a workgroup works on.
struct View {
    group: u32,
    split: u32,
    columns: u32,
    first_k: u32,
    k_end: u32,
    // B's channels per group, their sizes and elements
    channels: Divisor,
    sizes: vec3<u32>,
    elements: u32,
    // site s under tap t is at s * stride + origin + t * spread of B
    stride: vec3<u32>,
    origin: vec3<i32>,
    spread: vec3<i32>,
    // the windows, or, in TO_INPUT, the elements of the phase, which begins at `corner` of the input; how many there really are in a row
    sites: Box,
    width: u32,
    corner: vec3<u32>,
    // the taps that count: they begin at `first_tap` of the window and are `tap_step` apart
    taps: Box,
    first_tap: vec3<u32>,
    tap_step: vec3<u32>,
}

// `layer` counts groups, splits and phases, in this order.
fn view_of(layer: u32) -> View {
    let in_sizes = vec3<u32>(dims.in_d, dims.in_h, dims.in_w);
    let out_sizes = vec3<u32>(dims.out_d, dims.out_h, dims.out_w);
    let kernel = vec3<u32>(dims.kernel_d, dims.kernel_h, dims.kernel_w);
    let strides = vec3<u32>(dims.stride_d, dims.stride_h, dims.stride_w);
    let dilation = vec3<u32>(dims.dilation_d, dims.dilation_h, dims.dilation_w);
    let before = vec3<u32>(dims.before_d, dims.before_h, dims.before_w);
    var view: View;
    view.group = layer % dims.groups;
    view.split = layer / dims.groups % dims.splits;
    view.columns = dims.columns;
    view.first_k = view.split * dims.k_per_split;
    view.k_end = min(dims.k, view.first_k + dims.k_per_split);
    // @if !TO_INPUT
    view.channels = divisor(dims.channels);
    view.sizes = in_sizes;
    view.stride = strides;
    view.origin = -vec3<i32>(before);
    view.spread = vec3<i32>(dilation);
    var sites = out_sizes;
    let taps = kernel;
    // @end
    // @if TO_INPUT
    view.channels = divisor(dims.filters);
    view.sizes = out_sizes;
    view.stride = vec3<u32>(1u);
    // @if !STRIDED
    view.origin = vec3<i32>(before);
    view.spread = -vec3<i32>(dilation);
    var sites = in_sizes;
    let taps = kernel;
    // @end
    // @if STRIDED
    // element corner + stride * s lies under tap t of window s + (corner + before - t * dilation) / stride, where that is whole
    let phase = layer / (dims.groups * dims.splits);
    let shared_factor = vec3<u32>(dims.common_d, dims.common_h, dims.common_w);
    let turn = vec3<u32>(dims.turn_d, dims.turn_h, dims.turn_w);
    view.corner = vec3<u32>(phase / (strides.y * strides.z), phase / strides.z % strides.y, phase % strides.z);
    let shifted = view.corner + before;
    let remainder = shifted % strides;
    view.tap_step = strides / shared_factor;
    view.first_tap = remainder / shared_factor * turn % view.tap_step;
    let some = remainder % shared_factor == vec3<u32>(0u);
    let beyond = kernel + view.tap_step - 1u;
    let taps = select(vec3<u32>(0u), (beyond - min(view.first_tap, kernel)) / view.tap_step, some);
    view.origin = (vec3<i32>(shifted) - vec3<i32>(view.first_tap * dilation)) / vec3<i32>(strides);
    view.spread = -vec3<i32>(dilation / shared_factor);
    var sites = (in_sizes + strides - 1u - view.corner) / strides;
    // @end
    // @end
    view.width = sites.z;
    // @if SPAN
    sites.z = (sites.z + 3u) / 4u * 4u;
    // @end
    // @if STRIDED
    view.columns = dims.batch * sites.x * sites.y * sites.z;
    view.k_end = dims.filters * taps.x * taps.y * taps.z;
    // @end
    view.elements = view.sizes.x * view.sizes.y * view.sizes.z;
    view.sites = box_of(sites);
    view.taps = box_of(taps);
    return view;
}
