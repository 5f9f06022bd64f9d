// What a batch's statistics go to: mean[c] and spread[c] = 1 / sqrt(variance + epsilon), the variance biased; and what running statistics
// become: running + momentum * (of this batch - running), the variance times dims.correction.

@group(0) @binding(2) var<storage, read> running_mean: array<f32>; // @buffer
@group(0) @binding(3) var<storage, read> running_variance: array<f32>; // @buffer
@group(0) @binding(4) var<storage, read_write> mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> spread: array<f32>;
@group(0) @binding(6) var<storage, read_write> next_mean: array<f32>;
@group(0) @binding(7) var<storage, read_write> next_variance: array<f32>;

// Of a channel's mean and its squares about that.
fn finish(channel: u32, average: f32, squares: f32) {
    let variance = squares / dims.count;
    mean[channel] = average;
    spread[channel] = 1.0 / sqrt(variance + dims.epsilon);
    next_mean[channel] = running_mean[channel] + dims.momentum * (average - running_mean[channel]);
    next_variance[channel] = running_variance[channel] + dims.momentum * (dims.correction * variance - running_variance[channel]);
}
