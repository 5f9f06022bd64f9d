// One optimiser step over a chunk of parameters.
//
// g = gradient * factors[variable] + l2 * p;  p *= 1 - decay;  then by `rule`:
//   0 Adam:       m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  p -= rate m / (sqrt(v) spread + epsilon)
//   1 SGD, torch: m = momentum m + g;  p -= rate (nesterov ? g + momentum m : m)
//   2 SGD, Keras: m = momentum m - rate g;  p += nesterov ? momentum m - rate g : m
// `groups_of` holds two vec4 per parameter group: (rate, decay, l2, momentum), (beta1, beta2, spread, epsilon). The host folds the bias
// corrections into rate and spread, torch's way or Keras'. They depend on how many updates were applied: first comes the number of
// skipped ones that the host knew of, then all groups as if it were that, one more, and so on, `rows` times; status[3] says the number.
// `blocks`: (first quad, elements, variable, group) each. Nothing happens unless status[0] is 1. Dispatch: a workgroup of LANES per block. Updates parameters, first and second.

const LANES: u32 = 64u;

struct Dims { blocks: u32, rule: u32, nesterov: u32, groups: u32, rows: u32 }

@group(0) @binding(0) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>; // @stream
@group(0) @binding(2) var<storage, read_write> first: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> second: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> blocks: array<vec4<u32>>; // @buffer
@group(0) @binding(5) var<storage, read> groups_of: array<vec4<f32>>; // @buffer
@group(0) @binding(6) var<storage, read> factors: array<f32>; // @buffer
@group(0) @binding(7) var<storage, read> status: array<f32>; // @buffer
@group(0) @binding(8) var<uniform> dims: Dims;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = group.y * groups.x + group.x;
    if (index >= dims.blocks || status[0] != 1.0) {
        return;
    }
    let block = blocks[index];
    let row = min(u32(max(status[3] - groups_of[0].x, 0.0)), dims.rows - 1u);
    let a = groups_of[1u + 2u * (row * dims.groups + block.w)];
    let b = groups_of[2u + 2u * (row * dims.groups + block.w)];
    let factor = factors[block.z];
    for (var i = block.x + lane; i < block.x + (block.y + 3u) / 4u; i += LANES) {
        var p = parameters[i];
        let g = gradients[i] * factor + a.z * p;
        p *= 1.0 - a.y;
        if (dims.rule == 0u) {
            let m = b.x * first[i] + (1.0 - b.x) * g;
            let v = b.y * second[i] + (1.0 - b.y) * g * g;
            first[i] = m;
            second[i] = v;
            p -= a.x * m / (sqrt(v) * b.z + b.w);
        } else if (dims.rule == 1u) {
            let m = a.w * first[i] + g;
            first[i] = m;
            p -= a.x * select(m, g + a.w * m, dims.nesterov != 0u);
        } else {
            let m = a.w * first[i] - a.x * g;
            first[i] = m;
            p += select(m, a.w * m - a.x * g, dims.nesterov != 0u);
        }
        parameters[i] = p;
    }
}
