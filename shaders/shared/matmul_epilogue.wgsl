// What matmul.wgsl, matmul_subgroup.wgsl and matmul_reduce.wgsl share: their sizes, and what happens to a finished element.
//
//   out = dropout(activation(alpha * product + bias)) + residual
//
// ACTIVATION is a constant (its code would run masked, used or not, on software adapters), the rest is switched by `dims`. The
// importing file declares bias, residual, out (and pre under SAVE_PRE) as array<vec4<f32>> under VECTOR, as array<f32> under
// SCALAR, and `dims: Dims`, `step: Step`. An unused input gets any buffer.
// Dropout's element number is the position in the dense [batch, m, n] output, whatever the leading dimension.

// @import "step.wgsl"
// @import "random.wgsl"
// @import "activation.wgsl"

// Offsets, leading dimensions and strides count f32 elements. Batch b is (b / batch_inner, b % batch_inner); stride 0 broadcasts.
struct Dims {
    m: u32,
    n: u32,
    k: u32,
    batch: u32,
    batch_inner: u32,
    lda: u32,
    ldb: u32,
    ldo: u32,
    a_offset: u32,
    a_outer: u32,
    a_inner: u32,
    b_offset: u32,
    b_outer: u32,
    b_inner: u32,
    out_offset: u32,
    out_outer: u32,
    out_inner: u32,
    residual_offset: u32,
    pre_offset: u32,
    bias_offset: u32,
    // k is cut into `splits` pieces of k_per_split; piece s is written split_stride elements after piece s - 1
    splits: u32,
    k_per_split: u32,
    split_stride: u32,
    has_bias: u32,
    has_residual: u32,
    // the graph node that dropout's random numbers belong to
    node: u32,
    dropout: f32,
    alpha: f32,
}

// Where row 0, column 0 of a batch lies relative to an operand's offset.
fn batch_start(batch: u32, outer: u32, inner: u32) -> u32 {
    return (batch / dims.batch_inner) * outer + (batch % dims.batch_inner) * inner;
}

// Finishes four neighbouring elements of a row and writes them; what lies beyond m or n is dropped.
// `start` is out's batch_start, `split` the piece of k that this product is of.
// `zero` is 0 but no compiler must know (workgroup_id.z): where a branch depends on uniforms alone and skips much code, lavapipe
// specialises the shader for their values, again at every dispatch.
fn finish(zero: u32, batch: u32, split: u32, start: u32, row: u32, column: u32, product: vec4<f32>) {
    if (row >= dims.m || column >= dims.n) {
        return;
    }
    let at = start + row * dims.ldo + column;
    var value = dims.alpha * product;
    if (dims.has_bias > zero) {
        value += read_bias(column);
    }
    // @if SAVE_PRE
    write_pre(dims.pre_offset + at, column, value);
    // @end
    if (ACTIVATION != 0u) {
        value = activate(ACTIVATION, value);
    }
    if (dims.dropout > f32(zero)) {
        value *= dropout_of((batch * dims.m + row) * dims.n + column);
    }
    if (dims.has_residual > zero) {
        value += read_residual(dims.residual_offset + at, column);
    }
    write_out(dims.out_offset + split * dims.split_stride + at, column, value);
}

// @if VECTOR
fn read_bias(column: u32) -> vec4<f32> {
    return bias[(dims.bias_offset + column) >> 2u];
}

fn read_residual(at: u32, column: u32) -> vec4<f32> {
    return residual[at >> 2u];
}

fn write_out(at: u32, column: u32, value: vec4<f32>) {
    out[at >> 2u] = value;
}

// @if SAVE_PRE
fn write_pre(at: u32, column: u32, value: vec4<f32>) {
    pre[at >> 2u] = value;
}
// @end

fn dropout_of(element: u32) -> vec4<f32> {
    return dropout_scale_quad(dims.node, element, dims.dropout);
}
// @end
// @if SCALAR
// How many of the four elements at `column` exist.
fn width(column: u32) -> u32 {
    return min(4u, dims.n - column);
}

fn read_bias(column: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        if (i < width(column)) {
            value[i] = bias[dims.bias_offset + column + i];
        }
    }
    return value;
}

fn read_residual(at: u32, column: u32) -> vec4<f32> {
    var value = vec4<f32>(0.0);
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        if (i < width(column)) {
            value[i] = residual[at + i];
        }
    }
    return value;
}

fn write_out(at: u32, column: u32, value: vec4<f32>) {
    var rest = value;
    for (var i = 0u; i < width(column); i++) {
        out[at + i] = rest.x;
        rest = rest.yzwx;
    }
}

// @if SAVE_PRE
fn write_pre(at: u32, column: u32, value: vec4<f32>) {
    var rest = value;
    for (var i = 0u; i < width(column); i++) {
        pre[at + i] = rest.x;
        rest = rest.yzwx;
    }
}
// @end

fn dropout_of(element: u32) -> vec4<f32> {
    return vec4<f32>(
        dropout_scale(dims.node, element, dims.dropout),
        dropout_scale(dims.node, element + 1u, dims.dropout),
        dropout_scale(dims.node, element + 2u, dims.dropout),
        dropout_scale(dims.node, element + 3u, dims.dropout),
    );
}
// @end
