// softmax.wgsl over an axis that is not the last: x, y, mask: [outer, size, inner], over the middle axis.
//
// Dispatch: one invocation per (outer, inner); neighbours read neighbours. Overwrites `y`.

const LOG: u32 = 0u;
const MASK: u32 = 1u;
const LOWEST: f32 = -3.4028234663852886e38;

struct Dims { columns: u32, size: u32, inner: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column = (group.y * groups.x + group.x) * 64u + lane;
    if (column >= dims.columns) {
        return;
    }
    let base = column / dims.inner * dims.size * dims.inner + column % dims.inner;
    var most = LOWEST;
    for (var k = 0u; k < dims.size; k++) {
        let i = base + k * dims.inner;
        if (counts(i)) {
            most = max(most, x[i]);
        }
    }
    var sum = 0.0;
    for (var k = 0u; k < dims.size; k++) {
        let i = base + k * dims.inner;
        if (counts(i)) {
            sum += exp(x[i] - most);
        }
    }
    let divisor = select(sum, 1.0, sum == 0.0);
    let scale = 1.0 / divisor;
    let log_sum = log(divisor);
    for (var k = 0u; k < dims.size; k++) {
        let i = base + k * dims.inner;
        // @if LOG
        y[i] = select(0.0, (x[i] - most) - log_sum, counts(i));
        // @end
        // @if !LOG
        y[i] = select(0.0, exp(x[i] - most) * scale, counts(i));
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
