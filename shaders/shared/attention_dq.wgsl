// Output `dq` of the attention kernels: the gradient of the queries, written four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(7) var<storage, read_write> dq: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(7) var<storage, read_write> dq: array<f32>;
// @end

// Overwrites the chunk-th four elements of a row; what lies beyond HEAD_DIM is left alone.
fn store_dq(place: Place, row: u32, chunk: u32, x: vec4<f32>) {
    let base = dims.dq_offset + place.sample * dims.dq_batch_stride + place.head * HEAD_DIM;
    let at = base + row * dims.dq_row_stride + chunk * 4u;
    // @if VECTOR
    if (chunk * 4u < HEAD_DIM) { dq[at >> 2u] = x; }
    // @end
    // @if !VECTOR
    // @unroll
    for (var e = 0u; e < 4u; e++) {
        if (chunk * 4u + e < HEAD_DIM) { dq[at + e] = x[e]; }
    }
    // @end
}
