// Activations and their derivatives, four elements at a time, chosen by number:
// 0 none, 1 relu, 2 gelu (erf), 3 gelu (tanh), 4 tanh, 5 sigmoid.
//
// WGSL has no erf, its tanh may overflow or lose small arguments, and drivers assume that no infinity occurs. So all is made
// of exp of arguments <= 0, and of forms without cancellation: relative errors are a few 1e-7 and grow with exp's argument, to
// 1e-5 where gelu(x) is 1e-28. (Measured on lavapipe against float64; derivatives: below 3e-7 absolute.)

// exp(-t^2 / 2).
fn bell(t: vec4<f32>) -> vec4<f32> {
    return exp(max(-0.5 * t * t, vec4<f32>(-110.0)));
}

// P(X > t) of a standard normal X, for t >= 0.
fn normal_tail(t: vec4<f32>) -> vec4<f32> {
    return tail_by_bell(t) * bell(t);
}

// That divided by bell(t): a polynomial in 1 / (1 + 0.3 t), fitted to 4e-9 relative on [0, 14]; beyond, the tail is below 1e-44 and rounds
// to 0.
fn tail_by_bell(t: vec4<f32>) -> vec4<f32> {
    let u = 1.0 / (1.0 + 0.3 * t);
    var p = vec4<f32>(-0.02091435973);
    p = p * u + 0.1140402721;
    p = p * u - 0.2320384829;
    p = p * u + 0.196940677;
    p = p * u - 0.08374254902;
    p = p * u + 0.09848074018;
    p = p * u + 0.07758906438;
    p = p * u + 0.1104051798;
    p = p * u + 0.1195517632;
    p = p * u + 0.1196876931;
    return p * u;
}

fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(max(-abs(x), vec4<f32>(-110.0)));
    return select(e, vec4<f32>(1.0), x >= vec4<f32>(0.0)) / (1.0 + e);
}

// sigmoid(x) * (1 - sigmoid(x)).
fn sigmoid_slope(x: vec4<f32>) -> vec4<f32> {
    let e = exp(max(-abs(x), vec4<f32>(-110.0)));
    return e / ((1.0 + e) * (1.0 + e));
}

// A polynomial below 0.625, where 1 - exp would cancel (fitted to 6e-10), the quotient of exponentials above.
fn hyperbolic_tangent(x: vec4<f32>) -> vec4<f32> {
    let s = x * x;
    var p = vec4<f32>(0.00229274479);
    p = p * s - 0.00834394549;
    p = p * s + 0.0217689186;
    p = p * s - 0.0539592596;
    p = p * s + 0.133333036;
    p = p * s - 0.333333332;
    let t = abs(x);
    let e = exp(max(-2.0 * t, vec4<f32>(-110.0)));
    let large = (1.0 - e) / (1.0 + e) * sign(x);
    return select(large, x + x * s * p, t < vec4<f32>(0.625));
}

// x * P(X <= x), X standard normal.
fn gelu(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4<f32>(0.0)) - abs(x) * normal_tail(abs(x));
}

// x * (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), written as x * sigmoid(2 u).
fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    return x * sigmoid(1.5957691216 * x * (1.0 + 0.044715 * x * x));
}

fn activate(kind: u32, x: vec4<f32>) -> vec4<f32> {
    switch kind {
        case 1u: {
            return max(x, vec4<f32>(0.0));
        }
        case 2u: {
            return gelu(x);
        }
        case 3u: {
            return gelu_tanh(x);
        }
        case 4u: {
            return hyperbolic_tangent(x);
        }
        case 5u: {
            return sigmoid(x);
        }
        default: {
            return x;
        }
    }
}

// The derivative of `activate` at the pre-activation x. relu's derivative at 0 is 0.
fn activate_derivative(kind: u32, x: vec4<f32>) -> vec4<f32> {
    switch kind {
        case 1u: {
            return select(vec4<f32>(0.0), vec4<f32>(1.0), x > vec4<f32>(0.0));
        }
        case 2u: {
            let t = abs(x);
            let e = bell(t);
            let tail = tail_by_bell(t) * e;
            return select(tail, 1.0 - tail, x >= vec4<f32>(0.0)) + x * (0.3989422804 * e);
        }
        case 3u: {
            let u = 1.5957691216 * x * (1.0 + 0.044715 * x * x);
            return sigmoid(u) + x * sigmoid_slope(u) * (1.5957691216 * (1.0 + 0.134145 * x * x));
        }
        case 4u: {
            return 4.0 * sigmoid_slope(2.0 * x);
        }
        case 5u: {
            return sigmoid_slope(x);
        }
        default: {
            return vec4<f32>(1.0);
        }
    }
}
