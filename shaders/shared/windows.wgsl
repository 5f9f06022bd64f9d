// Where the windows of a pooling stand, in 1 to 3 dimensions.

// Window o of an axis covers o * input / output .. (o + 1) * input / output, rounded outwards, whatever the kernel.
const ADAPTIVE: u32 = 0u;
// A mean counts the zeros of the padding.
const COUNT_PADDING: u32 = 1u;

const IN_D: u32 = 1u;
const IN_H: u32 = 8u;
const IN_W: u32 = 8u;
const OUT_D: u32 = 1u;
const OUT_H: u32 = 4u;
const OUT_W: u32 = 4u;
const KERNEL_D: u32 = 1u;
const KERNEL_H: u32 = 2u;
const KERNEL_W: u32 = 2u;
const STRIDE_D: u32 = 1u;
const STRIDE_H: u32 = 2u;
const STRIDE_W: u32 = 2u;
const DILATION_D: u32 = 1u;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
const BEFORE_D: u32 = 0u;
const BEFORE_H: u32 = 0u;
const BEFORE_W: u32 = 0u;
const AFTER_D: u32 = 0u;
const AFTER_H: u32 = 0u;
const AFTER_W: u32 = 0u;

const IN: u32 = IN_D * IN_H * IN_W;
const OUT: u32 = OUT_D * OUT_H * OUT_W;

// One axis.
struct Axis { input: u32, output: u32, kernel: u32, stride: u32, dilation: u32, before: u32, after: u32 }

fn depth() -> Axis {
    return Axis(IN_D, OUT_D, KERNEL_D, STRIDE_D, DILATION_D, BEFORE_D, AFTER_D);
}

fn height() -> Axis {
    return Axis(IN_H, OUT_H, KERNEL_H, STRIDE_H, DILATION_H, BEFORE_H, AFTER_H);
}

fn width() -> Axis {
    return Axis(IN_W, OUT_W, KERNEL_W, STRIDE_W, DILATION_W, BEFORE_W, AFTER_W);
}

fn reach(axis: Axis) -> u32 {
    return (axis.kernel - 1u) * axis.dilation + 1u;
}

// Elements first, first + dilation, .. below end.
struct Span { first: u32, end: u32 }

// What of the input lies under window `o`.
fn span_of(axis: Axis, o: u32) -> Span {
    if (ADAPTIVE != 0u) {
        return Span(o * axis.input / axis.output, ((o + 1u) * axis.input + axis.output - 1u) / axis.output);
    }
    // the first step of the dilation that is not in the padding
    let start = o * axis.stride;
    let skipped = (axis.before - min(axis.before, start) + axis.dilation - 1u) / axis.dilation * axis.dilation;
    return Span(start + skipped - axis.before, min(start + reach(axis) - axis.before, axis.input));
}

// By how many elements a mean divides, along one axis.
fn count_of(axis: Axis, o: u32) -> u32 {
    if (ADAPTIVE == 0u && COUNT_PADDING != 0u) {
        let start = o * axis.stride;
        return (min(reach(axis), axis.before + axis.input + axis.after - start) + axis.dilation - 1u) / axis.dilation;
    }
    let span = span_of(axis, o);
    return (span.end - span.first + axis.dilation - 1u) / axis.dilation;
}

// The windows that element `i` may lie under: first .. end.
fn windows_over(axis: Axis, i: u32) -> Span {
    if (ADAPTIVE != 0u) {
        return Span(i * axis.output / axis.input, ((i + 1u) * axis.output - 1u) / axis.input + 1u);
    }
    let at = i + axis.before;
    let first = (max(at + 1u, reach(axis)) - reach(axis) + axis.stride - 1u) / axis.stride;
    return Span(first, min(at / axis.stride + 1u, axis.output));
}

// Whether window `o`, one of windows_over, has a tap at element `i`.
fn covers(axis: Axis, o: u32, i: u32) -> bool {
    return (i + axis.before - o * axis.stride) % axis.dilation == 0u;
}
