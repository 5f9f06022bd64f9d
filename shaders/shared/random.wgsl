// Counter-based random numbers for dropout: a hash of (seed, step, node, element), so that backward recomputes forward's mask.
//
// The hash is pcg4d (M. Jarzynski and M. Olano, "Hash Functions for GPU Rendering", JCGT 9(3), 2020): one call gives four words,
// used for four neighbouring elements. Needs `var<uniform> step: Step` (step.wgsl) in the importing file.

fn pcg4d(counter: vec4<u32>) -> vec4<u32> {
    var v = counter * 1664525u + 1013904223u;
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    v = v ^ (v >> vec4<u32>(16u));
    v.x += v.y * v.w;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v.w += v.y * v.z;
    return v;
}

// Four numbers of [0, 1) for the elements 4 * quad .. 4 * quad + 3 of `node` at this step; 24 bits each.
fn random_quad(node: u32, quad: u32) -> vec4<f32> {
    let bits = pcg4d(vec4<u32>(quad, node, step.index, step.seed));
    return vec4<f32>(bits >> vec4<u32>(8u)) * 5.9604644775390625e-8;
}

// What dropout multiplies four neighbouring elements with; `element` is the first, a multiple of 4.
fn dropout_scale_quad(node: u32, element: u32, probability: f32) -> vec4<f32> {
    let kept = random_quad(node, element >> 2u) >= vec4<f32>(probability);
    return select(vec4<f32>(0.0), vec4<f32>(1.0 / (1.0 - probability)), kept);
}

// What dropout multiplies one element with: 0 with `probability`, else 1 / (1 - probability). probability < 1.
fn dropout_scale(node: u32, element: u32, probability: f32) -> f32 {
    return dropout_scale_quad(node, element, probability)[element & 3u];
}
