// dprediction[i] = dmean * inverse * f'(prediction[i], target[i]), and with TARGET dtarget likewise; zeros where the row's mask is 0.
// See loss.wgsl.
//
// Dispatch: one invocation per element. Overwrites its outputs.

// @import "pair_function.wgsl"

const MASK: u32 = 1u;
const TARGET: u32 = 1u;

struct Dims { len: u32, row_len: u32, function: u32, delta: f32 }

@group(0) @binding(0) var<storage, read> prediction: array<f32>;
@group(0) @binding(1) var<storage, read> expected: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<storage, read> dmean: array<f32>;
@group(0) @binding(4) var<storage, read> inverse: array<f32>;
@group(0) @binding(5) var<storage, read_write> dprediction: array<f32>;
@group(0) @binding(6) var<storage, read_write> dtarget: array<f32>;
@group(0) @binding(7) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    var derivative = vec2<f32>(0.0);
    if (counting(i)) {
        derivative = dmean[0] * inverse[0] * pair_derivative(dims.function, prediction[i], expected[i], dims.delta);
    }
    dprediction[i] = derivative.x;
    // @if TARGET
    dtarget[i] = derivative.y;
    // @end
}

fn counting(i: u32) -> bool {
    // @if MASK
    return mask[i / dims.row_len] != 0u;
    // @end
    // @if !MASK
    return true;
    // @end
}
