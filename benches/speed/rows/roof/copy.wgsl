// out[i] = x[i], four floats at a time: the rate at which a kernel can read and write memory.
//
// Dispatch: one invocation per vector.

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    out[id.x] = x[id.x];
}
