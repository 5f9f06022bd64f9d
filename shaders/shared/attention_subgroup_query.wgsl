// Of the subgroup attention kernels whose rows are queries and whose columns are keys.

// One past the last key that a live query of this block may see, 0 if none is live. Without PAIR the padding at the end is
// left out.
fn visible_key_end(place: Place, live: bool, lane: u32) -> u32 {
    var end = causal_key_end(place.row0 + TILE_ROWS);
    if (PAIR == 0u && dims.has_mask != 0u) {
        end = 0u;
        for (var key = lane; key < dims.key_len; key += LANES) {
            if (mask[place.sample * dims.key_len + key] != 0u) { end = key + 1u; }
        }
        end = subgroupMax(end);
    }
    return select(0u, end, subgroupAny(live));
}

// Bit c of component r: whether the lane's query r sees column c of the tile.
fn visible_bits(place: Place, key0: u32, lane: u32) -> vec4<u32> {
    var bits = vec4<u32>(0u);
    if (PAIR != 0u) {
        // @unroll
        for (var r = 0u; r < ROWS; r++) {
            bits[r] = pair_word(place.sample, place.row0 + r * LANES + lane, key0 / 32u) >> (key0 % 32u);
        }
        return bits;
    }
    var flags: array<bool, TILE_LOADS>;
    // @unroll
    for (var t = 0u; t < TILE_LOADS; t++) {
        flags[t] = key_valid(place.sample, key0 + t * LANES + lane);
    }
    return vec4<u32>(column_bits(flags));
}

// Whether column c may be read at all: without PAIR a key that is masked may hold anything.
fn column_readable(bits: vec4<u32>, key0: u32, c: u32) -> bool {
    if (PAIR != 0u) { return key0 + c < dims.key_len; }
    return (bits.x & (1u << c)) != 0u;
}
