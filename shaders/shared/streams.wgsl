// Elementwise kernels go through STREAMS equal shares of an array at once, since a processor fetches several streams ahead sooner than one.

// @import "rounds.wgsl"

const STREAMS: u32 = 4u;

// Elements of a share, of `count` in all; the last ones may be short.
fn share_of(count: u32) -> u32 {
    return (count + STREAMS - 1u) / STREAMS;
}
