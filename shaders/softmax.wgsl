// y = exp(x - m) / sum(exp(x - m)) over each row, m its largest element; with LOG, y = x - m - log(sum(exp(x - m))).
// With MASK, elements where mask is 0 do not count and get 0; a row with nothing valid is all zeros. What is masked is selected
// away: NaN there changes nothing. x, y: [rows, columns]; mask: rows as row_mask.wgsl says, columns.
//
// Dispatch: a team per `rounds` neighbouring rows (team.wgsl). Whatever the length of the rows the same code runs over them, in parts
// of four elements, and adds in the same order: padding a row further changes no bit. Overwrites `y`.

// @import "team.wgsl"
// @import "row_mask.wgsl"

// Rows are a multiple of four elements long; else they are read one by one.
const VECTOR: u32 = 1u;
const LOG: u32 = 0u;
const MASK: u32 = 1u;
const LOWEST: f32 = -3.4028234663852886e38;

struct Dims { rows: u32, columns: u32, parts: u32, rounds: u32, divide: u32, modulo: u32 }

// @if VECTOR
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> mask: array<vec4<u32>>;
// @end
// @if !VECTOR
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
// @end
@group(0) @binding(3) var<uniform> dims: Dims;
// @import "softmax_part.wgsl"

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let first = ((group.y * groups.x + group.x) * TEAMS + slot / LANES) * dims.rounds;
    for (var round = 0u; round < dims.rounds; round++) {
        // surplus teams read the last row along with the others, and write nothing
        let valid = first + round < dims.rows;
        let row = min(first + round, dims.rows - 1u);

        var local_most = vec4<f32>(LOWEST);
        for (var start = 0u; start < dims.parts; start += LANES) {
            let i = start + lane;
            if (i < dims.parts) {
                local_most = max(local_most, select(vec4<f32>(LOWEST), x_part(row, i), counting(row, i)));
            }
        }
        let most = team_max(max(max(local_most.x, local_most.y), max(local_most.z, local_most.w)), slot);

        var local_sum = vec4<f32>(0.0);
        for (var start = 0u; start < dims.parts; start += LANES) {
            let i = start + lane;
            if (i < dims.parts) {
                local_sum += select(vec4<f32>(0.0), exp(x_part(row, i) - most), counting(row, i));
            }
        }
        let sum = team_sum(vec2<f32>((local_sum.x + local_sum.y) + (local_sum.z + local_sum.w), 0.0), slot).x;

        // a sum of 0 means that nothing counts, and then nothing is selected below
        let divisor = select(sum, 1.0, sum == 0.0);
        let scale = 1.0 / divisor;
        let log_sum = log(divisor);
        for (var i = lane; i < dims.parts && valid; i += LANES) {
            // @if LOG
            let value = (x_part(row, i) - most) - log_sum;
            // @end
            // @if !LOG
            let value = exp(x_part(row, i) - most) * scale;
            // @end
            store_part(row, i, select(vec4<f32>(0.0), value, counting(row, i)));
        }
    }
}

// @if VECTOR
fn x_part(row: u32, i: u32) -> vec4<f32> {
    return x[row * dims.parts + i];
}

fn store_part(row: u32, i: u32, value: vec4<f32>) {
    y[row * dims.parts + i] = value;
}
// @end
// @if !VECTOR
fn x_part(row: u32, i: u32) -> vec4<f32> {
    let at = row * dims.columns + columns_of(i);
    return vec4<f32>(x[at.x], x[at.y], x[at.z], x[at.w]);
}

fn store_part(row: u32, i: u32, value: vec4<f32>) {
    let at = row * dims.columns + 4u * i;
    // @unroll
    for (var c = 0u; c < 4u; c++) {
        if (4u * i + c < dims.columns) {
            y[at + c] = value[c];
        }
    }
}
// @end
