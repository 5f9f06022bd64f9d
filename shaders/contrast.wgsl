// losses[row] = log(sum of exp(s) over A) - log(sum of exp(s) over P), or with MEAN log(sum of exp(s) over A) - (mean of s over P), s the
// row of similarities. A and P (all and positives, disjoint or not) are contrast_sets.wgsl's. row_weights[row] = 1, or 0 where A or P is
// empty, and then the loss is 0. saved[row] = (log sum over A, log sum over P or 1 / size of P). similarities: [rows, columns].
//
// Dispatch: one invocation per row. Overwrites its outputs.

// @import "contrast_sets.wgsl"

const MEAN: u32 = 0u;
const LOWEST: f32 = -3.4028234663852886e38;

struct Dims { rows: u32, columns: u32 }

@group(0) @binding(0) var<storage, read> similarities: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> row_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> saved: array<vec2<f32>>;
@group(0) @binding(5) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = (group.y * groups.x + group.x) * 64u + lane;
    if (row >= dims.rows) {
        return;
    }
    let base = row * dims.columns;
    var most = vec2<f32>(LOWEST);
    var size = vec2<f32>(0.0);
    for (var c = 0u; c < dims.columns; c++) {
        let belongs = belonging(row, c);
        most = select(most, max(most, vec2<f32>(similarities[base + c])), belongs);
        size += select(vec2<f32>(0.0), vec2<f32>(1.0), belongs);
    }
    // x: of exponentials over A; y: of exponentials, or with MEAN of similarities, over P
    var sum = vec2<f32>(0.0);
    for (var c = 0u; c < dims.columns; c++) {
        let s = vec2<f32>(similarities[base + c]);
        var term = exp(s - most);
        // @if MEAN
        term.y = s.y;
        // @end
        sum += select(vec2<f32>(0.0), term, belonging(row, c));
    }
    if (size.x == 0.0 || size.y == 0.0) {
        losses[row] = 0.0;
        row_weights[row] = 0.0;
        saved[row] = vec2<f32>(0.0);
        return;
    }
    var known = most + log(sum);
    // @if MEAN
    known.y = sum.y / size.y;
    // @end
    losses[row] = known.x - known.y;
    row_weights[row] = 1.0;
    // @if MEAN
    known.y = 1.0 / size.y;
    // @end
    saved[row] = known;
}
