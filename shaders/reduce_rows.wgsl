// out[row, split] = scale * (f over i of x[row, i]), or its square root; i runs over one of `splits` parts of the row. FUNCTION and
// VECTOR (rows of vec4, then up to `tail` elements more where there is one row) as in shared/reduction.wgsl.
//
// Dispatch: ceil(rows * splits * WIDTH / 64) workgroups; WIDTH invocations (1, 8 or 64) share a part and meet in workgroup
// memory, in fixed order. Overwrites `out`.

// @import "reduction.wgsl"

const WIDTH: u32 = 64u;
// Of these, so many go through a piece of the row side by side.
const STEP: u32 = 64u;
// Whether there are several parts.
const SPLIT: u32 = 1u;

struct Dims { rows: u32, columns: u32, tail: u32, splits: u32, root: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<Element>; // @stream
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> partial: array<Element, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    let unit = index * (64u / WIDTH) + lane / WIDTH;
    var row = unit;
    if (SPLIT != 0u) {
        row = unit / dims.splits;
    }
    let split = unit - row * dims.splits;
    let live = row < dims.rows;
    var total = Element(0.0);
    if (live) {
        let pieces = dims.splits * (WIDTH / STEP);
        // at least 1, so that one invocation alone is at 0
        let length = max((dims.columns + pieces - 1u) / pieces, 1u);
        let piece = split * (WIDTH / STEP) + lane % WIDTH / STEP;
        total = part_of(row, piece * length + lane % STEP, min((piece + 1u) * length, dims.columns));
    }
    if (WIDTH > 1u) {
        partial[lane] = total;
        workgroupBarrier();
        if (lane % 8u == 0u) {
            total = eight(lane, 1u);
            partial[lane] = total;
        }
    }
    if (WIDTH > 8u) {
        workgroupBarrier();
        if (lane == 0u) {
            total = eight(0u, 8u);
        }
    }
    if (live && lane % WIDTH == 0u) {
        let scaled = dims.scale * whole(total);
        if (dims.root != 0u) {
            out[unit] = sqrt(scaled);
        } else {
            out[unit] = scaled;
        }
    }
}

fn eight(first: u32, step: u32) -> Element {
    var total = partial[first];
    // @unroll
    for (var i = 1u; i < 8u; i++) {
        total = combine(total, partial[first + i * step]);
    }
    return total;
}

// Elements first, first + STEP, ... of a row up to `end`, in four sums of neighbouring quarters: a processor fetches several streams
// ahead sooner than one.
fn part_of(row: u32, first: u32, end: u32) -> Element {
    let base = row * dims.columns;
    var a = start(x[base]);
    var b = a;
    var c = a;
    var d = a;
    var i = first;
    let quarter = (max(end, first) - first) / (4u * STEP) * STEP;
    for (; i < first + quarter; i += STEP) {
        a = combine(a, term(x[base + i]));
        b = combine(b, term(x[base + i + quarter]));
        c = combine(c, term(x[base + i + 2u * quarter]));
        d = combine(d, term(x[base + i + 3u * quarter]));
    }
    for (i += 3u * quarter; i < end; i += STEP) {
        a = combine(a, term(x[base + i]));
    }
    // @if VECTOR
    if (first == 0u && dims.tail > 0u) {
        let last = x[dims.columns];
        let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.tail);
        a = combine(a, select(start(last.xxxx), term(last), inside));
    }
    // @end
    return combine(combine(a, b), combine(c, d));
}

// One number from an element's.
fn whole(total: Element) -> f32 {
    // @if VECTOR
    let pairs = combine(total, total.zwxy);
    return combine(pairs, pairs.yxwz).x;
    // @end
    // @if !VECTOR
    return total;
    // @end
}
