// Which elements an invocation of an elementwise kernel has: `rounds` of them, 8 apart, so that eight neighbours go through memory in order.

// The first one, of invocation `lane` (of 64) in workgroup `group`.
fn first_of(group: u32, lane: u32, rounds: u32) -> u32 {
    return (group * 8u + lane / 8u) * 8u * rounds + lane % 8u;
}
