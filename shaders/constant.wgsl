// out[first + i] = value i, for up to 16 values that the plan was compiled with.
//
// Dispatch: one workgroup. Overwrites its part of `out`.

struct Dims {
    first: u32, count: u32,
    v0: f32, v1: f32, v2: f32, v3: f32, v4: f32, v5: f32, v6: f32, v7: f32,
    v8: f32, v9: f32, v10: f32, v11: f32, v12: f32, v13: f32, v14: f32, v15: f32,
}

@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<uniform> dims: Dims;

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) lane: u32) {
    var values = array<f32, 16>(
        dims.v0, dims.v1, dims.v2, dims.v3, dims.v4, dims.v5, dims.v6, dims.v7,
        dims.v8, dims.v9, dims.v10, dims.v11, dims.v12, dims.v13, dims.v14, dims.v15,
    );
    if (lane < dims.count) {
        out[dims.first + lane] = values[lane];
    }
}
