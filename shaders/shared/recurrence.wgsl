// What the recurrent kernels share. A workgroup takes ROWS rows of the batch through all steps: a weight, once loaded, serves them all.
//
// Gates come one after another along the rows of the weights, PyTorch's: i, f, g, o (LSTM), r, z, n (GRU).
// Rows lie side by side, QUADS vectors of WIDTH (1, 2 or 4). What every invocation reads, the state or the gates' gradients, is in
// workgroup memory: `shared_rows[k * QUADS + q]`. Invocation `lane` owns the hidden units lane, lane + LANES, ..; it makes COLUMNS
// sums over k at a time. Under SUBGROUP the workgroup is one subgroup, whose lanes share the loads and broadcast them: on software
// adapters loads cost as much as arithmetic.

// @import "part.wgsl"
// @import "activation.wgsl"

const LSTM: u32 = 1u; // else GRU
const GATES: u32 = 3u + LSTM;
const CAPACITY: u32 = 64u; // hidden units that there is workgroup memory for
const MASK: u32 = 1u;
const SUBGROUP: u32 = 0u;
const LANES: u32 = 64u;
const UNITS: u32 = 1u; // units of a lane at a time
const WIDTH: u32 = 4u;
const PAIR: u32 = 0u; // WIDTH is 2
const SINGLE: u32 = 0u; // WIDTH is 1
const QUADS: u32 = 1u;
const ROWS: u32 = QUADS * WIDTH;
const ITEMS: u32 = PART * QUADS;
const OWN: u32 = (ITEMS + LANES - 1u) / LANES;

struct Dims { batch: u32, seq: u32, hidden: u32, parts: u32, reverse: u32 }

// @if SINGLE
alias Rows = f32;
fn widen(x: Rows) -> vec4<f32> {
    return vec4<f32>(x, 0.0, 0.0, 0.0);
}
fn narrow(x: vec4<f32>) -> Rows {
    return x.x;
}
// @end
// @if PAIR
alias Rows = vec2<f32>;
fn widen(x: Rows) -> vec4<f32> {
    return vec4<f32>(x, 0.0, 0.0);
}
fn narrow(x: vec4<f32>) -> Rows {
    return x.xy;
}
// @end
// @if !PAIR
// @if !SINGLE
alias Rows = vec4<f32>;
fn widen(x: Rows) -> vec4<f32> {
    return x;
}
fn narrow(x: vec4<f32>) -> Rows {
    return x;
}
// @end
// @end

// PART neighbours along k of each column: [k / PART, columns].
@group(0) @binding(0) var<storage, read> weight: array<Part>;
@group(0) @binding(1) var<storage, read> mask: array<u32>; // @buffer
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> shared_rows: array<Rows, SHARED>;
var<private> columns: array<u32, COLUMNS>;
var<private> sums: array<Rows, COLUMNS * QUADS>;

// sums[c, q] = sum over k of weight[k, columns[c]] * shared_rows[first + k, q], k below dims.parts * PART; `stride` columns in a row.
fn multiply(first: u32, stride: u32, lane: u32) {
    // @unroll
    for (var s = 0u; s < COLUMNS * QUADS; s++) {
        sums[s] = Rows(0.0);
    }
    for (var p = 0u; p < dims.parts; p++) {
        let start = first + p * ITEMS;
        var values: array<Rows, ITEMS>;
        // @if SUBGROUP
        var own: array<Rows, OWN>;
        // @unroll
        for (var o = 0u; o < OWN; o++) {
            own[o] = shared_rows[start + min(o * LANES + lane, ITEMS - 1u)];
        }
        // @unroll
        for (var i = 0u; i < ITEMS; i++) {
            values[i] = subgroupBroadcast(own[i / LANES], i % LANES);
        }
        // @end
        // @if !SUBGROUP
        // @unroll
        for (var i = 0u; i < ITEMS; i++) {
            values[i] = shared_rows[start + i];
        }
        // @end
        // @unroll
        for (var c = 0u; c < COLUMNS; c++) {
            let w = weight[p * stride + columns[c]];
            // @unroll
            for (var q = 0u; q < QUADS; q++) {
                // @if VECTOR
                // by themselves first: rounding errors are half as large, and steps wait less for each other
                let pair = fma(Rows(w.y), values[QUADS + q], w.x * values[q]);
                let next = fma(Rows(w.w), values[3u * QUADS + q], w.z * values[2u * QUADS + q]);
                sums[c * QUADS + q] += pair + next;
                // @end
                // @if !VECTOR
                sums[c * QUADS + q] = fma(Rows(w), values[q], sums[c * QUADS + q]);
                // @end
            }
        }
    }
}

// Row `row` of the batch, or the last one for those beyond it, which are computed along and not stored.
fn real_row(row: u32) -> u32 {
    return min(row, dims.batch - 1u);
}

// Which of the rows from `row` on have a valid step t.
fn valid_rows(row: u32, t: u32) -> vec4<bool> {
    var valid = vec4<bool>(false);
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        // @if MASK
        valid[r] = mask[real_row(row + r) * dims.seq + t] != 0u;
        // @end
        // @if !MASK
        valid[r] = true;
        // @end
    }
    return valid;
}
