// A recurrent layer through all its steps, in one direction, from the projected inputs a = W_ih x + b:
//     LSTM: i, f, o = sigmoid(a + W_hh h), g = tanh(a + W_hh h), c' = f c + i g, h' = o tanh(c');
//     GRU:  r, z = sigmoid(a + W_hh h + b_hh), n = tanh(a + r (W_hh h + b_hh)), h' = n + z (h - n).
// Steps where the mask is 0 carry the state on; their inputs are selected away.
//   inputs [batch, seq, GATES * hidden]; bias [3 * hidden] (GRU); start, last [2 or 1, batch, hidden]: h, and c of an LSTM; states
//   [batch, seq, hidden]: h after each step; saved [batch, seq, 5, hidden] for the backward pass: i, f, g, o, c or r, z, n, W_hh h + b_hh, h,
//   where c and h are those before the step.
// Hochreiter and Schmidhuber 1997; Cho et al. 2014, as in PyTorch.
//
// Dispatch: ceil(batch / ROWS) workgroups of LANES invocations (recurrence.wgsl). Overwrites states, and saved under SAVE, last under LAST.

const COLUMNS: u32 = UNITS * GATES; // of each gate in turn
const SETS: u32 = UNITS * QUADS; // sums of a gate
const HALF: u32 = CAPACITY * QUADS;
const SHARED: u32 = 2u * HALF; // the state before a step and the one after it
const SAVE: u32 = 1u;
const LAST: u32 = 1u;

// @import "recurrence.wgsl"

@group(0) @binding(3) var<storage, read> inputs: array<f32>;
@group(0) @binding(4) var<storage, read> start: array<f32>; // @buffer
@group(0) @binding(5) var<storage, read> bias: array<f32>; // @buffer
@group(0) @binding(6) var<storage, read_write> states: array<f32>;
@group(0) @binding(7) var<storage, read_write> saved: array<f32>;
@group(0) @binding(8) var<storage, read_write> last: array<f32>;

// @if LSTM
var<workgroup> cells: array<Rows, HALF>;
// @end

// Element `unit` of state `index` (h, c) of the rows from `row` on.
fn start_of(index: u32, row: u32, unit: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] = start[(index * dims.batch + real_row(row + r)) * dims.hidden + unit];
    }
    return value;
}

fn store_last(index: u32, row: u32, unit: u32, value: vec4<f32>) {
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        if (row + r < dims.batch) {
            last[(index * dims.batch + row + r) * dims.hidden + unit] = value[r];
        }
    }
}

// Gate `gate` before W_hh h is added.
fn input(row: u32, t: u32, gate: u32, unit: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] = inputs[((real_row(row + r) * dims.seq + t) * GATES + gate) * dims.hidden + unit];
    }
    return value;
}

fn store_state(row: u32, t: u32, unit: u32, value: vec4<f32>) {
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        if (row + r < dims.batch) {
            states[((row + r) * dims.seq + t) * dims.hidden + unit] = value[r];
        }
    }
}

fn save(row: u32, t: u32, unit: u32, values: array<vec4<f32>, 5>) {
    // @if SAVE
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        if (row + r < dims.batch) {
            let at = ((row + r) * dims.seq + t) * 5u * dims.hidden + unit;
            // @unroll
            for (var s = 0u; s < 5u; s++) {
                saved[at + s * dims.hidden] = values[s][r];
            }
        }
    }
    // @end
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    // @if SUBGROUP
    @builtin(subgroup_invocation_id) lane: u32,
    // @end
    // @if !SUBGROUP
    @builtin(local_invocation_index) lane: u32,
    // @end
) {
    let row0 = (group.y * groups.x + group.x) * ROWS;
    if (row0 >= dims.batch) {
        return;
    }
    for (var unit = lane; unit < dims.hidden; unit += LANES) {
        // @unroll
        for (var q = 0u; q < QUADS; q++) {
            shared_rows[unit * QUADS + q] = narrow(start_of(0u, row0 + q * WIDTH, unit));
            // @if LSTM
            cells[unit * QUADS + q] = narrow(start_of(1u, row0 + q * WIDTH, unit));
            // @end
        }
    }
    workgroupBarrier();

    var now = 0u;
    for (var n = 0u; n < dims.seq; n++) {
        let t = select(n, dims.seq - 1u - n, dims.reverse != 0u);
        var any_valid = false;
        // @unroll
        for (var q = 0u; q < QUADS; q++) {
            any_valid = any_valid || any(valid_rows(row0 + q * WIDTH, t));
        }
        for (var first = 0u; first < dims.hidden; first += LANES * UNITS) {
            if (any_valid) {
                // @unroll
                for (var c = 0u; c < COLUMNS; c++) {
                    columns[c] = c / UNITS * dims.hidden + min(first + c % UNITS * LANES + lane, dims.hidden - 1u);
                }
                multiply(now, GATES * dims.hidden, lane);
            }
            // the sums move up by one per turn, so that this code exists once
            for (var e = 0u; e < SETS; e++) {
                let q = e % QUADS;
                let unit = first + e / QUADS * LANES + lane;
                if (unit < dims.hidden) {
                    let row = row0 + q * WIDTH;
                    let valid = valid_rows(row, t);
                    let before = widen(shared_rows[now + unit * QUADS + q]);
                    // @if LSTM
                    let i = sigmoid(input(row, t, 0u, unit) + widen(sums[0]));
                    let f = sigmoid(input(row, t, 1u, unit) + widen(sums[SETS]));
                    let g = hyperbolic_tangent(input(row, t, 2u, unit) + widen(sums[2u * SETS]));
                    let o = sigmoid(input(row, t, 3u, unit) + widen(sums[(GATES - 1u) * SETS]));
                    let cell = widen(cells[unit * QUADS + q]);
                    let next_cell = f * cell + i * g;
                    let next = o * hyperbolic_tangent(next_cell);
                    cells[unit * QUADS + q] = narrow(select(cell, next_cell, valid));
                    save(row, t, unit, array<vec4<f32>, 5>(i, f, g, o, cell));
                    // @end
                    // @if !LSTM
                    let inner_r = widen(sums[0]) + bias[unit];
                    let inner_z = widen(sums[SETS]) + bias[dims.hidden + unit];
                    let inner_n = widen(sums[2u * SETS]) + bias[2u * dims.hidden + unit];
                    let r = sigmoid(input(row, t, 0u, unit) + inner_r);
                    let z = sigmoid(input(row, t, 1u, unit) + inner_z);
                    let candidate = hyperbolic_tangent(input(row, t, 2u, unit) + r * inner_n);
                    let next = candidate + z * (before - candidate);
                    save(row, t, unit, array<vec4<f32>, 5>(r, z, candidate, inner_n, before));
                    // @end
                    let carried = select(before, next, valid);
                    shared_rows[HALF - now + unit * QUADS + q] = narrow(carried);
                    store_state(row, t, unit, carried);
                }
                // @unroll
                for (var s = 0u; s < COLUMNS * QUADS - 1u; s++) {
                    sums[s] = sums[s + 1u];
                }
            }
        }
        workgroupBarrier();
        now = HALF - now;
    }
    // @if LAST
    for (var unit = lane; unit < dims.hidden; unit += LANES) {
        // @unroll
        for (var q = 0u; q < QUADS; q++) {
            store_last(0u, row0 + q * WIDTH, unit, widen(shared_rows[now + unit * QUADS + q]));
            // @if LSTM
            store_last(1u, row0 + q * WIDTH, unit, widen(cells[unit * QUADS + q]));
            // @end
        }
    }
    // @end
}
