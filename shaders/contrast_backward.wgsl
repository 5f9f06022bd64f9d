// dsimilarities[row, c] = dlosses[row] * ([c in A] * exp(s - saved.x) - [c in P] * q), q = exp(s - saved.y), or with MEAN saved.y.
// Zeros in rows without a loss. See contrast.wgsl.
//
// Dispatch: one invocation per element. Overwrites `dsimilarities`.

// @import "contrast_sets.wgsl"

const MEAN: u32 = 0u;

struct Dims { len: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> similarities: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> row_weights: array<f32>;
@group(0) @binding(3) var<storage, read> saved: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> dlosses: array<f32>;
@group(0) @binding(5) var<storage, read_write> dsimilarities: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let row = i / dims.columns;
    let known = saved[row];
    var shares = exp(vec2<f32>(similarities[i]) - known);
    // @if MEAN
    shares.y = known.y;
    // @end
    shares = select(vec2<f32>(0.0), shares, belonging(row, i % dims.columns));
    dsimilarities[i] = select(dlosses[row] * (shares.x - shares.y), 0.0, row_weights[row] == 0.0);
}
