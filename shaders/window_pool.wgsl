// y[plane, o] = the maximum or the mean of what of x[plane] lies under window o: pooling in 1 to 3 dimensions.
//
//   x [planes, IN_D, IN_H, IN_W]; y [planes, OUT_D, OUT_H, OUT_W]; windows are shared/windows.wgsl's. With PLACES also where in its plane
//   the maximum was, the first of equals, NaN before all others, for window_pool_backward.wgsl.
//
// Dispatch: one invocation per element of y. Overwrites its outputs.

// @import "windows.wgsl"

const MAXIMUM: u32 = 1u;
const PLACES: u32 = 0u;

struct Dims { len: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
// @if PLACES
@group(0) @binding(3) var<storage, read_write> places: array<u32>;
// @end

// No comparison and no arithmetic may be trusted with NaN.
fn is_nan(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let o = vec3<u32>(index % OUT / (OUT_H * OUT_W), index / OUT_W % OUT_H, index % OUT_W);
    let start = index / OUT * IN;
    let z_span = span_of(depth(), o.x);
    let y_span = span_of(height(), o.y);
    let x_span = span_of(width(), o.z);
    var best = -3.4028234663852886e38;
    var place = 0xffffffffu;
    var sum = 0.0;
    for (var z = z_span.first; z < z_span.end; z += DILATION_D) {
        for (var row = y_span.first; row < y_span.end; row += DILATION_H) {
            for (var column = x_span.first; column < x_span.end; column += DILATION_W) {
                let at = (z * IN_H + row) * IN_W + column;
                let value = x[start + at];
                if (MAXIMUM == 0u) {
                    sum += value;
                } else if (place == 0xffffffffu || value > best || (is_nan(value) && !is_nan(best))) {
                    best = value;
                    place = at;
                }
            }
        }
    }
    if (MAXIMUM != 0u) {
        y[index] = best;
    } else {
        let count = count_of(depth(), o.x) * count_of(height(), o.y) * count_of(width(), o.z);
        y[index] = sum / f32(max(count, 1u));
    }
    // @if PLACES
    places[index] = place;
    // @end
}
