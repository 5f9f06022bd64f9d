// Iterations of the primal-dual method (Chambolle and Pock, 2011, algorithm 1) for
//   sum over pixels of  weight |rho(w)| + |grad w_x|_huber + |grad w_y|_huber,
// rho being linear (flow_linearise.wgsl). One iteration, for each component of w and its dual p, a vector per pixel:
//   p <- (p + sigma grad w_bar) * shrink, then p / max(1, |p|);   w' <- the minimum of weight |rho| + |. - (w + tau div p)|^2 / (2 tau),
//   w_bar <- 2 w' - w.   grad is of forward differences, 0 across the border, div its negative adjoint.
//
//   state, next_state [pairs, 4, height, quads] of four pixels: w_x, w_y, w_bar_x, w_bar_y. dual, next_dual likewise: of w_x to the
//   right and down, of w_y the same; with dims.fresh nothing is read and p begins as 0. data: see flow_linearise.wgsl.
//
// Dispatch: a workgroup per tile of TILE_QUADS x (LANES / TILE_QUADS * ROWS) pixels, of which the outer `halo` are computed for the sake of
// the inner only: each iteration spoils one more pixel from the edge, so dims.iterations must not exceed the halo, unless that is 0
// because the tile holds the whole level. A lane has ROWS quads below each other; neighbours see of it only its edges. Overwrites its outputs.

const ROWS: u32 = 2u;
const TILE_QUADS: u32 = 10u;
const LANES: u32 = 160u;

struct Dims {
    tiles: u32, // of all pairs
    tiles_across: u32,
    tiles_down: u32,
    height: u32,
    width: u32,
    quads: u32,
    inner_quads: u32,
    inner_rows: u32,
    halo_quads: u32,
    halo_rows: u32,
    iterations: u32,
    fresh: u32,
    sigma: f32,
    tau: f32,
    shrink: f32,
    bound: f32, // tau * weight
}

@group(0) @binding(0) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dual: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> data: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> next_state: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> next_dual: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> dims: Dims;

