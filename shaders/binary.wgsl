// out[i] = f(a[i], b[i % period]): equal shapes, or b repeated along a's leading axes. f as in
// shared/binary_function.wgsl.
//
// Dispatch: one invocation per `rounds` times STREAMS times four elements; the period in elements is a multiple of four (or the
// whole). Overwrites `out`.

// @import "binary_function.wgsl"
// @import "box.wgsl"
// @import "streams.wgsl"

// A constant, not a uniform: a software rasteriser runs every case of a switch that it cannot decide when compiling.
const FUNCTION: u32 = 0u;
// 0 where the shapes are equal: division is slow.
const PERIODIC: u32 = 1u;

struct Dims { quads: u32, rounds: u32, period: u32 }

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>; // @stream
// @if PERIODIC
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// @end
// @if !PERIODIC
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>; // @stream
// @end
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let share = share_of(dims.quads);
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, share);
    for (var i = first; i < end; i += 8u) {
        var left: array<vec4<f32>, STREAMS>;
        var right: array<vec4<f32>, STREAMS>;
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            let at = min(i + s * share, dims.quads - 1u);
            left[s] = a[at];
            right[s] = b[in_period(at)];
        }
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            if (i + s * share < dims.quads) {
                out[i + s * share] = binary(FUNCTION, left[s], right[s]);
            }
        }
    }
}

fn in_period(at: u32) -> u32 {
    if (PERIODIC == 0u) {
        return at;
    }
    return at - large_quotient(at, divisor(dims.period)) * dims.period;
}
