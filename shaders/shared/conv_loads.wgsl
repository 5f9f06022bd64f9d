// The operands of a convolution as a matrix product: elements of A and B (conv_view.wgsl), which the importing file declares as arrays
// a and b.

// @import "conv_view.wgsl"

const OPERANDS: u32 = 2u; // a and b

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
