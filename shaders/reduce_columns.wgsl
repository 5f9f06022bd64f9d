// out[o, split, c] = scale * (f over r of x[o, r, c]), or its square root, the rows r being those of one of `splits` parts.
// FUNCTION and VECTOR (four columns per element) as in shared/reduction.wgsl.
//
// Dispatch: ceil(items / (WIDTH * SIDE)) * splits workgroups, items = outer * columns. A workgroup has WIDTH invocations side by side
// (a power of two, at most 64) with SIDE items each, and 64 / WIDTH invocations for each of these; they meet in workgroup memory, in
// fixed order. Overwrites `out`.

// @import "reduction.wgsl"

const WIDTH: u32 = 64u;
// 1, or, where WIDTH is 64 and columns a multiple of 32, 4: items 8 apart, so that eight neighbours go through a row's memory in order.
const SIDE: u32 = 1u;
// Whether there are several parts.
const SPLIT: u32 = 1u;

struct Dims { items: u32, columns: u32, rows: u32, splits: u32, root: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<Element>; // @stream
@group(0) @binding(1) var<storage, read_write> out: array<Element>;
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> partial: array<Element, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (dims.items + WIDTH * SIDE - 1u) / (WIDTH * SIDE);
    let index = group.y * groups.x + group.x;
    var split = 0u;
    if (SPLIT != 0u) {
        split = index / blocks;
    }
    var item = (index - split * blocks) * WIDTH + lane % WIDTH;
    if (SIDE > 1u) {
        item = item / 8u * 8u * SIDE + item % 8u;
    }
    let live = item < dims.items && split < dims.splits;
    let depth = 64u / WIDTH;
    var totals: array<Element, 4>;
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

// Rows first, first + step, ... of an invocation's items up to `end`. A processor fetches several streams ahead sooner than one: of a
// single item, whose result is totals[0], it goes through four neighbouring quarters of the rows at once.
fn rows_of(item: u32, first: u32, step: u32, end: u32) -> array<Element, 4> {
    let o = item / dims.columns;
    let base = o * dims.rows * dims.columns + (item - o * dims.columns);
    let count = max(end, first) - first;
    var length = count;
    var apart = 8u;
    var item_apart = 8u;
    if (SIDE == 1u) {
        length = count / (4u * step) * step;
        apart = length * dims.columns;
        item_apart = 0u;
    }
    var totals: array<Element, 4>;
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        totals[i] = start(x[base + i * item_apart]);
    }
    var row = first;
    for (; row < first + length; row += step) {
        // @unroll
        for (var i = 0u; i < 4u; i++) {
            totals[i] = combine(totals[i], term(x[base + row * dims.columns + i * apart]));
        }
    }
    if (SIDE == 1u) {
        for (row += 3u * length; row < end; row += step) {
            totals[0] = combine(totals[0], term(x[base + row * dims.columns]));
        }
        totals[0] = combine(combine(totals[0], totals[1]), combine(totals[2], totals[3]));
    }
    return totals;
}
