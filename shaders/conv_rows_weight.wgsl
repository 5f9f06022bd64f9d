// The gradient of the weight of conv_rows.wgsl's convolutions.
//
//   Operands are conv.wgsl's (TO_WEIGHT), with B_QUADS, and A_VECTOR where rows of windows are multiples of 4. Overwrites out.
//
// Dispatch: a team (team.wgsl, TEAMS is 1) per channel; a lane has four neighbouring windows of a row of every LANES-th image, slice and
// four, and goes down through the rows, of which it reads each once.

// @import "conv_strip.wgsl"
// @import "team.wgsl"

// Elements under four neighbouring windows.
const ROW_SPAN: u32 = 3u * STRIDE_W + KERNEL_W;

// @import "row_span.wgsl"

// @if A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
// @end
// @if !A_VECTOR
@group(0) @binding(0) var<storage, read> a: array<f32>;
// @end

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = id.x + id.y * ids.x;
    if (group >= dims.groups) {
        return;
    }
    let quads = divisor((dims.out_w + 3u) / 4u);
    let depth = divisor(dims.in_d);
    var sums: array<f32, TAPS>;
    for (var item = lane; item < dims.batch * dims.in_d * quads.by; item += LANES) {
        let image_slice = large_quotient(item, quads);
        let column = (item - image_slice * quads.by) * 4u;
        let image = large_quotient(image_slice, depth);
        let slice = (image * dims.groups + group) * dims.in_d + image_slice - image * dims.in_d;
        let windows = slice * dims.out_h * dims.out_w + column;
        let first = i32(column * STRIDE_W) - i32(dims.before_w);
        let start = i32(slice * dims.in_h * dims.in_w) + first;
        let there = vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(dims.out_w);

        // the gradients of windows n, n - 1, ..: row n * STRIDE_H + i is under tap i + w * STRIDE_H of window n - w
        var open: array<vec4<f32>, OPEN>;
        for (var n = 0u; n < dims.out_h + OPEN - 1u; n++) {
            // @unroll
            for (var w = 1u; w < OPEN; w++) {
                open[OPEN - w] = open[OPEN - w - 1u];
            }
            let at = windows + min(n, dims.out_h - 1u) * dims.out_w;
            // @if A_VECTOR
            open[0] = a[at >> 2u];
            // @end
            // @if !A_VECTOR
            let end = at - column + dims.out_w - 1u;
            open[0] = vec4<f32>(a[at], a[min(at + 1u, end)], a[min(at + 2u, end)], a[min(at + 3u, end)]);
            // @end
            // @unroll
            for (var i = 0u; i < STRIDE_H; i++) {
                let row = i32(n * STRIDE_H + i) - i32(dims.before_h);
                var read = span_at(start + row * i32(dims.in_w));
                let here = u32(row) < dims.in_h;
                // @unroll
                for (var e = 0u; e < ROW_SPAN; e++) {
                    read[e] = select(0.0, read[e], here & (u32(first + i32(e)) < dims.in_w));
                }
                // @unroll
                for (var tap = i; tap < KERNEL_H; tap++) {
                    let back = (tap - i) / STRIDE_H;
                    let of_window = n - back < dims.out_h;
                    // @unroll
                    for (var kx = 0u; kx < KERNEL_W; kx++) {
                        if ((tap - i) % STRIDE_H == 0u) {
                            let values = vec4<f32>(
                                read[kx],
                                read[kx + STRIDE_W],
                                read[kx + 2u * STRIDE_W],
                                read[kx + 3u * STRIDE_W],
                            );
                            let product = select(vec4<f32>(0.0), values * open[(tap - i) / STRIDE_H], there);
                            let sum = product.x + product.y + product.z + product.w;
                            sums[tap * KERNEL_W + kx] += select(0.0, sum, of_window);
                        }
                    }
                }
            }
        }
    }
    // @unroll
    for (var t = 0u; t < TAPS; t++) {
        let sum = team_sum(vec2<f32>(sums[t], 0.0), lane).x;
        if (lane == 0u) {
            out[group * TAPS + t] = sum;
        }
    }
}
