// Output `dv` of the attention kernels: the gradient of the values, written four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(8) var<storage, read_write> dv: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;
// @end

// Overwrites the chunk-th four elements of a row; what lies beyond VALUE_DIM is left alone.
fn store_dv(place: Place, row: u32, chunk: u32, x: vec4<f32>) {
    let base = dims.dv_offset + place.sample * dims.dv_batch_stride + place.head * VALUE_DIM;
    let at = base + row * dims.dv_row_stride + chunk * 4u;
    // @if VECTOR
    if (chunk * 4u < VALUE_DIM) { dv[at >> 2u] = x; }
    // @end
    // @if !VECTOR
    // @unroll
    for (var e = 0u; e < 4u; e++) {
        if (chunk * 4u + e < VALUE_DIM) { dv[at + e] = x[e]; }
    }
    // @end
}
