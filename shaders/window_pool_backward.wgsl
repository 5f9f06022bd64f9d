// dx[plane, i] = the sum of dy[plane, o], divided as a mean divides, over the windows o that element i lies under (MAXIMUM: of which it was
// the maximum, by `places`). See window_pool.wgsl.
//
// Dispatch: one invocation per element of dx. Overwrites `dx`.

// @import "windows.wgsl"

const MAXIMUM: u32 = 1u;

struct Dims { len: u32 }

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
// @if MAXIMUM
@group(0) @binding(3) var<storage, read> places: array<u32>;
// @end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let i = vec3<u32>(index % IN / (IN_H * IN_W), index / IN_W % IN_H, index % IN_W);
    let start = index / IN * OUT;
    let z_windows = windows_over(depth(), i.x);
    let y_windows = windows_over(height(), i.y);
    let x_windows = windows_over(width(), i.z);
    var sum = 0.0;
    for (var z = z_windows.first; z < z_windows.end; z++) {
        for (var row = y_windows.first; row < y_windows.end; row++) {
            for (var column = x_windows.first; column < x_windows.end; column++) {
                let at = start + (z * OUT_H + row) * OUT_W + column;
                // @if MAXIMUM
                if (places[at] == index % IN) {
                    sum += dy[at];
                }
                // @end
                // @if !MAXIMUM
                if (ADAPTIVE != 0u || (covers(depth(), z, i.x) && covers(height(), row, i.y) && covers(width(), column, i.z))) {
                    let count = count_of(depth(), z) * count_of(height(), row) * count_of(width(), column);
                    sum += dy[at] / f32(max(count, 1u));
                }
                // @end
            }
        }
    }
    dx[index] = sum;
}
