// log(1 + x) for x in [0, 1], accurate near 0: 2 artanh(t), t = x / (2 + x) <= 1/3, by its series to t^15 (1.4e-9 relative). Kahan's
// correction, (1 + x) - 1, does not do: drivers simplify it to x.
fn log1p4(x: vec4<f32>) -> vec4<f32> {
    let t = x / (2.0 + x);
    let s = t * t;
    var p = vec4<f32>(1.0 / 15.0);
    p = p * s + 1.0 / 13.0;
    p = p * s + 1.0 / 11.0;
    p = p * s + 1.0 / 9.0;
    p = p * s + 1.0 / 7.0;
    p = p * s + 1.0 / 5.0;
    p = p * s + 1.0 / 3.0;
    p = p * s + 1.0;
    return 2.0 * t * p;
}
