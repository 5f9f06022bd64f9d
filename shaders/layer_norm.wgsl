// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over each row, variance about the mean found before (biased);
// statistics[row] = (mean, 1 / sqrt(variance + epsilon)). With RESIDUAL x is x + residual, which is kept as `sum`.
// x, residual, sum, y: [rows, columns]; weight, bias: [columns].
//
// Dispatch: a team per `rounds` neighbouring rows (team.wgsl). A team holds a tile of KEEP parts a lane in registers; a row that
// is TILES > 1 tiles long is read once more for the variance and once more for y. Overwrites its outputs.

// @import "part.wgsl"
// @import "team.wgsl"

const KEEP: u32 = 8u;
const TILES: u32 = 1u;
const RESIDUAL: u32 = 1u;
const WEIGHT: u32 = 1u;
const BIAS: u32 = 1u;

struct Dims { rows: u32, parts: u32, rounds: u32, columns: f32, epsilon: f32 }

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<storage, read_write> y: array<Part>;
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<Part>;
@group(0) @binding(4) var<storage, read> bias: array<Part>;
@group(0) @binding(5) var<storage, read> residual: array<Part>;
@group(0) @binding(6) var<storage, read_write> sum: array<Part>;
@group(0) @binding(7) var<uniform> dims: Dims;

var<private> row_part: array<Part, KEEP>;
var<private> gain: array<Part, KEEP>;
var<private> shift: array<Part, KEEP>;

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let first = ((group.y * groups.x + group.x) * TEAMS + slot / LANES) * dims.rounds;
    if (TILES == 1u) {
        load_parameters(lane);
    }
    for (var round = 0u; round < dims.rounds; round++) {
        // surplus teams read the last row along with the others, and write nothing
        let valid = first + round < dims.rows;
        let row = min(first + round, dims.rows - 1u);
        let base = row * dims.parts;

        var local_sum = Part(0.0);
        for (var tile = 0u; tile < TILES; tile++) {
            load_row(base, tile * KEEP * LANES + lane);
            // @unroll
            for (var k = 0u; k < KEEP; k++) {
                local_sum += row_part[k];
            }
        }
        let mean = team_sum(vec2<f32>(total(local_sum), 0.0), slot).x / dims.columns;

        var local_square = Part(0.0);
        for (var tile = 0u; tile < TILES; tile++) {
            let start = tile * KEEP * LANES + lane;
            if (TILES > 1u) {
                load_row(base, start);
            }
            // @unroll
            for (var k = 0u; k < KEEP; k++) {
                let d = row_part[k] - mean;
                local_square += select(Part(0.0), d * d, start + k * LANES < dims.parts);
            }
        }
        let variance = team_sum(vec2<f32>(total(local_square), 0.0), slot).x / dims.columns;
        let scale = inverseSqrt(variance + dims.epsilon);

        for (var tile = 0u; tile < TILES; tile++) {
            let start = tile * KEEP * LANES + lane;
            if (TILES > 1u) {
                load_row(base, start);
                load_parameters(start);
            }
            if (valid) {
                store_row(base, start, mean, scale);
            }
        }
        if (valid && lane == 0u) {
            statistics[row] = vec2<f32>(mean, scale);
        }
    }
}

// Parts start, start + LANES, ... of the row at `base`; zeros beyond its end.
fn load_row(base: u32, start: u32) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        row_part[k] = Part(0.0);
        if (start + k * LANES < dims.parts) {
            let i = base + start + k * LANES;
            // @if RESIDUAL
            row_part[k] = x[i] + residual[i];
            // @end
            // @if !RESIDUAL
            row_part[k] = x[i];
            // @end
        }
    }
}

fn load_parameters(start: u32) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        let i = min(start + k * LANES, dims.parts - 1u);
        gain[k] = Part(1.0);
        shift[k] = Part(0.0);
        // @if WEIGHT
        gain[k] = weight[i];
        // @end
        // @if BIAS
        shift[k] = bias[i];
        // @end
    }
}

fn store_row(base: u32, start: u32, mean: f32, scale: f32) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        if (start + k * LANES < dims.parts) {
            let i = base + start + k * LANES;
            y[i] = (row_part[k] - mean) * scale * gain[k] + shift[k];
            // @if RESIDUAL
            sum[i] = row_part[k];
            // @end
        }
    }
}
