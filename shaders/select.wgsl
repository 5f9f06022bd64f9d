// out = a where mask is not 0 (is 0, with `inverted`), else b, with numpy broadcasting: steps of 0 repeat. Without `use_b` the
// other choice is the constant `value`. Elements are 4 bytes each, whatever they mean. What is not chosen is not read into `out`.
//
// With WIDE an invocation writes four of the last axis, `mask_element`, `a_element` and `b_element` apart; that axis then counts
// fours.
//
// Dispatch: one invocation per element (or four). Overwrites `out`.

// The axes in use: the outermost and the last of axis1 to axis5.
const RANK: u32 = 6u;

struct Dims {
    len: u32, inverted: u32, use_b: u32, value: u32,
    mask_element: u32, a_element: u32, b_element: u32,
    size1: u32, size2: u32, size3: u32, size4: u32, size5: u32,
    mask0: u32, mask1: u32, mask2: u32, mask3: u32, mask4: u32, mask5: u32,
    a0: u32, a1: u32, a2: u32, a3: u32, a4: u32, a5: u32,
    b0: u32, b1: u32, b2: u32, b3: u32, b4: u32, b5: u32,
}

@group(0) @binding(0) var<storage, read> mask: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;
// @if WIDE
@group(0) @binding(3) var<storage, read_write> out: array<vec4<u32>>;
// @end
// @if !WIDE
@group(0) @binding(3) var<storage, read_write> out: array<u32>;
// @end
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * groups.x + group.x) * 64u + lane;
    if (i >= dims.len) {
        return;
    }
    // @if WIDE
    let at = sources(i);
    let step = vec3<u32>(dims.mask_element, dims.a_element, dims.b_element);
    out[i] = vec4<u32>(choose(at), choose(at + step), choose(at + 2u * step), choose(at + 3u * step));
    // @end
    // @if !WIDE
    out[i] = choose(sources(i));
    // @end
}

fn choose(at: vec3<u32>) -> u32 {
    if ((mask[at.x] != 0u) != (dims.inverted != 0u)) {
        return a[at.y];
    }
    if (dims.use_b != 0u) {
        return b[at.z];
    }
    return dims.value;
}

// Where mask, a and b are read for element `i`.
fn sources(i: u32) -> vec3<u32> {
    var rest = i;
    var at = vec3<u32>(0u);
    if (RANK > 1u) {
        let outside = rest / dims.size5;
        at += (rest - outside * dims.size5) * vec3<u32>(dims.mask5, dims.a5, dims.b5);
        rest = outside;
    }
    if (RANK > 2u) {
        let outside = rest / dims.size4;
        at += (rest - outside * dims.size4) * vec3<u32>(dims.mask4, dims.a4, dims.b4);
        rest = outside;
    }
    if (RANK > 3u) {
        let outside = rest / dims.size3;
        at += (rest - outside * dims.size3) * vec3<u32>(dims.mask3, dims.a3, dims.b3);
        rest = outside;
    }
    if (RANK > 4u) {
        let outside = rest / dims.size2;
        at += (rest - outside * dims.size2) * vec3<u32>(dims.mask2, dims.a2, dims.b2);
        rest = outside;
    }
    if (RANK > 5u) {
        let outside = rest / dims.size1;
        at += (rest - outside * dims.size1) * vec3<u32>(dims.mask1, dims.a1, dims.b1);
        rest = outside;
    }
    return at + rest * vec3<u32>(dims.mask0, dims.a0, dims.b0);
}
