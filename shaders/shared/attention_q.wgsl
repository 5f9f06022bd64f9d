// Operand `q` of the attention kernels: the queries, read four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(1) var<storage, read> q: array<f32>;
// @end

// The chunk-th four elements of a row, zero beyond HEAD_DIM.
fn load_q(place: Place, row: u32, chunk: u32) -> vec4<f32> {
    let at = place.q_base + row * dims.q_row_stride + chunk * 4u;
    // @if VECTOR
    return q[at >> 2u];
    // @end
    // @if !VECTOR
    let left = HEAD_DIM - chunk * 4u;
    var x = vec4<f32>(q[at], 0.0, 0.0, 0.0);
    if (left > 1u) { x.y = q[at + 1u]; }
    if (left > 2u) { x.z = q[at + 2u]; }
    if (left > 3u) { x.w = q[at + 3u]; }
    return x;
    // @end
}
