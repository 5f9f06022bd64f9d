// softmax_backward.wgsl over an axis that is not the last: y, dy, dx, mask: [outer, size, inner], over the middle axis.
//
// Dispatch: one invocation per (outer, inner). Overwrites `dx`.

const LOG: u32 = 0u;
const MASK: u32 = 1u;

struct Dims { columns: u32, size: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<u32>;
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = (group.y * groups.x + group.x) * 64u + lane;
    if (column >= dims.columns) {
        return;
    }
    let base = column / dims.inner * dims.size * dims.inner + column % dims.inner;
    var sum = 0.0;
    for (var k = 0u; k < dims.size; k++) {
        let i = base + k * dims.inner;
        if (counts(i)) {
            // @if LOG
            sum += dy[i];
            // @end
            // @if !LOG
            sum += dy[i] * y[i];
            // @end
        }
    }
    for (var k = 0u; k < dims.size; k++) {
        let i = base + k * dims.inner;
        // @if LOG
        dx[i] = select(0.0, dy[i] - exp(y[i]) * sum, counts(i));
        // @end
        // @if !LOG
        dx[i] = select(0.0, y[i] * (dy[i] - sum), counts(i));
        // @end
    }
}

fn counts(i: u32) -> bool {
    // @if MASK
    return mask[i] != 0u;
    // @end
    // @if !MASK
    return true;
    // @end
}
