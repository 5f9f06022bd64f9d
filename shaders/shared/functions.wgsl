// Functions that WGSL lacks. Needs activation.wgsl.

// @import "activation.wgsl"
// @import "log1p.wgsl"

// The error function: its Maclaurin series below 1, where 1 - 2 P(X > sqrt(2) x) would cancel, that elsewhere.
fn erf4(x: vec4<f32>) -> vec4<f32> {
    let a = abs(x);
    let s = -x * x;
    var p = vec4<f32>(1.0 / 6894720.0);
    p = p * s + 1.0 / 685440.0;
    p = p * s + 1.0 / 75600.0;
    p = p * s + 1.0 / 9360.0;
    p = p * s + 1.0 / 1320.0;
    p = p * s + 1.0 / 216.0;
    p = p * s + 1.0 / 42.0;
    p = p * s + 1.0 / 10.0;
    p = p * s + 1.0 / 3.0;
    p = p * s + 1.0;
    let near = 1.1283791670955126 * x * p;
    let far = sign(x) * (1.0 - 2.0 * normal_tail(1.4142135623730951 * a));
    return select(far, near, a < vec4<f32>(1.0));
}
