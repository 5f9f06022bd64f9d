// out[b] = epilogue(alpha * op(A[b]) op(B[b])): matrix product without tiles, which compiles in a fraction of their time. For small
// products on software adapters.
//
//   Operands and layouts are matmul.wgsl's under SCALAR, the epilogue is shared/matmul_epilogue.wgsl's. k is never split. Overwrites out.
//
// Dispatch: ceil(batch * m * ceil(n / 4) / THREADS) workgroups, folded into x and y; an invocation makes four neighbours of a row.

// @import "matmul_epilogue.wgsl"
// @import "matmul_quad.wgsl"

const VECTOR: u32 = 0u;
const SCALAR: u32 = 1u;
const SAVE_PRE: u32 = 0u;
const ACTIVATION: u32 = 0u; // of shared/activation.wgsl
const A_TRANSPOSED: u32 = 0u;
const B_TRANSPOSED: u32 = 0u;
const THREADS: u32 = 64u;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;
@group(0) @binding(6) var<uniform> step: Step;
// @if SAVE_PRE
@group(0) @binding(7) var<storage, read_write> pre: array<f32>;
// @end

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
    // elements from one step of k to the next, and from one column of B to the next
    let a_step = select(1u, dims.lda, A_TRANSPOSED != 0u);
    let b_step = select(dims.ldb, 1u, B_TRANSPOSED != 0u);
    let b_next = select(1u, dims.ldb, B_TRANSPOSED != 0u);
    var a_at = dims.a_offset + batch_start(quad.batch, dims.a_outer, dims.a_inner) + quad.row * select(dims.lda, 1u, A_TRANSPOSED != 0u);
    // beyond n the last column is read again; `finish` drops its products
    let columns = min(vec4<u32>(quad.column) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(dims.n - 1u));
    var b_at = vec4<u32>(dims.b_offset + batch_start(quad.batch, dims.b_outer, dims.b_inner)) + columns * b_next;
    var sum = vec4<f32>(0.0);
    for (var depth = 0u; depth < dims.k + group.z; depth += 4u) {
        var v: vec4<f32>;
        var b_rows: array<vec4<f32>, 4>;
        // @unroll
        for (var kk = 0u; kk < 4u; kk++) {
            if (depth + kk < dims.k) {
                v[kk] = a[a_at];
                b_rows[kk] = vec4<f32>(b[b_at.x], b[b_at.y], b[b_at.z], b[b_at.w]);
            }
            a_at += a_step;
            b_at += vec4<u32>(b_step);
        }
        // The very expression of matmul_subgroup.wgsl: which of the two is taken may depend on how far a sequence is padded, and must change
        // no bit. Mesa moves sums around an fma, of this one it makes ((p2 + p3) + p1) + p0; spelled otherwise it comes out otherwise.
        let pair = fma(vec4<f32>(v.y), b_rows[1], v.x * b_rows[0]);
        let next = fma(vec4<f32>(v.w), b_rows[3], v.z * b_rows[2]);
        sum += pair + next;
    }
    finish(group.z, quad.batch, 0u, batch_start(quad.batch, dims.out_outer, dims.out_inner), quad.row, quad.column, sum);
}
