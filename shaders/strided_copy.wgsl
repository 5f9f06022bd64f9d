// out[i1, .., ir] = x[offset + sum of ik stepk], r = RANK: elements permuted, sliced, flipped, repeated. They are 4 bytes each,
// whatever they mean.
//
// With WIDE an invocation writes four of the last axis, `element` apart in x; that axis then counts fours. With VECTOR as well
// x is read in fours: all sizes and steps count those.
//
// Dispatch: one invocation per element (or four). Overwrites `out`. Single elements are read wherever they lie: no texel of four
// would serve more than one.

// The axes in use: the outermost has `outer` as its step, the others are the last of axis1 to axis5.
const RANK: u32 = 6u;

struct Dims {
    len: u32, offset: i32, element: i32, outer: i32,
    size1: u32, size2: u32, size3: u32, size4: u32, size5: u32,
    step1: i32, step2: i32, step3: i32, step4: i32, step5: i32,
}

// @if VECTOR
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
// @end
// @if !VECTOR
@group(0) @binding(0) var<storage, read> x: array<u32>; // @buffer
// @end
// @if WIDE
@group(0) @binding(1) var<storage, read_write> out: array<vec4<u32>>;
// @end
// @if !WIDE
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
// @end
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    let at = source(i);
    // @if VECTOR
    out[i] = x[at];
    // @end
    // @if !VECTOR
    // @if WIDE
    out[i] = vec4<u32>(x[at], x[at + dims.element], x[at + 2 * dims.element], x[at + 3 * dims.element]);
    // @end
    // @if !WIDE
    out[i] = x[at];
    // @end
    // @end
}

fn source(i: u32) -> i32 {
    var rest = i;
    var at = dims.offset;
    if (RANK > 1u) {
        let outside = rest / dims.size5;
        at += i32(rest - outside * dims.size5) * dims.step5;
        rest = outside;
    }
    if (RANK > 2u) {
        let outside = rest / dims.size4;
        at += i32(rest - outside * dims.size4) * dims.step4;
        rest = outside;
    }
    if (RANK > 3u) {
        let outside = rest / dims.size3;
        at += i32(rest - outside * dims.size3) * dims.step3;
        rest = outside;
    }
    if (RANK > 4u) {
        let outside = rest / dims.size2;
        at += i32(rest - outside * dims.size2) * dims.step2;
        rest = outside;
    }
    if (RANK > 5u) {
        let outside = rest / dims.size1;
        at += i32(rest - outside * dims.size1) * dims.step1;
        rest = outside;
    }
    return at + i32(rest) * dims.outer;
}
