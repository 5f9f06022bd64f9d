// out[batch, :] = scale * sum over t of weight[batch, t] * x[batch, t, :], steps where mask[batch, t] is 0 left out: what is there is
// not looked at. With MEAN the weights are 1 and scale[batch] = 1 / (number of valid steps), 0 where there is none, is kept; else
// scale is 1. x: [batch, seq, dim]; weight, mask: [batch, seq]; out: [batch, dim].
//
// Dispatch: a workgroup per 256 / SLICES parts of `out`; SLICES invocations share the steps of a part and add up in a tree, in a
// fixed order that a longer seq does not change. Overwrites its outputs.

// @import "part.wgsl"

const SLICES: u32 = 8u;
const WIDTH: u32 = 256u / SLICES;
const MEAN: u32 = 1u;
const MASK: u32 = 1u;

struct Dims { len: u32, parts: u32, seq: u32 }

@group(0) @binding(0) var<storage, read> x: array<Part>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<Part>;
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;

var<workgroup> sums: array<Part, 256>;
var<workgroup> counts: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let place = (group.y * groups.x + group.x) * WIDTH + lane % WIDTH;
    let slice = lane / WIDTH;
    let sample = place / dims.parts;
    var sum = Part(0.0);
    var count = 0u;
    if (place < dims.len) {
        for (var t = slice; t < dims.seq; t += SLICES) {
            let step = sample * dims.seq + t;
            // @if MASK
            if (mask[step] == 0u) {
                continue;
            }
            // @end
            count += 1u;
            let value = x[step * dims.parts + place % dims.parts];
            // @if MEAN
            sum += value;
            // @end
            // @if !MEAN
            sum += weight[step] * value;
            // @end
        }
    }
    sums[lane] = sum;
    counts[lane] = count;
    workgroupBarrier();
    for (var reach = SLICES / 2u; reach > 0u; reach /= 2u) {
        if (slice < reach) {
            sums[lane] += sums[lane + reach * WIDTH];
            counts[lane] += counts[lane + reach * WIDTH];
        }
        workgroupBarrier();
    }
    if (slice == 0u && place < dims.len) {
        // @if MEAN
        let inverse = select(1.0 / f32(counts[lane]), 0.0, counts[lane] == 0u);
        out[place] = sums[lane] * inverse;
        if (place % dims.parts == 0u) {
            scale[sample] = inverse;
        }
        // @end
        // @if !MEAN
        out[place] = sums[lane];
        // @end
    }
}
