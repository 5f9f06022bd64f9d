// Shares of a channel of x [batch, channels, parts]: dims.samples samples by dims.length parts each, the last ones shorter. A workgroup,
// one team (team.wgsl), has a share.

// Whether a channel has several shares: what is found of each goes to partial[share, channel] then, for a merge.
const SHARES: u32 = 1u;

struct Dims {
    batch: u32, channels: u32, parts: u32, samples: u32, length: u32, shares: u32,
    count: f32, epsilon: f32, momentum: f32, correction: f32
}

// The last ones are not of the share any more.
struct Share { channel: u32, first_sample: u32, last_sample: u32, first_part: u32, last_part: u32 }

// Neighbours are of one share of the batch and neighbouring channels.
fn share_of(index: u32) -> Share {
    let share = index / dims.channels;
    var sample = 0u;
    var part = 0u;
    // @if SHARES
    let pieces = (dims.parts + dims.length - 1u) / dims.length;
    sample = share / pieces * dims.samples;
    part = share % pieces * dims.length;
    // @end
    let last_sample = min(sample + dims.samples, dims.batch);
    return Share(index - share * dims.channels, sample, last_sample, part, min(part + dims.length, dims.parts));
}

fn elements(share: Share) -> f32 {
    return f32((share.last_sample - share.first_sample) * (share.last_part - share.first_part) * PART);
}
