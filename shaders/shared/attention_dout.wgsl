// Operand `dout` of the attention kernels: the gradient of the result, read four neighbouring elements of one head at a time.
// @if VECTOR
@group(0) @binding(4) var<storage, read> dout: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(4) var<storage, read> dout: array<f32>;
// @end

// The chunk-th four elements of a row, zero beyond VALUE_DIM.
fn load_dout(place: Place, row: u32, chunk: u32) -> vec4<f32> {
    let at = place.dout_base + row * dims.dout_row_stride + chunk * 4u;
    // @if VECTOR
    return dout[at >> 2u];
    // @end
    // @if !VECTOR
    let left = VALUE_DIM - chunk * 4u;
    var x = vec4<f32>(dout[at], 0.0, 0.0, 0.0);
    if (left > 1u) { x.y = dout[at + 1u]; }
    if (left > 2u) { x.z = dout[at + 2u]; }
    if (left > 3u) { x.w = dout[at + 3u]; }
    return x;
    // @end
}
