// The sum of something over one channel of [batch, channels, parts], by a workgroup: 64 invocations, LANES of them side by side along the
// parts and 64 / LANES along the batch, which meet in workgroup memory in a fixed order.

const LANES: u32 = 64u;
const SLICES: u32 = 64u / LANES;

var<workgroup> partial: array<vec2<f32>, 64>;

// The sum of `own` over the workgroup. All invocations must call it.
fn channel_sum(own: vec2<f32>, lane: u32) -> vec2<f32> {
    // what an earlier sum left may still be read
    workgroupBarrier();
    partial[lane] = own;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if (lane < reach) {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    return partial[0];
}
