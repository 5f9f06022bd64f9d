// mean[0] = sum(values) / sum(weights) and inverse[0] = 1 / sum(weights); both 0 where the weights sum to 0. The values are already
// weighted.
//
// Dispatch: one workgroup. Sums in a fixed order that further zeros do not change. Overwrites its outputs.

struct Dims { len: u32 }

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> inverse: array<f32>;
@group(0) @binding(4) var<uniform> dims: Dims;

var<workgroup> parts: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>(0.0);
    for (var i = lane; i < dims.len; i += 256u) {
        sum += vec2<f32>(values[i], weights[i]);
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var reach = 128u; reach > 0u; reach /= 2u) {
        if (lane < reach) {
            parts[lane] += parts[lane + reach];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        let scale = select(1.0 / parts[0].y, 0.0, parts[0].y == 0.0);
        mean[0] = parts[0].x * scale;
        inverse[0] = scale;
    }
}
