// The input of a convolution of 3 x 3 windows as Winograd's F(2 x 2, 3 x 3) multiplies it: V = B^T d B of every tile d.
//
//   x [batch, channels, in_h, in_w] to v [16, channels, tiles], tiles filled up to a multiple of 4. A tile is 4 x 4 elements; the first
//   begins at `origin`, the next two further on, and what is outside counts as zero and is never read.
//
//         | 1  0 -1  0 |
//   B^T = | 0  1  1  0 |
//         | 0 -1  1  0 |
//         | 0  1  0 -1 |
//
//   A NaN stays in its windows: an element enters only those of V that the outputs whose window has it are made of. Overwrites v.
//
// Dispatch: one invocation per channel and four neighbouring tiles, 64 a workgroup.

// @import "box.wgsl"

const ROW_SPAN: u32 = 4u;

// @import "row_span.wgsl"

struct Dims {
    channels: u32,
    in_h: u32,
    in_w: u32,
    // of an image, and of all
    tiles_h: u32,
    tiles_w: u32,
    tiles: u32,
    x_quads: u32,
    origin_h: i32,
    origin_w: i32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> v: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> dims: Dims;

fn quad_of(index: i32) -> vec4<f32> {
    return x[clamp(index, 0, i32(dims.x_quads) - 1)];
}

// B^T times a column.
fn mixed(d0: vec4<f32>, d1: vec4<f32>, d2: vec4<f32>, d3: vec4<f32>) -> array<vec4<f32>, 4> {
    return array<vec4<f32>, 4>(d0 - d2, d1 + d2, d2 - d1, d1 - d3);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = divisor((dims.tiles + 3u) / 4u);
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let channel = large_quotient(index, quads);
    if (channel >= dims.channels) {
        return;
    }
    let first = (index - channel * quads.by) * 4u;
    let image = box_of(vec3<u32>(1u, dims.tiles_h, dims.tiles_w));

    // of four tiles at a time
    var d: array<vec4<f32>, 16>;
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        let tile = place_of(min(first + i, dims.tiles - 1u), image);
        let top = i32(2u * tile.at.y) + dims.origin_h;
        let left = i32(2u * tile.at.z) + dims.origin_w;
        let start = i32((tile.outer * dims.channels + channel) * dims.in_h * dims.in_w) + left;
        // @unroll
        for (var r = 0u; r < 4u; r++) {
            let y = top + i32(r);
            let read = span_at(start + y * i32(dims.in_w));
            // @unroll
            for (var c = 0u; c < 4u; c++) {
                d[4u * r + c][i] = select(0.0, read[c], (u32(y) < dims.in_h) & (u32(left + i32(c)) < dims.in_w));
            }
        }
    }
    // @unroll
    for (var r = 0u; r < 4u; r++) {
        let row = mixed(d[4u * r], d[4u * r + 1u], d[4u * r + 2u], d[4u * r + 3u]);
        // @unroll
        for (var c = 0u; c < 4u; c++) {
            d[4u * r + c] = row[c];
        }
    }
    let matrix = dims.channels * quads.by;
    // @unroll
    for (var c = 0u; c < 4u; c++) {
        let column = mixed(d[c], d[4u + c], d[8u + c], d[12u + c]);
        // @unroll
        for (var r = 0u; r < 4u; r++) {
            v[(4u * r + c) * matrix + index] = column[r];
        }
    }
}
