//! A JPEG encoder for pictures of flat blocks: baseline, no AC coefficients (ITU-T T.81).

/// A picture of `width` x `height` blocks of 8 x 8 pixels; each of `planes` (Y alone, or Y, Cb, Cr) has a level per block.
pub fn encode(width: usize, height: usize, planes: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    let mut segment = |marker: u8, body: &[u8]| {
        file.extend([0xff, marker]);
        file.extend((body.len() as u16 + 2).to_be_bytes());
        file.extend(body);
    };
    // a quantiser of 8 makes a DC coefficient the level less 128
    segment(0xdb, &[&[0u8][..], &[8; 64]].concat());
    let [h, w] = [height, width].map(|blocks| (8 * blocks as u16).to_be_bytes());
    let components = (0..planes.len() as u8).flat_map(|index| [index + 1, 0x11, 0]);
    let frame = [8, h[0], h[1], w[0], w[1], planes.len() as u8].into_iter().chain(components);
    segment(0xc0, &frame.collect::<Vec<u8>>());
    // DC: categories 0 to 8 by four bits each; AC: the end of a block by one bit
    segment(0xc4, &[&[0, 0, 0, 0, 9][..], &[0; 12], &[0, 1, 2, 3, 4, 5, 6, 7, 8]].concat());
    segment(0xc4, &[&[0x10, 1][..], &[0; 15], &[0]].concat());
    let components = (0..planes.len() as u8).flat_map(|index| [index + 1, 0]);
    let scan = [planes.len() as u8].into_iter().chain(components).chain([0, 63, 0]);
    segment(0xda, &scan.collect::<Vec<u8>>());
    let mut bits = Vec::new();
    let mut last = vec![128i32; planes.len()];
    for block in 0..width * height {
        for (plane, last) in planes.iter().zip(&mut last) {
            let change = i32::from(plane[block]) - *last;
            *last += change;
            let category = 32 - change.unsigned_abs().leading_zeros();
            let value = if change < 0 { change + (1 << category) - 1 } else { change };
            let mut push = |value: i32, count: u32| bits.extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
            push(category as i32, 4);
            push(value, category);
            push(0, 1);
        }
    }
    for byte in bits.chunks(8) {
        let filled = byte.iter().copied().chain(std::iter::repeat(true)).take(8);
        let byte = filled.fold(0u8, |byte, bit| byte << 1 | u8::from(bit));
        file.push(byte);
        if byte == 0xff {
            file.push(0);
        }
    }
    file.extend([0xff, 0xd9]);
    file
}
