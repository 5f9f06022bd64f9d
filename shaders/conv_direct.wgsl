// Convolution of small groups, as depthwise ones are, and the gradient of its input: no tile would be full.
//
//   Operands and the finish are conv.wgsl's. Overwrites out.
//
// Dispatch: rows * ceil(columns / 4) * layers invocations, 64 a workgroup; each makes four neighbouring elements of a row.

// @import "conv_loads.wgsl"
// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"

// @if A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
// @end
// @if !A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<f32>;
// @end
// @if B_QUADS
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
// @end
// @if !B_QUADS
@group(0) @binding(1) var<storage, read> b: array<f32>;
// @end

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let quads = (dims.columns + 3u) / 4u;
    let layer = index / (quads * dims.rows);
    if (layer >= dims.layers) {
        return;
    }
    let view = view_of(layer);
    let row = index / quads % dims.rows;
    let column = index % quads * 4u;
    if (column >= view.columns) {
        return;
    }
    let columns = columns_at(view, column);
    var sum = vec4<f32>(0.0);
    for (var k = view.first_k; k < view.k_end; k += 4u) {
        let weights = load_a(view, row, k);
        let values = load_b_rows(view, k, columns);
        sum = fma(vec4<f32>(weights.x), values[0], sum);
        sum = fma(vec4<f32>(weights.y), values[1], sum);
        sum = fma(vec4<f32>(weights.z), values[2], sum);
        sum = fma(vec4<f32>(weights.w), values[3], sum);
    }
    finish(view, row, places_out(view, column), sum);
}
