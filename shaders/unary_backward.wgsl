// dx = dy * alpha * f'(u), u = alpha * x + beta. `saved` is x or, where f' is cheaper from it, y: see `saves_output` in
// ops/elementwise.rs.
//
// Dispatch: one invocation per `rounds` times STREAMS times four elements. Overwrites `dx`; the padding up to 16 bytes is written too.

// @import "functions.wgsl"
// @import "streams.wgsl"

// A constant, not a uniform: a software rasteriser runs every case of a switch that it cannot decide when compiling.
const FUNCTION: u32 = 0u;

struct Dims { quads: u32, rounds: u32, alpha: f32, beta: f32, parameter: f32 }

@group(0) @binding(0) var<storage, read> dy: array<vec4<f32>>; // @stream
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>; // @stream
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let share = share_of(dims.quads);
    let first = first_of(group.y * groups.x + group.x, lane, dims.rounds);
    let end = min(first + 8u * dims.rounds, share);
    for (var i = first; i < end; i += 8u) {
        var gradients: array<vec4<f32>, STREAMS>;
        var values: array<vec4<f32>, STREAMS>;
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            gradients[s] = dy[min(i + s * share, dims.quads - 1u)];
            values[s] = saved[min(i + s * share, dims.quads - 1u)];
        }
        // @unroll
        for (var s = 0u; s < STREAMS; s++) {
            if (i + s * share < dims.quads) {
                dx[i + s * share] = gradients[s] * dims.alpha * derivative(FUNCTION, values[s]);
            }
        }
    }
}

fn derivative(function: u32, s: vec4<f32>) -> vec4<f32> {
    let u = dims.alpha * s + dims.beta;
    let parameter = dims.parameter;
    switch (function) {
        case 1u, 2u, 3u, 4u, 5u: {
            return activate_derivative(function, u);
        }
        case 6u: {
            let g = sigmoid(u);
            return g * (1.0 + u * (1.0 - g));
        }
        case 7u: {
            return sigmoid(u);
        }
        case 8u: {
            return select(vec4<f32>(parameter), vec4<f32>(1.0), u > vec4<f32>(0.0));
        }
        case 9u: {
            return s;
        }
        case 10u: {
            return 1.1283791670955126 * exp(-u * u);
        }
        case 11u: {
            return 1.0 / u;
        }
        case 12u: {
            return 0.5 / s;
        }
        case 13u: {
            return sign(u);
        }
        case 14u: {
            return 2.0 * u;
        }
        case 15u: {
            return -s * s;
        }
        case 16u: {
            return clamp(u, vec4<f32>(-parameter), vec4<f32>(parameter));
        }
        case 17u: {
            return parameter * pow(u, vec4<f32>(parameter - 1.0));
        }
        default: {
            return vec4<f32>(1.0);
        }
    }
}
