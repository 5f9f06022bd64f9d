// dx = y * (dy - sum(y * dy)) over each row of softmax.wgsl; with LOG, dx = dy - exp(y) * sum(dy). With MASK, elements where mask
// is 0 get 0 and their dy is not looked at.
//
// Dispatch: as softmax.wgsl. Overwrites `dx`.

// @import "team.wgsl"
// @import "row_mask.wgsl"

// Rows are a multiple of four elements long; else they are read one by one.
const VECTOR: u32 = 1u;
const LOG: u32 = 0u;
const MASK: u32 = 1u;

struct Dims { rows: u32, columns: u32, parts: u32, rounds: u32, divide: u32, modulo: u32 }

// @if VECTOR
@group(0) @binding(0) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> mask: array<vec4<u32>>;
// @end
// @if !VECTOR
@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
// @end
@group(0) @binding(4) var<uniform> dims: Dims;
// @import "softmax_part.wgsl"

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let first = ((group.y * groups.x + group.x) * TEAMS + slot / LANES) * dims.rounds;
    for (var round = 0u; round < dims.rounds; round++) {
        // surplus teams read the last row along with the others, and write nothing
        let valid = first + round < dims.rows;
        let row = min(first + round, dims.rows - 1u);

        var local_sum = vec4<f32>(0.0);
        for (var start = 0u; start < dims.parts; start += LANES) {
            let i = start + lane;
            if (i < dims.parts) {
                // @if LOG
                let term = dy_part(row, i);
                // @end
                // @if !LOG
                let term = dy_part(row, i) * y_part(row, i);
                // @end
                local_sum += select(vec4<f32>(0.0), term, counting(row, i));
            }
        }
        let sum = team_sum(vec2<f32>((local_sum.x + local_sum.y) + (local_sum.z + local_sum.w), 0.0), slot).x;

        for (var i = lane; i < dims.parts && valid; i += LANES) {
            // @if LOG
            let value = dy_part(row, i) - exp(y_part(row, i)) * sum;
            // @end
            // @if !LOG
            let value = y_part(row, i) * (dy_part(row, i) - sum);
            // @end
            store_part(row, i, select(vec4<f32>(0.0), value, counting(row, i)));
        }
    }
}

// @if VECTOR
fn y_part(row: u32, i: u32) -> vec4<f32> {
    return y[row * dims.parts + i];
}

fn dy_part(row: u32, i: u32) -> vec4<f32> {
    return dy[row * dims.parts + i];
}

fn store_part(row: u32, i: u32, value: vec4<f32>) {
    dx[row * dims.parts + i] = value;
}
// @end
// @if !VECTOR
fn y_part(row: u32, i: u32) -> vec4<f32> {
    let at = row * dims.columns + columns_of(i);
    return vec4<f32>(y[at.x], y[at.y], y[at.z], y[at.w]);
}

fn dy_part(row: u32, i: u32) -> vec4<f32> {
    let at = row * dims.columns + columns_of(i);
    return vec4<f32>(dy[at.x], dy[at.y], dy[at.z], dy[at.w]);
}

fn store_part(row: u32, i: u32, value: vec4<f32>) {
    let at = row * dims.columns + 4u * i;
    // @unroll
    for (var c = 0u; c < 4u; c++) {
        if (4u * i + c < dims.columns) {
            dx[at + c] = value[c];
        }
    }
}
// @end
