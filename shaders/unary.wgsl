// y = f(alpha * x + beta), element by element; f is chosen by FUNCTION, the numbers of `UnaryFunction` in ops/elementwise.rs.
//
// Dispatch: one invocation per `rounds` times STREAMS times four elements. Overwrites `y`; the padding up to 16 bytes is written too.

// @import "functions.wgsl"
// @import "streams.wgsl"

// A constant, not a uniform: a software rasteriser runs every case of a switch that it cannot decide when compiling.
const FUNCTION: u32 = 0u;

struct Dims { quads: u32, rounds: u32, alpha: f32, beta: f32, parameter: f32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // @stream
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let share = share_of(dims.quads);
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, share);
    for (var i = first; i < end; i += 8u) {
        var values: array<vec4<f32>, STREAMS>;
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            values[s] = x[min(i + s * share, dims.quads - 1u)];
        }
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            if (i + s * share < dims.quads) {
                y[i + s * share] = unary(FUNCTION, dims.alpha * values[s] + dims.beta, dims.parameter);
            }
        }
    }
}

fn unary(function: u32, v: vec4<f32>, parameter: f32) -> vec4<f32> {
    switch (function) {
        case 1u, 2u, 3u, 4u, 5u: {
            return activate(function, v);
        }
        case 6u: {
            return v * sigmoid(v);
        }
        case 7u: {
            // softplus, without overflow
            return max(v, vec4<f32>(0.0)) + log1p4(exp(-abs(v)));
        }
        case 8u: {
            return select(parameter * v, v, v > vec4<f32>(0.0));
        }
        case 9u: {
            return exp(v);
        }
        case 10u: {
            return erf4(v);
        }
        case 11u: {
            return log(v);
        }
        case 12u: {
            return sqrt(v);
        }
        case 13u: {
            return abs(v);
        }
        case 14u: {
            return v * v;
        }
        case 15u: {
            return 1.0 / v;
        }
        case 16u: {
            // Huber: quadratic within `parameter`, linear outside
            let a = abs(v);
            return select(parameter * (a - 0.5 * parameter), 0.5 * v * v, a <= vec4<f32>(parameter));
        }
        case 17u: {
            return pow(v, vec4<f32>(parameter));
        }
        default: {
            return v;
        }
    }
}
