// Begins a warp of optical_flow: the flow w0 to linearise at, and what is left of brightness constancy there,
//   rho(w) = next(p + w0) + grad next(p + w0) . (w - w0) - previous(p) = data_2 + data_0 w_x + data_1 w_y.
//
//   previous, next [pairs, height, width]; next between its pixels by Keys' cubic convolution (1981, a = -1/2), its gradient by the
//   derivative of the same. flow [pairs, 4, coarse_height, coarse_stride] with COARSER, the flow of the level below, doubled; with
//   MEDIAN, of this level, a median of 3 x 3; with neither w0 = 0. state [pairs, 4, height, stride]: w0 twice, as flow_solve.wgsl
//   keeps it. data [pairs, 4, height, stride]: the three coefficients, and 1 / |gradient|^2 or 0; all 0 where p + w0 lies outside.
//
// Dispatch: one invocation per place of a plane, `stride` in a row. Overwrites its outputs, zeros beyond `width`.

const COARSER: u32 = 0u;
const MEDIAN: u32 = 0u;

struct Dims { len: u32, height: u32, width: u32, stride: u32, coarse_height: u32, coarse_width: u32, coarse_stride: u32 }

@group(0) @binding(0) var<storage, read> previous: array<f32>; // @buffer
@group(0) @binding(1) var<storage, read> next: array<f32>;
@group(0) @binding(2) var<storage, read> flow: array<f32>;
@group(0) @binding(3) var<storage, read_write> state: array<f32>;
@group(0) @binding(4) var<storage, read_write> data: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;

// @if MEDIAN
// @import "flow_median.wgsl"
// @end

// @if COARSER
fn coarse_flow(pair: u32, row: u32, column: u32) -> vec2<f32> {
    let plane = dims.coarse_height * dims.coarse_stride;
    let top = pair * 4u * plane + row / 2u * dims.coarse_stride;
    let below = pair * 4u * plane + min((row + 1u) / 2u, dims.coarse_height - 1u) * dims.coarse_stride;
    let left = column / 2u;
    let right = min((column + 1u) / 2u, dims.coarse_width - 1u);
    let u = flow[top + left] + flow[top + right] + flow[below + left] + flow[below + right];
    let v = flow[top + left + plane] + flow[top + right + plane] + flow[below + left + plane] + flow[below + right + plane];
    return 0.5 * vec2<f32>(u, v); // twice the mean
}
// @end

fn cubic(t: f32) -> vec4<f32> {
    return vec4<f32>(
        ((1.0 - 0.5 * t) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((2.0 - 1.5 * t) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    );
}

fn cubic_slope(t: f32) -> vec4<f32> {
    return vec4<f32>((2.0 - 1.5 * t) * t - 0.5, (4.5 * t - 5.0) * t, (4.0 - 4.5 * t) * t + 0.5, (1.5 * t - 1.0) * t);
}

// next's value and gradient at `place`, which may lie anywhere.
fn next_at(pair: u32, place: vec2<f32>) -> vec3<f32> {
    let last = vec2<i32>(i32(dims.width), i32(dims.height)) - 1;
    let base = floor(place);
    let t = place - base;
    let first = vec2<i32>(base) - 1;
    let x_weights = cubic(t.x);
    let x_slopes = cubic_slope(t.x);
    let y_weights = cubic(t.y);
    let y_slopes = cubic_slope(t.y);
    let columns = clamp(vec4<i32>(first.x) + vec4<i32>(0, 1, 2, 3), vec4<i32>(0), vec4<i32>(last.x));
    var result = vec3<f32>(0.0);
    // @unroll
    for (var r = 0u; r < 4u; r++) {
        let line = i32(pair * dims.height * dims.width) + clamp(first.y + i32(r), 0, last.y) * i32(dims.width);
        let at = vec4<u32>(columns + line);
        let taps = vec4<f32>(next[at.x], next[at.y], next[at.z], next[at.w]);
        let value = dot(taps, x_weights);
        result += vec3<f32>(y_weights[r] * value, y_weights[r] * dot(taps, x_slopes), y_slopes[r] * value);
    }
    return result;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let index = (group.y * groups.x + group.x) * 64u + lane;
    if (index >= dims.len) {
        return;
    }
    let column = index % dims.stride;
    let row = index / dims.stride % dims.height;
    let plane = dims.height * dims.stride;
    let pair = index / plane;
    var start = vec2<f32>(0.0);
    var linear = vec4<f32>(0.0);
    if (column < dims.width) {
        // @if COARSER
        start = coarse_flow(pair, row, column);
        // @end
        // @if MEDIAN
        start = median_flow(pair, row, column);
        // @end
        let place = vec2<f32>(f32(column), f32(row)) + start;
        let last = vec2<f32>(f32(dims.width - 1u), f32(dims.height - 1u));
        if (all(place >= vec2<f32>(0.0)) && all(place <= last)) {
            let found = next_at(pair, place);
            let slope = found.yz;
            let steepness = dot(slope, slope);
            let rest = found.x - previous[(pair * dims.height + row) * dims.width + column] - dot(slope, start);
            linear = vec4<f32>(slope, rest, select(0.0, 1.0 / steepness, steepness > 1e-9));
        }
    }
    let at = pair * 4u * plane + index % plane;
    state[at] = start.x;
    state[at + plane] = start.y;
    state[at + 2u * plane] = start.x;
    state[at + 3u * plane] = start.y;
    data[at] = linear.x;
    data[at + plane] = linear.y;
    data[at + 2u * plane] = linear.z;
    data[at + 3u * plane] = linear.w;
}
