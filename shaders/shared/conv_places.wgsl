// A convolution as a matrix product: which element of which operand stands where. Nothing is copied together first (no im2col).
//
//   rows x columns, over k           | rows (A)            | columns (B)           | k
//   forward:   out[n, f, p]          | filters             | (n, p), p of OUT      | (channel, tap) of x
//   TO_INPUT:  dx[n, c, q]           | channels            | (n, q), q of IN       | (filter, tap) of dy
//   TO_WEIGHT: dweight[f, (c, tap)]  | filters             | (channel, tap)        | (n, p), p of OUT
//
// for each of GROUPS groups. A has k along memory: weight [filters, (c, tap)], its transpose [channels, (f, tap)], or dy. B is x or
// dy, [batch, GROUPS * channels, depth, height, width]; what the padding adds counts as zero and is never read.
//
// The importing file declares a and b as arrays and `dims: Dims`.

const FORWARD: u32 = 1u;
const TO_INPUT: u32 = 0u;
const TO_WEIGHT: u32 = 0u;
// Windows of one element, side by side, and their number a multiple of 4: columns lie as B's elements do. Not for TO_WEIGHT.
const B_VECTOR: u32 = 0u;

// Per group.
const CHANNELS: u32 = 4u;
const FILTERS: u32 = 4u;
const GROUPS: u32 = 1u;
const IN_D: u32 = 1u;
const IN_H: u32 = 8u;
const IN_W: u32 = 8u;
const OUT_D: u32 = 1u;
const OUT_H: u32 = 8u;
const OUT_W: u32 = 8u;
const KERNEL_D: u32 = 1u;
const KERNEL_H: u32 = 3u;
const KERNEL_W: u32 = 3u;
const STRIDE_D: u32 = 1u;
const STRIDE_H: u32 = 1u;
const STRIDE_W: u32 = 1u;
const DILATION_D: u32 = 1u;
const DILATION_H: u32 = 1u;
const DILATION_W: u32 = 1u;
// Zeros before the first element.
const BEFORE_D: u32 = 0u;
const BEFORE_H: u32 = 1u;
const BEFORE_W: u32 = 1u;
// Whether a place may lie outside B along that axis.
const CHECK_D: u32 = 0u;
const CHECK_H: u32 = 1u;
const CHECK_W: u32 = 1u;
// TO_INPUT where a stride is not 1.
const STRIDED: u32 = 0u;

const TAPS: u32 = KERNEL_D * KERNEL_H * KERNEL_W;
const IN: u32 = IN_D * IN_H * IN_W;
const OUT: u32 = OUT_D * OUT_H * OUT_W;
// B's own.
// @if TO_INPUT
const DEPTH: u32 = OUT_D;
const HEIGHT: u32 = OUT_H;
const WIDTH: u32 = OUT_W;
// @end
// @if !TO_INPUT
const DEPTH: u32 = IN_D;
const HEIGHT: u32 = IN_H;
const WIDTH: u32 = IN_W;
// @end

struct Dims { rows: u32, columns: u32, k: u32, splits: u32, k_per_split: u32, split_stride: u32 }

// What a window (site) or a channel and a place in the window (tap) contributes to a place in B: to the element's number and to the place
// along each axis. The sum of the two is the place.
struct Part { at: u32, z: i32, y: i32, x: i32 }

fn site_of(index: u32, group: u32) -> Part {
    // @if TO_INPUT
    let p = index % IN;
    let z = i32(p / (IN_H * IN_W) + BEFORE_D);
    let y = i32(p / IN_W % IN_H + BEFORE_H);
    let x = i32(p % IN_W + BEFORE_W);
    let start = (index / IN * GROUPS + group) * FILTERS * OUT;
    // @end
    // @if !TO_INPUT
    let p = index % OUT;
    let z = i32(p / (OUT_H * OUT_W) * STRIDE_D) - i32(BEFORE_D);
    let y = i32(p / OUT_W % OUT_H * STRIDE_H) - i32(BEFORE_H);
    let x = i32(p % OUT_W * STRIDE_W) - i32(BEFORE_W);
    let start = (index / OUT * GROUPS + group) * CHANNELS * IN;
    // @end
    return Part(start + number(z, y, x), z, y, x);
}

