// packed[b, r, c] = x[b, r, c], 0 beyond x's rows and columns: an operand of matmul_cooperative.wgsl, whose sizes are its tiles'.
//
//   x [batch, rows, columns], packed [batch, padded_rows, padded_columns], padded_columns a multiple of 4. The plan has `packed` hold
//   halves, and x where it does already. VECTOR: columns is a multiple of 4. SCALAR: anything.
//
// Dispatch: one invocation per four elements of `packed`, folded into x and y. Overwrites `packed`.

const VECTOR: u32 = 1u;
const SCALAR: u32 = 0u;

struct Dims { quads: u32, rows: u32, columns: u32, padded_rows: u32, padded_columns: u32 }

// @if VECTOR
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
// @end
// @if SCALAR
@group(0) @binding(0) var<storage, read> x: array<f32>;
// @end
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.quads) {
        return;
    }
    let column = i * 4u % dims.padded_columns;
    let row = i * 4u / dims.padded_columns;
    let r = row % dims.padded_rows;
    let at = (row / dims.padded_rows * dims.rows + r) * dims.columns + column;
    var value = vec4<f32>(0.0);
    if (r < dims.rows && column < dims.columns) {
        // @if VECTOR
        value = x[at >> 2u];
        // @end
        // @if SCALAR
        value.x = x[at];
        if (column + 1u < dims.columns) { value.y = x[at + 1u]; }
        if (column + 2u < dims.columns) { value.z = x[at + 2u]; }
        if (column + 3u < dims.columns) { value.w = x[at + 3u]; }
        // @end
    }
    packed[i] = value;
}
