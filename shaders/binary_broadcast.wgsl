// out = f(a, b) with numpy broadcasting over up to six axes; steps of 0 repeat. f as in shared/binary_function.wgsl.
//
// With WIDE an invocation writes four of the last axis, `a_element` and `b_element` apart in a and b; that axis then counts fours.
//
// Dispatch: one invocation per element (or four). Overwrites `out`.

// @import "binary_function.wgsl"

// The axes in use: the outermost and the last of axis1 to axis5.
const RANK: u32 = 6u;

// A constant, not a uniform: a software rasteriser runs every case of a switch that it cannot decide when compiling.
const FUNCTION: u32 = 0u;

struct Dims {
    len: u32, a_element: u32, b_element: u32,
    size1: u32, size2: u32, size3: u32, size4: u32, size5: u32,
    a0: u32, a1: u32, a2: u32, a3: u32, a4: u32, a5: u32,
    b0: u32, b1: u32, b2: u32, b3: u32, b4: u32, b5: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
// @if WIDE
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
// @end
// @if !WIDE
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
// @end
@group(0) @binding(3) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let at = sources(i);
    // @if WIDE
    let da = dims.a_element;
    let db = dims.b_element;
    let x = vec4<f32>(a[at.x], a[at.x + da], a[at.x + 2u * da], a[at.x + 3u * da]);
    let y = vec4<f32>(b[at.y], b[at.y + db], b[at.y + 2u * db], b[at.y + 3u * db]);
    out[i] = binary(FUNCTION, x, y);
    // @end
    // @if !WIDE
    out[i] = binary(FUNCTION, vec4<f32>(a[at.x]), vec4<f32>(b[at.y])).x;
    // @end
}

// Where a and b are read for element `i`.
fn sources(i: u32) -> vec2<u32> {
    var rest = i;
    var at = vec2<u32>(0u);
    if (RANK > 1u) {
        let outside = rest / dims.size5;
        at += (rest - outside * dims.size5) * vec2<u32>(dims.a5, dims.b5);
        rest = outside;
    }
    if (RANK > 2u) {
        let outside = rest / dims.size4;
        at += (rest - outside * dims.size4) * vec2<u32>(dims.a4, dims.b4);
        rest = outside;
    }
    if (RANK > 3u) {
        let outside = rest / dims.size3;
        at += (rest - outside * dims.size3) * vec2<u32>(dims.a3, dims.b3);
        rest = outside;
    }
    if (RANK > 4u) {
        let outside = rest / dims.size2;
        at += (rest - outside * dims.size2) * vec2<u32>(dims.a2, dims.b2);
        rest = outside;
    }
    if (RANK > 5u) {
        let outside = rest / dims.size1;
        at += (rest - outside * dims.size1) * vec2<u32>(dims.a1, dims.b1);
        rest = outside;
    }
    return at + rest * vec2<u32>(dims.a0, dims.b0);
}
