// The weight of a convolution of 3 x 3 windows as Winograd's F(2 x 2, 3 x 3) multiplies it: U = G g G^T of every window g.
//
//   a as conv_view.wgsl has it, weight [filters, (channel, tap)] or, TO_INPUT, its transpose [channels, (tap, filter)], whose taps count
//   backwards, to u [16, rows, k]: k is channels, or filters, a multiple of 4. Overwrites u.
//
//           | 2  0  0 |
//   2 G  =  | 1  1  1 |
//           | 1 -1  1 |
//           | 0  0  2 |
//
// Dispatch: one invocation per row and four neighbours along k, 64 a workgroup.

// @import "box.wgsl"

const TO_INPUT: u32 = 0u;

struct Dims {
    rows: u32,
    k_quads: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

// G times a column.
fn spread(g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>) -> array<vec4<f32>, 4> {
    let outer = 0.5 * (g0 + g2);
    let middle = 0.5 * g1;
    return array<vec4<f32>, 4>(g0, outer + middle, outer - middle, g2);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let matrix = dims.rows * dims.k_quads;
    if (index >= matrix) {
        return;
    }

    // of four windows at a time
    var g: array<vec4<f32>, 9>;
    // @if !TO_INPUT
    // @unroll
    for (var q = 0u; q < 9u; q++) {
        let quad = a[index * 9u + q];
        // @unroll
        for (var e = 0u; e < 4u; e++) {
            g[(4u * q + e) % 9u][(4u * q + e) / 9u] = quad[e];
        }
    }
    // @end
    // @if TO_INPUT
    let row = quotient(index, divisor(dims.k_quads));
    // @unroll
    for (var tap = 0u; tap < 9u; tap++) {
        g[8u - tap] = a[index + (8u * row + tap) * dims.k_quads];
    }
    // @end
    var h: array<vec4<f32>, 12>;
    // @unroll
    for (var c = 0u; c < 3u; c++) {
        let column = spread(g[c], g[3u + c], g[6u + c]);
        // @unroll
        for (var r = 0u; r < 4u; r++) {
            h[3u * r + c] = column[r];
        }
    }
    // @unroll
    for (var r = 0u; r < 4u; r++) {
        let spread_row = spread(h[3u * r], h[3u * r + 1u], h[3u * r + 2u]);
        // @unroll
        for (var c = 0u; c < 4u; c++) {
            u[(4u * r + c) * matrix + index] = spread_row[c];
        }
    }
}
