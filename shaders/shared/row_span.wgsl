// ROW_SPAN elements in a row, out of an array that is read by fours: the importing file declares ROW_SPAN, and quad_of(i) for elements 4 * i ...

const SPAN_READ: u32 = ROW_SPAN + 2u;
const SPAN_QUADS: u32 = (ROW_SPAN + 6u) / 4u;

// Elements at .. at + ROW_SPAN - 1.
fn span_at(at: i32) -> array<f32, ROW_SPAN> {
    var read: array<f32, 4u * SPAN_QUADS>;
    // @unroll
    for (var q = 0u; q < SPAN_QUADS; q++) {
        let quad = quad_of((at >> 2u) + i32(q));
        read[4u * q] = quad.x;
        read[4u * q + 1u] = quad.y;
        read[4u * q + 2u] = quad.z;
        read[4u * q + 3u] = quad.w;
    }
    // moved down by 0 to 3 elements
    let odd = (at & 1) != 0;
    // @unroll
    for (var i = 0u; i < SPAN_READ; i++) {
        read[i] = select(read[i], read[i + 1u], odd);
    }
    let two = (at & 2) != 0;
    var found: array<f32, ROW_SPAN>;
    // @unroll
    for (var i = 0u; i < ROW_SPAN; i++) {
        found[i] = select(read[i], read[i + 2u], two);
    }
    return found;
}
