// A channel's mean and 1 / standard deviation, as batch_norm_statistics.wgsl left them or from running statistics.

// `spread` is the running variance.
const RUNNING: u32 = 0u;

@group(0) @binding(0) var<storage, read> mean: array<f32>; // @buffer
@group(0) @binding(1) var<storage, read> spread: array<f32>; // @buffer

fn statistics_of(channel: u32, epsilon: f32) -> vec2<f32> {
    if (RUNNING != 0u) {
        return vec2<f32>(mean[channel], 1.0 / sqrt(spread[channel] + epsilon));
    }
    return vec2<f32>(mean[channel], spread[channel]);
}
