// The gradients of recurrent.wgsl, from the last step to the first. With dh, dc the gradients of a step's state, from what reads
// it and from the step behind it:
//     LSTM: dc += dh o (1 - tanh(c')^2); di = dc g i (1 - i), df = dc c f (1 - f), dg = dc i (1 - g^2), do = dh tanh(c') o (1 - o);
//           before the step dc f and W_hh^T (di, df, dg, do);
//     GRU:  dn = dh (1 - z) (1 - n^2), dz = dh (h - n) z (1 - z), dr = dn (W_hh h + b_hh) r (1 - r);
//           before the step dh z + W_hh^T (dr, dz, dn r).
// Steps where the mask is 0 hand dh and dc on; their gates' gradients are 0 and what was saved of them is selected away.
//   weight: W_hh [GATES * hidden, hidden] with k along its rows; saved as in recurrent.wgsl; dstates [batch, seq, hidden]; dlast, dstart as
//   last, start; dinputs, dhidden (GRU: with dn r for dn, the gradient of W_hh h + b_hh) [batch, seq, GATES * hidden].
//
// Dispatch: ceil(batch / ROWS) workgroups of LANES invocations (recurrence.wgsl). Overwrites its outputs; dstart holds dh and dc
// meanwhile, each element touched by one invocation alone.

const COLUMNS: u32 = UNITS;
const SHARED: u32 = GATES * CAPACITY * QUADS; // the gates' gradients of one step
const DSTATES: u32 = 1u;
const DLAST: u32 = 1u;

// @import "recurrence.wgsl"

@group(0) @binding(3) var<storage, read> saved: array<f32>;
@group(0) @binding(4) var<storage, read> dstates: array<f32>;
@group(0) @binding(5) var<storage, read> dlast: array<f32>; // @buffer
@group(0) @binding(6) var<storage, read_write> dinputs: array<f32>;
@group(0) @binding(7) var<storage, read_write> dstart: array<f32>;
@group(0) @binding(8) var<storage, read_write> dhidden: array<f32>;

// Gradient `index` (dh, dc) that the step behind handed to the rows from `row` on.
fn carried(index: u32, row: u32, unit: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] = dstart[(index * dims.batch + real_row(row + r)) * dims.hidden + unit];
    }
    return value;
}

fn carry(index: u32, row: u32, unit: u32, value: vec4<f32>) {
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        if (row + r < dims.batch) {
            dstart[(index * dims.batch + row + r) * dims.hidden + unit] = value[r];
        }
    }
}

// What the last state gets from outside.
fn begin(index: u32, row: u32, unit: u32) {
    var value = vec4<f32>(0.0);
    // @if DLAST
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] = dlast[(index * dims.batch + real_row(row + r)) * dims.hidden + unit];
    }
    // @end
    carry(index, row, unit, value);
}

fn state_gradient(row: u32, t: u32, unit: u32) -> vec4<f32> {
    var value = carried(0u, row, unit);
    // @if DSTATES
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] += dstates[(real_row(row + r) * dims.seq + t) * dims.hidden + unit];
    }
    // @end
    return value;
}

fn saved_value(index: u32, row: u32, t: u32, unit: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var r = 0u; r < WIDTH; r++) {
        value[r] = saved[((real_row(row + r) * dims.seq + t) * 5u + index) * dims.hidden + unit];
    }
    return value;
}

// Where element `unit` of a gate of row `row` is.
fn gate_place(row: u32, t: u32, gate: u32, unit: u32) -> u32 {
    return ((row * dims.seq + t) * GATES + gate) * dims.hidden + unit;
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
            begin(0u, row0 + q * WIDTH, unit);
            // @if LSTM
            begin(1u, row0 + q * WIDTH, unit);
            // @end
        }
    }
    for (var n = 0u; n < dims.seq; n++) {
        let t = select(dims.seq - 1u - n, n, dims.reverse != 0u);
        var any_valid = false;
        // @unroll
        for (var q = 0u; q < QUADS; q++) {
            any_valid = any_valid || any(valid_rows(row0 + q * WIDTH, t));
        }
        for (var unit = lane; unit < dims.hidden; unit += LANES) {
            for (var q = 0u; q < QUADS; q++) {
                let row = row0 + q * WIDTH;
                let valid = valid_rows(row, t);
                let dh = state_gradient(row, t, unit);
                var gates: array<vec4<f32>, GATES>;
                // @if LSTM
                let i = saved_value(0u, row, t, unit);
                let f = saved_value(1u, row, t, unit);
                let g = saved_value(2u, row, t, unit);
                let o = saved_value(3u, row, t, unit);
                let cell = saved_value(4u, row, t, unit);
                let tanh_cell = hyperbolic_tangent(f * cell + i * g);
                let behind = carried(1u, row, unit);
                let dc = behind + dh * o * (1.0 - tanh_cell * tanh_cell);
                gates[0] = dc * g * i * (1.0 - i);
                gates[1] = dc * cell * f * (1.0 - f);
                gates[2] = dc * i * (1.0 - g * g);
                gates[GATES - 1u] = dh * tanh_cell * o * (1.0 - o);
                carry(1u, row, unit, select(behind, dc * f, valid));
                carry(0u, row, unit, select(dh, vec4<f32>(0.0), valid));
                // @end
                // @if !LSTM
                let reset = saved_value(0u, row, t, unit);
                let z = saved_value(1u, row, t, unit);
                let candidate = saved_value(2u, row, t, unit);
                let inner = saved_value(3u, row, t, unit);
                let before = saved_value(4u, row, t, unit);
                gates[2] = dh * (1.0 - z) * (1.0 - candidate * candidate);
                gates[1] = dh * (before - candidate) * z * (1.0 - z);
                gates[0] = gates[2] * inner * reset * (1.0 - reset);
                carry(0u, row, unit, select(dh, dh * z, valid));
                // @end
                // @unroll
                for (var gate = 0u; gate < GATES; gate++) {
                    let dinput = select(vec4<f32>(0.0), gates[gate], valid);
                    var inward = dinput;
                    // @if !LSTM
                    if (gate == 2u) {
                        inward = select(vec4<f32>(0.0), gates[gate] * reset, valid);
                    }
                    // @end
                    shared_rows[(gate * dims.hidden + unit) * QUADS + q] = narrow(inward);
                    // @unroll
                    for (var r = 0u; r < WIDTH; r++) {
                        if (row + r < dims.batch) {
                            dinputs[gate_place(row + r, t, gate, unit)] = dinput[r];
                            // @if !LSTM
                            dhidden[gate_place(row + r, t, gate, unit)] = inward[r];
                            // @end
                        }
                    }
                }
            }
        }
        workgroupBarrier();
        if (any_valid) {
            for (var first = 0u; first < dims.hidden; first += LANES * UNITS) {
                // @unroll
                for (var c = 0u; c < COLUMNS; c++) {
                    columns[c] = min(first + c * LANES + lane, dims.hidden - 1u);
                }
                multiply(0u, dims.hidden, lane);
                // the sums move up by one per turn, so that this code exists once
                for (var e = 0u; e < COLUMNS * QUADS; e++) {
                    let unit = first + e / QUADS * LANES + lane;
                    if (unit < dims.hidden) {
                        let row = row0 + e % QUADS * WIDTH;
                        carry(0u, row, unit, carried(0u, row, unit) + widen(sums[0]));
                    }
                    // @unroll
                    for (var s = 0u; s < COLUMNS * QUADS - 1u; s++) {
                        sums[s] = sums[s + 1u];
                    }
                }
            }
        }
        workgroupBarrier();
    }
}
