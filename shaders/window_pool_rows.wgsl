// window_pool.wgsl for CPU adapters, which pay for loads: windows of up to TAPS neighbours along a row, STRIDE apart.
//
// Dispatch: one invocation per plane, row of windows and four neighbours in it. It goes through the depth once: each slice's part in the
// up to OPEN windows that it lies under is computed once. Overwrites its outputs.

// @import "windows.wgsl"

const MAXIMUM: u32 = 1u;
const PLACES: u32 = 0u;
const STRIDE: u32 = 1u; // 1 or 2
const TAPS: u32 = 3u;
const OPEN: u32 = 3u;
// Rows of y are multiples of 4.
const VECTOR: u32 = 1u;

// Elements under four neighbouring windows.
const ROW_SPAN: u32 = 3u * STRIDE + TAPS;

// @import "row_span.wgsl"

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
// @if VECTOR
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
// @end
@group(0) @binding(2) var<uniform> dims: Dims;
// @if PLACES
// @if VECTOR
@group(0) @binding(3) var<storage, read_write> places: array<vec4<u32>>;
// @end
// @if !VECTOR
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
// @end
// @end

fn quad_of(index: i32) -> vec4<f32> {
    let last = (dims.planes * dims.in_d * dims.in_h * dims.in_w + 3u) / 4u - 1u;
    return x[clamp(index, 0, i32(last))];
}

// What is known of four windows.
struct Part {
    value: vec4<f32>,
    // @if MAXIMUM
    key: vec4<i32>,
    place: vec4<u32>,
    // @end
}

fn nothing() -> Part {
    // @if MAXIMUM
    return Part(vec4<f32>(-3.4028234663852886e38), vec4<i32>(-2147483648), vec4<u32>(0xffffffffu));
    // @end
    // @if !MAXIMUM
    return Part(vec4<f32>(0.0));
    // @end
}

fn joined(part: Part, more: Part) -> Part {
    // @if MAXIMUM
    let better = more.key > part.key;
    return Part(
        select(part.value, more.value, better),
        select(part.key, more.key, better),
        select(part.place, more.place, better),
    );
    // @end
    // @if !MAXIMUM
    return Part(part.value + more.value);
    // @end
}

// @if MAXIMUM
// An integer that is greater than another's where the value is: equal for both zeros, greatest and equal for all NaN.
fn key_of(value: f32) -> i32 {
    let bits = bitcast<i32>(value);
    let size = bits & 0x7fffffff;
    let key = select(size, -size, bits < 0);
    return select(key, 0x7fffffff, size > 0x7f800000);
}
// @end

// `part` with what of row `start ..` of x, which is number `own ..` of its plane, lies under the four windows of which the first begins
// at `column`.
fn with_row(part: Part, start: u32, own: u32, column: i32) -> Part {
    var read = span_at(i32(start) + column);
    // @if MAXIMUM
    var keys: array<i32, ROW_SPAN>;
    // @unroll
    for (var i = 0u; i < ROW_SPAN; i++) {
        keys[i] = select(-2147483647 - 1, key_of(read[i]), u32(column + i32(i)) < dims.in_w);
    }
    // @end
    // @if !MAXIMUM
    // @unroll
    for (var i = 0u; i < ROW_SPAN; i++) {
        read[i] = select(0.0, read[i], u32(column + i32(i)) < dims.in_w);
    }
    // @end
    var now = part;
    // @unroll
    for (var tap = 0u; tap < TAPS; tap++) {
        let values = vec4<f32>(read[tap], read[tap + STRIDE], read[tap + 2u * STRIDE], read[tap + 3u * STRIDE]);
        // @if MAXIMUM
        let tap_keys = vec4<i32>(keys[tap], keys[tap + STRIDE], keys[tap + 2u * STRIDE], keys[tap + 3u * STRIDE]);
        let first = own + u32(column) + tap;
        let more = Part(values, tap_keys, vec4<u32>(first, first + STRIDE, first + 2u * STRIDE, first + 3u * STRIDE));
        // @end
        // @if !MAXIMUM
        let more = Part(values);
        // @end
        if (tap < dims.kernel_w) {
            now = joined(now, more);
        }
    }
    return now;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    // its quad is its column
    let window = place_in_plane(index, vec3<u32>(1u, dims.out_h, (dims.out_w + 3u) / 4u));
    if (window.outer >= dims.planes) {
        return;
    }
    let row_of_windows = window.at.y;
    let first_window = window.at.z * 4u;
    let column = i32(first_window * STRIDE) - i32(dims.before_w);
    let rows = span_of(height(), row_of_windows);
    // @if !MAXIMUM
    let z_axis = depth();
    let x_axis = width();
    let of_row = f32(count_of(height(), row_of_windows)) * vec4<f32>(
        f32(count_of(x_axis, first_window)),
        f32(count_of(x_axis, min(first_window + 1u, dims.out_w - 1u))),
        f32(count_of(x_axis, min(first_window + 2u, dims.out_w - 1u))),
        f32(count_of(x_axis, min(first_window + 3u, dims.out_w - 1u))),
    );
    // @end

    // of the windows along the depth `next`, next + 1, ..
    var open: array<Part, OPEN>;
    // @unroll
    for (var w = 0u; w < OPEN; w++) {
        open[w] = nothing();
    }
    var next = 0u;
    for (var z = 0u; z < dims.in_d; z++) {
        var part = nothing();
        for (var row = rows.first; row < rows.end; row += dims.dilation_h) {
            let own = (z * dims.in_h + row) * dims.in_w;
            part = with_row(part, window.outer * dims.in_d * dims.in_h * dims.in_w + own, own, column);
        }
        // @unroll
        for (var w = 0u; w < OPEN; w++) {
            if (z + dims.before_d - (next + w) * dims.stride_d < dims.kernel_d) {
                open[w] = joined(open[w], part);
            }
        }
        let finished = z + dims.before_d + 1u;
        while (next < dims.out_d && (next * dims.stride_d + dims.kernel_d <= finished || z + 1u == dims.in_d)) {
            let to = ((window.outer * dims.out_d + next) * dims.out_h + row_of_windows) * dims.out_w + first_window;
            // @if MAXIMUM
            let values = open[0].value;
            // @end
            // @if !MAXIMUM
            let values = open[0].value / max(of_row * f32(count_of(z_axis, next)), vec4<f32>(1.0));
            // @end
            // @if VECTOR
            y[to >> 2u] = values;
            // @if PLACES
            places[to >> 2u] = open[0].place;
            // @end
            // @end
            // @if !VECTOR
            var rest = values;
            for (var i = 0u; i < min(4u, dims.out_w - first_window); i++) {
                y[to + i] = rest.x;
                rest = rest.yzwx;
                // @if PLACES
                places[to + i] = open[0].place.x;
                open[0].place = open[0].place.yzwx;
                // @end
            }
            // @end
            // @unroll
            for (var w = 1u; w < OPEN; w++) {
                open[w - 1u] = open[w];
            }
            open[OPEN - 1u] = nothing();
            next++;
        }
    }
}
