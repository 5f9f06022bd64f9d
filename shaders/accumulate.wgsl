// sum = gradients (the first micro-batch of a step), or sum += gradients. A loss that is not finite turns status[0] 0, and with it
// the update off: the gradients alone may not tell of it, |x| has a finite slope where x is NaN.
//
// Dispatch: one invocation per four elements. `first` overwrites, otherwise adds.

struct Dims { quads: u32, first: u32 }

@group(0) @binding(0) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sum: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> loss: array<f32>; // @buffer
@group(0) @binding(3) var<storage, read_write> status: array<f32>;
@group(0) @binding(4) var<uniform> dims: Dims;

// Bits, not comparisons: compilers may assume that no NaN occurs.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i < dims.quads) {
        sum[i] = select(sum[i], vec4<f32>(0.0), dims.first != 0u) + gradients[i];
    }
    if (i == 0u && !finite(loss[0])) {
        status[0] = 0.0;
    }
}
