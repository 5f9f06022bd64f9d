// out[o, split, c] = scale * (f over r of x[o, r, c]), or its square root, the rows r being those of one of `splits` parts.
// FUNCTION and VECTOR (four columns per element) as in shared/reduction.wgsl.
//
// Dispatch: ceil(items / WIDTH) * splits workgroups, items = outer * columns. A workgroup has WIDTH items (a power of two, at
// most 64) and 64 / WIDTH invocations for each; these meet in workgroup memory, in fixed order. Overwrites `out`.

// @import "reduction.wgsl"

const WIDTH: u32 = 64u;
// Whether there are several parts.
const SPLIT: u32 = 1u;

struct Dims { items: u32, columns: u32, rows: u32, splits: u32, root: u32, scale: f32 }

@group(0) @binding(0) var<storage, read> x: array<Element>; // @stream
@group(0) @binding(1) var<storage, read_write> out: array<Element>;
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> partial: array<Element, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let blocks = (dims.items + WIDTH - 1u) / WIDTH;
    let index = group.y * groups.x + group.x;
    var split = 0u;
    if (SPLIT != 0u) {
        split = index / blocks;
    }
    let item = (index - split * blocks) * WIDTH + lane % WIDTH;
    let live = item < dims.items && split < dims.splits;
    let depth = 64u / WIDTH;
    var total = Element(0.0);
    if (live) {
        let length = (dims.rows + dims.splits - 1u) / dims.splits;
        total = rows_of(item, split * length + lane / WIDTH, depth, min((split + 1u) * length, dims.rows));
    }
    if (depth > 1u) {
        partial[lane] = total;
        workgroupBarrier();
        if (lane < WIDTH) {
            for (var other = lane + WIDTH; other < 64u; other += WIDTH) {
                total = combine(total, partial[other]);
            }
        }
    }
    if (live && lane < WIDTH) {
        let o = item / dims.columns;
        let at = (o * dims.splits + split) * dims.columns + (item - o * dims.columns);
        let scaled = dims.scale * total;
        if (dims.root != 0u) {
            out[at] = sqrt(scaled);
        } else {
            out[at] = scaled;
        }
    }
}

// Rows first, first + step, ... of one item up to `end`, in four sums of neighbouring quarters: a processor fetches several streams
// ahead sooner than one.
fn rows_of(item: u32, first: u32, step: u32, end: u32) -> Element {
    let o = item / dims.columns;
    let base = o * dims.rows * dims.columns + (item - o * dims.columns);
    var a = start(x[base]);
    var b = a;
    var c = a;
    var d = a;
    var row = first;
    let quarter = (max(end, first) - first) / (4u * step) * step;
    for (; row < first + quarter; row += step) {
        a = combine(a, term(x[base + row * dims.columns]));
        b = combine(b, term(x[base + (row + quarter) * dims.columns]));
        c = combine(c, term(x[base + (row + 2u * quarter) * dims.columns]));
        d = combine(d, term(x[base + (row + 3u * quarter) * dims.columns]));
    }
    for (row += 3u * quarter; row < end; row += step) {
        a = combine(a, term(x[base + row * dims.columns]));
    }
    return combine(combine(a, b), combine(c, d));
}
