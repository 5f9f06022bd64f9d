// out[i] = f(a[i], b[i % period]): equal shapes, or b repeated along a's leading axes. f as in
// shared/binary_function.wgsl.
//
// Dispatch: one invocation per `rounds` times four elements; the period in elements is a multiple of four (or the whole). Overwrites `out`.

// @import "binary_function.wgsl"
// @import "box.wgsl"
// @import "rounds.wgsl"

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
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, dims.quads);
    for (var i = first; i < end; i += 8u) {
        var j = i;
        if (PERIODIC != 0u) {
            j = i - large_quotient(i, divisor(dims.period)) * dims.period;
        }
        out[i] = binary(FUNCTION, a[i], b[j]);
    }
}
