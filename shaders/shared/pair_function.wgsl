// Losses of one prediction and its target, with their derivatives. The numbers are those of `PairFunction` in ops/loss/regression.rs:
// 0 squared error, 1 absolute error, 2 Huber, 3 binary cross entropy of a logit.

// @import "log1p.wgsl"

fn pair_loss(function: u32, prediction: f32, expected: f32, delta: f32) -> f32 {
    let d = prediction - expected;
    let a = abs(d);
    switch (function) {
        case 0u: {
            return d * d;
        }
        case 1u: {
            return a;
        }
        case 2u: {
            return select(delta * (a - 0.5 * delta), 0.5 * d * d, a <= delta);
        }
        default: {
            // max(x, 0) - x t + log(1 + exp(-|x|)): no overflow
            let rest = log1p4(vec4<f32>(exp(-abs(prediction)))).x;
            return max(prediction, 0.0) - prediction * expected + rest;
        }
    }
}

// With respect to the prediction and to the target.
fn pair_derivative(function: u32, prediction: f32, expected: f32, delta: f32) -> vec2<f32> {
    let d = prediction - expected;
    switch (function) {
        case 0u: {
            return vec2<f32>(2.0 * d, -2.0 * d);
        }
        case 1u: {
            return vec2<f32>(sign(d), -sign(d));
        }
        case 2u: {
            let slope = clamp(d, -delta, delta);
            return vec2<f32>(slope, -slope);
        }
        default: {
            let e = exp(-abs(prediction));
            let sigmoid = select(e, 1.0, prediction >= 0.0) / (1.0 + e);
            return vec2<f32>(sigmoid - expected, -prediction);
        }
    }
}
