// Operand `k` of the attention kernels: the keys, read four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(2) var<storage, read> k: array<f32>;
// @end

// The chunk-th four elements of a row, zero beyond HEAD_DIM.
fn load_k(place: Place, row: u32, chunk: u32) -> vec4<f32> {
    let at = place.k_base + row * dims.k_row_stride + chunk * 4u;
    // @if VECTOR
    return k[at >> 2u];
    // @end
    // @if !VECTOR
    let left = HEAD_DIM - chunk * 4u;
    var x = vec4<f32>(k[at], 0.0, 0.0, 0.0);
    if (left > 1u) { x.y = k[at + 1u]; }
    if (left > 2u) { x.z = k[at + 2u]; }
    if (left > 3u) { x.w = k[at + 3u]; }
    return x;
    // @end
}
