// The gradient of a maximum over windows for CPU adapters: dx[plane, places[plane, o]] += dy[plane, o], o by o. See window_pool.wgsl.
//
// Dispatch: one invocation per plane. Adds to `dx`, which is zero before.

// @import "windows.wgsl"

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> places: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = (group.y * groups.x + group.x) * 8u + lane;
    if (plane >= dims.planes) {
        return;
    }
    let windows = dims.out_d * dims.out_h * dims.out_w;
    let elements = dims.in_d * dims.in_h * dims.in_w;
    let first = plane * windows;
    let end = first + windows;
    for (var quad = first / 4u; quad * 4u < end; quad++) {
        let gradient = dy[quad];
        let place = places[quad];
        // @unroll
        for (var i = 0u; i < 4u; i++) {
            let at = quad * 4u + i;
            // a window of padding alone has no place
            if (at >= first && at < end && place[i] < elements) {
                dx[plane * elements + place[i]] += gradient[i];
            }
        }
    }
}
