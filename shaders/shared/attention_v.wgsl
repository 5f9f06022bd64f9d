// Operand `v` of the attention kernels: the values, read four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(3) var<storage, read> v: array<f32>;
// @end

// The chunk-th four elements of a row, zero beyond VALUE_DIM.
fn load_v(place: Place, row: u32, chunk: u32) -> vec4<f32> {
    let at = place.v_base + row * dims.v_row_stride + chunk * 4u;
    // @if VECTOR
    return v[at >> 2u];
    // @end
    // @if !VECTOR
    let left = VALUE_DIM - chunk * 4u;
    var x = vec4<f32>(v[at], 0.0, 0.0, 0.0);
    if (left > 1u) { x.y = v[at + 1u]; }
    if (left > 2u) { x.z = v[at + 2u]; }
    if (left > 3u) { x.w = v[at + 3u]; }
    return x;
    // @end
}
