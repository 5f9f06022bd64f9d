// The flow at a pixel, each component the median of the 3 x 3 pixels around; beyond the border the border's pixels go on. Reads
// planes 0 and 1 of `flow` [pairs, 4, height, stride].

fn middle(a: vec2<f32>, b: vec2<f32>, c: vec2<f32>) -> vec2<f32> {
    return max(min(a, b), min(max(a, b), c));
}

fn median_flow(pair: u32, row: u32, column: u32) -> vec2<f32> {
    let plane = dims.height * dims.stride;
    let start = pair * 4u * plane;
    let last = vec2<i32>(i32(dims.width), i32(dims.height)) - 1;
    var least: array<vec2<f32>, 3>;
    var median: array<vec2<f32>, 3>;
    var most: array<vec2<f32>, 3>;
    // @unroll
    for (var r = 0u; r < 3u; r++) {
        let line = start + u32(clamp(i32(row + r) - 1, 0, last.y)) * dims.stride;
        let left = line + u32(max(i32(column) - 1, 0));
        let right = line + u32(min(i32(column) + 1, last.x));
        let a = vec2<f32>(flow[left], flow[left + plane]);
        let b = vec2<f32>(flow[line + column], flow[line + column + plane]);
        let c = vec2<f32>(flow[right], flow[right + plane]);
        least[r] = min(min(a, b), c);
        median[r] = middle(a, b, c);
        most[r] = max(max(a, b), c);
    }
    // of nine, the middle one is the middle of these three
    let low = max(max(least[0], least[1]), least[2]);
    let high = min(min(most[0], most[1]), most[2]);
    return middle(low, middle(median[0], median[1], median[2]), high);
}
