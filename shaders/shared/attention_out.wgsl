// Output `out` of the attention kernels: the result, written four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
// @end

// Overwrites the chunk-th four elements of a row; what lies beyond VALUE_DIM is left alone.
fn store_out(place: Place, row: u32, chunk: u32, x: vec4<f32>) {
    let base = dims.out_offset + place.sample * dims.out_batch_stride + place.head * VALUE_DIM;
    let at = base + row * dims.out_row_stride + chunk * 4u;
    // @if VECTOR
    if (chunk * 4u < VALUE_DIM) { out[at >> 2u] = x; }
    // @end
    // @if !VECTOR
    // @unroll
    for (var e = 0u; e < 4u; e++) {
        if (chunk * 4u + e < VALUE_DIM) { out[at + e] = x[e]; }
    }
    // @end
}
