// Where the windows of a pooling stand, in 1 to 3 dimensions. Sizes are uniforms, so that one pipeline serves a network's layers.

// @import "box.wgsl"

// Window o of an axis covers o * input / output .. (o + 1) * input / output, rounded outwards, whatever the kernel.
const ADAPTIVE: u32 = 0u;
// A mean counts the zeros of the padding.
const COUNT_PADDING: u32 = 1u;
// Some axis has a dilation above 1.
const DILATED: u32 = 1u;

struct Dims {
    // channels of all images
    planes: u32,
    in_d: u32,
    in_h: u32,
    in_w: u32,
    out_d: u32,
    out_h: u32,
    out_w: u32,
    kernel_d: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_d: u32,
    stride_h: u32,
    stride_w: u32,
    dilation_d: u32,
    dilation_h: u32,
    dilation_w: u32,
    before_d: u32,
    before_h: u32,
    before_w: u32,
    after_d: u32,
    after_h: u32,
    after_w: u32,
}

// One axis.
struct Axis { input: u32, output: u32, kernel: u32, stride: u32, dilation: u32, before: u32, after: u32 }

fn depth() -> Axis {
    return Axis(dims.in_d, dims.out_d, dims.kernel_d, dims.stride_d, dims.dilation_d, dims.before_d, dims.after_d);
}

fn height() -> Axis {
    return Axis(dims.in_h, dims.out_h, dims.kernel_h, dims.stride_h, dims.dilation_h, dims.before_h, dims.after_h);
}

fn width() -> Axis {
    return Axis(dims.in_w, dims.out_w, dims.kernel_w, dims.stride_w, dims.dilation_w, dims.before_w, dims.after_w);
}

// A place in plane `outer` of [planes, depth, height, width].
fn place_in_plane(index: u32, sizes: vec3<u32>) -> Place {
    let row = large_quotient(index, divisor(sizes.z));
    let slice = large_quotient(row, divisor(sizes.y));
    let plane = large_quotient(slice, divisor(sizes.x));
    return Place(plane, vec3<u32>(slice - plane * sizes.x, row - slice * sizes.y, index - row * sizes.z));
}

fn reach(axis: Axis) -> u32 {
    return (axis.kernel - 1u) * axis.dilation + 1u;
}

// How many steps of the dilation `elements` are, the last of them begun at least.
fn steps(axis: Axis, elements: u32) -> u32 {
    if (DILATED == 0u) {
        return elements;
    }
    return large_quotient(elements + axis.dilation - 1u, divisor(axis.dilation));
}

// Elements first, first + dilation, .. below end.
struct Span { first: u32, end: u32 }

// What of the input lies under window `o`.
fn span_of(axis: Axis, o: u32) -> Span {
    if (ADAPTIVE != 0u) {
        let output = divisor(axis.output);
        let last = (o + 1u) * axis.input + axis.output - 1u;
        return Span(large_quotient(o * axis.input, output), large_quotient(last, output));
    }
    // the first step of the dilation that is not in the padding
    let start = o * axis.stride;
    let skipped = steps(axis, axis.before - min(axis.before, start)) * axis.dilation;
    return Span(start + skipped - axis.before, min(start + reach(axis) - axis.before, axis.input));
}

// By how many elements a mean divides, along one axis.
fn count_of(axis: Axis, o: u32) -> u32 {
    if (ADAPTIVE == 0u && COUNT_PADDING != 0u) {
        let start = o * axis.stride;
        return steps(axis, min(reach(axis), axis.before + axis.input + axis.after - start));
    }
    let span = span_of(axis, o);
    return steps(axis, span.end - span.first);
}

// The windows that element `i` may lie under: first .. end.
fn windows_over(axis: Axis, i: u32) -> Span {
    if (ADAPTIVE != 0u) {
        let input = divisor(axis.input);
        let last = (i + 1u) * axis.output - 1u;
        return Span(large_quotient(i * axis.output, input), large_quotient(last, input) + 1u);
    }
    let at = i + axis.before;
    let stride = divisor(axis.stride);
    let first = large_quotient(max(at + 1u, reach(axis)) - reach(axis) + axis.stride - 1u, stride);
    return Span(first, min(large_quotient(at, stride) + 1u, axis.output));
}

// Whether window `o`, one of windows_over, has a tap at element `i`.
fn covers(axis: Axis, o: u32, i: u32) -> bool {
    if (DILATED == 0u) {
        return true;
    }
    let at = i + axis.before - o * axis.stride;
    return large_quotient(at, divisor(axis.dilation)) * axis.dilation == at;
}
