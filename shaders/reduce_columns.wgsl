// out[o, split, c] = scale * (f over r of x[o, r, c]), or its square root, the rows r being those of one of `splits` parts.
// FUNCTION and VECTOR (four columns per element) as in shared/reduction.wgsl.
//
// Dispatch: ceil(items / SIDE * splits / WIDTH) workgroups, items = outer * columns. A workgroup has WIDTH invocations side by side
// (a power of two, at most 64) with SIDE items each, and 64 / WIDTH invocations for each of these; they meet in workgroup memory, in
// fixed order. Overwrites `out`.

// @import "reduction.wgsl"

const WIDTH: u32 = 64u;
// Above 1, where WIDTH is 64 and columns a multiple of 8 * SIDE: items 8 apart, so that eight neighbours go through a row's memory in order.
const SIDE: u32 = 1u;
// An item's rows in so many sums, of neighbouring shares: a processor fetches several streams ahead sooner than one. 1 or 4.
const STREAMS: u32 = 4u;
const SUMS: u32 = SIDE * STREAMS;
// Whether there are several parts.
const SPLIT: u32 = 1u;

struct Dims { items: u32, columns: u32, rows: u32, splits: u32, root: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<Element>; // @stream
@group(0) @binding(1) var<storage, read_write> out: array<Element>;
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> partial: array<Element, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let units = dims.items / SIDE;
    let index = group.y * groups.x + group.x;
    var item = index * WIDTH + lane % WIDTH;
    var split = 0u;
    if (SPLIT != 0u) {
        split = item / units;
        item -= split * units;
    }
    if (SIDE > 1u) {
        item = item / 8u * 8u * SIDE + item % 8u;
    }
    let live = item < dims.items && split < dims.splits;
    let depth = 64u / WIDTH;
    var totals: array<Element, SIDE>;
    if (live) {
        let length = (dims.rows + dims.splits - 1u) / dims.splits;
        totals = rows_of(item, split * length + lane / WIDTH, depth, min((split + 1u) * length, dims.rows));
    }
    if (depth > 1u) {
        partial[lane] = totals[0];
        workgroupBarrier();
        if (lane < WIDTH) {
            for (var other = lane + WIDTH; other < 64u; other += WIDTH) {
                totals[0] = combine(totals[0], partial[other]);
            }
        }
    }
    if (live && lane < WIDTH) {
        let o = item / dims.columns;
        let at = (o * dims.splits + split) * dims.columns + (item - o * dims.columns);
        // @unroll
        for (var i = 0u; i < SIDE; i++) {
            let scaled = dims.scale * totals[i];
            if (dims.root != 0u) {
                out[at + 8u * i] = sqrt(scaled);
            } else {
                out[at + 8u * i] = scaled;
            }
        }
    }
}

// Rows first, first + step, ... of an invocation's items up to `end`.
fn rows_of(item: u32, first: u32, step: u32, end: u32) -> array<Element, SIDE> {
    let o = item / dims.columns;
    let base = o * dims.rows * dims.columns + (item - o * dims.columns);
    var sums: array<Element, SUMS>;
    // @unroll
    for (var i = 0u; i < SUMS; i++) {
        sums[i] = start(x[base + i / STREAMS * 8u]);
    }
    var row = first;
    let length = (max(end, first) - first) / (STREAMS * step) * step;
    for (; row < first + length; row += step) {
        // @unroll
        for (var i = 0u; i < SUMS; i++) {
            let at = base + (row + i % STREAMS * length) * dims.columns + i / STREAMS * 8u;
            sums[i] = combine(sums[i], term(x[at]));
        }
    }
    var totals: array<Element, SIDE>;
    // @unroll
    for (var i = 0u; i < SIDE; i++) {
        totals[i] = sums[i * STREAMS];
        // @unroll
        for (var j = 1u; j < STREAMS; j++) {
            totals[i] = combine(totals[i], sums[i * STREAMS + j]);
        }
        if (STREAMS > 1u) {
            for (var rest = row + (STREAMS - 1u) * length; rest < end; rest += step) {
                totals[i] = combine(totals[i], term(x[base + rest * dims.columns + i * 8u]));
            }
        }
    }
    return totals;
}
