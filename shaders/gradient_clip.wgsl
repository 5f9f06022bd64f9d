// How much of each variable's gradient the update takes: status and factors from the blocks' sums of squares.
//
// partials [blocks]; variables: (first block, blocks) each, all chunks in order; squares [variables] is scratch; status = (1 if the
// update is to be applied, the global norm, updates since the scale changed, updates skipped); factors [variables] = gradient_scale times the clipping factor. Clipping: 0 none, 1 by
// global norm as torch (max / (norm + 1e-6)), 2 by global norm as Keras, 3 by each variable's norm as Keras' `clipnorm`.
// A norm or a loss that is not finite turns the update off, and it stays off: the parameters keep the values before the fault.
// SCALED: the gradients are loss_scale[0] times what they should be, which the factors take back. A norm that is not finite then says
// that the scale is too large: status[0] is -1, this update alone is skipped, and the scale is halved, down to 1; after GROWTH updates
// in a row it is doubled, up to MOST.
// Dispatch: one workgroup of 256. Overwrites squares and factors, updates status.

struct Dims { variables: u32, clipping: u32, limit: f32, gradient_scale: f32 }

@group(0) @binding(0) var<storage, read> partials: array<f32>; // @buffer
@group(0) @binding(1) var<storage, read> variables: array<vec2<u32>>; // @buffer
@group(0) @binding(2) var<storage, read_write> squares: array<f32>;
@group(0) @binding(3) var<storage, read_write> status: array<f32>;
@group(0) @binding(4) var<storage, read_write> factors: array<f32>;
@group(0) @binding(5) var<storage, read> loss: array<f32>; // @buffer
@group(0) @binding(6) var<uniform> dims: Dims;
// @if SCALED
@group(0) @binding(7) var<storage, read_write> loss_scale: array<f32>;
// @end

const SCALED: u32 = 1u;
const GROWTH: f32 = 2000.0;
const MOST: f32 = 16777216.0;

var<workgroup> sums: array<f32, 256>;

// Bits, not comparisons: compilers may assume that no NaN occurs.
fn finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// Takes note of the gradients, whose squares are `square` in all and scaled by the square of `scale`.
fn judge(square: f32, scale: f32) {
    let sound = finite(square);
    status[1] = sqrt(square) / scale;
    // @if !SCALED
    status[0] = select(0.0, status[0], sound && finite(loss[0]));
    // @end
    // @if SCALED
    if (status[0] == 0.0 || !finite(loss[0]) || (!sound && scale <= 1.0)) {
        status[0] = 0.0;
    } else if (sound) {
        status[0] = 1.0;
        let grows = status[2] + 1.0 >= GROWTH;
        status[2] = select(status[2] + 1.0, 0.0, grows);
        loss_scale[0] = select(scale, min(2.0 * scale, MOST), grows);
    } else {
        status[0] = -1.0;
        status[2] = 0.0;
        status[3] += 1.0;
        loss_scale[0] = max(0.5 * scale, 1.0);
    }
    // @end
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
    var scale = 1.0;
    // @if SCALED
    scale = loss_scale[0];
    // @end
    var total = 0.0;
    for (var v = lane; v < dims.variables; v += 256u) {
        let range = variables[v];
        var sum = 0.0;
        for (var block = range.x; block < range.x + range.y; block++) {
            sum += partials[block];
        }
        squares[v] = sum;
        total += sum;
    }
    sums[lane] = total;
    for (var width = 128u; width > 0u; width /= 2u) {
        workgroupBarrier();
        if (lane < width) {
            sums[lane] += sums[lane + width];
        }
    }
    workgroupBarrier();
    storageBarrier();
    let norm = sqrt(sums[0]) / scale;
    if (lane == 0u) {
        judge(sums[0], scale);
    }
    var global_factor = 1.0;
    if (dims.clipping == 1u) {
        global_factor = min(1.0, dims.limit / (norm + 1e-6));
    } else if (dims.clipping == 2u) {
        global_factor = dims.limit / max(norm, dims.limit);
    }
    for (var v = lane; v < dims.variables; v += 256u) {
        var factor = global_factor;
        if (dims.clipping == 3u) {
            factor = dims.limit / max(sqrt(squares[v]) / scale, dims.limit);
        }
        factors[v] = factor * dims.gradient_scale / scale;
    }
}
