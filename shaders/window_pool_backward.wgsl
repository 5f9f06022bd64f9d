// dx[plane, i] = the sum of dy[plane, o], divided as a mean divides, over the windows o that element i lies under (MAXIMUM: of which it was
// the maximum, by `places`). See window_pool.wgsl.
//
// Dispatch: one invocation per element of dx. Overwrites `dx`.

// @import "windows.wgsl"

const MAXIMUM: u32 = 1u;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
// @if MAXIMUM
@group(0) @binding(3) var<storage, read> places: array<u32>;
// @end

// @if !MAXIMUM
// By how many elements window `o` divides along an axis; 0 where it has no tap at element `i`.
fn share(axis: Axis, o: u32, i: u32) -> u32 {
    if (ADAPTIVE == 0u && !covers(axis, o, i)) {
        return 0u;
    }
    return count_of(axis, o);
}
// @end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    let inner = place_in_plane(index, vec3<u32>(dims.in_d, dims.in_h, dims.in_w));
    if (inner.outer >= dims.planes) {
        return;
    }
    let own = (inner.at.x * dims.in_h + inner.at.y) * dims.in_w + inner.at.z;
    let start = inner.outer * dims.out_d * dims.out_h * dims.out_w;
    let z_windows = windows_over(depth(), inner.at.x);
    let y_windows = windows_over(height(), inner.at.y);
    let x_windows = windows_over(width(), inner.at.z);
    var sum = 0.0;
    for (var z = z_windows.first; z < z_windows.end; z++) {
        // @if !MAXIMUM
        let of_depth = share(depth(), z, inner.at.x);
        // @end
        for (var row = y_windows.first; row < y_windows.end; row++) {
            // @if !MAXIMUM
            let of_row = of_depth * share(height(), row, inner.at.y);
            // @end
            for (var column = x_windows.first; column < x_windows.end; column++) {
                let at = start + (z * dims.out_h + row) * dims.out_w + column;
                // @if MAXIMUM
                if (places[at] == own) {
                    sum += dy[at];
                }
                // @end
                // @if !MAXIMUM
                let count = of_row * share(width(), column, inner.at.z);
                if (count > 0u) {
                    sum += dy[at] / f32(count);
                }
                // @end
            }
        }
    }
    dx[index] = sum;
}
