// With g = dy * weight and h = (x - mean) * scale, statistics[row] = (mean, scale):
//     dx = scale * (g - average(g) - h * average(g * h)),   and dsum added to it with RESIDUAL;
//     partial[team] = (sum over the team's rows of dy * h, sum of dy): what layer_norm_parameters.wgsl adds up.
// x, dy, dsum, dx: [rows, columns]; weight: [columns]; partial: [teams, 2, columns].
//
// Dispatch: a team per `rounds` neighbouring rows (team.wgsl), KEEP parts a lane in registers; a row that is TILES > 1 tiles long
// is read twice, and its parameters' gradients are added up in `partial` itself. Overwrites its outputs.

// @import "part.wgsl"
// @import "team.wgsl"

const KEEP: u32 = 8u;
const TILES: u32 = 1u;
const RESIDUAL: u32 = 1u;
const WEIGHT: u32 = 1u;
const PARAMETERS: u32 = 1u;

struct Dims { rows: u32, parts: u32, rounds: u32, columns: f32 }

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<storage, read> statistics: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<Part>;
@group(0) @binding(3) var<storage, read_write> dx: array<Part>;
@group(0) @binding(4) var<storage, read> weight: array<Part>;
@group(0) @binding(5) var<storage, read> dsum: array<Part>;
@group(0) @binding(6) var<storage, read_write> partial: array<Part>;
@group(0) @binding(7) var<uniform> dims: Dims;

var<private> gain: array<Part, KEEP>;
var<private> normal: array<Part, KEEP>;
var<private> incoming: array<Part, KEEP>;
var<private> dweight: array<Part, KEEP>;
var<private> dbias: array<Part, KEEP>;

@compute @workgroup_size(LANES * TEAMS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) slot: u32) {
    let lane = slot % LANES;
    let team = (group.y * groups.x + group.x) * TEAMS + slot / LANES;
    let first = team * dims.rounds;
    if (TILES == 1u) {
        load_gain(lane);
    }
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        dweight[k] = Part(0.0);
        dbias[k] = Part(0.0);
    }
    for (var round = 0u; round < dims.rounds; round++) {
        // surplus teams read the last row along with the others, and write nothing
        let valid = first + round < dims.rows;
        let row = min(first + round, dims.rows - 1u);
        let base = row * dims.parts;
        let known = statistics[row];

        var local_g = Part(0.0);
        var local_gh = Part(0.0);
        for (var tile = 0u; tile < TILES; tile++) {
            load_tile(base, tile * KEEP * LANES + lane, known);
            // @unroll
            for (var k = 0u; k < KEEP; k++) {
                let g = incoming[k] * gain[k];
                local_g += g;
                local_gh += g * normal[k];
            }
        }
        let averages = team_sum(vec2<f32>(total(local_g), total(local_gh)), slot) / dims.columns;

        for (var tile = 0u; tile < TILES; tile++) {
            let start = tile * KEEP * LANES + lane;
            if (TILES > 1u) {
                load_tile(base, start, known);
            }
            if (valid) {
                store_tile(base, start, known.y, averages);
                // @if PARAMETERS
                add_parameters(team, round, start);
                // @end
            }
        }
    }
    // @if PARAMETERS
    if (TILES == 1u && first < dims.rows) {
        // @unroll
        for (var k = 0u; k < KEEP; k++) {
            if (lane + k * LANES < dims.parts) {
                let i = team * 2u * dims.parts + lane + k * LANES;
                partial[i] = dweight[k];
                partial[i + dims.parts] = dbias[k];
            }
        }
    }
    // @end
}

fn load_gain(start: u32) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        gain[k] = Part(1.0);
        // @if WEIGHT
        gain[k] = weight[min(start + k * LANES, dims.parts - 1u)];
        // @end
    }
}

// Parts start, start + LANES, ... of the row at `base`; zeros beyond its end.
fn load_tile(base: u32, start: u32, known: vec2<f32>) {
    if (TILES > 1u) {
        load_gain(start);
    }
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        incoming[k] = Part(0.0);
        normal[k] = Part(0.0);
        if (start + k * LANES < dims.parts) {
            let i = base + start + k * LANES;
            incoming[k] = dy[i];
            normal[k] = (x[i] - known.x) * known.y;
        }
    }
}

fn store_tile(base: u32, start: u32, scale: f32, averages: vec2<f32>) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        if (start + k * LANES < dims.parts) {
            let i = base + start + k * LANES;
            let d = scale * (incoming[k] * gain[k] - averages.x - normal[k] * averages.y);
            // @if RESIDUAL
            dx[i] = d + dsum[i];
            // @end
            // @if !RESIDUAL
            dx[i] = d;
            // @end
        }
    }
}

fn add_parameters(team: u32, round: u32, start: u32) {
    // @unroll
    for (var k = 0u; k < KEEP; k++) {
        if (TILES == 1u) {
            dweight[k] += incoming[k] * normal[k];
            dbias[k] += incoming[k];
        } else if (start + k * LANES < dims.parts) {
            // only this lane touches these places: the first round writes them, the others add
            let i = team * 2u * dims.parts + start + k * LANES;
            let none = Part(0.0);
            partial[i] = select(partial[i], none, round == 0u) + incoming[k] * normal[k];
            partial[i + dims.parts] = select(partial[i + dims.parts], none, round == 0u) + incoming[k];
        }
    }
}
