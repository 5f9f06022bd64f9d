// The gradient of the weight of a convolution of small groups, as depthwise ones are: a sum over images and places per weight.
//
//   Operands are conv.wgsl's (TO_WEIGHT). Overwrites out.
//
// Dispatch: a team (team.wgsl) per weight, its lanes four places at a time.

// @import "conv_loads.wgsl"
// @import "conv_places.wgsl"
// @import "conv_finish.wgsl"
// @import "team.wgsl"

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

@compute @workgroup_size(LANES * TEAMS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) slot: u32,
) {
    let weight = (id.x + id.y * ids.x) * TEAMS + slot / LANES;
    let of_layer = dims.rows * dims.columns;
    // a team beyond the last goes along to the meeting
    let view = view_of(min(weight / of_layer, dims.layers - 1u));
    let row = weight / dims.columns % dims.rows;
    let tap = tap_of(view, weight % dims.columns);
    var own = 0.0;
    for (var k = slot % LANES * 4u; k < view.k_end; k += LANES * 4u) {
        own += dot(load_a(view, row, k), load_b_along(view, k, tap));
    }
    let sum = team_sum(vec2<f32>(own, 0.0), slot).x;
    if (slot % LANES == 0u && weight < of_layer * dims.layers) {
        out[weight] = sum;
    }
}
