// dx[batch, t, :] = weight[batch, t] * dy[batch, :] and dweight[batch, t] = sum(x[batch, t, :] * dy[batch, :]); zeros where
// mask[batch, t] is 0, whatever x and weight are there. With MEAN the weight is scale[batch]. See pooling.wgsl.
//
// Dispatch: a team (team.wgsl) per step. Overwrites its outputs.

// @import "part.wgsl"
// @import "team.wgsl"

const MEAN: u32 = 0u;
const MASK: u32 = 1u;
const DWEIGHT: u32 = 1u;

struct Dims { rows: u32, parts: u32, seq: u32 }

@group(0) @binding(0) var<storage, read> dy: array<Part>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
// with MEAN `scale`: a number per sample
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<Part>;
@group(0) @binding(4) var<storage, read> x: array<Part>;
@group(0) @binding(5) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let row = (group.y * groups.x + group.x) * TEAMS + slot / LANES;
    var local_dot = Part(0.0);
    if (row < dims.rows) {
        let sample = row / dims.seq;
        let counts = counting(row);
        // @if MEAN
        let factor = weight[sample];
        // @end
        // @if !MEAN
        let factor = weight[row];
        // @end
        for (var start = 0u; start < dims.parts; start += LANES) {
            let part = start + lane;
            if (part < dims.parts) {
                var gradient = Part(0.0);
                if (counts) {
                    let incoming = dy[sample * dims.parts + part];
                    gradient = factor * incoming;
                    // @if DWEIGHT
                    local_dot += x[row * dims.parts + part] * incoming;
                    // @end
                }
                dx[row * dims.parts + part] = gradient;
            }
        }
    }
    // @if DWEIGHT
    let dot = team_sum(vec2<f32>(total(local_dot), 0.0), slot).x;
    if (row < dims.rows && lane == 0u) {
        dweight[row] = dot;
    }
    // @end
}

fn counting(row: u32) -> bool {
    // @if MASK
    return mask[row] != 0u;
    // @end
    // @if !MASK
    return true;
    // @end
}
