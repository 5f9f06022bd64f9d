// Convolution whose groups have one channel and one filter (depthwise), for CPU adapters.
//
//   Operands and the finish are conv.wgsl's, with SPAN, B_QUADS and without A_VECTOR. No dilation, and nothing along the depth. Overwrites out.
//
// Dispatch: one invocation per image, channel, slice of the depth and FOURS times four neighbouring elements of a row, 64 a workgroup. It goes
// down through the rows, of which it reads each once, with its channel's weights in registers.

// @import "conv_strip.wgsl"

// Each element of B is read once, or twice by neighbours.
const ONCE: u32 = 1u;
// Elements under the neighbouring windows.
const ROW_SPAN: u32 = (4u * FOURS - 1u) * STRIDE_W + KERNEL_W;

// @import "row_span.wgsl"

@group(0) @binding(0) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let strip = strip_of((id.x + id.y * ids.x) * 64u + lane, dims.out_w);
    if (!strip.exists) {
        return;
    }
    let slice = strip.slice;
    let column = strip.column;
    var view: View;
    view.group = strip.channel;
    var weights: array<f32, TAPS>;
    // @unroll
    for (var t = 0u; t < TAPS; t++) {
        weights[t] = a[view.group * TAPS + t];
    }
    let first = i32(column * STRIDE_W) - i32(dims.before_w);
    let start = i32(slice * dims.in_h * dims.in_w) + first;

    // fours of windows n, of windows n - 1, ..: row n * STRIDE_H + i is under tap i + w * STRIDE_H of window n - w
    var open: array<vec4<f32>, OPEN * FOURS>;
    for (var n = 0u; n < dims.out_h + OPEN - 1u; n++) {
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
                if ((tap - i) % STRIDE_H == 0u) {
                    // @unroll
                    for (var four = 0u; four < FOURS; four++) {
                        let place = (tap - i) / STRIDE_H * FOURS + four;
                        // @unroll
                        for (var kx = 0u; kx < KERNEL_W; kx++) {
                            let values = vec4<f32>(
                                read[4u * four * STRIDE_W + kx],
                                read[(4u * four + 1u) * STRIDE_W + kx],
                                read[(4u * four + 2u) * STRIDE_W + kx],
                                read[(4u * four + 3u) * STRIDE_W + kx],
                            );
                            open[place] = fma(vec4<f32>(weights[tap * KERNEL_W + kx]), values, open[place]);
                        }
                    }
                }
            }
        }
        if (n + 1u >= OPEN) {
            let row_start = (slice * dims.out_h + n + 1u - OPEN) * dims.out_w;
            // @unroll
            for (var four = 0u; four < FOURS; four++) {
                let x = min(column + 4u * four, dims.out_w);
                let places = Places(vec4<u32>(row_start + x) + vec4<u32>(0u, 1u, 2u, 3u), min(4u, dims.out_w - x));
                finish(view, 0u, places, open[(OPEN - 1u) * FOURS + four]);
            }
        }
        // @unroll
        for (var s = FOURS; s < OPEN * FOURS; s++) {
            open[OPEN * FOURS + FOURS - 1u - s] = open[OPEN * FOURS - 1u - s];
        }
        // @unroll
        for (var four = 0u; four < FOURS; four++) {
            open[four] = vec4<f32>(0.0);
        }
    }
}
