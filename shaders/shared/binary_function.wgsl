// Functions of two numbers, by the numbers of `BinaryFunction` in ops/elementwise.rs.

fn binary(function: u32, x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    switch (function) {
        case 0u: {
            return x + y;
        }
        case 1u: {
            return x - y;
        }
        case 2u: {
            return x * y;
        }
        case 3u: {
            return x / y;
        }
        case 4u: {
            return max(x, y);
        }
        case 6u: {
            return select(vec4<f32>(0.0), vec4<f32>(1.0), x == y);
        }
        default: {
            // the share of the gradient of max(x, y) that x gets: ties are split
            return select(select(vec4<f32>(0.0), vec4<f32>(0.5), x == y), vec4<f32>(1.0), x > y);
        }
    }
}
