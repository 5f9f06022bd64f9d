// The gradient of the input of conv_rows.wgsl's convolutions.
//
//   Operands are conv.wgsl's (TO_INPUT), with SPAN, B_QUADS and without A_VECTOR. STRIDE_W is 1 or 2. Overwrites out.
//
// Dispatch: one invocation per image, channel, slice of the depth and four neighbouring elements of a row, 64 a workgroup. It goes down
// through the rows of windows, of which it reads each once, with its channel's weights in registers.

// @import "conv_strip.wgsl"

// The zeros before a row, beyond a multiple of the stride.
const PHASE: u32 = 0u;

// Four neighbours begin PHASE after the start of a window; those over them are LEAD before it and up to ROW_SPAN in all.
const LEAD: u32 = (KERNEL_W + STRIDE_W - 2u - PHASE) / STRIDE_W;
const ROW_SPAN: u32 = (PHASE + 3u) / STRIDE_W + LEAD + 1u;

// @import "row_span.wgsl"

@group(0) @binding(0) var<storage, read> a: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let strip = strip_of((id.x + id.y * ids.x) * 64u + lane, dims.in_w);
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
    let first = i32((column + dims.before_w) / STRIDE_W) - i32(LEAD);
    let start = i32(slice * dims.out_h * dims.out_w) + first;

    // of rows of windows n, n - 1, ..: row n * STRIDE_H + i of the padded image lies under tap i + w * STRIDE_H of row n - w
    var open: array<array<f32, ROW_SPAN>, OPEN>;
    let end = (dims.in_h + dims.before_h + STRIDE_H - 1u) / STRIDE_H;
    for (var n = 0u; n < end; n++) {
        // @unroll
        for (var w = 1u; w < OPEN; w++) {
            open[OPEN - w] = open[OPEN - w - 1u];
        }
        let read = span_at(start + i32(n * dims.out_w));
        // @unroll
        for (var e = 0u; e < ROW_SPAN; e++) {
            open[0][e] = select(0.0, read[e], (n < dims.out_h) & (u32(first + i32(e)) < dims.out_w));
        }
        // @unroll
        for (var i = 0u; i < STRIDE_H; i++) {
            var sum = vec4<f32>(0.0);
            // @unroll
            for (var tap = i; tap < KERNEL_H; tap++) {
                // @unroll
                for (var kx = 0u; kx < KERNEL_W; kx++) {
                    // @unroll
                    for (var j = 0u; j < 4u; j++) {
                        if ((tap - i) % STRIDE_H == 0u && (PHASE + j + LEAD * STRIDE_W - kx) % STRIDE_W == 0u) {
                            sum[j] = fma(
                                weights[tap * KERNEL_W + kx],
                                open[(tap - i) / STRIDE_H][(PHASE + j + LEAD * STRIDE_W - kx) / STRIDE_W],
                                sum[j],
                            );
                        }
                    }
                }
            }
            let row = n * STRIDE_H + i - dims.before_h;
            if (row < dims.in_h) {
                let at = (slice * dims.in_h + row) * dims.in_w + column;
                finish(view, 0u, Places(vec4<u32>(at) + vec4<u32>(0u, 1u, 2u, 3u), min(4u, dims.in_w - column)), sum);
            }
        }
    }
}
