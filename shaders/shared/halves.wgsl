// Four numbers as 16-bit floats in two words, two to a word, the first in the low bits: what src/gpu/halves.rs has kernels keep
// instead of four 32-bit ones.

fn from_halves(halves: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(halves.x), unpack2x16float(halves.y));
}

// Rounded to the nearest, ties to even; what is beyond the largest becomes infinite, and NaN stays NaN. By bits: pack2x16float may
// round towards zero, and what it makes of numbers out of range is undefined.
fn to_halves(value: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(value);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    // another bias of the exponent, and 13 bits less
    let rounding = vec4<u32>(0xfffu) + ((magnitude >> vec4<u32>(13u)) & vec4<u32>(1u));
    let normal = (magnitude - vec4<u32>(0x38000000u) + rounding) >> vec4<u32>(13u);
    // below 2^-14 they are the multiples of 2^-24
    let small = magnitude < vec4<u32>(0x38800000u);
    let subnormal = vec4<u32>(round(select(vec4<f32>(0.0), abs(value), small) * 16777216.0));
    let special = select(vec4<u32>(0x7c00u), vec4<u32>(0x7e00u), magnitude > vec4<u32>(0x7f800000u));
    let rounded = select(select(normal, subnormal, small), special, magnitude >= vec4<u32>(0x477ff000u));
    let halves = rounded | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}
