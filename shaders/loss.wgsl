// The mean of f(prediction, target) over the elements whose row is valid (mask is not 0), 0 where none is; f by `function`, the numbers
// of `PairFunction` in ops/loss/regression.rs. mask: one number per `row_len` elements.
// With FINAL the one workgroup writes mean[0] and inverse[0] = 1 / (number of valid elements); else each writes its sum and its number
// for weighted_mean.wgsl.
//
// Dispatch: a workgroup of 256 per BLOCK elements, however many there are, so that the order of summation is fixed. Overwrites.

// @import "pair_function.wgsl"

const BLOCK: u32 = 4096u;
const FINAL: u32 = 1u;
const MASK: u32 = 1u;

struct Dims { len: u32, row_len: u32, function: u32, delta: f32 }

@group(0) @binding(0) var<storage, read> prediction: array<f32>;
@group(0) @binding(1) var<storage, read> expected: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<u32>;
// with FINAL: mean and inverse
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;

var<workgroup> parts: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = group.y * groups.x + group.x;
    var sum = vec2<f32>(0.0);
    for (var k = lane; k < BLOCK; k += 256u) {
        let i = block * BLOCK + k;
        if (i < dims.len && counting(i)) {
            sum += vec2<f32>(pair_loss(dims.function, prediction[i], expected[i], dims.delta), 1.0);
        }
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if (lane < reach) {
            parts[lane] += parts[lane + reach];
        }
        workgroupBarrier();
    }
    if (lane == 0u && block * BLOCK < dims.len) {
        // @if FINAL
        let inverse = select(1.0 / parts[0].y, 0.0, parts[0].y == 0.0);
        sums[0] = parts[0].x * inverse;
        counts[0] = inverse;
        // @end
        // @if !FINAL
        sums[block] = parts[0].x;
        counts[block] = parts[0].y;
        // @end
    }
}

fn counting(i: u32) -> bool {
    // @if MASK
    return mask[i / dims.row_len] != 0u;
    // @end
    // @if !MASK
    return true;
    // @end
}
