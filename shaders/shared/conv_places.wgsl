// A convolution as a matrix product: which element of which operand stands where. Nothing is copied together first (no im2col).
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
// Sizes are uniforms, so that one pipeline serves a network's layers. The importing file declares a and b as arrays, and imports
// conv_finish.wgsl.

// @import "box.wgsl"

const OPERANDS: u32 = 2u; // a and b
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

// What a site, or a channel and a tap, contributes to a place in B and to that element's number: both are the sum of the two.
struct Part { at: u32, place: vec3<i32> }

fn site_of(view: View, index: u32) -> Part {
    let site = place_of(index, view.sites);
    let place = vec3<i32>(site.at * view.stride) + view.origin;
    let channel = (site.outer * dims.groups + view.group) * view.channels.by;
    return Part(channel * view.elements + number(place, view.sizes), place);
}

fn tap_of(view: View, index: u32) -> Part {
    // @if POINT
    return Part(index * view.elements, vec3<i32>(0));
    // @end
    // @if !POINT
    // @if TO_INPUT
    let channel = index - quotient(index, view.channels) * view.channels.by;
    let tap = place_of(quotient(index, view.channels), view.taps);
    // @end
    // @if !TO_INPUT
    let tap = place_of(index, view.taps);
    let channel = tap.outer;
    // @end
    let place = vec3<i32>(tap.at) * view.spread;
    return Part(channel * view.elements + number(place, view.sizes), place);
    // @end
}

// @if !B_QUADS
// The element of B at `site` under `tap`; zero in the padding, which is never read.
fn gather(view: View, site: Part, tap: Part) -> f32 {
    let place = site.place + tap.place;
    let inside = row_inside(view, place) & inside_row(view, vec4<i32>(place.z)).x;
    return select(0.0, b[select(0u, site.at + tap.at, inside)], inside);
}
// @end

// @if B_QUADS
// The element of B at `site` under `tap`, and the three after it in the row; zero in the padding, whose values count for nothing.
fn span(view: View, site: Part, tap: Part) -> vec4<f32> {
    let place = site.place + tap.place;
    let at = i32(site.at + tap.at);
    let last = i32(dims.b_quads) - 1;
    let low = b[clamp(at >> 2u, 0, last)];
    let high = b[clamp((at >> 2u) + 1, 0, last)];
    // moved down by 0 to 3 elements
    let odd = (at & 1) != 0;
    let by_one = select(low, vec4<f32>(low.yzw, high.x), odd);
    let next = select(high.xy, high.yz, odd);
    let value = select(by_one, vec4<f32>(by_one.zw, next), (at & 2) != 0);
    let inside = inside_row(view, vec4<i32>(place.z) + vec4<i32>(0, 1, 2, 3));
    return select(vec4<f32>(0.0), value, inside & vec4<bool>(row_inside(view, place)));
}
// @end

// Whether B has the row that a place is in. A negative place is a large one here.
fn row_inside(view: View, place: vec3<i32>) -> bool {
    var inside = true;
    // @if CHECK_D
    inside = inside & (u32(place.x) < view.sizes.x);
    // @end
    // @if CHECK_H
    inside = inside & (u32(place.y) < view.sizes.y);
    // @end
    return inside;
}

// Whether places in a row of B are there.
fn inside_row(view: View, x: vec4<i32>) -> vec4<bool> {
    // @if CHECK_W
    return vec4<u32>(x) < vec4<u32>(view.sizes.z);
    // @end
    // @if !CHECK_W
    return vec4<bool>(true);
    // @end
}

// Elements (row, k) to (row, k + 3) of A: zero beyond the last k, the last row beyond the rows.
fn load_a(view: View, row: u32, k: u32) -> vec4<f32> {
    let start = (view.group * dims.rows + min(row, dims.rows - 1u)) * dims.a_pitch;
    // @if A_VECTOR
    let value = a[(start + along_a(view, min(k, view.k_end - 4u))) >> 2u];
    return select(vec4<f32>(0.0), value, k < view.k_end);
    // @end
    // @if !A_VECTOR
    let last = view.k_end - 1u;
    let value = vec4<f32>(
        a[start + along_a(view, min(k, last))],
        a[start + along_a(view, min(k + 1u, last))],
        a[start + along_a(view, min(k + 2u, last))],
        a[start + along_a(view, min(k + 3u, last))],
    );
    return select(vec4<f32>(0.0), value, vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(view.k_end));
    // @end
}

// Where k is in a row of A.
fn along_a(view: View, k: u32) -> u32 {
    // @if TO_WEIGHT
    let image = quotient(k, view.sites.volume);
    return image * (dims.groups * dims.rows - 1u) * dims.a_pitch + k;
    // @end
    // @if STRIDED
    let index = quotient(k, view.channels);
    let tap = view.first_tap + place_of(index, view.taps).at * view.tap_step;
    let whole = number(vec3<i32>(tap), vec3<u32>(dims.kernel_d, dims.kernel_h, dims.kernel_w));
    return (whole - index) * view.channels.by + k;
    // @end
    // @if !TO_WEIGHT
    // @if !STRIDED
    return k;
    // @end
    // @end
}

