// y[o, r, c] = sum of x[o, s, c] over s <= r; with `reverse` over s >= r, which is its gradient.
//
// Dispatch: ceil(items * width / 64) workgroups, items = outer * inner. `width` invocations (1 or 64) share an item: each adds up a
// stretch of it, then goes over it again from the sum of the stretches before. Overwrites `y`.

struct Dims { items: u32, inner: u32, n: u32, width: u32, reverse: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

var<workgroup> stretches: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let item = (group.y * groups.x + group.x) * (64u / dims.width) + lane / dims.width;
    let live = item < dims.items;
    let length = (dims.n + dims.width - 1u) / dims.width;
    let first = min(lane % dims.width * length, dims.n);
    let end = min(first + length, dims.n);
    // from one place to the next; backwards by wrapping around
    let pitch = select(dims.inner, 0u - dims.inner, dims.reverse != 0u);
    let start = select(0u, dims.n - 1u, dims.reverse != 0u) * dims.inner;
    let base = item / dims.inner * dims.n * dims.inner + item % dims.inner + start + first * pitch;
    var total = 0.0;
    if (dims.width > 1u) {
        var at = base;
        if (live) {
            for (var r = first; r < end; r++) {
                total += x[at];
                at += pitch;
            }
        }
        stretches[lane] = total;
        workgroupBarrier();
        total = 0.0;
        for (var other = 0u; other < lane; other++) {
            total += stretches[other];
        }
    }
    if (live) {
        var at = base;
        for (var r = first; r < end; r++) {
            total += x[at];
            y[at] = total;
            at += pitch;
        }
    }
}
