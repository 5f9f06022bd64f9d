// The gradient of a mean, as window_pool_backward.wgsl's, for CPU adapters, which pay for loads: windows of up to TAPS neighbours along a
// row, STRIDE apart, no dilation.
//
// Dispatch: one invocation per plane, row of elements and four neighbours in it. It goes through the windows' depth once: each slice's
// part in the up to OPEN elements that lie under it is computed once. Overwrites `dx`.

// @import "windows.wgsl"

const STRIDE: u32 = 1u; // 1 or 2
const TAPS: u32 = 3u;
const OPEN: u32 = 3u;
// Rows of dx are multiples of 4.
const VECTOR: u32 = 1u;

// Windows over four neighbouring elements.
const ROW_SPAN: u32 = (3u + TAPS) / STRIDE;

// @import "row_span.wgsl"

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
// @if VECTOR
@group(0) @binding(1) var<storage, read_write> dx: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
// @end
@group(0) @binding(2) var<uniform> dims: Dims;

fn quad_of(index: i32) -> vec4<f32> {
    let last = (dims.planes * dims.out_d * dims.out_h * dims.out_w + 3u) / 4u - 1u;
    return dy[clamp(index, 0, i32(last))];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    // its quad is its column
    let own = place_in_plane(index, vec3<u32>(1u, dims.in_h, (dims.in_w + 3u) / 4u));
    if (own.outer >= dims.planes) {
        return;
    }
    let column = own.at.z * 4u;
    let rows = windows_over(height(), own.at.y);
    // the first window that may be over one of the four, and where in it the first of the four is
    let padded = i32(column + dims.before_w);
    let first_window = (padded - i32(TAPS) + i32(STRIDE)) >> (STRIDE - 1u);
    let tap = u32(padded - first_window * i32(STRIDE));
    var shares: array<f32, ROW_SPAN>;
    // @unroll
    for (var w = 0u; w < ROW_SPAN; w++) {
        let window = u32(first_window + i32(w));
        let inside = window < dims.out_w;
        shares[w] = select(0.0, 1.0 / f32(max(count_of(width(), select(0u, window, inside)), 1u)), inside);
    }

    // of the elements along the depth `next`, next + 1, ..
    var open: array<vec4<f32>, OPEN>;
    var next = 0u;
    for (var z = 0u; z < dims.out_d; z++) {
        var part = vec4<f32>(0.0);
        let of_depth = count_of(depth(), z);
        for (var row = rows.first; row < rows.end; row++) {
            let start = ((own.outer * dims.out_d + z) * dims.out_h + row) * dims.out_w;
            let gradients = span_at(i32(start) + first_window);
            var sum = vec4<f32>(0.0);
            // @unroll
            for (var w = 0u; w < ROW_SPAN; w++) {
                let under = vec4<u32>(tap - w * STRIDE) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.kernel_w);
                let gradient = select(0.0, gradients[w] * shares[w], shares[w] > 0.0);
                sum += select(vec4<f32>(0.0), vec4<f32>(gradient), under);
            }
            part += sum / f32(max(of_depth * count_of(height(), row), 1u));
        }
        // @unroll
        for (var w = 0u; w < OPEN; w++) {
            if (next + w + dims.before_d - z * dims.stride_d < dims.kernel_d) {
                open[w] += part;
            }
        }
        while (next < dims.in_d && (next + dims.before_d < (z + 1u) * dims.stride_d || z + 1u == dims.out_d)) {
            let to = ((own.outer * dims.in_d + next) * dims.in_h + own.at.y) * dims.in_w + column;
            // @if VECTOR
            dx[to >> 2u] = open[0];
            // @end
            // @if !VECTOR
            for (var i = 0u; i < min(4u, dims.in_w - column); i++) {
                dx[to + i] = open[0].x;
                open[0] = open[0].yzwx;
            }
            // @end
            // @unroll
            for (var w = 1u; w < OPEN; w++) {
                open[w - 1u] = open[w];
            }
            open[OPEN - 1u] = vec4<f32>(0.0);
            next++;
        }
    }
}
