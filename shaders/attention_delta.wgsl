// What both attention backward kernels need of a query: stats = (lse, delta), delta = sum(dout * out) over the head.
//
// dout and out [batch, query_len, heads * VALUE_DIM] with their own strides; lse and stats [batch, heads, query_len].
// Overwrites stats. A query without a valid key keeps lse = 3e38 and gets delta = 0, whatever its dout holds.
// Dispatch: ceil(batch * heads * query_len / 64) workgroups, folded over x and y. Workgroup: 64, a thread per query and head.

const VALUE_DIM: u32 = 64u;
const VECTOR: u32 = 1u;

// @import "attention_dims.wgsl"
@group(0) @binding(0) var<uniform> dims: Dims;
// @if VECTOR
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;
// @end
// @if !VECTOR
@group(0) @binding(1) var<storage, read> dout: array<f32>;
@group(0) @binding(2) var<storage, read> out: array<f32>;
// @end
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let position = (group.x + group.y * groups.x) * 64u + thread;
    if (position >= dims.batch * dims.heads * dims.query_len) { return; }
    let both = position / dims.query_len;
    let query = position - both * dims.query_len;
    let sample = both / dims.heads;
    let head = both - sample * dims.heads;
    let dout_at = dims.dout_offset + sample * dims.dout_batch_stride + query * dims.dout_row_stride + head * VALUE_DIM;
    let out_at = dims.out_offset + sample * dims.out_batch_stride + query * dims.out_row_stride + head * VALUE_DIM;
    var sum = vec4<f32>(0.0);
    // @if VECTOR
    for (var chunk = 0u; chunk < VALUE_DIM / 4u; chunk++) {
        sum += dout[(dout_at >> 2u) + chunk] * out[(out_at >> 2u) + chunk];
    }
    // @end
    // @if !VECTOR
    for (var column = 0u; column < VALUE_DIM; column++) {
        sum.x += dout[dout_at + column] * out[out_at + column];
    }
    // @end
    let value = lse[position];
    stats[position] = vec2<f32>(value, select(0.0, sum.x + sum.y + sum.z + sum.w, value < LIVE_LSE));
}
