// Register-tiled products of the subgroup attention kernels. A workgroup is one subgroup of LANES lanes, and a lane owns ROWS
// rows (at most 4), LANES apart. The rows of the other side, the columns, are loaded spread over the lanes, each value
// once, and broadcast. Accumulators are sized for a processor's stack: this is for software adapters.
//
// A kernel that imports this gives row_chunk(place, dual, row, chunk) and column_chunk(place, dual, column, chunk): four elements of
// what is multiplied into the scores (q and k) or, if `dual`, into the gradients of the weights (dout and v); a row or column beyond
// the end reads the last one.
//
// Loop bounds come from subgroupMax, so control flow is uniform, but the standard's analysis cannot see it: a strict checker
// needs `diagnostic(off, subgroup_uniformity)`; a barrier instead would cost lavapipe a fifth.

const TILE_ROWS: u32 = LANES * ROWS;
const TILE_LOADS: u32 = TILE_COLS / LANES;
const OUT_CHUNKS: u32 = (max(HEAD_DIM, VALUE_DIM) + 3u) / 4u;
const GROUP_LOADS: u32 = (GROUP * OUT_CHUNKS + LANES - 1u) / LANES;
const TURN: u32 = min(2u, OUT_CHUNKS); // chunks of each row stored at a time

// scores[column, row] += dot(own row, column's row) over four elements; lane l holds the columns t * LANES + l.
fn add_scores(scores: ptr<function, array<f32, TILE_COLS * ROWS>>, own: array<vec4<f32>, ROWS>, spread: array<vec4<f32>, TILE_LOADS>) {
    // @unroll
    for (var t = 0u; t < TILE_LOADS; t++) {
        // @unroll
        for (var l = 0u; l < LANES; l++) {
            let x = subgroupBroadcast(spread[t], l);
            // @unroll
            for (var r = 0u; r < ROWS; r++) {
                let four = fma(own[r].y, x.y, own[r].x * x.x) + fma(own[r].w, x.w, own[r].z * x.z);
                (*scores)[(t * LANES + l) * ROWS + r] += four;
            }
        }
    }
}

// The products of all rows with all columns from column0 on, of masked ones too.
fn tile_scores(place: Place, dual: bool, column0: u32, lane: u32) -> array<f32, TILE_COLS * ROWS> {
    var scores: array<f32, TILE_COLS * ROWS>;
    for (var chunk = 0u; chunk < select(HEAD_CHUNKS, VALUE_CHUNKS, dual); chunk++) {
        var own: array<vec4<f32>, ROWS>;
        var spread: array<vec4<f32>, TILE_LOADS>;
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            own[r] = row_chunk(place, dual, place.row0 + r * LANES + lane, chunk);
        }
        // @unroll
        for (var t = 0u; t < TILE_LOADS; t++) {
            spread[t] = column_chunk(place, dual, column0 + t * LANES + lane, chunk);
        }
        add_scores(&scores, own, spread);
    }
    return scores;
}

// With PAIR a weight of exactly 0 may stand before a value that is masked and not finite: the value is dropped, not multiplied.
fn add_product(sum: vec4<f32>, weight: f32, value: vec4<f32>) -> vec4<f32> {
    if (PAIR != 0u) {
        return fma(vec4<f32>(weight), select(vec4<f32>(0.0), value, bitcast<u32>(weight) != 0u), sum);
    }
    return fma(vec4<f32>(weight), value, sum);
}

// result[row, :] += sum of weights[g][row] * operand[g, :] over GROUP columns, whose rows lie spread over the lanes.
fn add_weighted(result: ptr<function, array<vec4<f32>, ROWS * OUT_CHUNKS>>, weights: array<vec4<f32>, GROUP>, spread: array<vec4<f32>, GROUP_LOADS>) {
    // @unroll
    for (var g = 0u; g < GROUP; g++) {
        // @unroll
        for (var n = 0u; n < OUT_CHUNKS; n++) {
            let x = subgroupBroadcast(spread[(g * OUT_CHUNKS + n) / LANES], (g * OUT_CHUNKS + n) % LANES);
            // @unroll
            for (var r = 0u; r < ROWS; r++) {
                (*result)[r * OUT_CHUNKS + n] = add_product((*result)[r * OUT_CHUNKS + n], weights[g][r], x);
            }
        }
    }
}

// Moves the sums up by a turn, so that the code that stores a sum exists once per turn and row: with a store for each of them, a third of
// the time that lavapipe takes to compile such a kernel were stores.
fn advance(sums: ptr<function, array<vec4<f32>, ROWS * OUT_CHUNKS>>) {
    // @unroll
    for (var s = 0u; s < ROWS * OUT_CHUNKS - TURN; s++) {
        (*sums)[s] = (*sums)[s + TURN];
    }
}

// Validity bits of TILE_COLS neighbouring columns from one flag per lane and load.
fn column_bits(flags: array<bool, TILE_LOADS>) -> u32 {
    var bits = 0u;
    // @unroll
    for (var t = 0u; t < TILE_LOADS; t++) {
        bits |= subgroupBallot(flags[t]).x << (t * LANES);
    }
    return bits;
}