// Four neighbouring columns of B. Those beyond the last are the last one, whose result is dropped. A k beyond the last must be read at
// the last: A is zero there.
struct Columns { parts: array<Part, 4> }

fn columns_at(view: View, column: u32) -> Columns {
    var columns: Columns;
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        // @if TO_WEIGHT
        columns.parts[i] = tap_of(view, min(column + i, view.columns - 1u));
        // @end
        // @if !TO_WEIGHT
        columns.parts[i] = site_of(view, min(column + i, view.columns - 1u));
        // @end
    }
    return columns;
}

// @if !SPAN_K
// Elements (k, column) to (k, column + 3) of B.
fn load_b(view: View, k: u32, columns: Columns) -> vec4<f32> {
    // @if TO_WEIGHT
    let other = site_of(view, k);
    // @end
    // @if !TO_WEIGHT
    let other = tap_of(view, k);
    // @end
    // @if B_VECTOR
    return b[(columns.parts[0].at + other.at) >> 2u];
    // @end
    // @if SPAN
    return span(view, columns.parts[0], other);
    // @end
    // @if !B_QUADS
    return vec4<f32>(
        gather(view, columns.parts[0], other),
        gather(view, columns.parts[1], other),
        gather(view, columns.parts[2], other),
        gather(view, columns.parts[3], other),
    );
    // @end
}
// @end

// The same for k, k + 1, k + 2 and k + 3.
fn load_b_rows(view: View, k: u32, columns: Columns) -> array<vec4<f32>, 4> {
    var rows: array<vec4<f32>, 4>;
    // @if SPAN_K
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        let along_k = load_b_along(view, k, columns.parts[i]);
        rows[0u][i] = along_k.x;
        rows[1u][i] = along_k.y;
        rows[2u][i] = along_k.z;
        rows[3u][i] = along_k.w;
    }
    // @end
    // @if !SPAN_K
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        rows[i] = load_b(view, min(k + i, view.k_end - 1u), columns);
    }
    // @end
    return rows;
}

// TO_WEIGHT: elements (k, column) to (k + 3, column) of B.
// @if SPAN_K
fn load_b_along(view: View, k: u32, column: Part) -> vec4<f32> {
    return span(view, site_of(view, min(k, view.k_end - 4u)), column);
}
// @end
// @if !B_QUADS
fn load_b_along(view: View, k: u32, column: Part) -> vec4<f32> {
    let last = view.k_end - 1u;
    return vec4<f32>(
        gather(view, site_of(view, min(k, last)), column),
        gather(view, site_of(view, min(k + 1u, last)), column),
        gather(view, site_of(view, min(k + 2u, last)), column),
        gather(view, site_of(view, min(k + 3u, last)), column),
    );
}
// @end

// Where four neighbouring columns' elements go.
fn places_out(view: View, column: u32) -> Places {
    if (column >= view.columns) {
        return Places(vec4<u32>(0u), 0u);
    }
    let first = place_out(view, column);
    // @if SPAN
    let x = place_of(column, view.sites).at.z;
    // @if STRIDED
    return Places(first + vec4<u32>(0u, 1u, 2u, 3u) * dims.stride_w, min(4u, view.width - x));
    // @end
    // @if !STRIDED
    return Places(first + vec4<u32>(0u, 1u, 2u, 3u), min(4u, view.width - x));
    // @end
    // @end
    // @if !SPAN
    let others = vec3<u32>(place_out(view, column + 1u), place_out(view, column + 2u), place_out(view, column + 3u));
    return Places(vec4<u32>(first, others), min(4u, view.columns - column));
    // @end
}

fn place_out(view: View, column: u32) -> u32 {
    // @if TO_WEIGHT
    return view.group * dims.rows * dims.out_pitch + column;
    // @end
    // @if !TO_WEIGHT
    let site = place_of(column, view.sites);
    let channel = (site.outer * dims.groups + view.group) * dims.rows;
    // @if STRIDED
    let strides = vec3<u32>(dims.stride_d, dims.stride_h, dims.stride_w);
    let place = site.at * strides + view.corner;
    // @end
    // @if !STRIDED
    let place = site.at;
    // @end
    // @if TO_INPUT
    let sizes = vec3<u32>(dims.in_d, dims.in_h, dims.in_w);
    // @end
    // @if !TO_INPUT
    let sizes = vec3<u32>(dims.out_d, dims.out_h, dims.out_w);
    // @end
    return channel * dims.out_pitch + number(vec3<i32>(place), sizes);
    // @end
}
