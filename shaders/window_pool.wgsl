// y[plane, o] = the maximum or the mean of what of x[plane] lies under window o: pooling in 1 to 3 dimensions.
//
//   x [planes, in]; y [planes, out]; windows are shared/windows.wgsl's. With PLACES also where in its plane the maximum was, the first of
//   equals, NaN before all others, for the backward kernels.
//
// Dispatch: one invocation per element of y. Overwrites its outputs.

// @import "windows.wgsl"
// @import "is_nan.wgsl"

const MAXIMUM: u32 = 1u;
const PLACES: u32 = 0u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
// @if PLACES
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
// @end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    let window = place_in_plane(index, vec3<u32>(dims.out_d, dims.out_h, dims.out_w));
    if (window.outer >= dims.planes) {
        return;
    }
    let start = window.outer * dims.in_d * dims.in_h * dims.in_w;
    let z_span = span_of(depth(), window.at.x);
    let y_span = span_of(height(), window.at.y);
    let x_span = span_of(width(), window.at.z);
    var best = -3.4028234663852886e38;
    var place = 0xffffffffu;
    var sum = 0.0;
    for (var z = z_span.first; z < z_span.end; z += dims.dilation_d) {
        for (var row = y_span.first; row < y_span.end; row += dims.dilation_h) {
            for (var column = x_span.first; column < x_span.end; column += dims.dilation_w) {
                let at = (z * dims.in_h + row) * dims.in_w + column;
                let value = x[start + at];
                if (MAXIMUM == 0u) {
                    sum += value;
                } else if (place == 0xffffffffu || (!is_nan(best) && (is_nan(value) || value > best))) {
                    best = value;
                    place = at;
                }
            }
        }
    }
    if (MAXIMUM != 0u) {
        y[index] = best;
    } else {
        let count = count_of(depth(), window.at.x) * count_of(height(), window.at.y) * count_of(width(), window.at.z);
        y[index] = sum / f32(max(count, 1u));
    }
    // @if PLACES
    places[index] = place;
    // @end
}
