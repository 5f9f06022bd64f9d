// Register-tiled products of the portable attention kernels, out of workgroup memory (at most 13.9 KiB).
// A thread owns four neighbouring rows (the components of a vec4) and COLS columns, THREADS_X apart, of a score tile of
// TILE_ROWS x TILE_COLS, and OUT_VECS vec4s of each of its rows in the result.
//
// A kernel that imports this gives row_chunk(place, dual, row, chunk) and column_chunk(place, dual, column, chunk): four elements of
// what is multiplied into the scores (q and k) or, if `dual`, into the gradients of the weights (dout and v); zero for what does not
// exist and, without PAIR, for what a mask hides.

const THREADS: u32 = THREADS_X * THREADS_Y;
const TILE_ROWS: u32 = 4u * THREADS_Y;
const TILE_COLS: u32 = 32u;
const COLS: u32 = TILE_COLS / THREADS_X;
const PITCH: u32 = DEPTH + 1u - DEPTH % 2u; // odd, so that neighbouring rows start in different banks
const WEIGHT_PITCH: u32 = THREADS_Y + 1u;
const OUT_PITCH: u32 = OUT_VECS * THREADS_X;

var<workgroup> row_tile: array<vec4<f32>, max(TILE_ROWS * PITCH, TILE_COLS * WEIGHT_PITCH)>;
var<workgroup> col_tile: array<vec4<f32>, max(max(TILE_COLS * PITCH, STAGE * OUT_PITCH), THREADS)>;

var<workgroup> furthest: atomic<u32>;
var<workgroup> furthest_read: u32;

// The largest of all threads' values.
fn workgroup_max(value: u32, thread: u32) -> u32 {
    if (thread == 0u) { atomicStore(&furthest, 0u); }
    workgroupBarrier();
    atomicMax(&furthest, value);
    workgroupBarrier();
    if (thread == 0u) { furthest_read = atomicLoad(&furthest); }
    return workgroupUniformLoad(&furthest_read);
}

// scores[row, col] += dot(row operand, col operand) over the DEPTH vec4s that are staged.
fn add_scores(scores: ptr<function, array<vec4<f32>, COLS>>, tx: u32, ty: u32) {
    let row = 4u * ty * PITCH;
    for (var d = 0u; d < DEPTH; d++) {
        let a0 = row_tile[row + d];
        let a1 = row_tile[row + PITCH + d];
        let a2 = row_tile[row + 2u * PITCH + d];
        let a3 = row_tile[row + 3u * PITCH + d];
        // @unroll
        for (var c = 0u; c < COLS; c++) {
            let b = col_tile[(tx + c * THREADS_X) * PITCH + d];
            (*scores)[c] += vec4<f32>(dot(a0, b), dot(a1, b), dot(a2, b), dot(a3, b));
        }
    }
}

// The products of all rows with all columns from column0 on. Begins and ends with the tiles free to be overwritten.
fn tile_scores(place: Place, dual: bool, column0: u32, thread: u32) -> array<vec4<f32>, COLS> {
    var scores: array<vec4<f32>, COLS>;
    let chunks = select(HEAD_CHUNKS, VALUE_CHUNKS, dual);
    for (var first = 0u; first < chunks; first += DEPTH) {
        for (var t = thread; t < TILE_ROWS * DEPTH; t += THREADS) {
            row_tile[(t / DEPTH) * PITCH + t % DEPTH] = row_chunk(place, dual, place.row0 + t / DEPTH, first + t % DEPTH);
        }
        for (var t = thread; t < TILE_COLS * DEPTH; t += THREADS) {
            col_tile[(t / DEPTH) * PITCH + t % DEPTH] = column_chunk(place, dual, column0 + t / DEPTH, first + t % DEPTH);
        }
        workgroupBarrier();
        add_scores(&scores, thread % THREADS_X, thread / THREADS_X);
        workgroupBarrier();
    }
    return scores;
}

// Whole rows of the columns' operand into workgroup memory: STAGE columns from column0 on.
fn stage_columns(place: Place, dual: bool, column0: u32, thread: u32) {
    for (var t = thread; t < STAGE * OUT_PITCH; t += THREADS) {
        col_tile[t] = column_chunk(place, dual, column0 + t / OUT_PITCH, t % OUT_PITCH);
    }
}

// With PAIR a weight of exactly 0 may stand before a value that is masked and not finite: the value is dropped, not multiplied.
fn weighted(weight: f32, value: vec4<f32>) -> vec4<f32> {
    if (PAIR != 0u) {
        return weight * select(vec4<f32>(0.0), value, bitcast<u32>(weight) != 0u);
    }
    return weight * value;
}

// result[row, :] += sum over the tile's columns of weight[row, column] * operand[column, :]. The weights lie in row_tile, written before
// a barrier that this begins with; ends with a barrier.
fn add_tile(result: ptr<function, array<vec4<f32>, 4u * OUT_VECS>>, place: Place, dual: bool, column0: u32, thread: u32) {
    for (var first = 0u; first < TILE_COLS; first += STAGE) {
        workgroupBarrier();
        stage_columns(place, dual, column0 + first, thread);
        workgroupBarrier();
        add_weighted(result, first, thread % THREADS_X, thread / THREADS_X);
    }
    workgroupBarrier();
}

// result[row, :] += sum over the STAGE staged columns, from `first` in the tile, of weight[row, column] * operand[column, :].
fn add_weighted(result: ptr<function, array<vec4<f32>, 4u * OUT_VECS>>, first: u32, tx: u32, ty: u32) {
    for (var j = 0u; j < STAGE; j++) {
        let weight = row_tile[(first + j) * WEIGHT_PITCH + ty];
        // @unroll
        for (var n = 0u; n < OUT_VECS; n++) {
            let value = col_tile[j * OUT_PITCH + tx + n * THREADS_X];
            (*result)[4u * n] += weighted(weight.x, value);
            (*result)[4u * n + 1u] += weighted(weight.y, value);
            (*result)[4u * n + 2u] += weighted(weight.z, value);
            (*result)[4u * n + 3u] += weighted(weight.w, value);
        }
    }
}
