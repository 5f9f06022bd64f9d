// Places of heads in a tensor [batch, rows, heads * width], for the kernels that copy a slice of all samples' heads to matrices
// [padded_rows, width], one after the other, or back from products of these. Four neighbouring elements at a time; counts are in
// elements.

// @import "attention_limits.wgsl"

struct Dims {
    // The slice's first matrix among all samples' heads, and the fours of elements of its matrices.
    first: u32,
    quads: u32,
    heads: u32,
    rows: u32,
    padded_rows: u32,
    width: u32,
    offset: u32,
    row_stride: u32,
    batch_stride: u32,
    // What hides rows: HIDDEN_BY_MASK, HIDDEN_BY_LSE or, if 0, nothing.
    hidden_by: u32,
    // attention_unpack.wgsl only: pieces of the sums, and what these are multiplied by.
    splits: u32,
    factor: f32,
}

const HIDDEN_BY_MASK: u32 = 1u;
const HIDDEN_BY_LSE: u32 = 2u;

@group(0) @binding(0) var<uniform> dims: Dims;
// u32 [batch, rows], 0 = hidden
@group(0) @binding(1) var<storage, read> mask: array<u32>;
// [batch, heads, rows] of the forward pass: a query without a valid key, or itself invalid, is hidden
@group(0) @binding(2) var<storage, read> lse: array<f32>;

// Where four elements of the slice lie in the tensor, if they do.
struct Quad {
    at: u32,
    exists: bool,
    hidden: bool,
}

fn find_quad(i: u32) -> Quad {
    let quads = dims.width / 4u;
    let row = i / quads % dims.padded_rows;
    let matrix = dims.first + i / quads / dims.padded_rows;
    let sample = matrix / dims.heads;
    let column = (matrix - sample * dims.heads) * dims.width + i % quads * 4u;
    let at = dims.offset + sample * dims.batch_stride + row * dims.row_stride + column;
    let exists = i < dims.quads && row < dims.rows;
    var hidden = false;
    if (exists && dims.hidden_by == HIDDEN_BY_MASK) { hidden = mask[sample * dims.rows + row] == 0u; }
    if (exists && dims.hidden_by == HIDDEN_BY_LSE) { hidden = lse[matrix * dims.rows + row] >= LIVE_LSE; }
    return Quad(at, exists, hidden);
}