fn tap_of(index: u32) -> Part {
    let tap = index % TAPS;
    let z = i32(tap / (KERNEL_H * KERNEL_W) * DILATION_D);
    let y = i32(tap / KERNEL_W % KERNEL_H * DILATION_H);
    let x = i32(tap % KERNEL_W * DILATION_W);
    // @if TO_INPUT
    return Part(index / TAPS * OUT + number(-z, -y, -x), -z, -y, -x);
    // @end
    // @if !TO_INPUT
    return Part(index / TAPS * IN + number(z, y, x), z, y, x);
    // @end
}

// The number of a place in a channel; with strides to divide by it is found when site and tap have met.
fn number(z: i32, y: i32, x: i32) -> u32 {
    // @if STRIDED
    return 0u;
    // @end
    // @if !STRIDED
    // @if TO_INPUT
    return u32((z * i32(OUT_H) + y) * i32(OUT_W) + x);
    // @end
    // @if !TO_INPUT
    return u32((z * i32(IN_H) + y) * i32(IN_W) + x);
    // @end
    // @end
}

// @if !B_VECTOR
// The element of B at `site` under `tap`; zero in the padding, which is never read. A negative place is a large one here.
fn gather(site: Part, tap: Part) -> f32 {
    var z = u32(site.z + tap.z);
    var y = u32(site.y + tap.y);
    var x = u32(site.x + tap.x);
    var at = site.at + tap.at;
    var inside = true;
    // @if STRIDED
    let windows = vec3<u32>(z / STRIDE_D, y / STRIDE_H, x / STRIDE_W);
    inside = windows.x * STRIDE_D == z && windows.y * STRIDE_H == y && windows.z * STRIDE_W == x;
    z = windows.x;
    y = windows.y;
    x = windows.z;
    at += (z * OUT_H + y) * OUT_W + x;
    // @end
    // @if CHECK_D
    inside = inside && z < DEPTH;
    // @end
    // @if CHECK_H
    inside = inside && y < HEIGHT;
    // @end
    // @if CHECK_W
    inside = inside && x < WIDTH;
    // @end
    return select(0.0, b[select(0u, at, inside)], inside);
}
// @end

// Elements (row, k) to (row, k + 3) of A: zero beyond `k_end`, the last row beyond the rows.
fn load_a(group: u32, row: u32, k: u32, k_end: u32) -> vec4<f32> {
    let existing = min(row, dims.rows - 1u);
    // @if A_VECTOR
    let value = a[a_index(group, existing, min(k, k_end - 4u)) >> 2u];
    return select(vec4<f32>(0.0), value, k < k_end);
    // @end
    // @if !A_VECTOR
    let last = k_end - 1u;
    let value = vec4<f32>(
        a[a_index(group, existing, min(k, last))],
        a[a_index(group, existing, min(k + 1u, last))],
        a[a_index(group, existing, min(k + 2u, last))],
        a[a_index(group, existing, min(k + 3u, last))],
    );
    return select(vec4<f32>(0.0), value, vec4<u32>(k) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(k_end));
    // @end
}

fn a_index(group: u32, row: u32, k: u32) -> u32 {
    // @if TO_WEIGHT
    return ((k / OUT * GROUPS + group) * FILTERS + row) * OUT + k % OUT;
    // @end
    // @if !TO_WEIGHT
    return (group * dims.rows + row) * dims.k + k;
    // @end
}

// Four neighbouring columns of B. Those beyond the last are the last one, whose result is dropped. A k beyond the last must be read at
// the last: A is zero there.
struct Columns { parts: array<Part, 4> }

fn columns_at(group: u32, column: u32) -> Columns {
    let last = dims.columns - 1u;
    var columns: Columns;
    // @unroll
    for (var i = 0u; i < 4u; i++) {
        // @if TO_WEIGHT
        columns.parts[i] = tap_of(min(column + i, last));
        // @end
        // @if !TO_WEIGHT
        columns.parts[i] = site_of(min(column + i, last), group);
        // @end
    }
    return columns;
}

// Elements (k, column) to (k, column + 3) of B.
fn load_b(group: u32, k: u32, columns: Columns) -> vec4<f32> {
    // @if TO_WEIGHT
    let other = site_of(k, group);
    // @end
    // @if !TO_WEIGHT
    let other = tap_of(k);
    // @end
    // @if B_VECTOR
    return b[(columns.parts[0].at + other.at) >> 2u];
    // @end
    // @if !B_VECTOR
    return vec4<f32>(
        gather(columns.parts[0], other),
        gather(columns.parts[1], other),
        gather(columns.parts[2], other),
        gather(columns.parts[3], other),
    );
    // @end
}
