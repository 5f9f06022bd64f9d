// The output of a convolution of 3 x 3 windows from the products of Winograd's F(2 x 2, 3 x 3): Y = A^T M A of every tile, 2 x 2 elements.
//
//   m [16, rows, tiles], tiles filled up to a multiple of 4, to out [batch, rows, out_h, out_w]; what happens to a finished element is
//   shared/conv_finish.wgsl's. Overwrites out.
//
//   A^T = | 1  1  1  0 |
//         | 0  1 -1 -1 |
//
// Dispatch: one invocation per row and four neighbouring tiles, 64 a workgroup.

// @import "box.wgsl"
// @import "conv_finish.wgsl"

const OPERANDS: u32 = 1u;

struct Dims {
    rows: u32,
    out_h: u32,
    out_w: u32,
    // their product
    out_pitch: u32,
    // of an image, and of all
    tiles_h: u32,
    tiles_w: u32,
    tiles: u32,
    // 0
    split_stride: u32,
    // @if NORM
    // added to the variance
    epsilon: f32,
    // @end
}

// One group, whose products are whole.
struct View { group: u32, split: u32 }

@group(0) @binding(0) var<storage, read> m: array<vec4<f32>>;

// A^T times a column.
fn gathered(m0: vec4<f32>, m1: vec4<f32>, m2: vec4<f32>, m3: vec4<f32>) -> array<vec4<f32>, 2> {
    return array<vec4<f32>, 2>(m0 + m1 + m2, m1 - m2 - m3);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) ids: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = divisor((dims.tiles + 3u) / 4u);
    let index = (id.x + id.y * ids.x) * 64u + lane;
    let row = large_quotient(index, quads);
    if (row >= dims.rows) {
        return;
    }
    let first = (index - row * quads.by) * 4u;
    let image = box_of(vec3<u32>(1u, dims.tiles_h, dims.tiles_w));

    // of four tiles at a time
    var upper: array<vec4<f32>, 4>;
    var lower: array<vec4<f32>, 4>;
    let matrix = dims.rows * quads.by;
    // @unroll
    for (var c = 0u; c < 4u; c++) {
        let at = c * matrix + index;
        let column = gathered(m[at], m[at + 4u * matrix], m[at + 8u * matrix], m[at + 12u * matrix]);
        upper[c] = column[0];
        lower[c] = column[1];
    }
    var y0 = gathered(upper[0], upper[1], upper[2], upper[3]);
    var y1 = gathered(lower[0], lower[1], lower[2], lower[3]);

    // each moves to the front in turn, so that the epilogue's code exists once
    for (var i = 0u; i < 4u; i++) {
        let tile = place_of(first + i, image);
        let y = 2u * tile.at.y;
        let x = 2u * tile.at.z;
        let at = tile.outer * dims.rows * dims.out_pitch + y * dims.out_w + x;
        var places = vec4<u32>(at, at + 1u, at + dims.out_w, at + dims.out_w + 1u);
        var values = vec4<f32>(y0[0].x, y0[1].x, y1[0].x, y1[1].x);
        // the last tile of a row or of a column may stick out: what is there comes first
        let whole_row = x + 1u < dims.out_w;
        let whole_column = y + 1u < dims.out_h;
        places = select(places.xzyw, places, whole_row);
        values = select(values.xzyw, values, whole_row);
        let count = select(1u, 2u, whole_row) * select(1u, 2u, whole_column);
        finish(View(0u, 0u), row, Places(places, select(0u, count, first + i < dims.tiles)), values);
        // @unroll
        for (var c = 0u; c < 2u; c++) {
            y0[c] = y0[c].yzwx;
            y1[c] = y1[c].yzwx;
        }
    }
}
