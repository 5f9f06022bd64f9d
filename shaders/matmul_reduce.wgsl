// out[b] = epilogue(alpha * sum over s of partials[s, b]): the second half of a matmul whose k was split, in a fixed order.
//
//   partials [splits, batch, m, n], dense, split_stride elements from piece to piece; out [batch, m, n] with its own strides; the
//   epilogue is shared/matmul_epilogue.wgsl's. Overwrites out. VECTOR: offsets, strides and n are multiples of 4. SCALAR: anything.
//
// Dispatch: ceil(batch * m * ceil(n / 4) / THREADS) workgroups, folded into x and y; an invocation makes four neighbours of a row.

// @import "matmul_epilogue.wgsl"
// @import "matmul_quad.wgsl"

const VECTOR: u32 = 1u;
const SCALAR: u32 = 0u;
const SAVE_PRE: u32 = 0u;
const ACTIVATION: u32 = 0u; // of shared/activation.wgsl
const THREADS: u32 = 64u;

// @if VECTOR
@group(0) @binding(0) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if SCALAR
@group(0) @binding(0) var<storage, read> partials: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read> residual: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
// @end
@group(0) @binding(4) var<uniform> dims: Dims;
@group(0) @binding(5) var<uniform> step: Step;
// @if SAVE_PRE
// @if VECTOR
@group(0) @binding(6) var<storage, read_write> pre: array<vec4<f32>>;
// @end
// @if SCALAR
@group(0) @binding(6) var<storage, read_write> pre: array<f32>;
// @end
// @end

fn load(at: u32, existing: u32) -> vec4<f32> {
    // @if VECTOR
    return partials[at >> 2u];
    // @end
    // @if SCALAR
    var value = vec4<f32>(0.0);
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        if (i < existing) {
            value[i] = partials[at + i];
        }
    }
    return value;
    // @end
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let quad = find_quad((group.x + group.y * groups.x) * THREADS + thread);
    if (quad.batch >= dims.batch) {
        return;
    }
    let at = (quad.batch * dims.m + quad.row) * dims.n + quad.column;
    var sum = vec4<f32>(0.0);
    for (var s = 0u; s < dims.splits + group.z; s++) {
        sum += load(s * dims.split_stride + at, min(4u, dims.n - quad.column));
    }
    finish(group.z, quad.batch, 0u, batch_start(quad.batch, dims.out_outer, dims.out_inner), quad.row, quad.column, sum);
}