// w_bar of each lane's first row and first column, p of its last ones.
var<workgroup> top_x: array<vec4<f32>, LANES>;
var<workgroup> top_y: array<vec4<f32>, LANES>;
var<workgroup> bottom_x: array<vec4<f32>, LANES>;
var<workgroup> bottom_y: array<vec4<f32>, LANES>;
var<workgroup> left: array<vec2<f32>, LANES * ROWS>;
var<workgroup> right: array<vec2<f32>, LANES * ROWS>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = group.y * groups.x + group.x;
    if (tile >= dims.tiles) {
        return;
    }
    let pair = tile / (dims.tiles_across * dims.tiles_down);
    let tile_row = tile / dims.tiles_across % dims.tiles_down;
    let lane_column = lane % TILE_QUADS;
    let lane_row = lane / TILE_QUADS;
    // wraps below 0, and is then no quad of the level
    let quad = tile % dims.tiles_across * dims.inner_quads + lane_column - dims.halo_quads;
    let first_row = tile_row * dims.inner_rows + lane_row * ROWS - dims.halo_rows;
    let plane = dims.height * dims.quads;

    var x: array<vec4<f32>, ROWS>;
    var y: array<vec4<f32>, ROWS>;
    var x_bar: array<vec4<f32>, ROWS + 1u>; // and the row below
    var y_bar: array<vec4<f32>, ROWS + 1u>;
    var x_right: array<vec4<f32>, ROWS>;
    var y_right: array<vec4<f32>, ROWS>;
    var x_down: array<vec4<f32>, ROWS + 1u>; // from the row above
    var y_down: array<vec4<f32>, ROWS + 1u>;
    var slope_x: array<vec4<f32>, ROWS>;
    var slope_y: array<vec4<f32>, ROWS>;
    var rest: array<vec4<f32>, ROWS>;
    var inverse: array<vec4<f32>, ROWS>;
    // 1 where there is a next pixel to the right, down
    var to_right: array<vec4<f32>, ROWS>;
    var to_down: array<f32, ROWS>;
    let columns = vec4<u32>(quad * 4u) + vec4<u32>(1u, 2u, 3u, 4u);
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r;
        let there = quad < dims.quads && row < dims.height;
        // what lies beside the level is of no use, but of this pair: another's may be NaN
        let at = pair * 4u * plane + min(row, dims.height - 1u) * dims.quads + min(quad, dims.quads - 1u);
        to_right[r] = select(vec4<f32>(0.0), vec4<f32>(1.0), vec4<bool>(there) & (columns < vec4<u32>(dims.width)));
        to_down[r] = select(0.0, 1.0, there && row + 1u < dims.height);
        x[r] = state[at];
        y[r] = state[at + plane];
        x_bar[r] = state[at + 2u * plane];
        y_bar[r] = state[at + 3u * plane];
        slope_x[r] = data[at];
        slope_y[r] = data[at + plane];
        rest[r] = data[at + 2u * plane];
        inverse[r] = data[at + 3u * plane];
        x_right[r] = vec4<f32>(0.0);
        y_right[r] = vec4<f32>(0.0);
        x_down[r + 1u] = vec4<f32>(0.0);
        y_down[r + 1u] = vec4<f32>(0.0);
        if (there && dims.fresh == 0u) {
            x_right[r] = dual[at];
            x_down[r + 1u] = dual[at + plane];
            y_right[r] = dual[at + 2u * plane];
            y_down[r + 1u] = dual[at + 3u * plane];
        }
    }

    let after = select(lane, lane + 1u, lane_column + 1u < TILE_QUADS);
    let below = select(lane, lane + TILE_QUADS, lane + TILE_QUADS < LANES);
    let before = select(lane, lane - 1u, lane_column > 0u);
    let above = select(lane, lane - TILE_QUADS, lane_row > 0u);
    let has_before = select(0.0, 1.0, lane_column > 0u);
    let has_above = select(0.0, 1.0, lane_row > 0u);
    for (var iteration = 0u; iteration < dims.iterations; iteration++) {
        top_x[lane] = x_bar[0];
        top_y[lane] = y_bar[0];
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            left[lane * ROWS + r] = vec2<f32>(x_bar[r].x, y_bar[r].x);
        }
        workgroupBarrier();
        x_bar[ROWS] = top_x[below];
        y_bar[ROWS] = top_y[below];
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            let beside = left[after * ROWS + r];
            let x_east = (x_right[r] + dims.sigma * (vec4<f32>(x_bar[r].yzw, beside.x) - x_bar[r])) * (dims.shrink * to_right[r]);
            let y_east = (y_right[r] + dims.sigma * (vec4<f32>(y_bar[r].yzw, beside.y) - y_bar[r])) * (dims.shrink * to_right[r]);
            let x_south = (x_down[r + 1u] + dims.sigma * (x_bar[r + 1u] - x_bar[r])) * (dims.shrink * to_down[r]);
            let y_south = (y_down[r + 1u] + dims.sigma * (y_bar[r + 1u] - y_bar[r])) * (dims.shrink * to_down[r]);
            let x_norm = 1.0 / max(vec4<f32>(1.0), sqrt(x_east * x_east + x_south * x_south));
            let y_norm = 1.0 / max(vec4<f32>(1.0), sqrt(y_east * y_east + y_south * y_south));
            x_right[r] = x_east * x_norm;
            y_right[r] = y_east * y_norm;
            x_down[r + 1u] = x_south * x_norm;
            y_down[r + 1u] = y_south * y_norm;
            right[lane * ROWS + r] = vec2<f32>(x_right[r].w, y_right[r].w);
        }
        bottom_x[lane] = x_down[ROWS];
        bottom_y[lane] = y_down[ROWS];
        workgroupBarrier();
        x_down[0] = bottom_x[above] * has_above;
        y_down[0] = bottom_y[above] * has_above;
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            let beside = right[before * ROWS + r] * has_before;
            let x_step = x_right[r] - vec4<f32>(beside.x, x_right[r].xyz) + x_down[r + 1u] - x_down[r];
            let y_step = y_right[r] - vec4<f32>(beside.y, y_right[r].xyz) + y_down[r + 1u] - y_down[r];
            let x_free = x[r] + dims.tau * x_step;
            let y_free = y[r] + dims.tau * y_step;
            let rho = rest[r] + slope_x[r] * x_free + slope_y[r] * y_free;
            let pull = clamp(rho * inverse[r], vec4<f32>(-dims.bound), vec4<f32>(dims.bound));
            let x_new = x_free - pull * slope_x[r];
            let y_new = y_free - pull * slope_y[r];
            x_bar[r] = 2.0 * x_new - x[r];
            y_bar[r] = 2.0 * y_new - y[r];
            x[r] = x_new;
            y[r] = y_new;
        }
    }

    let inner_column = lane_column - dims.halo_quads;
    if (inner_column >= dims.inner_quads || quad >= dims.quads) {
        return;
    }
    // @unroll
    for (var r = 0u; r < ROWS; r++) {
        let row = first_row + r;
        let inner_row = lane_row * ROWS + r - dims.halo_rows;
        if (inner_row < dims.inner_rows && row < dims.height) {
            let at = pair * 4u * plane + row * dims.quads + quad;
            next_state[at] = x[r];
            next_state[at + plane] = y[r];
            next_state[at + 2u * plane] = x_bar[r];
            next_state[at + 3u * plane] = y_bar[r];
            next_dual[at] = x_right[r];
            next_dual[at + plane] = x_down[r + 1u];
            next_dual[at + 2u * plane] = y_right[r];
            next_dual[at + 3u * plane] = y_down[r + 1u];
        }
    }
}
